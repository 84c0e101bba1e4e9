// How a reduction walks memory.
#pragma once

#include "backend/onednn/elementwise/loops.h"
#include "backend/onednn/engine.h"

namespace nacre::onednn {

// A value's elements in the order in which they lie: pieces of axes, the slowest first, each either kept or reduced.
// Neighbours differ in that; the last two are a reduced and a kept one, either of which may have size 1.
struct ReductionWalk {
  struct Piece {
    std::int64_t size, stride;
  };
  std::vector<Piece> kept, reduced;  // outer pieces; their indices run in row-major order
  std::int64_t lines = 1;            // size of the last reduced piece: dense lines of `width` kept elements
  std::int64_t width = 1;

  // `reduces` tells it for each axis. A blocked layout is walked as it lies when the results come out row-major that
  // way and the zeros of blocks that are not full do no harm; `none` means that the value must be plain.
  static std::optional<ReductionWalk> over(const Type& type, const Layout& layout, const std::vector<bool>& reduces,
                                           bool zeros_are_harmless);
};

// The sum, product or extreme of the walk's lines, in an order that depends on the sizes alone: neither on threads nor
// on the width of registers.
class Reduction {
 public:
  Reduction(ReductionWalk walk, Opcode combine, DType dtype, float scale);
  std::size_t scratch_bytes() const;
  void operator()(const void* x, void* y, void* scratch) const;

 private:
  void reduce_chunk(const void* x, std::int64_t line, std::int64_t column, std::int64_t chunk, float* result) const;
  void store(const float* from, void* y, std::int64_t place, std::int64_t count) const;

  ReductionWalk walk_;
  Loop combine_;
  DType dtype_;
  float scale_;
  std::int64_t group_;         // lines that are combined side by side
  std::int64_t groups_;        // of `group_` lines, the last one may be smaller
  std::int64_t steps_;         // groups that one result is made of
  std::int64_t chunks_;        // of `steps_per_chunk` groups
  std::int64_t results_ = 1;   // lines of the result
  std::int64_t tile_, tiles_;  // columns done at once
};

}  // namespace nacre::onednn
