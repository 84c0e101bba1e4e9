#include "backend/onednn/elementwise/blocked.h"

#include <algorithm>

#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/random.h"
#include "backend/onednn/elementwise/exactness.h"
#include "backend/onednn/kernels.h"

namespace nacre::onednn {

Shape shape_in_blocks(const Shape& shape, std::int64_t block) {
  Shape physical = {shape[0], (shape[-1] + block - 1) / block};
  for (int axis = 1; axis + 1 < shape.rank(); ++axis) physical.append(shape[axis]);
  physical.append(block);
  return physical;
}

std::optional<Shape> operand_in_blocks(const Shape& operand, const Shape& full, std::int64_t block) {
  if (operand.elements() == 1) return Shape{};
  Shape shape;
  for (int axis = operand.rank(); axis < full.rank(); ++axis) shape.append(1);
  for (std::int64_t size : operand) shape.append(size);
  if (shape[-1] == 1) return shape_in_blocks(shape, 1);
  const bool whole_blocks = full[-1] % block == 0;
  const bool one_place = shape.from(1).first(shape.rank() - 2).elements() == 1;
  if (!whole_blocks || !one_place) return {};
  return shape_in_blocks(shape, block);
}

std::optional<BlockedBody> blocked_body(const Graph& body, std::span<const Value> values, std::span<const Layout> given,
                                        const Layout& wanted) {
  const Shape& full = body.outputs().front().value.shape();
  std::size_t first = given.size();
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (given[i].is_any() || body.inputs()[i].value.shape() != full) continue;
    const bool variable = values[i].is(op::variable);
    if (variable && given[i].is_plain()) return {};
    if (given[i].detail() && (variable || first == given.size())) first = i;
    if (variable) break;
  }
  const bool as_read = first == given.size();  // no operand has an order
  if (as_read && (!wanted.detail() || is_packed(wanted))) return {};
  const Layout& order = as_read ? wanted : given[first];
  const Type& ordered = as_read ? body.outputs()[0].value.type() : body.inputs()[first].value.type();
  const Desc desc = desc_of(order, ordered);
  if (desc.get_data_type() != data_type(ordered.dtype) || (is_padded(desc) && !keeps_zeros(body))) return {};
  for (const Node* inner : body.nodes())
    if (inner->is(op::random_uniform) || inner->is(op::scatter_add) ||
        (inner->is(op::constant) && inner->types()[0].shape.elements() != 1))
      return {};

  // Weights and the like have orders of their own: they are walked as one line when nothing is repeated.
  const bool by_channels = layout_in_order_of(order, ordered, ordered).has_value();
  const std::int64_t block = by_channels ? desc.get_inner_blks()[0] : 1;
  const Shape physical = by_channels ? shape_in_blocks(full, block)
                                     : Shape{static_cast<std::int64_t>(order.bytes(ordered) / size_of(ordered.dtype))};
  auto layout_of_full = [&](const Type& type) {
    if (type == ordered) return std::optional(order);
    return by_channels ? layout_in_order_of(order, ordered, type) : weights_layout_for(order, ordered, type);
  };

  BlockedBody result{std::make_unique<Graph>(), {}, {}};
  Rewriter rewriter(body, *result.body);
  for (const auto& [name, value] : body.inputs()) {
    const Type& type = value.type();
    std::optional<Layout> layout = Layout::plain();
    std::optional<Shape> shape = physical;
    if (type.shape == full) layout = layout_of_full(type);
    else if (by_channels || type.shape.elements() == 1) shape = operand_in_blocks(type.shape, full, block);
    else return {};
    if (!layout || !shape) return {};
    result.operands.push_back(*layout);
    rewriter.set(value, result.body->input(name, {type.dtype, *shape}));
  }
  for (const auto& [name, value] : body.outputs()) {
    const std::optional<Layout> layout = layout_of_full(value.type());
    if (!layout) return {};
    result.results.push_back(*layout);
  }
  for (const Node* inner : body.nodes()) {
    if (inner->is(op::input)) continue;
    if (inner->is(op::constant))
      rewriter.set(inner->out(), result.body->constant(inner->attrs<ConstantAttrs>().value.reshaped({})));
    else rewriter.copy(*inner);
  }
  rewriter.finish();
  return result;
}

}  // namespace nacre::onednn
