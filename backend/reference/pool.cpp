#include "backend/graph/ops/pool.h"

#include <cmath>
#include <limits>

#include "backend/reference/kernel.h"
#include "backend/reference/kernels.h"
#include "backend/reference/windows.h"

namespace nacre::reference {
namespace {

// The pairs of elements that pooling connects.
class Pairs {
 public:
  Pairs(const PoolAttrs& p, const Shape& x)
      : windows_(x, Shape(p.window), p.strides, {}, window_axes(p, x)), channels_(x[-1]) {}

  // body(index in x, place in the window, index in y)
  template <class Body>
  void each(Body&& body) const {
    windows_.each([&](std::int64_t x, std::int64_t place, std::int64_t y) {
      for (std::int64_t c = 0; c < channels_; ++c) body(x * channels_ + c, place, y * channels_ + c);
    });
  }

  // How many elements each window has inside the operand.
  std::vector<double> counts(const Shape& y) const {
    std::vector<double> counts(static_cast<std::size_t>(y.elements()), 0.0);
    each([&](auto, auto, auto y_index) { ++counts[static_cast<std::size_t>(y_index)]; });
    return counts;
  }

 private:
  Windows windows_;
  std::int64_t channels_;
};

}  // namespace

KernelPlan max_pool(const KernelRequest& request) {
  const Pairs pairs(request.node.attrs<PoolAttrs>(), request.node.in(0).shape());
  return compute(request, [pairs](Operands in, Results out) {
    const Result &largest = out[0], &where = out[1];
    std::fill(where.values.begin(), where.values.end(), -1.0);
    pairs.each([&](auto x, auto place, auto y) {
      const double value = in[0][x];
      // The first NaN stays: it must not get lost.
      if (where[y] >= 0 && !(value > largest[y]) && !(std::isnan(value) && !std::isnan(largest[y]))) return;
      largest[y] = value;
      where[y] = static_cast<double>(place);
    });
  });
}

KernelPlan max_pool_backward(const KernelRequest& request) {
  const Pairs pairs(request.node.attrs<PoolBackwardAttrs>().pool, request.node.types()[0].shape);
  return compute(request, [pairs](Operands in, Results out) {
    const Operand &where = in[0], &dy = in[1];
    pairs.each([&](auto x, auto place, auto y) {
      if (where[y] == static_cast<double>(place)) out[0][x] += dy[y];
    });
  });
}

KernelPlan average_pool(const KernelRequest& request) {
  const Pairs pairs(request.node.attrs<PoolAttrs>(), request.node.in(0).shape());
  return compute(request, [pairs, counts = pairs.counts(request.node.types()[0].shape)](Operands in, Results out) {
    pairs.each([&](auto x, auto, auto y) { out[0][y] += in[0][x] / counts[static_cast<std::size_t>(y)]; });
  });
}

KernelPlan average_pool_backward(const KernelRequest& request) {
  const Pairs pairs(request.node.attrs<PoolBackwardAttrs>().pool, request.node.types()[0].shape);
  return compute(request, [pairs, counts = pairs.counts(request.node.in(0).shape())](Operands in, Results out) {
    pairs.each([&](auto x, auto, auto y) { out[0][x] += in[0][y] / counts[static_cast<std::size_t>(y)]; });
  });
}

}  // namespace nacre::reference
