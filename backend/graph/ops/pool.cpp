#include "backend/graph/ops/pool.h"

#include <algorithm>
#include <limits>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"

namespace nacre {

std::vector<WindowAxis> window_axes(const PoolAttrs& p, const Shape& x) {
  const std::vector<std::int64_t> dilations(p.window.size(), 1);
  return window_axes(
      {.strides = p.strides, .dilations = dilations, .padding = p.padding, .before = p.before, .after = p.after}, x,
      Shape(p.window));
}

namespace {

Type pooled(const PoolAttrs& p, const Type& x) {
  const int axes = static_cast<int>(p.window.size());
  const auto fits = [&](const std::vector<std::int64_t>& sides) {
    return sides.empty() || sides.size() == p.window.size();
  };
  ensure(axes >= 1 && axes <= 3 && p.strides.size() == p.window.size() && fits(p.before) && fits(p.after),
         "pooling with attributes {}", text_of(p));
  need(is_floating(x.dtype), "got input {}, wanted a floating type", x);
  need(x.shape.rank() == axes + 2, "got input {}, wanted rank {}", x.shape, axes + 2);
  Shape y = x.shape;
  int i = 0;
  for (const WindowAxis& axis : window_axes(p, x.shape)) y.set(++i, axis.output);
  return {x.dtype, std::move(y)};
}

Type unpooled(const PoolBackwardAttrs& p, const Type& dy) {
  const Type forward = pooled(p.pool, {dy.dtype, p.shape});
  need(same(dy.shape, forward.shape), "got {}, wanted {} for a result {}", dy.shape, forward.shape, p.shape);
  Shape shape = p.shape;
  if (shape[0] == unknown) shape.set(0, dy.shape[0]);
  return {dy.dtype, std::move(shape)};
}

Types infer_max_pool(const PoolAttrs& p, const Types& in) {
  const Type y = pooled(p, in[0]);
  return {y, {DType::int32, y.shape}};
}

Types infer_max_pool_backward(const PoolBackwardAttrs& p, const Types& in) {
  need(in[0].dtype == DType::int32 && same(in[0].shape, in[1].shape), "got workspace {} for {}", in[0], in[1]);
  return {unpooled(p, in[1])};
}

Types infer_average_pool(const PoolAttrs& p, const Types& in) { return {pooled(p, in[0])}; }

Types infer_average_pool_backward(const PoolBackwardAttrs& p, const Types& in) { return {unpooled(p, in[0])}; }

Gradients grad_max_pool(const PoolAttrs& p, const Node& node, const Cotangents& d) {
  if (!d[0]) return {Value()};
  return {node.graph().add(op::max_pool_backward, {p, node.in(0).shape()}, {node.out(1), d[0]}).out()};
}

// What `x` has at one place of each window.
Value at_place(Value x, const PoolAttrs& p, const Shape& places, const std::vector<std::int64_t>& place) {
  const std::size_t rank = place.size() + 2;
  std::vector<std::int64_t> begin(rank, 0), end(rank, whole_axis), stride(rank, 1);
  for (std::size_t i = 0; i < place.size(); ++i) {
    begin[i + 1] = place[i];
    stride[i + 1] = p.strides[i];
    end[i + 1] = place[i] + (places[static_cast<int>(i) + 1] - 1) * p.strides[i] + 1;
  }
  return ops::slice(x, std::move(begin), std::move(end), std::move(stride));
}

// The adjoint takes of g, for each window, what stands where x is largest first. The workspace is opaque, but x is an
// operand of the pooling that made it.
Gradients grad_max_pool_backward(const PoolBackwardAttrs& p, const Node& node, const Cotangents& d) {
  const Node& forward = node.in(0).node();
  ensure(forward.is(op::max_pool), "a pooling workspace made by '{}'", forward.op().name);
  const Value y = forward.out();
  ensure(y.shape().known(), "the second derivative of pooling over {}", p.shape);

  std::vector<std::int64_t> before(static_cast<std::size_t>(p.shape.rank()), 0), after = before;
  std::int64_t places = 1;
  const std::vector<WindowAxis> axes = window_axes(p.pool, p.shape);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    before[i + 1] = axes[i].before;
    after[i + 1] = axes[i].after;
    places *= p.pool.window[i];
  }
  const Value x = ops::pad(forward.in(0), before, after, -std::numeric_limits<double>::infinity());
  const Value g = ops::pad(d[0], before, after);

  Value taken, result = ops::fill_like(y, 0.0);
  std::vector<std::int64_t> place(p.pool.window.size(), 0);
  for (std::int64_t index = 0; index < places; ++index) {
    std::int64_t rest = index;
    for (std::size_t i = place.size(); i-- > 0; rest /= p.pool.window[i]) place[i] = rest % p.pool.window[i];
    const Value largest = ops::equal(at_place(x, p.pool, y.shape(), place), y);
    const Value first = taken ? ops::logical_and(largest, ops::logical_not(taken)) : largest;
    result = ops::select(first, at_place(g, p.pool, y.shape(), place), result);
    taken = taken ? ops::logical_or(taken, largest) : largest;
  }
  return {Value(), result};
}

Gradients grad_average_pool(const PoolAttrs& p, const Node& node, const Cotangents& d) {
  return {node.graph().add(op::average_pool_backward, {p, node.in(0).shape()}, {d[0]}).out()};
}

Gradients grad_average_pool_backward(const PoolBackwardAttrs& p, const Node&, const Cotangents& d) {
  return {ops::average_pool(d[0], p.pool)};
}

}  // namespace

namespace op {
constinit const OpDef<PoolAttrs> max_pool{
    {.name = "max_pool", .doc = "y = the largest element of each window, and where it stands"},
    infer_max_pool,
    grad_max_pool};
constinit const OpDef<PoolBackwardAttrs> max_pool_backward{
    {.name = "max_pool_backward", .doc = "dx: each dy added where its window's largest element stood"},
    infer_max_pool_backward,
    grad_max_pool_backward};
constinit const OpDef<PoolAttrs> average_pool{
    {.name = "average_pool", .doc = "y = the mean of each window without its padding"},
    infer_average_pool,
    grad_average_pool};
constinit const OpDef<PoolBackwardAttrs> average_pool_backward{
    {.name = "average_pool_backward", .doc = "dx: each dy spread evenly over its window"},
    infer_average_pool_backward,
    grad_average_pool_backward};
}  // namespace op

namespace ops {

Value max_pool(Value x, PoolAttrs attrs) { return x.graph().add(op::max_pool, std::move(attrs), {x}).out(); }

Value average_pool(Value x, PoolAttrs attrs) { return x.graph().add(op::average_pool, std::move(attrs), {x}).out(); }

}  // namespace ops

}  // namespace nacre
