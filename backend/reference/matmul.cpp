#include "backend/graph/ops/matmul.h"

#include "backend/reference/epilogue.h"
#include "backend/reference/kernels.h"

namespace nacre::reference {

KernelPlan matmul(const KernelRequest& request) {
  const auto& p = request.node.attrs<MatMulAttrs>();
  const Shape &a = request.node.in(0).shape(), &b = request.node.in(1).shape(), &y = request.node.types()[0].shape;
  const std::int64_t m = y[-2], n = y[-1], k = a[p.transpose_a ? -2 : -1];

  // The walk goes over the leading axes and keeps the places of the matrices.
  const Shape batch = y.first(y.rank() - 2);
  auto matrix_strides = [&](const Shape& shape, std::int64_t matrix) {
    std::vector<std::int64_t> strides = broadcast_strides(shape.first(shape.rank() - 2), batch);
    for (std::int64_t& stride : strides) stride *= matrix;
    return strides;
  };
  Walk<3> matrices(batch, {matrix_strides(y, m * n), matrix_strides(a, m * k), matrix_strides(b, k * n)});

  return compute(request, [=, matrices = std::move(matrices)](Operands in, Results out) {
    matrices([&](std::int64_t yy, std::int64_t aa, std::int64_t bb) {
      for (std::int64_t i = 0; i < m; ++i)
        for (std::int64_t l = 0; l < k; ++l) {
          const double left = in[0][aa + (p.transpose_a ? l * m + i : i * k + l)];
          for (std::int64_t j = 0; j < n; ++j)
            out[0][yy + i * n + j] += left * in[1][bb + (p.transpose_b ? j * k + l : l * n + j)];
        }
    });
    apply_epilogue(p.epilogue, in, 2, out[0]);
  });
}

}  // namespace nacre::reference
