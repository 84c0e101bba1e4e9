// The transformations of Winograd's convolutions, for the instruction set that the including file is compiled for.
#include "backend/onednn/convolution/loops.h"
#include "backend/onednn/elementwise/lanes.h"

namespace nacre::onednn {

namespace {

using Run = WinogradLoops::Run;
using Tiles = WinogradLoops::Tiles;
using ConstTiles = WinogradLoops::ConstTiles;
using Taps = WinogradLoops::Taps;

constexpr int lanes = widest;
using Vector = Lanes<lanes>;

inline Vector bounded(Vector x, Bounds bounds) { return bounds.bounded ? clamped(x, bounds.low, bounds.high) : x; }

inline bool within(std::int64_t index, std::int64_t size) {
  return static_cast<std::uint64_t>(index) < static_cast<std::uint64_t>(size);
}

// --- in one direction ---------------------------------------------------------------------------------------------

template <int count>
struct Line {
  Vector v[count];
};

// Bᵀ, A, Aᵀ, G and Gᵀ of a tile of so many results.
template <int size>
struct Transformation;

// Polynomials are taken at 0, ±1 and infinity.
template <>
struct Transformation<2> {
  static Line<4> enter(Line<4> d) { return {{d.v[0] - d.v[2], d.v[1] + d.v[2], d.v[2] - d.v[1], d.v[1] - d.v[3]}}; }
  static Line<4> spread(Line<2> y) { return {{y.v[0], y.v[0] + y.v[1], y.v[0] - y.v[1], -y.v[1]}}; }
  static Line<2> gather(Line<4> m) { return {{m.v[0] + m.v[1] + m.v[2], m.v[1] - m.v[2] - m.v[3]}}; }
  static Line<4> widen(Line<3> g) {
    const Vector sum = (g.v[0] + g.v[2]) * 0.5f, half = g.v[1] * 0.5f;
    return {{g.v[0], sum + half, sum - half, g.v[2]}};
  }
  static Line<3> narrow(Line<4> u) {
    const Vector sum = (u.v[1] + u.v[2]) * 0.5f;
    return {{u.v[0] + sum, (u.v[1] - u.v[2]) * 0.5f, sum + u.v[3]}};
  }
};

// At 0, ±√½, ±√2 and infinity. Rounding errors (root of the mean square, 64 and 256 channels) are half of those with
// the usual 0, ±1, ±2, and 1.3 to 2.8 times those of tiles of 2.
template <>
struct Transformation<4> {
  static constexpr float near = 0.70710678f, far = 1.41421356f;  // the points
  static constexpr float near_cubed = 0.35355339f, far_cubed = 2.82842712f;
  static constexpr float near_weight = -2.0f / 3.0f,
                         far_weight = 1.0f / 6.0f;  // one over the products of their distances

