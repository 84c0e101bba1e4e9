// The loops themselves, for the instruction set that the including file is compiled for.
#include "backend/onednn/convolution/loops.h"

namespace nacre::onednn {

namespace {

using Picture = ConvolutionLoops::Picture;
using Run = ConvolutionLoops::Run;
using Tiles = ConvolutionLoops::Tiles;
using ConstTiles = ConvolutionLoops::ConstTiles;
using Taps = ConvolutionLoops::Taps;
using Bounds = ConvolutionLoops::Bounds;
using Factor = ConvolutionLoops::Factor;
using Columns = ConvolutionLoops::Columns;
using Around = ConvolutionLoops::Around;
using Pixels = ConvolutionLoops::Pixels;
using DepthwiseTaps = ConvolutionLoops::DepthwiseTaps;

// As many floats as a register holds, and as many rows of two registers as the others leave room for.
#if defined(__AVX512F__)
constexpr int lanes = 16, most_rows = 14;
#elif defined(__AVX__)
constexpr int lanes = 8, most_rows = 6;
#else
constexpr int lanes = 4, most_rows = 6;
#endif

typedef float Vector __attribute__((vector_size(lanes * sizeof(float)), aligned(sizeof(float)), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector x) { *reinterpret_cast<Vector*>(to) = x; }

inline Vector bounded(Vector x, Bounds bounds) {
  if (!bounds.bounded) return x;
  const Vector low = Vector{} + bounds.low, high = Vector{} + bounds.high;
  const Vector raised = x < low ? low : x;
  return raised > high ? high : raised;
}

// --- tiles --------------------------------------------------------------------------------------------------------

// Bᵀ applied to a column of 4.
struct Four {
  Vector v[4];
};
inline Four transformed(Four d) { return {{d.v[0] - d.v[2], d.v[1] + d.v[2], d.v[2] - d.v[1], d.v[1] - d.v[3]}}; }

inline bool within(std::int64_t index, std::int64_t size) {
  return static_cast<std::uint64_t>(index) < static_cast<std::uint64_t>(size);
}

// Column `left` of a tile whose first row is `top`, transformed.
template <bool inside>
inline Four column_of(const float* x, Picture picture, std::int64_t top, std::int64_t left) {
  Four d;
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    d.v[i] = inside || (within(top + i, picture.height) && within(left, picture.width))
                 ? load(x + (top + i) * picture.row + left * picture.column)
                 : Vector{};
  return transformed(d);
}

template <bool inside>
inline void enter_tile(const float* x, Picture picture, std::int64_t top, std::int64_t left, Four& first, Four& second,
                       float* to, std::int64_t place) {
  const Four third = column_of<inside>(x, picture, top, left + 2),
             fourth = column_of<inside>(x, picture, top, left + 3);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const Four row = transformed({{first.v[i], second.v[i], third.v[i], fourth.v[i]}});
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) store(to + (4 * i + j) * place, row.v[j]);
  }
  first = third;
  second = fourth;
}

void enter(const float* x, Picture picture, Run run, Tiles to) {
  // Neighbours share two columns.
  Four first = column_of<false>(x, picture, run.top, run.left),
       second = column_of<false>(x, picture, run.top, run.left + 1);
  const bool rows_inside = run.top >= 0 && run.top + 4 <= picture.height;
  for (std::int64_t tile = 0; tile < run.count; ++tile) {
    const std::int64_t left = run.left + 2 * tile;
    float* target = to.memory + tile * to.tile;
    if (rows_inside && left >= 0 && left + 4 <= picture.width)
      enter_tile<true>(x, picture, run.top, left, first, second, target, to.place);
    else enter_tile<false>(x, picture, run.top, left, first, second, target, to.place);
  }
}

// A applied to a column of 2.
inline Four spread(Vector first, Vector second) { return {{first, first + second, first - second, -second}}; }

template <bool inside>
inline Vector enter_gradient_tile(const float* dy, Picture picture, std::int64_t top, std::int64_t left, float* to,
                                  std::int64_t place) {
  Vector d[2][2];
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j)
      d[i][j] = inside || (top + i < picture.height && left + j < picture.width)
                    ? load(dy + (top + i) * picture.row + (left + j) * picture.column)
                    : Vector{};
  const Four first = spread(d[0][0], d[1][0]), second = spread(d[0][1], d[1][1]);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const Four row = spread(first.v[i], second.v[i]);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) store(to + (4 * i + j) * place, row.v[j]);
  }
  return (d[0][0] + d[0][1]) + (d[1][0] + d[1][1]);
}

void enter_gradient(const float* dy, Picture picture, Run run, Tiles to, float* sums) {
  Vector sum = {};
  for (std::int64_t tile = 0; tile < run.count; ++tile) {
    const std::int64_t left = run.left + 2 * tile;
    float* target = to.memory + tile * to.tile;
    if (run.top + 2 <= picture.height && left + 2 <= picture.width)
      sum += enter_gradient_tile<true>(dy, picture, run.top, left, target, to.place);
    else sum += enter_gradient_tile<false>(dy, picture, run.top, left, target, to.place);
  }
  if (sums) store(sums, load(sums) + sum);
}

// Aᵀ applied to a column of 4.
struct Two {
  Vector v[2];
};
inline Two gathered(Four m) { return {{m.v[0] + m.v[1] + m.v[2], m.v[1] - m.v[2] - m.v[3]}}; }

