#include "backend/graph/ops/gather.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "backend/reference/kernel.h"
#include "backend/reference/kernels.h"

namespace nacre::reference {

namespace {

// What a place out of range reads as, in a value of that dtype.
double out_of_range(DType dtype) { return is_floating(dtype) ? std::numeric_limits<double>::quiet_NaN() : 0; }
bool within(double index, std::int64_t size) { return index >= 0 && index < static_cast<double>(size); }

}  // namespace

KernelPlan gather(const KernelRequest& request) {
  const Shape& table = request.node.in(0).shape();
  return compute(request, [rows = table[0], width = table.from(1).elements(),
                           missing = out_of_range(request.node.types()[0].dtype)](Operands x, Results y) {
    const Operand& indices = x[1];
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(indices.values.size()); ++i)
      for (std::int64_t j = 0; j < width; ++j)
        y[0][i * width + j] = within(indices[i], rows) ? x[0][static_cast<std::int64_t>(indices[i]) * width + j] : missing;
  });
}

KernelPlan scatter_add(const KernelRequest& request) {
  const Shape& result = request.node.types()[0].shape;
  return compute(request, [rows = result[0], width = result.from(1).elements()](Operands x, Results y) {
    const Operand& indices = x[0];
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(indices.values.size()); ++i)
      for (std::int64_t j = 0; within(indices[i], rows) && j < width; ++j)
        y[0][static_cast<std::int64_t>(indices[i]) * width + j] += x[1][i * width + j];
  });
}

KernelPlan take_along(const KernelRequest& request) {
  return compute(request, [sizes = around(request.node.in(0).shape(), request.node.attrs<AxisAttrs>().axis),
                           missing = out_of_range(request.node.types()[0].dtype)](Operands x, Results y) {
    for (std::int64_t outer = 0; outer < sizes.outer; ++outer)
      for (std::int64_t inner = 0; inner < sizes.inner; ++inner) {
        const std::int64_t at = outer * sizes.inner + inner;
        const double index = x[1][at];
        y[0][at] = within(index, sizes.axis) ? x[0][(outer * sizes.axis + static_cast<std::int64_t>(index)) * sizes.inner + inner] : missing;
      }
  });
}

KernelPlan take_along_backward(const KernelRequest& request) {
  return compute(request, [sizes = around(request.node.types()[0].shape, request.node.attrs<AxisAttrs>().axis)](Operands x, Results dx) {
    for (std::int64_t outer = 0; outer < sizes.outer; ++outer)
      for (std::int64_t inner = 0; inner < sizes.inner; ++inner) {
        const std::int64_t at = outer * sizes.inner + inner;
        const double index = x[1][at];
        if (within(index, sizes.axis)) dx[0][(outer * sizes.axis + static_cast<std::int64_t>(index)) * sizes.inner + inner] = x[2][at];
      }
  });
}

KernelPlan argsort(const KernelRequest& request) {
  return compute(request, [sizes = around(request.node.in(0).shape(), request.node.attrs<AxisAttrs>().axis)](Operands x, Results y) {
    std::vector<std::int64_t> places(static_cast<std::size_t>(sizes.axis));
    for (std::int64_t outer = 0; outer < sizes.outer; ++outer)
      for (std::int64_t inner = 0; inner < sizes.inner; ++inner) {
        const auto at = [&](std::int64_t i) { return (outer * sizes.axis + i) * sizes.inner + inner; };
        std::iota(places.begin(), places.end(), std::int64_t{0});
        std::stable_sort(places.begin(), places.end(), [&](std::int64_t i, std::int64_t j) {
          const double a = x[0][at(i)], b = x[0][at(j)];
          return a < b || (std::isnan(b) && !std::isnan(a));
        });
        for (std::int64_t i = 0; i < sizes.axis; ++i) y[0][at(i)] = static_cast<double>(places[static_cast<std::size_t>(i)]);
      }
  });
}

}  // namespace nacre::reference
