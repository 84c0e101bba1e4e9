// What our own convolutions are made of, compiled for several instruction sets (see ../elementwise/loops.h, whose rule
// about the standard library holds here too). Distances are in elements. A register's worth of neighbouring channels ("a
// group") is worked at together, as float32.
#pragma once

#include <cstdint>

namespace nacre::onednn {

// One sample, seen from the first channel of a group.
struct Picture {
  std::int64_t height, width;
  std::int64_t row, column;  // distances
};
struct Bounds {
  bool bounded;
  float low, high;
};

// Winograd's convolution of 3 × 3 pixels with a stride of 1, F(n×n, 3×3): tiles of n × n results are made from those of
// (n + 2) × (n + 2) pixels by as many products, in place of 9 n²: 16 in place of 36, or 36 in place of 144. A. Lavin,
// S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2015:
//   y = Aᵀ (G g Gᵀ ⊙ Bᵀ d B) A,  summed over channels: a matrix product in each of the places.
// The gradients are the transposed chain of the same three transformations. Tensors are of float32 or bfloat16,
// transformed tiles of float32.
struct WinogradLoops {
  int size;     // n
  int element;  // bytes of those of tensors
  constexpr std::int64_t places() const { return (size + 2) * (size + 2); }

  // Tiles side by side: the first one's corner in the picture, which may lie outside, and how many.
  struct Run {
    std::int64_t top, left, count;
  };
  // Transformed tiles: number t has place p at memory[p · place + t · tile].
  template <class Float>
  struct TilesOf {
    Float* memory;
    std::int64_t place, tile;
  };
  using Tiles = TilesOf<float>;
  using ConstTiles = TilesOf<const float>;
  // The 9 taps of a square block of kernels: channel c and filter f at memory[row · y + column · x + channel · c + f].
  struct Taps {
    std::int64_t row, column, channel;
  };

  // Bᵀ d B; there are zeros around the picture.
  void (*enter)(const void* x, Picture picture, Run run, Tiles to);
  // A dy Aᵀ; adds dy to a group of sums unless these are null.
  void (*enter_gradient)(const void* dy, Picture picture, Run run, Tiles to, float* sums);
  // y = bounded(Aᵀ m A + bias [+ y]); bias may be null.
  void (*leave)(ConstTiles from, void* y, Picture picture, Run run, const float* bias, bool accumulate, Bounds bounds);
  // G g Gᵀ of group × group kernels: row c holds filters. With `adjoint` the kernels are turned by 180° and row f holds
  // channels.
  void (*enter_kernels)(const void* kernels, Taps taps, bool adjoint, Tiles to);
  // Gᵀ u G of group × group kernels, u summed over `parts` that are `part` apart.
  void (*leave_kernels)(ConstTiles from, std::int64_t parts, std::int64_t part, void* kernels, Taps taps);
};

struct ConvolutionLoops {
  int group;      // floats of a register
  int most_rows;  // of a product that are worked at together

  // For tiles of 2 × 2 and of 4 × 4 results, each for tensors of float32 and of bfloat16.
  WinogradLoops winograd[2][2];

  // y (rows, panels) = bounded([bias +] [y +] Σ a[row · r + step · k] b[step · k + …]), of `panels` (1 or 2) groups of
  // columns that are `group` apart in b; rows of y are `panels` groups wide. The bias may be null.
  struct Factor {
    const float* memory;
    std::int64_t row, step;
  };
  struct Columns {
    const float* memory;
    std::int64_t step, group;
    int panels;
  };
  struct Around {
    const float* bias = nullptr;
    bool accumulate = false;
    Bounds bounds{};
  };
  void (*product)(Factor a, std::int64_t rows, std::int64_t depth, Columns b, float* y, Around around);

  // A row of results of a depthwise convolution of size × size pixels (3 or 5), a group of channels:
  // y[column · i] = bounded([bias +] Σ x[row · r + column · (stride · i + c)] taps[tap · (size · r + c)])
  struct Pixels {
    const float* memory;
    std::int64_t row, column;
  };
  struct DepthwiseTaps {
    const float* memory;
    std::int64_t tap;
    int size;
  };
  void (*depthwise)(Pixels x, std::int64_t stride, std::int64_t count, DepthwiseTaps taps, const float* bias,
                    Bounds bounds, float* y, std::int64_t column);
};

// Those that go with loops().
const ConvolutionLoops& convolution_loops();

extern const ConvolutionLoops convolution_baseline, convolution_avx2, convolution_avx512;

}  // namespace nacre::onednn
