#include "backend/graph/ops/reduce.h"

#include <algorithm>
#include <numeric>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"

namespace nacre {

namespace {

Shape reduced(const ReduceAttrs& p, const Shape& shape) {
  std::vector<bool> gone(static_cast<std::size_t>(shape.rank()), false);
  std::int64_t last = -1;
  for (std::int64_t axis : p.axes) {
    need(axis > last && axis < shape.rank(), "cannot reduce axes {} of {}", text_of(p.axes), shape);
    gone[static_cast<std::size_t>(last = axis)] = true;
  }
  Shape result;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (!gone[static_cast<std::size_t>(axis)]) result.append(shape[axis]);
    else if (p.keepdims) result.append(1);
  }
  return result;
}

Types infer_reduce(const ReduceAttrs& p, const Types& in) { return {{in[0].dtype, reduced(p, in[0].shape)}}; }
Types infer_sum(const ReduceAttrs& p, const Types& in) {
  if (in[0].dtype == DType::boolean) throw Error("cannot add up {}", in[0]).hint("cast it to a number first");
  return infer_reduce(p, in);
}
Types infer_mean(const ReduceAttrs& p, const Types& in) {
  need(is_floating(in[0].dtype), "needs a floating dtype, got {}", in[0]);
  return infer_reduce(p, in);
}
Types infer_argmax(const ReduceAttrs& p, const Types& in) {
  need(p.axes.size() == 1, "wants one axis, got {}", text_of(p.axes));
  return {{DType::int32, reduced(p, in[0].shape)}};
}

// A reduced value with its axes back, of size 1, so that it broadcasts to x.
Value restored(Value reduced_value, const ReduceAttrs& p, Value x) {
  if (p.keepdims) return reduced_value;
  Shape shape = x.shape();
  for (std::int64_t axis : p.axes) shape.set(static_cast<int>(axis), 1);
  return ops::reshape(reduced_value, shape);
}

Gradients grad_sum(const ReduceAttrs& p, const Node& n, const Cotangents& d) {
  return {ops::broadcast_like(restored(d[0], p, n.in(0)), n.in(0))};
}

Gradients grad_mean(const ReduceAttrs& p, const Node& n, const Cotangents& d) {
  const Value x = n.in(0), dy = restored(d[0], p, x);
  if (!x.shape().known()) {
    const Value count = ops::sum_like(ops::fill_like(x, 1), dy);
    return {ops::broadcast_like(dy / count, x)};
  }
  double count = 1;
  for (std::int64_t axis : p.axes) count *= static_cast<double>(x.shape()[static_cast<int>(axis)]);
  return {ops::broadcast_like(dy * (1 / count), x)};
}

// Equal extremes share the gradient evenly, as in TensorFlow.
Gradients grad_extreme(const ReduceAttrs& p, const Node& n, const Cotangents& d) {
  const Value x = n.in(0), dy = restored(d[0], p, x), y = restored(n.out(), p, x);
  const Value chosen = ops::cast(ops::equal(x, y), x.dtype());
  return {chosen * (dy / ops::sum(chosen, p.axes, true))};
}

// The product of the other elements, right also where elements are zero.
Gradients grad_product(const ReduceAttrs& p, const Node& n, const Cotangents& d) {
  const Value x = n.in(0), dy = restored(d[0], p, x);
  const Value zero = ops::equal(x, ops::scalar_like(x, 0));
  const Value safe = ops::select(zero, ops::scalar_like(x, 1), x);
  const Value nonzero_product = ops::product(safe, p.axes, true);
  const Value is_zero = ops::cast(zero, x.dtype());
  const Value other_zeros = ops::sum(is_zero, p.axes, true) - is_zero;
  const Value others = ops::select(ops::equal(other_zeros, ops::scalar_like(x, 0)), nonzero_product / safe, ops::scalar_like(x, 0));
  return {dy * others};
}

}  // namespace

namespace op {

constinit const OpDef<ReduceAttrs> sum{{.name = "sum", .doc = "Σ x over axes"}, infer_sum, grad_sum};
constinit const OpDef<ReduceAttrs> mean{{.name = "mean", .doc = "mean of x over axes"}, infer_mean, grad_mean};
constinit const OpDef<ReduceAttrs> max{{.name = "max", .doc = "largest x over axes"}, infer_reduce, grad_extreme};
constinit const OpDef<ReduceAttrs> min{{.name = "min", .doc = "smallest x over axes"}, infer_reduce, grad_extreme};
constinit const OpDef<ReduceAttrs> product{{.name = "product", .doc = "Π x over axes"}, infer_sum, grad_product};
constinit const OpDef<ReduceAttrs> argmax{{.name = "argmax", .doc = "index of the first largest x over an axis"}, infer_argmax};

}  // namespace op

namespace ops {

namespace {

// Axes that are known to have size 1 are only reshaped away.
Value reduce(const OpDef<ReduceAttrs>& op, Value x, std::vector<std::int64_t> axes, bool keepdims) {
  const Shape& shape = x.shape();
  if (axes.empty()) {
    axes.resize(static_cast<std::size_t>(shape.rank()));
    std::iota(axes.begin(), axes.end(), std::int64_t{0});
  }
  for (std::int64_t& axis : axes) axis = shape.checked(static_cast<int>(axis));
  std::sort(axes.begin(), axes.end());
  need(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), "an axis is given twice in {}", text_of(axes));
  const ReduceAttrs attrs{std::move(axes), keepdims};
  auto single = [&](std::int64_t axis) { return shape[static_cast<int>(axis)] == 1; };
  if (&op != &op::argmax && shape.known() && std::all_of(attrs.axes.begin(), attrs.axes.end(), single))
    return reshape(x, reduced(attrs, shape));
  return x.graph().add(op, attrs, {x}).out();
}

}  // namespace

Value sum(Value x, std::vector<std::int64_t> axes, bool keepdims) { return reduce(op::sum, x, std::move(axes), keepdims); }
Value mean(Value x, std::vector<std::int64_t> axes, bool keepdims) { return reduce(op::mean, x, std::move(axes), keepdims); }
Value max(Value x, std::vector<std::int64_t> axes, bool keepdims) { return reduce(op::max, x, std::move(axes), keepdims); }
Value min(Value x, std::vector<std::int64_t> axes, bool keepdims) { return reduce(op::min, x, std::move(axes), keepdims); }
Value product(Value x, std::vector<std::int64_t> axes, bool keepdims) { return reduce(op::product, x, std::move(axes), keepdims); }
Value argmax(Value x, int axis, bool keepdims) { return reduce(op::argmax, x, {axis}, keepdims); }

}  // namespace ops

}  // namespace nacre
