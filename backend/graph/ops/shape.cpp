#include "backend/graph/ops/shape.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "backend/graph/ops/reduce.h"

namespace nacre {

namespace {

std::int64_t& item(std::vector<std::int64_t>& items, int index) { return items[static_cast<std::size_t>(index)]; }
std::int64_t item(const std::vector<std::int64_t>& items, int index) { return items[static_cast<std::size_t>(index)]; }

void check_rank(std::string_view what, const std::vector<std::int64_t>& items, const Shape& shape) {
  need(static_cast<int>(items.size()) == shape.rank(), "{} has {} entries for shape {}", what, items.size(), shape);
}

// --- reshape ------------------------------------------------------------------------------------------------------

Types infer_reshape(const ReshapeAttrs& p, const Types& in) {
  const auto unknowns = std::count(p.shape.begin(), p.shape.end(), unknown);
  if (!in[0].shape.known()) return {{in[0].dtype, p.shape}};
  need(unknowns <= 1, "cannot reshape {} to {}: more than one size is unknown", in[0].shape, p.shape);
  const std::int64_t elements = in[0].shape.elements();
  Shape shape = p.shape;
  if (unknowns == 1) {
    std::int64_t others = 1;
    int open = 0;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      if (shape[axis] == unknown) open = axis;
      else others *= shape[axis];
    }
    need(others > 0 && elements % others == 0, "cannot reshape {} to {}", in[0].shape, p.shape);
    shape.set(open, elements / others);
  }
  need(shape.elements() == elements, "cannot reshape {} to {}", in[0].shape, p.shape);
  return {{in[0].dtype, shape}};
}
Gradients grad_reshape(const ReshapeAttrs&, const Node& n, const Cotangents& d) { return {ops::reshape_like(d[0], n.in(0))}; }

Types infer_reshape_like(const NoAttributes&, const Types& in) {
  if (!in[1].shape.known()) return {{in[0].dtype, in[1].shape}};
  return infer_reshape({in[1].shape}, in);
}
Gradients grad_reshape_like(const NoAttributes&, const Node& n, const Cotangents& d) {
  return {ops::reshape_like(d[0], n.in(0)), {}};
}

// --- transpose ----------------------------------------------------------------------------------------------------

Types infer_transpose(const TransposeAttrs& p, const Types& in) {
  check_rank("the permutation", p.axes, in[0].shape);
  Shape shape;
  std::vector<bool> seen(p.axes.size(), false);
  for (std::int64_t axis : p.axes) {
    const int from = in[0].shape.checked(static_cast<int>(axis));
    need(!seen[static_cast<std::size_t>(from)], "{} is not a permutation of the axes of {}", text_of(p.axes), in[0].shape);
    seen[static_cast<std::size_t>(from)] = true;
    shape.append(in[0].shape[from]);
  }
  return {{in[0].dtype, shape}};
}
Gradients grad_transpose(const TransposeAttrs& p, const Node&, const Cotangents& d) {
  std::vector<std::int64_t> inverse(p.axes.size());
  for (std::size_t i = 0; i < p.axes.size(); ++i) inverse[static_cast<std::size_t>(p.axes[i])] = static_cast<std::int64_t>(i);
  return {ops::transpose(d[0], inverse)};
}

// --- broadcasting and its adjoint ---------------------------------------------------------------------------------

void check_broadcast(const Shape& from, const Shape& to) {
  need(from.rank() <= to.rank() && same(broadcast(from, to), to), "cannot broadcast {} to {}", from, to);
}
Types infer_broadcast_to(const BroadcastAttrs& p, const Types& in) {
  check_broadcast(in[0].shape, p.shape);
  return {{in[0].dtype, p.shape}};
}
Gradients grad_broadcast_to(const BroadcastAttrs&, const Node& n, const Cotangents& d) { return {ops::sum_like(d[0], n.in(0))}; }

Types infer_broadcast_like(const NoAttributes&, const Types& in) {
  check_broadcast(in[0].shape, in[1].shape);
  return {{in[0].dtype, in[1].shape}};
}
Gradients grad_broadcast_like(const NoAttributes&, const Node& n, const Cotangents& d) { return {ops::sum_like(d[0], n.in(0)), {}}; }

Types infer_sum_like(const NoAttributes&, const Types& in) {
  check_broadcast(in[1].shape, in[0].shape);
  return {{in[0].dtype, in[1].shape}};
}
Gradients grad_sum_like(const NoAttributes&, const Node& n, const Cotangents& d) { return {ops::broadcast_like(d[0], n.in(0)), {}}; }

// The builders know better ops once all sizes are known.
template <auto builder>
Values decompose_like(const NoAttributes&, const Node& n, const Values& in) {
  ensure(in[0].shape().known() && in[1].shape().known(), "'{}' is decomposed before its sizes are known", n.op().name);
  return {builder(in[0], in[1])};
}

// --- slices -------------------------------------------------------------------------------------------------------

Types infer_slice(const SliceAttrs& p, const Types& in) {
  check_rank("begin", p.begin, in[0].shape);
  check_rank("end", p.end, in[0].shape);
  check_rank("stride", p.stride, in[0].shape);
  Shape shape;
  for (int axis = 0; axis < in[0].shape.rank(); ++axis) {
    const std::int64_t size = in[0].shape[axis], begin = item(p.begin, axis), end = item(p.end, axis), stride = item(p.stride, axis);
    need(stride >= 1, "the stride of a slice is {}, wanted at least 1", stride);
    ensure(size == unknown || (0 <= begin && begin <= end && end <= size), "slice {}:{} of {}", begin, end, in[0].shape);
    shape.append(size == unknown ? unknown : (end - begin + stride - 1) / stride);
  }
  return {{in[0].dtype, shape}};
}
Gradients grad_slice(const SliceAttrs& p, const Node& n, const Cotangents& d) {
  const Shape& shape = n.in(0).shape();
  const bool dense = std::all_of(p.stride.begin(), p.stride.end(), [](std::int64_t stride) { return stride == 1; });
  if (!dense || !shape.known()) return {n.graph().add(op::slice_gradient, p, {d[0], n.in(0)}).out()};
  std::vector<std::int64_t> after;
  for (int axis = 0; axis < shape.rank(); ++axis) after.push_back(shape[axis] - item(p.end, axis));
  return {ops::pad(d[0], p.begin, after)};
}

Types infer_slice_gradient(const SliceAttrs& p, const Types& in) {
  const Shape wanted = infer_slice(p, {in[1]})[0].shape;
  need(same(in[0].shape, wanted), "got {} for a slice of shape {}", in[0].shape, wanted);
  return {{in[0].dtype, in[1].shape}};
}
Gradients grad_slice_gradient(const SliceAttrs& p, const Node& n, const Cotangents& d) {
  return {n.graph().add(op::slice, p, {d[0]}).out(), {}};
}

// --- pad, concat, reverse, iota -----------------------------------------------------------------------------------

Types infer_pad(const PadAttrs& p, const Types& in) {
  check_rank("before", p.before, in[0].shape);
  check_rank("after", p.after, in[0].shape);
  Shape shape;
  for (int axis = 0; axis < in[0].shape.rank(); ++axis) {
    const std::int64_t size = in[0].shape[axis], before = item(p.before, axis), after = item(p.after, axis);
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
    need(before >= 0 && after >= 0 && before <= most && after <= most,
         "padding is {} before and {} after axis {}, wanted 0 to {}", before, after, axis, most);
    shape.append(size == unknown ? unknown : before + size + after);
  }
  return {{in[0].dtype, shape}};
}
Gradients grad_pad(const PadAttrs& p, const Node&, const Cotangents& d) {
  std::vector<std::int64_t> end;
  for (std::int64_t after : p.after) end.push_back(after == 0 ? whole_axis : -after);
  return {ops::slice(d[0], p.before, end)};
}

Types infer_concat(const AxisAttrs& p, const Types& in) {
  need(!in.empty(), "needs at least one operand");
  const int along = in[0].shape.checked(static_cast<int>(p.axis));
  Type result = in[0];
  for (std::size_t i = 1; i < in.size(); ++i) {
    const Type& next = in[i];
    bool fits = next.dtype == result.dtype && next.shape.rank() == result.shape.rank();
    for (int axis = 0; fits && axis < result.shape.rank(); ++axis) {
      const std::int64_t size = result.shape[axis], other = next.shape[axis];
      if (axis == along) result.shape.set(axis, size == unknown || other == unknown ? unknown : size + other);
      else fits = same(size, other), result.shape.set(axis, size == unknown ? other : size);
    }
    need(fits, "cannot join {} and {} along axis {}", in[0], next, along);
  }
  return {result};
}
Gradients grad_concat(const AxisAttrs& p, const Node& n, const Cotangents& d) {
  const int axis = static_cast<int>(p.axis);
  Gradients result;
  std::int64_t begin = 0;
  for (Value in : n.inputs()) {
    const std::int64_t size = in.shape()[axis];
    ensure(size != unknown, "the gradient of a concatenation along an axis of unknown size");
    result.push_back(ops::slice_axis(d[0], axis, begin, begin + size));
    begin += size;
  }
  return result;
}

Types infer_reverse(const AxesAttrs& p, const Types& in) {
  for (std::int64_t axis : p.axes) in[0].shape.checked(static_cast<int>(axis));
  return {in[0]};
}
Gradients grad_reverse(const AxesAttrs& p, const Node&, const Cotangents& d) { return {ops::reverse(d[0], p.axes)}; }

Types infer_iota(const IotaAttrs& p, const Types&) {
  p.type.shape.checked(static_cast<int>(p.axis));
  return {p.type};
}

}  // namespace

