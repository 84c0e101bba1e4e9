// The product of a step, for the instruction set that the including file is compiled for.
#pragma once

#include "backend/onednn/recurrent/loops.h"

namespace nacre::onednn {

namespace {

template <int lanes>
struct VectorOf {
  typedef float Type __attribute__((vector_size(lanes * sizeof(float)), aligned(sizeof(float)), may_alias));
};

// What is multiplied: elements, how a vector of b and the number or numbers of a that meet it are read, and how many of
// the depth they are.
template <int lanes>
struct Floats {
  using Element = float;
  using Vector = typename VectorOf<lanes>::Type;
  using Operand = Vector;
  using Factor = float;
  static constexpr std::int64_t depth = 1;
  static Operand operand(const Element* b) { return *reinterpret_cast<const Vector*>(b); }
  static Factor factor(const Element* a) { return *a; }
  static Vector add(Vector sum, Factor factor, Operand b) { return sum + factor * b; }
};

// Sums of `rows` × 4 vectors stay in registers while the depth is walked.
template <class Factors, int lanes, int rows>
void product_tile(const typename Factors::Element* a, std::int64_t lda, std::int64_t depth,
                  const typename Factors::Element* b, const float* const* from, std::int64_t ldfrom, float* const* y,
                  std::int64_t ldy) {
  using Vector = typename Factors::Vector;
  constexpr std::int64_t step = Factors::depth;
  Vector sums[rows][4];
#pragma GCC unroll 8
  for (int row = 0; row < rows; ++row)
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) sums[row][i] = *reinterpret_cast<const Vector*>(from[i] + row * ldfrom);
  for (std::int64_t k = 0; k < depth; k += step) {
    const typename Factors::Element* line = b + k * 4 * lanes;
    const typename Factors::Operand b0 = Factors::operand(line), b1 = Factors::operand(line + step * lanes),
                                    b2 = Factors::operand(line + 2 * step * lanes),
                                    b3 = Factors::operand(line + 3 * step * lanes);
#pragma GCC unroll 8
    for (int row = 0; row < rows; ++row) {
      const typename Factors::Factor factor = Factors::factor(a + row * lda + k);
      sums[row][0] = Factors::add(sums[row][0], factor, b0);
      sums[row][1] = Factors::add(sums[row][1], factor, b1);
      sums[row][2] = Factors::add(sums[row][2], factor, b2);
      sums[row][3] = Factors::add(sums[row][3], factor, b3);
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < rows; ++row)
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) *reinterpret_cast<Vector*>(y[i] + row * ldy) = sums[row][i];
}

template <class Factors, int lanes, int most_rows>
void product_rows(const typename Factors::Element* a, std::int64_t lda, std::int64_t rows, std::int64_t depth,
                  const typename Factors::Element* b, const float* const* from, std::int64_t ldfrom, float* const* y,
                  std::int64_t ldy) {
  const float* begin[4] = {from[0], from[1], from[2], from[3]};
  float* at[4] = {y[0], y[1], y[2], y[3]};
  while (rows >= most_rows) {
    product_tile<Factors, lanes, most_rows>(a, lda, depth, b, begin, ldfrom, at, ldy);
    a += most_rows * lda;
    for (const float*& vector : begin) vector += most_rows * ldfrom;
    for (float*& vector : at) vector += most_rows * ldy;
    rows -= most_rows;
  }
  if constexpr (most_rows > 1)
    if (rows > 0) product_rows<Factors, lanes, most_rows - 1>(a, lda, rows, depth, b, begin, ldfrom, at, ldy);
}

template <class Factors, int lanes, int most_rows>
void product(const typename Factors::Element* a, std::int64_t lda, std::int64_t rows, std::int64_t depth,
             const typename Factors::Element* b, const PanelColumns& y, std::int64_t ldfrom, std::int64_t ldy) {
  constexpr std::int64_t panel = 4 * lanes;
  if (y.count[0] == lanes && y.count[1] == lanes && y.count[2] == lanes && y.count[3] == lanes)
    return product_rows<Factors, lanes, most_rows>(a, lda, rows, depth, b, y.from, ldfrom, y.at, ldy);
  float whole[most_rows * panel];
  float* const at[4] = {whole, whole + lanes, whole + 2 * lanes, whole + 3 * lanes};
  for (std::int64_t first = 0; first < rows; first += most_rows) {
    const std::int64_t some = rows - first < most_rows ? rows - first : most_rows;
    for (std::int64_t row = 0; row < some; ++row)
      for (int i = 0; i < 4; ++i)
        for (std::int64_t lane = 0; lane < lanes; ++lane)
          at[i][row * panel + lane] = lane < y.count[i] ? y.from[i][(first + row) * ldfrom + lane] : 0.0f;
    product_rows<Factors, lanes, most_rows>(a + first * lda, lda, some, depth, b, at, panel, at, panel);
    for (std::int64_t row = 0; row < some; ++row)
      for (int i = 0; i < 4; ++i)
        for (std::int64_t lane = 0; lane < y.count[i]; ++lane)
          y.at[i][(first + row) * ldy + lane] = at[i][row * panel + lane];
  }
}

}  // namespace

}  // namespace nacre::onednn
