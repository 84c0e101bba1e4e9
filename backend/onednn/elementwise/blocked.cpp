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

namespace {

// The row-major places of a value's elements as they are walked in blocks.
Access places_in_blocks(const Shape& shape, std::int64_t block) {
  std::vector<std::int64_t> strides = row_major_strides(shape);
  strides.back() = 1;
  strides.insert(strides.begin() + 1, block);
  return Access(shape_in_blocks(shape, block), strides);
}

}  // namespace

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

  // Weights and the like have orders of their own: they are walked as one line when nothing is repeated.
  const Desc channels = channels_first(desc);
  const std::int64_t block = channel_block(channels).value_or(0);
  const bool by_channels = block > 0;
  const Shape split(desc.get_dims());  // of a flattened value: that before, but for the spatial axes
  const Shape physical = by_channels ? shape_in_blocks(split, block)
                                     : Shape{static_cast<std::int64_t>(order.bytes(ordered) / size_of(ordered.dtype))};
  for (const Node* inner : body.nodes()) {
    const Shape& shape = inner->types()[0].shape;
    if (inner->is(op::scatter_add) || (inner->is(op::constant) && shape.elements() != 1)) return {};
    if (inner->is(op::random_uniform) && (!by_channels || is_padded(desc) || shape != full)) return {};
  }
  auto layout_of_full = [&](const Type& type) -> std::optional<Layout> {
    if (type == ordered) return order;
    if (!by_channels) return weights_layout_for(order, ordered, type);
    const auto element = data_type(type.dtype);
    if (!element) return {};
    return layout_of(channels_last(in_channel_blocks(channels.get_dims(), *element, block)), type);
  };

  BlockedBody result{.body = std::make_unique<Graph>(),
                     .operands = {},
                     .results = {},
                     .places = by_channels ? places_in_blocks(split, block) : Access::in_order()};
  Rewriter rewriter(body, *result.body);
  for (const auto& [name, value] : body.inputs()) {
    const Type& type = value.type();
    std::optional<Layout> layout = Layout::plain();
    std::optional<Shape> shape = physical;
    if (type.shape == full) layout = layout_of_full(type);
    else if (type.shape.elements() == 1 || (by_channels && split == full))
      shape = operand_in_blocks(type.shape, full, block);
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
