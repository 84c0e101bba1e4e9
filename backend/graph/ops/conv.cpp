#include "backend/graph/ops/conv.h"

#include <limits>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"

namespace nacre {

WindowAxis window_axis(std::int64_t size, std::int64_t window, std::int64_t stride, std::int64_t dilation,
                       Padding padding) {
  constexpr std::int64_t largest = std::numeric_limits<std::int32_t>::max();  // products of two of them do not overflow
  for (const std::int64_t value : {window, stride, dilation})
    need(value >= 1 && value <= largest, "got a window of {}, strides {} and dilation {}, wanted numbers from 1 to {}",
         window, stride, dilation, largest);
  if (size == unknown) return {};
  const std::int64_t extent = (window - 1) * dilation + 1;
  if (padding == Padding::same) {
    const std::int64_t output = (size + stride - 1) / stride;
    const std::int64_t padded = std::max<std::int64_t>((output - 1) * stride + extent - size, 0);
    return {.before = padded / 2, .after = padded - padded / 2, .output = output};
  }
  if (size < extent)
    throw Error("a window over {} elements does not fit into {}", extent, size)
        .hint("choose a smaller window or padding: same");
  return {.output = (size - extent) / stride + 1};
}

WindowAxis window_axis(std::int64_t size, std::int64_t window, std::int64_t stride, std::int64_t dilation,
                       Padding padding, std::int64_t before, std::int64_t after) {
  constexpr std::int64_t largest = std::numeric_limits<std::int32_t>::max();
  need(before >= 0 && before <= largest && after >= 0 && after <= largest,
       "got {} zeros before and {} after, wanted 0 to {}", before, after, largest);
  WindowAxis axis = window_axis(size == unknown ? unknown : before + size + after, window, stride, dilation, padding);
  axis.before += before;
  axis.after += after;
  return axis;
}

std::vector<WindowAxis> window_axes(const ConvAttrs& p, const Shape& x, const Shape& kernel) {
  std::vector<WindowAxis> axes;
  for (std::size_t i = 0; i < p.strides.size(); ++i) {
    const int axis = static_cast<int>(i);
    axes.push_back(window_axis(x[axis + 1], kernel[axis], p.strides[i], p.dilations[i], p.padding,
                               p.before.empty() ? 0 : p.before[i], p.after.empty() ? 0 : p.after[i]));
  }
  return axes;
}

namespace {

Types infer_conv(const ConvAttrs& p, const Types& in) {
  const int axes = static_cast<int>(p.strides.size());
  const auto fits = [&](const std::vector<std::int64_t>& sides) {
    return sides.empty() || sides.size() == p.strides.size();
  };
  ensure(p.dilations.size() == p.strides.size() && fits(p.before) && fits(p.after), "conv with attributes {}",
         text_of(p));
  need(axes >= 1 && axes <= 3, "got {} spatial axes, wanted 1 to 3", axes);
  need(p.groups >= 1, "got {} groups of channels, wanted at least 1", p.groups);
  ensure(in.size() >= 2, "conv with {} operands", in.size());
  const Shape &x = in[0].shape, &kernel = in[1].shape;
  need(is_floating(in[0].dtype) && in[0].dtype == in[1].dtype, "got input {} and kernel {}, wanted one floating type",
       in[0], in[1]);
  need(x.rank() == axes + 2, "got input {}, wanted rank {}", x, axes + 2);
  need(kernel.rank() == axes + 2 && kernel.known(), "got kernel {}, wanted rank {}", kernel, axes + 2);
  need(same(x[-1], kernel[-2] * p.groups), "got input {}, wanted {} channels for kernel {} in {} group{}", x,
       kernel[-2] * p.groups, kernel, p.groups, p.groups == 1 ? "" : "s");
  need(kernel[-1] % p.groups == 0, "{} filters cannot be split into {} groups", kernel[-1], p.groups);
  Shape y = {x[0]};
  for (const WindowAxis& axis : window_axes(p, x, kernel)) y.append(axis.output);
  y.append(kernel[-1]);
  Types result = {{in[0].dtype, std::move(y)}};
  check_epilogue(p.epilogue, in, 2, result[0]);
  return result;
}

Types infer_backward_data(const ConvBackwardDataAttrs& p, const Types& in) {
  ensure(in.size() == 2, "conv_backward_data with {} operands", in.size());
  const Types forward = infer_conv(p.conv, {{in[0].dtype, p.shape}, in[1]});
  need(same(in[0].shape, forward[0].shape), "got {}, wanted {} for a result {}", in[0].shape, forward[0].shape,
       p.shape);
  Shape shape = p.shape;
  if (shape[0] == unknown) shape.set(0, in[0].shape[0]);
  return {{in[0].dtype, std::move(shape)}};
}

Types infer_backward_weights(const ConvBackwardWeightsAttrs& p, const Types& in) {
  ensure(in.size() == 2, "conv_backward_weights with {} operands", in.size());
  const Types forward = infer_conv(p.conv, {in[0], {in[0].dtype, p.shape}});
  need(in[1].dtype == in[0].dtype && same(in[1].shape, forward[0].shape), "got {}, wanted {}", in[1], forward[0]);
  Types result = {{in[0].dtype, p.shape}};
  if (p.bias) result.push_back({in[0].dtype, {p.shape[-1]}});
  return result;
}

Value backward_data(Value dy, Value kernel, const ConvAttrs& conv, Shape shape) {
  return dy.graph().add(op::conv_backward_data, {conv, std::move(shape)}, {dy, kernel}).out();
}

Value backward_weights(Value x, Value dy, const ConvAttrs& conv, Shape shape) {
  return x.graph().add(op::conv_backward_weights, {conv, std::move(shape)}, {x, dy}).out();
}

Gradients grad_conv(const ConvAttrs& p, const Node& node, const Cotangents& d) {
  ensure(p.epilogue.empty(), "the gradient of a convolution with an epilogue");
  const Value x = node.in(0), kernel = node.in(1);
  return {backward_data(d[0], kernel, p, x.shape()), backward_weights(x, d[0], p, kernel.shape())};
}

// dx = Kᵀ dy, so ⟨g, Kᵀ dy⟩ = ⟨K g, dy⟩.
Gradients grad_backward_data(const ConvBackwardDataAttrs& p, const Node& node, const Cotangents& d) {
  const Value dy = node.in(0), kernel = node.in(1);
  return {ops::conv(d[0], kernel, p.conv), backward_weights(d[0], dy, p.conv, kernel.shape())};
}

// ⟨g, dkernel⟩ = ⟨conv(x, g), dy⟩ and ⟨b, dbias⟩ = ⟨broadcast b, dy⟩.
Gradients grad_backward_weights(const ConvBackwardWeightsAttrs& p, const Node& node, const Cotangents& d) {
  const Value x = node.in(0), dy = node.in(1);
  Value dx, ddy;
  if (d[0]) {
    dx = backward_data(dy, d[0], p.conv, x.shape());
    ddy = ops::conv(x, d[0], p.conv);
  }
  if (p.bias && d[1]) {
    const Value repeated = ops::broadcast_like(d[1], dy);
    ddy = ddy ? ddy + repeated : repeated;
  }
  return {dx, ddy};
}

}  // namespace

namespace op {
constinit const OpDef<ConvAttrs> conv{
    {.name = "conv", .doc = "y = activation(x ⋆ kernel [+ bias] [+ residual]) over the spatial axes, channels last"},
    infer_conv,
    grad_conv};
constinit const OpDef<ConvBackwardDataAttrs> conv_backward_data{
    {.name = "conv_backward_data", .doc = "the adjoint of x ↦ x ⋆ kernel applied to dy"},
    infer_backward_data,
    grad_backward_data};
constinit const OpDef<ConvBackwardWeightsAttrs> conv_backward_weights{
    {.name = "conv_backward_weights", .doc = "the adjoint of kernel ↦ x ⋆ kernel applied to dy [, and of bias]"},
    infer_backward_weights,
    grad_backward_weights};
}  // namespace op

namespace ops {

Value conv(Value x, Value kernel, ConvAttrs attrs) {
  return x.graph().add(op::conv, std::move(attrs), {x, kernel}).out();
}

Value conv_transpose(Value y, Value kernel, ConvAttrs attrs, Shape shape) {
  return backward_data(y, kernel, attrs, std::move(shape));
}

}  // namespace ops

}  // namespace nacre
