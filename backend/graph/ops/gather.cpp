#include "backend/graph/ops/gather.h"

#include "backend/graph/ops/elementwise.h"

namespace nacre {

namespace {

void check_indices(const Type& indices) {
  need(indices.dtype == DType::uint8 || indices.dtype == DType::int32 || indices.dtype == DType::int64,
       "indices must be integers, got {}", indices);
}

Types infer_gather(const NoAttributes&, const Types& in) {
  check_indices(in[1]);
  need(in[0].shape.rank() >= 1, "needs a table of rank 1 or more, got {}", in[0]);
  return {{in[0].dtype, in[1].shape + in[0].shape.from(1)}};
}
Gradients grad_gather(const NoAttributes&, const Node& n, const Cotangents& d) {
  return {n.graph().add(op::scatter_add, RowsAttrs{n.in(0).shape()[0]}, {n.in(1), d[0]}).out(), {}};
}

Types infer_scatter_add(const RowsAttrs& p, const Types& in) {
  check_indices(in[0]);
  const int rank = in[0].shape.rank();
  need(in[1].shape.rank() >= rank && same(in[1].shape.first(rank), in[0].shape), "updates {} do not fit indices {}", in[1], in[0]);
  return {{in[1].dtype, Shape{p.rows} + in[1].shape.from(rank)}};
}
Gradients grad_scatter_add(const RowsAttrs&, const Node& n, const Cotangents& d) { return {{}, ops::gather(d[0], n.in(0))}; }

// The shape of x without the axis; indices must have it.
Shape without_axis(const AxisAttrs& p, const Type& x, const Type& indices) {
  check_indices(indices);
  const int axis = x.shape.checked(static_cast<int>(p.axis));
  const Shape shape = x.shape.first(axis) + x.shape.from(axis + 1);
  need(same(shape, indices.shape), "wants indices of shape {} for {} without axis {}, got {}", shape, x.shape, axis, indices.shape);
  return shape;
}
Types infer_take_along(const AxisAttrs& p, const Types& in) {
  without_axis(p, in[0], in[1]);
  return {{in[0].dtype, in[1].shape}};
}
Gradients grad_take_along(const AxisAttrs& p, const Node& n, const Cotangents& d) {
  return {n.graph().add(op::take_along_backward, p, {n.in(0), n.in(1), d[0]}).out(), {}};
}
Types infer_take_along_backward(const AxisAttrs& p, const Types& in) {
  const Shape shape = without_axis(p, in[0], in[1]);
  need(same(shape, in[2].shape), "got dy {} for indices {}", in[2], in[1]);
  return {{in[2].dtype, in[0].shape}};
}
Gradients grad_take_along_backward(const AxisAttrs& p, const Node& n, const Cotangents& d) {
  return {{}, {}, n.graph().add(op::take_along, p, {d[0], n.in(1)}).out()};
}

Types infer_argsort(const AxisAttrs& p, const Types& in) {
  in[0].shape.checked(static_cast<int>(p.axis));
  return {{DType::int32, in[0].shape}};
}

}  // namespace

namespace op {

constinit const OpDef<NoAttributes> gather{{.name = "gather", .doc = "y[i…] = table[indices[i…]]"}, infer_gather, grad_gather};
constinit const OpDef<RowsAttrs> scatter_add{
    {.name = "scatter_add", .doc = "y[r] = Σ updates[i…] where indices[i…] = r"}, infer_scatter_add, grad_scatter_add};
constinit const OpDef<AxisAttrs> take_along{
    {.name = "take_along", .doc = "y[i…] = x[i…, indices[i…]]"}, infer_take_along, grad_take_along};
constinit const OpDef<AxisAttrs> take_along_backward{{.name = "take_along_backward", .doc = "dx[i…, indices[i…]] = dy[i…], else 0"},
                                                     infer_take_along_backward, grad_take_along_backward};
constinit const OpDef<AxisAttrs> argsort{{.name = "argsort", .doc = "places along the axis in ascending order of x"}, infer_argsort};

}  // namespace op

Value ops::gather(Value table, Value indices) { return table.graph().add(op::gather, NoAttributes{}, {table, indices}).out(); }

Value ops::take_along(Value x, Value indices, int axis) {
  return x.graph().add(op::take_along, AxisAttrs{x.shape().checked(axis)}, {x, indices}).out();
}

Value ops::argsort(Value x, int axis) { return x.graph().add(op::argsort, AxisAttrs{x.shape().checked(axis)}, {x}).out(); }

Value ops::one_hot(Value indices, std::int64_t classes, DType dtype) {
  const Value numbers = iota(indices.graph(), {indices.dtype(), {classes}}, 0);
  return cast(equal(expand_dims(indices, -1), numbers), dtype);
}

}  // namespace nacre