namespace op {

constinit const OpDef<ReshapeAttrs> reshape{{.name = "reshape", .doc = "the same elements in another shape"}, infer_reshape, grad_reshape};
constinit const OpDef<NoAttributes> reshape_like{{.name = "reshape_like", .doc = "a's elements in b's shape"},
                                                 infer_reshape_like, grad_reshape_like, decompose_like<ops::reshape_like>};
constinit const OpDef<TransposeAttrs> transpose{
    {.name = "transpose", .doc = "axis i of y is axis axes[i] of x"}, infer_transpose, grad_transpose};
constinit const OpDef<BroadcastAttrs> broadcast_to{
    {.name = "broadcast_to", .doc = "x repeated along axes of size 1"}, infer_broadcast_to, grad_broadcast_to};
constinit const OpDef<NoAttributes> broadcast_like{{.name = "broadcast_like", .doc = "a repeated to b's shape"},
                                                   infer_broadcast_like, grad_broadcast_like, decompose_like<ops::broadcast_like>};
constinit const OpDef<NoAttributes> sum_like{{.name = "sum_like", .doc = "a summed down to b's shape"}, infer_sum_like,
                                             grad_sum_like, decompose_like<ops::sum_like>};
constinit const OpDef<SliceAttrs> slice{{.name = "slice", .doc = "y = x[begin:end:stride]"}, infer_slice, grad_slice};
constinit const OpDef<SliceAttrs> slice_gradient{
    {.name = "slice_gradient", .doc = "zeros of x's shape with y[begin:end:stride] = dy"}, infer_slice_gradient, grad_slice_gradient};
constinit const OpDef<PadAttrs> pad{{.name = "pad", .doc = "x with elements of one value around it"}, infer_pad, grad_pad};
constinit const OpDef<AxisAttrs> concat{{.name = "concat", .doc = "operands one after the other along an axis"}, infer_concat, grad_concat};
constinit const OpDef<AxesAttrs> reverse{{.name = "reverse", .doc = "x with the order of axes reversed"}, infer_reverse, grad_reverse};
constinit const OpDef<IotaAttrs> iota{{.name = "iota", .doc = "the index along an axis"}, infer_iota};

}  // namespace op

