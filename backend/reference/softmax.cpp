#include "backend/graph/ops/softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/reference/kernel.h"
#include "backend/reference/kernels.h"

namespace nacre::reference {

namespace {

// Does `line(place)` for each line along the axis; place(i) is the offset of its element i.
KernelPlan along_axis(const KernelRequest& request, auto line) {
  const AxisSizes sizes = around(request.node.types()[0].shape, request.node.attrs<AxisAttrs>().axis);
  return compute(request, [sizes, line](Operands x, Results y) {
    for (std::int64_t outer = 0; outer < sizes.outer; ++outer)
      for (std::int64_t inner = 0; inner < sizes.inner; ++inner)
        line(x, y[0], sizes.axis, [&](std::int64_t i) { return (outer * sizes.axis + i) * sizes.inner + inner; });
  });
}

double largest(const Operand& x, std::int64_t size, auto place) {
  double result = -std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < size; ++i) result = std::max(result, x[place(i)]);
  return result;
}

}  // namespace

KernelPlan softmax(const KernelRequest& request) {
  return along_axis(request, [](Operands x, const Result& y, std::int64_t size, auto place) {
    const double shift = largest(x[0], size, place);
    double total = 0;
    for (std::int64_t i = 0; i < size; ++i) total += y[place(i)] = std::exp(x[0][place(i)] - shift);
    for (std::int64_t i = 0; i < size; ++i) y[place(i)] /= total;
  });
}

KernelPlan log_softmax(const KernelRequest& request) {
  return along_axis(request, [](Operands x, const Result& y, std::int64_t size, auto place) {
    const double shift = largest(x[0], size, place);
    double total = 0;
    for (std::int64_t i = 0; i < size; ++i) total += std::exp(x[0][place(i)] - shift);
    for (std::int64_t i = 0; i < size; ++i) y[place(i)] = x[0][place(i)] - shift - std::log(total);
  });
}

KernelPlan softmax_backward(const KernelRequest& request) {
  return along_axis(request, [](Operands x, const Result& dx, std::int64_t size, auto place) {
    const Operand &y = x[0], &dy = x[1];
    double total = 0;
    for (std::int64_t i = 0; i < size; ++i) total += dy[place(i)] * y[place(i)];
    for (std::int64_t i = 0; i < size; ++i) dx[place(i)] = y[place(i)] * (dy[place(i)] - total);
  });
}

KernelPlan log_softmax_backward(const KernelRequest& request) {
  return along_axis(request, [](Operands x, const Result& dx, std::int64_t size, auto place) {
    const Operand &y = x[0], &dy = x[1];
    double total = 0;
    for (std::int64_t i = 0; i < size; ++i) total += dy[place(i)];
    for (std::int64_t i = 0; i < size; ++i) dx[place(i)] = dy[place(i)] - std::exp(y[place(i)]) * total;
  });
}

}  // namespace nacre::reference
