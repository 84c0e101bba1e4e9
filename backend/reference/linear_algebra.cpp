// Solvers, factorisations and determinants, by Eigen, in double.

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <Eigen/QR>
#include <cmath>

#include "backend/graph/ops/linear_algebra.h"
#include "backend/reference/kernels.h"
#include "backend/reference/matrices.h"

namespace nacre::reference {

namespace {

using Factors = Eigen::PartialPivLU<Matrix>;

// The elimination ended with a zero on the diagonal, which is exact for what has no inverse by construction.
bool is_singular(const Factors& factors) { return (factors.matrixLU().diagonal().array() == 0).any(); }

template <unsigned int triangle>
void solve_triangle(const ConstMap& a, const ConstMap& b, Map y, bool transpose) {
  if (transpose) y = a.transpose().template triangularView<triangle ^ (Eigen::Lower | Eigen::Upper)>().solve(b);
  else y = a.template triangularView<triangle>().solve(b);
}

}  // namespace

KernelPlan solve(const KernelRequest& request) {
  return compute(request, [transpose = request.node.attrs<SolveAttrs>().transpose](Operands x, Results y) {
    for (std::int64_t i = 0; i < matrices_in(x[0]); ++i) {
      const ConstMap a = matrix(x[0], i);
      const Factors factors(transpose ? Matrix(a.transpose()) : Matrix(a));
      if (is_singular(factors)) throw Error("got a matrix without an inverse").hint("a small multiple of the identity, added to it, gives it one");
      matrix(y[0], i) = factors.solve(matrix(x[1], i));
    }
  });
}

KernelPlan triangular_solve(const KernelRequest& request) {
  return compute(request, [attrs = request.node.attrs<TriangularAttrs>()](Operands x, Results y) {
    for (std::int64_t i = 0; i < matrices_in(x[0]); ++i) {
      const ConstMap a = matrix(x[0], i), b = matrix(x[1], i);
      if ((a.diagonal().array() == 0).any()) throw Error("got a triangular matrix with zeros on its diagonal");
      if (attrs.lower) solve_triangle<Eigen::Lower>(a, b, matrix(y[0], i), attrs.transpose);
      else solve_triangle<Eigen::Upper>(a, b, matrix(y[0], i), attrs.transpose);
    }
  });
}

KernelPlan determinant(const KernelRequest& request) {
  return compute(request, [](Operands x, Results y) {
    for (std::int64_t i = 0; i < matrices_in(x[0]); ++i) y[0][i] = Factors(matrix(x[0], i)).determinant();
  });
}

KernelPlan log_determinant(const KernelRequest& request) {
  return compute(request, [](Operands x, Results y) {
    for (std::int64_t i = 0; i < matrices_in(x[0]); ++i) {
      const Factors factors(matrix(x[0], i));
      double sign = factors.permutationP().determinant(), sum = 0;
      for (double each : factors.matrixLU().diagonal()) {
        sign *= std::isnan(each) ? each : (each > 0) - (each < 0);
        sum += std::log(std::abs(each));
      }
      y[0][i] = sign, y[1][i] = sum;
    }
  });
}

KernelPlan cholesky(const KernelRequest& request) {
  return compute(request, [](Operands x, Results y) {
    for (std::int64_t i = 0; i < matrices_in(x[0]); ++i) {
      const Eigen::LLT<Matrix> factors(matrix(x[0], i));
      if (factors.info() != Eigen::Success)
        throw Error("got a matrix that is not positive definite").hint("a small multiple of the identity, added to it, makes it so");
      matrix(y[0], i) = factors.matrixL();
    }
  });
}

KernelPlan lu(const KernelRequest& request) {
  return compute(request, [](Operands x, Results y) {
    const std::int64_t size = x[0].shape[-1];
    for (std::int64_t i = 0; i < matrices_in(x[0]); ++i) {
      const Factors factors(matrix(x[0], i));
      matrix(y[0], i) = factors.matrixLU();
      for (std::int64_t row = 0; row < size; ++row)  // row of x → row of L U
        y[1][i * size + factors.permutationP().indices()[row]] = static_cast<double>(row);
    }
  });
}

KernelPlan qr(const KernelRequest& request) {
  return compute(request, [](Operands x, Results y) {
    for (std::int64_t i = 0; i < matrices_in(x[0]); ++i) {
      const Eigen::HouseholderQR<Matrix> factors(matrix(x[0], i));
      Map q = matrix(y[0], i), r = matrix(y[1], i);
      q = factors.householderQ() * Matrix::Identity(q.rows(), q.cols());
      r = factors.matrixQR().topRows(r.rows()).triangularView<Eigen::Upper>();
    }
  });
}

KernelPlan eigh(const KernelRequest& request) {
  return compute(request, [](Operands x, Results y) {
    const std::int64_t size = x[0].shape[-1];
    for (std::int64_t i = 0; i < matrices_in(x[0]); ++i) {
      const Eigen::SelfAdjointEigenSolver<Matrix> factors(matrix(x[0], i));
      if (factors.info() != Eigen::Success) throw Error("the eigenvalues of a matrix were not found: it has elements that are no numbers");
      Eigen::Map<Eigen::VectorXd>(&y[0].values[static_cast<std::size_t>(i * size)], size) = factors.eigenvalues();
      matrix(y[1], i) = factors.eigenvectors();
    }
  });
}

}  // namespace nacre::reference
