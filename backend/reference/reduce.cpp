#include "backend/graph/ops/reduce.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/reference/kernel.h"
#include "backend/reference/kernels.h"

namespace nacre::reference {

namespace {

struct Formula {
  const Op* op;
  double start;
  double (*next)(double y, double x);
};
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr Formula formulas[] = {
    {&op::sum, 0, [](double y, double x) { return y + x; }},
    {&op::mean, 0, [](double y, double x) { return y + x; }},
    {&op::max, -infinity, [](double y, double x) { return x > y || std::isnan(x) ? x : y; }},
    {&op::min, infinity, [](double y, double x) { return x < y || std::isnan(x) ? x : y; }},
    {&op::product, 1, [](double y, double x) { return y * x; }},
};

}  // namespace

KernelPlan reduce(const KernelRequest& request) {
  const Node& node = request.node;
  const Shape& x = node.in(0).shape();
  Shape kept = x;
  for (std::int64_t axis : node.attrs<ReduceAttrs>().axes) kept.set(static_cast<int>(axis), 1);
  const Formula formula = *std::find_if(std::begin(formulas), std::end(formulas), [&](const Formula& f) { return node.is(*f.op); });
  const double divisor = node.is(op::mean) ? static_cast<double>(x.elements()) / static_cast<double>(kept.elements()) : 1;
  return compute(request, [formula, divisor, walk = Walk<1>(x, {broadcast_strides(kept, x)})](Operands in, Results y) {
    std::fill(y[0].values.begin(), y[0].values.end(), formula.start);
    std::int64_t i = 0;
    walk([&](std::int64_t target) { y[0][target] = formula.next(y[0][target], in[0][i++]); });
    for (double& value : y[0].values) value /= divisor;
  });
}

KernelPlan argmax(const KernelRequest& request) {
  const auto sizes = around(request.node.in(0).shape(), request.node.attrs<ReduceAttrs>().axes[0]);
  return compute(request, [sizes](Operands x, Results y) {
    for (std::int64_t outer = 0; outer < sizes.outer; ++outer)
      for (std::int64_t inner = 0; inner < sizes.inner; ++inner) {
        auto at = [&](std::int64_t i) { return x[0][(outer * sizes.axis + i) * sizes.inner + inner]; };
        std::int64_t best = 0;
        for (std::int64_t i = 1; i < sizes.axis; ++i)
          if (at(i) > at(best)) best = i;
        y[0][outer * sizes.inner + inner] = static_cast<double>(best);
      }
  });
}

}  // namespace nacre::reference