  static Line<6> enter(Line<6> d) {
    const Vector even_near = d.v[4] - 2.0f * d.v[2], odd_near = (d.v[3] - 2.0f * d.v[1]) * near,
                 even_far = d.v[4] - 0.5f * d.v[2], odd_far = (d.v[3] - 0.5f * d.v[1]) * far;
    return {{d.v[0] - 2.5f * d.v[2] + d.v[4], even_near + odd_near, even_near - odd_near, even_far + odd_far,
             even_far - odd_far, d.v[1] - 2.5f * d.v[3] + d.v[5]}};
  }
  static Line<6> spread(Line<4> y) {
    const Vector even_near = y.v[0] + 0.5f * y.v[2], odd_near = near * y.v[1] + near_cubed * y.v[3],
                 even_far = y.v[0] + 2.0f * y.v[2], odd_far = far * y.v[1] + far_cubed * y.v[3];
    return {{y.v[0], even_near + odd_near, even_near - odd_near, even_far + odd_far, even_far - odd_far, y.v[3]}};
  }
  static Line<4> gather(Line<6> m) {
    const Vector near_sum = m.v[1] + m.v[2], near_difference = m.v[1] - m.v[2], far_sum = m.v[3] + m.v[4],
                 far_difference = m.v[3] - m.v[4];
    return {{m.v[0] + near_sum + far_sum, near * near_difference + far * far_difference,
             0.5f * near_sum + 2.0f * far_sum, near_cubed * near_difference + far_cubed * far_difference + m.v[5]}};
  }
  static Line<6> widen(Line<3> g) {
    const Vector even_near = near_weight * g.v[0] + near_weight / 2 * g.v[2], odd_near = near_weight * near * g.v[1],
                 even_far = far_weight * g.v[0] + far_weight * 2 * g.v[2], odd_far = far_weight * far * g.v[1];
    return {{g.v[0], even_near + odd_near, even_near - odd_near, even_far + odd_far, even_far - odd_far, g.v[2]}};
  }
  static Line<3> narrow(Line<6> u) {
    const Vector near_sum = near_weight * (u.v[1] + u.v[2]), far_sum = far_weight * (u.v[3] + u.v[4]);
    return {{u.v[0] + near_sum + far_sum, near_weight * near * (u.v[1] - u.v[2]) + far_weight * far * (u.v[3] - u.v[4]),
             0.5f * near_sum + 2.0f * far_sum + u.v[5]}};
  }
};

// --- tiles --------------------------------------------------------------------------------------------------------

// Column `left` of a tile whose first row is `top`, transformed.
template <int size, bool inside, class Element>
inline Line<size + 2> column_of(const Element* x, Picture picture, std::int64_t top, std::int64_t left) {
  Line<size + 2> d;
#pragma GCC unroll 6
  for (int i = 0; i < size + 2; ++i)
    d.v[i] = inside || (within(top + i, picture.height) && within(left, picture.width))
                 ? load<lanes>(x + (top + i) * picture.row + left * picture.column)
                 : Vector{};
  return Transformation<size>::enter(d);
}

// `columns`: the first two are there, and become those of the next tile.
template <int size, bool inside, class Element>
inline void enter_tile(const Element* x, Picture picture, std::int64_t top, std::int64_t left,
                       Line<size + 2> (&columns)[size + 2], float* to, std::int64_t place) {
#pragma GCC unroll 4
  for (int j = 2; j < size + 2; ++j) columns[j] = column_of<size, inside>(x, picture, top, left + j);
#pragma GCC unroll 6
  for (int i = 0; i < size + 2; ++i) {
    Line<size + 2> row;
#pragma GCC unroll 6
    for (int j = 0; j < size + 2; ++j) row.v[j] = columns[j].v[i];
    row = Transformation<size>::enter(row);
#pragma GCC unroll 6
    for (int j = 0; j < size + 2; ++j) store<lanes>(to + ((size + 2) * i + j) * place, row.v[j]);
  }
  columns[0] = columns[size];
  columns[1] = columns[size + 1];
}

template <int size, class Element>
void enter(const void* from, Picture picture, Run run, Tiles to) {
  const auto* x = static_cast<const Element*>(from);
  Line<size + 2> columns[size + 2];
  for (int j = 0; j < 2; ++j) columns[j] = column_of<size, false>(x, picture, run.top, run.left + j);
  const bool rows_inside = run.top >= 0 && run.top + size + 2 <= picture.height;
  for (std::int64_t tile = 0; tile < run.count; ++tile) {
    const std::int64_t left = run.left + size * tile;
    float* target = to.memory + tile * to.tile;
    if (rows_inside && left >= 0 && left + size + 2 <= picture.width)
      enter_tile<size, true>(x, picture, run.top, left, columns, target, to.place);
    else enter_tile<size, false>(x, picture, run.top, left, columns, target, to.place);
  }
}

template <int size, bool inside, class Element>
inline Vector enter_gradient_tile(const Element* dy, Picture picture, std::int64_t top, std::int64_t left, float* to,
                                  std::int64_t place) {
  Vector sum = {};
  Line<size + 2> columns[size];
#pragma GCC unroll 4
  for (int j = 0; j < size; ++j) {
    Line<size> d;
#pragma GCC unroll 4
    for (int i = 0; i < size; ++i) {
      d.v[i] = inside || (top + i < picture.height && left + j < picture.width)
                   ? load<lanes>(dy + (top + i) * picture.row + (left + j) * picture.column)
                   : Vector{};
      sum += d.v[i];
    }
    columns[j] = Transformation<size>::spread(d);
  }
#pragma GCC unroll 6
  for (int i = 0; i < size + 2; ++i) {
    Line<size> row;
#pragma GCC unroll 4
    for (int j = 0; j < size; ++j) row.v[j] = columns[j].v[i];
    const Line<size + 2> spread = Transformation<size>::spread(row);
#pragma GCC unroll 6
    for (int j = 0; j < size + 2; ++j) store<lanes>(to + ((size + 2) * i + j) * place, spread.v[j]);
  }
  return sum;
}

template <int size, class Element>
void enter_gradient(const void* from, Picture picture, Run run, Tiles to, float* sums) {
  const auto* dy = static_cast<const Element*>(from);
  Vector sum = {};
  for (std::int64_t tile = 0; tile < run.count; ++tile) {
    const std::int64_t left = run.left + size * tile;
    float* target = to.memory + tile * to.tile;
    if (run.top + size <= picture.height && left + size <= picture.width)
      sum += enter_gradient_tile<size, true>(dy, picture, run.top, left, target, to.place);
    else sum += enter_gradient_tile<size, false>(dy, picture, run.top, left, target, to.place);
  }
  if (sums) store<lanes>(sums, load<lanes>(sums) + sum);
}

template <int size, class Element>
void leave(ConstTiles from, void* to, Picture picture, Run run, const float* bias, bool accumulate, Bounds bounds) {
  auto* y = static_cast<Element*>(to);
  const Vector shift = bias ? load<lanes>(bias) : Vector{};
  for (std::int64_t tile = 0; tile < run.count; ++tile) {
    const float* source = from.memory + tile * from.tile;
    Line<size> rows[size + 2];
#pragma GCC unroll 6
    for (int i = 0; i < size + 2; ++i) {
      Line<size + 2> row;
#pragma GCC unroll 6
      for (int j = 0; j < size + 2; ++j) row.v[j] = load<lanes>(source + ((size + 2) * i + j) * from.place);
      rows[i] = Transformation<size>::gather(row);
    }
#pragma GCC unroll 4
    for (int j = 0; j < size; ++j) {
      Line<size + 2> gathered;
#pragma GCC unroll 6
      for (int i = 0; i < size + 2; ++i) gathered.v[i] = rows[i].v[j];
      const Line<size> column = Transformation<size>::gather(gathered);
#pragma GCC unroll 4
      for (int i = 0; i < size; ++i) {
        const std::int64_t row = run.top + i, at = run.left + size * tile + j;
        if (row >= picture.height || at >= picture.width) continue;
        Element* target = y + row * picture.row + at * picture.column;
        Vector result = column.v[i] + shift;
        if (accumulate) result += load<lanes>(target);
        store<lanes>(target, bounded(result, bounds));
      }
    }
  }
}

// --- kernels ------------------------------------------------------------------------------------------------------

template <int size, class Element>
void enter_kernels(const void* from, Taps taps, bool adjoint, Tiles to) {
  const auto* kernels = static_cast<const Element*>(from);
  Element turned[9][lanes][lanes];
  if (adjoint)
    for (int tap = 0; tap < 9; ++tap) {
      const Element* corner = kernels + (2 - tap / 3) * taps.row + (2 - tap % 3) * taps.column;
      for (int channel = 0; channel < lanes; ++channel)
        for (int filter = 0; filter < lanes; ++filter)
          turned[tap][filter][channel] = corner[channel * taps.channel + filter];
    }
  for (int row = 0; row < lanes; ++row) {
    Line<size + 2> columns[3];
    for (int j = 0; j < 3; ++j) {
      Line<3> g;
      for (int i = 0; i < 3; ++i)
        g.v[i] = load<lanes>(adjoint ? turned[3 * i + j][row]
                                     : kernels + i * taps.row + j * taps.column + row * taps.channel);
      columns[j] = Transformation<size>::widen(g);
    }
    float* target = to.memory + row * to.tile;
#pragma GCC unroll 6
    for (int i = 0; i < size + 2; ++i) {
      const Line<size + 2> wide = Transformation<size>::widen({{columns[0].v[i], columns[1].v[i], columns[2].v[i]}});
#pragma GCC unroll 6
      for (int j = 0; j < size + 2; ++j) store<lanes>(target + ((size + 2) * i + j) * to.place, wide.v[j]);
    }
  }
}

template <int size, class Element>
void leave_kernels(ConstTiles from, std::int64_t parts, std::int64_t part, void* to, Taps taps) {
  auto* kernels = static_cast<Element*>(to);
  for (int channel = 0; channel < lanes; ++channel) {
    const float* source = from.memory + channel * from.tile;
    Line<3> rows[size + 2];
    for (int i = 0; i < size + 2; ++i) {
      Line<size + 2> row;
      for (int j = 0; j < size + 2; ++j) {
        const float* place = source + ((size + 2) * i + j) * from.place;
        row.v[j] = load<lanes>(place);
        for (std::int64_t p = 1; p < parts; ++p) row.v[j] += load<lanes>(place + p * part);
      }
      rows[i] = Transformation<size>::narrow(row);
    }
    for (int j = 0; j < 3; ++j) {
      Line<size + 2> column;
      for (int i = 0; i < size + 2; ++i) column.v[i] = rows[i].v[j];
      const Line<3> narrow = Transformation<size>::narrow(column);
      for (int i = 0; i < 3; ++i)
        store<lanes>(kernels + i * taps.row + j * taps.column + channel * taps.channel, narrow.v[i]);
    }
  }
}

template <int size, class Element>
constexpr WinogradLoops winograd_loops = {size,
                                          sizeof(Element),
                                          enter<size, Element>,
                                          enter_gradient<size, Element>,
                                          leave<size, Element>,
                                          enter_kernels<size, Element>,
                                          leave_kernels<size, Element>};

}  // namespace

}  // namespace nacre::onednn