void leave(ConstTiles from, float* y, Picture picture, Run run, const float* bias, bool accumulate, Bounds bounds) {
  const Vector shift = bias ? load(bias) : Vector{};
  for (std::int64_t tile = 0; tile < run.count; ++tile) {
    const float* source = from.memory + tile * from.tile;
    Two rows[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      Four row;
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) row.v[j] = load(source + (4 * i + j) * from.place);
      rows[i] = gathered(row);
    }
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const Two column = gathered({{rows[0].v[j], rows[1].v[j], rows[2].v[j], rows[3].v[j]}});
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        const std::int64_t row = run.top + i, at = run.left + 2 * tile + j;
        if (row >= picture.height || at >= picture.width) continue;
        float* target = y + row * picture.row + at * picture.column;
        Vector result = column.v[i] + shift;
        if (accumulate) result += load(target);
        store(target, bounded(result, bounds));
      }
    }
  }
}

// --- kernels ------------------------------------------------------------------------------------------------------

// G applied to a column of 3.
inline Four widened(Vector a, Vector b, Vector c) {
  const Vector sum = (a + c) * 0.5f, half = b * 0.5f;
  return {{a, sum + half, sum - half, c}};
}

void enter_kernels(const float* kernels, Taps taps, bool adjoint, Tiles to) {
  float turned[9][lanes][lanes];
  if (adjoint)
    for (int tap = 0; tap < 9; ++tap) {
      const float* from = kernels + (2 - tap / 3) * taps.row + (2 - tap % 3) * taps.column;
      for (int channel = 0; channel < lanes; ++channel)
        for (int filter = 0; filter < lanes; ++filter)
          turned[tap][filter][channel] = from[channel * taps.channel + filter];
    }
  for (int row = 0; row < lanes; ++row) {
    Vector g[9];
    for (int tap = 0; tap < 9; ++tap)
      g[tap] =
          load(adjoint ? turned[tap][row] : kernels + tap / 3 * taps.row + tap % 3 * taps.column + row * taps.channel);
    const Four columns[3] = {widened(g[0], g[3], g[6]), widened(g[1], g[4], g[7]), widened(g[2], g[5], g[8])};
    float* target = to.memory + row * to.tile;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const Four wide = widened(columns[0].v[i], columns[1].v[i], columns[2].v[i]);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) store(target + (4 * i + j) * to.place, wide.v[j]);
    }
  }
}

// Gᵀ applied to a column of 4.
struct Three {
  Vector v[3];
};
inline Three narrowed(Four u) {
  const Vector sum = (u.v[1] + u.v[2]) * 0.5f;
  return {{u.v[0] + sum, (u.v[1] - u.v[2]) * 0.5f, sum + u.v[3]}};
}

void leave_kernels(ConstTiles from, std::int64_t parts, std::int64_t part, float* kernels, Taps taps) {
  for (int channel = 0; channel < lanes; ++channel) {
    const float* source = from.memory + channel * from.tile;
    Three rows[4];
    for (int i = 0; i < 4; ++i) {
      Four row;
      for (int j = 0; j < 4; ++j) {
        const float* place = source + (4 * i + j) * from.place;
        row.v[j] = load(place);
        for (std::int64_t p = 1; p < parts; ++p) row.v[j] += load(place + p * part);
      }
      rows[i] = narrowed(row);
    }
    for (int j = 0; j < 3; ++j) {
      const Three column = narrowed({{rows[0].v[j], rows[1].v[j], rows[2].v[j], rows[3].v[j]}});
      for (int i = 0; i < 3; ++i) store(kernels + i * taps.row + j * taps.column + channel * taps.channel, column.v[i]);
    }
  }
}

// --- products -----------------------------------------------------------------------------------------------------

// Sums of `rows` × `panels` registers stay there while the depth is walked.
template <int rows, int panels>
void product_rows(Factor a, std::int64_t depth, Columns b, float* y, Around around) {
  Vector sums[rows][panels];
#pragma GCC unroll 16
  for (int row = 0; row < rows; ++row)
#pragma GCC unroll 2
    for (int i = 0; i < panels; ++i) {
      sums[row][i] = around.accumulate ? load(y + (row * panels + i) * lanes) : Vector{};
      if (around.bias) sums[row][i] += load(around.bias + i * lanes);
    }
  const float *factor = a.memory, *columns = b.memory;
  for (std::int64_t k = 0; k < depth; ++k) {
    Vector column[panels];
#pragma GCC unroll 2
    for (int i = 0; i < panels; ++i) column[i] = load(columns + i * b.group);
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
    for (int i = 0; i < panels; ++i) store(y + (row * panels + i) * lanes, bounded(sums[row][i], around.bounds));
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
  for (int i = 0; i < size * size; ++i) tap[i] = load(taps.memory + i * taps.tap);
  const Vector shift = bias ? load(bias) : Vector{};
  for (std::int64_t i = 0; i < count; ++i) {
    const float* from = x.memory + stride * i * x.column;
    Vector sum = shift;
#pragma GCC unroll 5
    for (int r = 0; r < size; ++r)
#pragma GCC unroll 5
      for (int c = 0; c < size; ++c) sum += load(from + r * x.row + c * x.column) * tap[size * r + c];
    store(y + i * column, bounded(sum, bounds));
  }
}

void depthwise(Pixels x, std::int64_t stride, std::int64_t count, DepthwiseTaps taps, const float* bias, Bounds bounds,
               float* y, std::int64_t column) {
  const auto row = taps.size == 5 ? depthwise_row<5> : depthwise_row<3>;
  row(x, stride, count, taps, bias, bounds, y, column);
}

constexpr ConvolutionLoops convolution_loops_here = {lanes,         most_rows,     enter,   enter_gradient, leave,
                                                     enter_kernels, leave_kernels, product, depthwise};

}  // namespace

}  // namespace nacre::onednn
