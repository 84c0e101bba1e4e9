// How the elements of a broadcast operand are found while the result is walked in row-major order.
#pragma once

#include <vector>

#include "backend/core/tensor.h"
#include "backend/onednn/elementwise/loops.h"

namespace nacre::onednn {

class Access {
 public:
  // `operand` broadcasts to `result`.
  Access(const Shape& operand, const Shape& result);

  bool full() const { return kind_ == Kind::full; }      // the operand has an element for each of the result's
  bool scalar() const { return kind_ == Kind::scalar; }  // the same element for all
  // The number of elements after which the walk begins again, or 0 when it does not.
  std::int64_t period() const { return period_; }

  // The operand's elements that belong to [begin, begin + count) of the result, as floats.
  void gather(DType dtype, const void* from, std::int64_t begin, std::int64_t count, float* to, const Loops& loops) const;

 private:
  enum class Kind : std::uint8_t { full, scalar, strided };
  struct Axis {
    std::int64_t size, stride;
  };
  Kind kind_ = Kind::strided;
  std::vector<Axis> axes_;  // of the result, adjacent ones joined where the operand's strides allow it
  std::int64_t period_ = 0;
};

}  // namespace nacre::onednn
