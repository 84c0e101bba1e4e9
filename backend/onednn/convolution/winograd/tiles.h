// What walks over the tiles of Winograd's convolutions.
#pragma once

#include <algorithm>

#include "backend/onednn/convolution/winograd/winograd.h"

namespace nacre::onednn {

// The tiles of a field of results, counted through all samples.
struct Grid {
  std::int64_t samples, high, wide;
  int size;
  std::int64_t count() const { return samples * high * wide; }

  // body(first of the run within the range, sample, run) of neighbours in a row; `top` and `left` are what a tile
  // begins before its results.
  template <class Body>
  void runs(std::int64_t begin, std::int64_t end, std::int64_t top, std::int64_t left, Body&& body) const {
    for (std::int64_t tile = begin; tile < end;) {
      const std::int64_t column = tile % wide, row = tile / wide % high;
      const std::int64_t count = std::min(wide - column, end - tile);
      body(tile - begin, tile / (wide * high), WinogradLoops::Run{size * row - top, size * column - left, count});
      tile += count;
    }
  }
};

// The tiles of x and of the results beside them. Blocks of them are transformed, multiplied and transformed back at a
// time. Either each thread has tiles of its own, in blocks for which its second cache has room beside the kernels; or,
// where the kernels are larger than that or the tiles are few, all threads work at each block together, for which the
// third cache has room, and each of them multiplies in some of the places.
class TileKernel : public WinogradKernel {
 protected:
  using Tiles = WinogradLoops::Tiles;

  TileKernel(const ConvolutionLoops& loops, const WinogradLoops& winograd, const Field& x, const Field& y,
             std::int64_t top, std::int64_t left);

  // Tiles that are worked at together.
  struct Block {
    std::int64_t part, worker;  // whose memory it has, and who works at it
    std::int64_t begin, tiles;
    bool first;                 // of its part
    std::int64_t member, team;  // of those that share it
    std::int64_t own, own_end;  // this member's tiles, counted from `begin`
  };
  // How many have blocks of their own.
  std::int64_t parts() const { return together_ ? 1 : workers_; }
  // Called by each thread of a team: work(block, meet), where meet() waits for all that share the block.
  template <class Barrier, class Work>
  void each_block(int thread, int team, Barrier&& barrier, Work&& work) const {
    const auto walk = [&](std::int64_t part, std::int64_t member, std::int64_t members, auto&& meet) {
      const std::int64_t first = share(tiles_.count(), part, parts()), last = share(tiles_.count(), part + 1, parts());
      for (std::int64_t begin = first; begin < last; begin += block_) {
        const std::int64_t tiles = std::min(block_, last - begin);
        work(Block{part, part + member, begin, tiles, begin == first, member, members, share(tiles, member, members),
                   share(tiles, member + 1, members)},
             meet);
      }
    };
    if (together_) return walk(0, thread, team, barrier);
    for (std::int64_t part = thread; part < workers_; part += team) walk(part, 0, 1, [] {});
  }

  // Transforms tiles [begin, end) of x; `to` begins at the first of them.
  void enter(const void* x, std::int64_t begin, std::int64_t end, Tiles to) const;

  const void* at(const void* tensor, std::int64_t offset) const {
    return static_cast<const std::byte*>(tensor) + offset * winograd_.element;
  }
  void* at(void* tensor, std::int64_t offset) const {
    return static_cast<std::byte*>(tensor) + offset * winograd_.element;
  }

  std::int64_t apart(std::int64_t floats) const { return onednn::apart(floats, loops_.group); }

  // How many of so many tiles are in a block: an equal part, for which there is room.
  std::int64_t block_of(std::int64_t tiles, std::int64_t floats_of_each, std::int64_t room) const;

  static constexpr std::int64_t second_cache = 160 << 10, third_cache = 2 << 20;  // floats that are to stay there

  const ConvolutionLoops& loops_;
  const WinogradLoops& winograd_;
  Field x_, y_;
  std::int64_t top_, left_;
  Grid tiles_;
  TransformedOrder order_;  // of the kernels; its panels are y's channels
  bool together_ = false;   // set by those that derive from it, as are these
  std::int64_t workers_ = 1, block_ = 1;
};

// `narrow_bias`: the bias, or its gradient, is of bfloat16 instead of float32.
std::unique_ptr<WinogradKernel> make_convolution(const ConvolutionLoops& loops, const WinogradLoops& winograd,
                                                 const Field& x, const Field& y,
                                                 std::optional<TransformedKernels> kernels, std::int64_t top,
                                                 std::int64_t left, const Epilogue& epilogue, bool narrow_bias);
std::unique_ptr<WinogradKernel> make_weights_gradient(const ConvolutionLoops& loops, const WinogradLoops& winograd,
                                                      const Field& x, const Field& y, const Kernels& kernels,
                                                      std::int64_t top, std::int64_t left, bool bias, bool narrow_bias);

}  // namespace nacre::onednn
