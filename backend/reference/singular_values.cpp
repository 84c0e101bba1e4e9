// Singular values and what is computed from them, by Eigen, in double; apart from the other factorisations because it takes
// long to compile.
#include <Eigen/SVD>

#include "backend/graph/ops/linear_algebra.h"
#include "backend/reference/kernels.h"
#include "backend/reference/matrices.h"

namespace nacre::reference {

namespace {

Eigen::BDCSVD<Matrix> decomposed(const ConstMap& x, unsigned int options) {
  Eigen::BDCSVD<Matrix> factors(x, options);
  if (factors.info() != Eigen::Success) throw Error("the singular values of a matrix were not found: it has elements that are no numbers");
  return factors;
}

}  // namespace

KernelPlan svd(const KernelRequest& request) {
  const unsigned int options =
      request.node.attrs<FullAttrs>().full ? Eigen::ComputeFullU | Eigen::ComputeFullV : Eigen::ComputeThinU | Eigen::ComputeThinV;
  return compute(request, [options](Operands x, Results y) {
    const std::int64_t size = y[1].shape[-1];
    for (std::int64_t i = 0; i < matrices_in(x[0]); ++i) {
      const auto factors = decomposed(matrix(x[0], i), options);
      matrix(y[0], i) = factors.matrixU();
      Eigen::Map<Eigen::VectorXd>(y[1].values.data() + i * size, size) = factors.singularValues();
      matrix(y[2], i) = factors.matrixV().transpose();
    }
  });
}

KernelPlan pseudo_inverse(const KernelRequest& request) {
  return compute(request, [cutoff = request.node.attrs<CutoffAttrs>().cutoff](Operands x, Results y) {
    for (std::int64_t i = 0; i < matrices_in(x[0]); ++i) {
      const auto factors = decomposed(matrix(x[0], i), Eigen::ComputeThinU | Eigen::ComputeThinV);
      const Eigen::VectorXd& values = factors.singularValues();
      const double bound = values.size() == 0 ? 0 : cutoff * values[0];
      const Eigen::VectorXd inverse = (values.array() > bound).select(values.array().inverse(), 0.0);
      matrix(y[0], i) = factors.matrixV() * inverse.asDiagonal() * factors.matrixU().transpose();
    }
  });
}

}  // namespace nacre::reference