namespace ops {

namespace {
std::vector<std::int64_t> from_front(const Shape& shape, std::vector<std::int64_t> axes) {
  for (std::int64_t& axis : axes) axis = shape.checked(static_cast<int>(axis));
  return axes;
}
}  // namespace

Value reshape(Value x, Shape shape) {
  if (x.is(op::reshape) && x.node().in(0).shape().known()) x = x.node().in(0);
  if (x.shape() == shape) return x;
  if (x.shape().known()) shape = infer_reshape({shape}, {x.type()})[0].shape;
  if (x.shape() == shape) return x;
  return x.graph().add(op::reshape, ReshapeAttrs{std::move(shape)}, {x}).out();
}

Value reshape_like(Value x, Value like) {
  if (like.shape().known()) return reshape(x, like.shape());
  return x.graph().add(op::reshape_like, NoAttributes{}, {x, like}).out();
}

Value transpose(Value x, std::vector<std::int64_t> axes) {
  axes = from_front(x.shape(), std::move(axes));
  if (x.is(op::transpose) && axes.size() == static_cast<std::size_t>(x.shape().rank())) {
    for (std::int64_t& axis : axes) axis = x.node().attrs<TransposeAttrs>().axes[static_cast<std::size_t>(axis)];
    x = x.node().in(0);
  }
  std::vector<std::int64_t> identity(static_cast<std::size_t>(x.shape().rank()));
  std::iota(identity.begin(), identity.end(), std::int64_t{0});
  if (axes == identity) return x;
  return x.graph().add(op::transpose, TransposeAttrs{std::move(axes)}, {x}).out();
}

Value broadcast_to(Value x, Shape shape) {
  if (x.shape() == shape && shape.known()) return x;
  return x.graph().add(op::broadcast_to, BroadcastAttrs{std::move(shape)}, {x}).out();
}

Value broadcast_like(Value x, Value like) {
  if (x == like) return x;
  if (like.shape().known()) return broadcast_to(x, like.shape());
  return x.graph().add(op::broadcast_like, NoAttributes{}, {x, like}).out();
}

Value sum_like(Value x, Value like) {
  if (x == like) return x;
  if (!x.shape().known() || !like.shape().known())
    return x.graph().add(op::sum_like, NoAttributes{}, {x, like}).out();
  if (x.shape() == like.shape()) return x;
  check_broadcast(like.shape(), x.shape());
  const int added = x.shape().rank() - like.shape().rank();
  std::vector<std::int64_t> axes;
  for (int axis = 0; axis < x.shape().rank(); ++axis)
    if (axis < added || (like.shape()[axis - added] == 1 && x.shape()[axis] != 1)) axes.push_back(axis);
  return reshape(axes.empty() ? x : sum(x, axes), like.shape());
}

Value slice(Value x, std::vector<std::int64_t> begin, std::vector<std::int64_t> end, std::vector<std::int64_t> stride) {
  const Shape& shape = x.shape();
  if (stride.empty()) stride.assign(begin.size(), 1);
  check_rank("begin", begin, shape);
  check_rank("end", end, shape);
  bool everything = true;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    std::int64_t &first = item(begin, axis), &last = item(end, axis);
    const std::int64_t size = shape[axis];
    if (size != unknown) {
      first = std::clamp(first < 0 ? first + size : first, std::int64_t{0}, size);
      last = std::clamp(last < 0 ? last + size : last, first, size);
    }
    everything = everything && first == 0 && last == (size == unknown ? whole_axis : size);
  }
  if (everything && std::all_of(stride.begin(), stride.end(), [](std::int64_t step) { return step == 1; })) return x;
  return x.graph().add(op::slice, SliceAttrs{std::move(begin), std::move(end), std::move(stride)}, {x}).out();
}

