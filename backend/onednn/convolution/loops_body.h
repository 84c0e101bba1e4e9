// The loops themselves, for the instruction set that the including file is compiled for.
#include "backend/onednn/convolution/winograd/loops_body.h"

namespace nacre::onednn {

namespace {

using Factor = ConvolutionLoops::Factor;
using Columns = ConvolutionLoops::Columns;
using Around = ConvolutionLoops::Around;
using Pixels = ConvolutionLoops::Pixels;
using DepthwiseTaps = ConvolutionLoops::DepthwiseTaps;

// As many rows of two registers as the others leave room for.
#if defined(__AVX512F__)
constexpr int most_rows = 14;
#else
constexpr int most_rows = 6;
#endif

// --- products -----------------------------------------------------------------------------------------------------

// Sums of `rows` × `panels` registers stay there while the depth is walked.
template <int rows, int panels>
void product_rows(Factor a, std::int64_t depth, Columns b, float* y, Around around) {
  Vector sums[rows][panels];
#pragma GCC unroll 16
  for (int row = 0; row < rows; ++row)
#pragma GCC unroll 2
    for (int i = 0; i < panels; ++i) {
      sums[row][i] = around.accumulate ? load<lanes>(y + (row * panels + i) * lanes) : Vector{};
      if (around.bias) sums[row][i] += load<lanes>(around.bias + i * lanes);
    }
  const float *factor = a.memory, *columns = b.memory;
  for (std::int64_t k = 0; k < depth; ++k) {
    Vector column[panels];
#pragma GCC unroll 2
    for (int i = 0; i < panels; ++i) column[i] = load<lanes>(columns + i * b.group);
#pragma GCC unroll 16
    for (int row = 0; row < rows; ++row)
#pragma GCC unroll 2
      for (int i = 0; i < panels; ++i) sums[row][i] += factor[row * a.row] * column[i];
    factor += a.step;
    columns += b.step;
  }
#pragma GCC unroll 16
  for (int row = 0; row < rows; ++row)
#pragma GCC unroll 2
    for (int i = 0; i < panels; ++i) store<lanes>(y + (row * panels + i) * lanes, bounded(sums[row][i], around.bounds));
}

template <int panels, int rows = most_rows>
void product_of(std::int64_t count, Factor a, std::int64_t depth, Columns b, float* y, Around around) {
  if (count == rows) return product_rows<rows, panels>(a, depth, b, y, around);
  if constexpr (rows > 1) product_of<panels, rows - 1>(count, a, depth, b, y, around);
}

void product(Factor a, std::int64_t rows, std::int64_t depth, Columns b, float* y, Around around) {
  // Shares of nearly the same size: a product of few rows is slow for its size.
  const std::int64_t shares = (rows + most_rows - 1) / most_rows;
  for (std::int64_t share = 0; share < shares; ++share) {
    const std::int64_t first = rows * share / shares, last = rows * (share + 1) / shares;
    const auto some = b.panels == 2 ? product_of<2> : product_of<1>;
    some(last - first, {a.memory + first * a.row, a.row, a.step}, depth, b, y + first * b.panels * lanes, around);
  }
}

// --- depthwise ----------------------------------------------------------------------------------------------------

template <int size>
void depthwise_row(Pixels x, std::int64_t stride, std::int64_t count, DepthwiseTaps taps, const float* bias,
                   Bounds bounds, float* y, std::int64_t column) {
  Vector tap[size * size];
#pragma GCC unroll 25
  for (int i = 0; i < size * size; ++i) tap[i] = load<lanes>(taps.memory + i * taps.tap);
  const Vector shift = bias ? load<lanes>(bias) : Vector{};
  for (std::int64_t i = 0; i < count; ++i) {
    const float* from = x.memory + stride * i * x.column;
    Vector sum = shift;
#pragma GCC unroll 5
    for (int r = 0; r < size; ++r)
#pragma GCC unroll 5
      for (int c = 0; c < size; ++c) sum += load<lanes>(from + r * x.row + c * x.column) * tap[size * r + c];
    store<lanes>(y + i * column, bounded(sum, bounds));
  }
}

void depthwise(Pixels x, std::int64_t stride, std::int64_t count, DepthwiseTaps taps, const float* bias, Bounds bounds,
               float* y, std::int64_t column) {
  const auto row = taps.size == 5 ? depthwise_row<5> : depthwise_row<3>;
  row(x, stride, count, taps, bias, bounds, y, column);
}

constexpr ConvolutionLoops convolution_loops_here = {
    lanes,   most_rows, {{winograd_loops<2, float>, winograd_loops<2, Bfloat16>},
                         {winograd_loops<4, float>, winograd_loops<4, Bfloat16>}},
    product, depthwise};

}  // namespace

}  // namespace nacre::onednn
