// The matrices of operands and results, for Eigen.
#pragma once

#include <Eigen/Core>

#include "backend/reference/kernel.h"

namespace nacre::reference {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Map = Eigen::Map<Matrix>;
using ConstMap = Eigen::Map<const Matrix>;

// How many matrices stand in the last two axes.
inline std::int64_t matrices_in(const Operand& x) { return x.shape.first(x.shape.rank() - 2).elements(); }

// The matrix of that number.
inline ConstMap matrix(const Operand& x, std::int64_t number) {
  const std::int64_t rows = x.shape[-2], columns = x.shape[-1];
  return {x.values.data() + number * rows * columns, rows, columns};
}
inline Map matrix(const Result& y, std::int64_t number) {
  const std::int64_t rows = y.shape[-2], columns = y.shape[-1];
  return {y.values.data() + number * rows * columns, rows, columns};
}

}  // namespace nacre::reference