Value slice_axis(Value x, int axis, std::int64_t begin, std::int64_t end) {
  const auto rank = static_cast<std::size_t>(x.shape().rank());
  std::vector<std::int64_t> begins(rank, 0), ends(rank, whole_axis);
  const int at = x.shape().checked(axis);
  item(begins, at) = begin;
  item(ends, at) = end;
  return slice(x, std::move(begins), std::move(ends));
}

Value pad(Value x, std::vector<std::int64_t> before, std::vector<std::int64_t> after, double value) {
  auto zero = [](std::int64_t count) { return count == 0; };
  if (std::all_of(before.begin(), before.end(), zero) && std::all_of(after.begin(), after.end(), zero)) return x;
  return x.graph().add(op::pad, PadAttrs{std::move(before), std::move(after), value}, {x}).out();
}

Value concat(Values values, int axis) {
  need(!values.empty(), "concat needs at least one value");
  axis = values[0].shape().checked(axis);
  if (values.size() == 1) return values[0];
  Graph& graph = values[0].graph();
  return graph.add(op::concat, AxisAttrs{axis}, std::move(values)).out();
}

Value reverse(Value x, std::vector<std::int64_t> axes) {
  axes = from_front(x.shape(), std::move(axes));
  if (axes.empty()) return x;
  return x.graph().add(op::reverse, AxesAttrs{std::move(axes)}, {x}).out();
}

Value expand_dims(Value x, int axis) {
  const int rank = x.shape().rank() + 1;
  const int at = axis < 0 ? axis + rank : axis;
  need(at >= 0 && at < rank, "axis {} is out of range for shape {} with a new axis", axis, x.shape());
  return reshape(x, x.shape().first(at) + Shape{1} + x.shape().from(at));
}

Value squeeze(Value x, int axis) {
  const int at = x.shape().checked(axis);
  need(same(x.shape()[at], 1), "cannot squeeze axis {} of {}: its size is not 1", at, x.shape());
  return reshape(x, x.shape().first(at) + x.shape().from(at + 1));
}

Value iota(Graph& graph, Type type, int axis) {
  const int at = type.shape.checked(axis);
  return graph.add(op::iota, IotaAttrs{std::move(type), at}, {}).out();
}

}  // namespace ops

}  // namespace nacre
