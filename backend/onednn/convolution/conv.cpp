// Convolutions. Weights take the order that the primitive prefers, trained ones that in which their gradient comes, so
// that at most the gradient by data has them reordered; activations as layout_policy.h says. Those of 3 × 3 pixels are
// computed by Winograd's algorithm where that pays, in the same orders.
#include "backend/graph/ops/conv.h"

#include <algorithm>
#include <optional>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "backend/onednn/convolution/winograd/winograd.h"
#include "backend/onednn/kernels.h"
#include "backend/onednn/layout_policy.h"

namespace nacre::onednn {
namespace {

using Algorithm = dnnl::algorithm;
using Tag = dnnl::memory::format_tag;

// A convolution in oneDNN's terms.
struct Geometry {
  Dims strides, dilations, before, after;  // a dilation of 0 leaves no gap

  Geometry(const ConvAttrs& p, const Shape& x, const Shape& kernel) : strides(p.strides), dilations(p.dilations) {
    for (const WindowAxis& axis : window_axes(p, x, kernel)) {
      before.push_back(axis.before);
      after.push_back(axis.after);
    }
    for (std::int64_t& dilation : dilations) --dilation;
  }
};

// A kernel whose groups have an axis of their own, in the graph's order.
Desc plain_weights(const Type& kernel, std::int64_t groups) {
  if (groups == 1) return plain_desc(kernel);
  Shape shape = kernel.shape.first(kernel.shape.rank() - 1);
  shape.append(groups);
  shape.append(kernel.shape[-1] / groups);
  return plain_desc(Type{kernel.dtype, shape});
}

Desc free_weights(const Type& kernel, std::int64_t groups) {
  const Desc plain = plain_weights(kernel, groups);
  return Desc(plain.permute_axes(weights_permutation(plain.get_ndims(), groups > 1)).get_dims(), plain.get_data_type(),
              Tag::any);
}

Layout weights_layout(const Desc& chosen, const Type& kernel, std::int64_t groups) {
  return layout_of(chosen.permute_axes(inverse(weights_permutation(chosen.get_ndims(), groups > 1))), kernel);
}

Layout activation_layout(const Desc& chosen, const Type& type) { return layout_of(channels_last(chosen), type); }

// Descriptors of what a convolution reads and what it gives.
struct Activations {
  Desc x, y;
};

Activations any_order(const Type& x, const Type& y) {
  auto any = [](const Type& type) { return Desc(channels_first(type.shape), *data_type(type.dtype), Tag::any); };
  return {any(x), any(y)};
}
Activations plain_order(const Type& x, const Type& y) {
  return {channels_first(plain_desc(x)), channels_first(plain_desc(y))};
}

}  // namespace

bool is_trained(Value kernel) {
  while (kernel.is(op::reshape) || kernel.is(op::cast)) kernel = kernel.node().in(0);
  return kernel.is(op::variable) && kernel.graph().is_updated(kernel.node().attrs<VariableAttrs>().variable);
}

namespace {

// oneDNN has more than its reference loops.
bool is_optimised(const dnnl::primitive_desc_base& made) {
  return !std::string_view(made.impl_info_str()).starts_with("ref");
}

bool is_depthwise(const ConvAttrs& p, const Type& x) { return p.groups > 1 && p.groups == x.shape[-1]; }

// For the gradient of strided convolutions in bfloat16 oneDNN prefers matrix products, for which every group is padded to
// a whole block of channels: of depthwise ones that takes 30 times as long as the loops for them that it offers later.
template <class Made>
Made without_padded_groups(const Made& made) {
  for (Made other = made; std::string_view(other.impl_info_str()).starts_with("brg");)
    if (!other.next_impl() || !is_optimised(other)) return made;
    else if (std::string_view(other.impl_info_str()).starts_with("jit_dw")) return other;
  return made;
}

// The first choice for which oneDNN has more than its reference loops; the last one is taken in any case.
template <class Make>
auto first_optimised(const std::vector<Activations>& choices, Make&& make) {
  for (std::size_t i = 0; i + 1 < choices.size(); ++i) try {
      auto made = make(choices[i]);
      if (is_optimised(made)) return made;
    } catch (const dnnl::error&) {  // not implemented for this order
    }
  return make(choices.back());
}

// The same tensor with elements of another type in the same order; none when oneDNN has no name for that order.
std::optional<Desc> with_elements(const Desc& order, const Type& type) {
  if (order.get_data_type() == *data_type(type.dtype)) return order;
  if (is_plain(channels_last(order))) return channels_first(plain_desc(type));
  return in_order_of(order, type);
}

// What Winograd's algorithm computes; none of convolutions that it does not serve, or not fast.
std::optional<WinogradShape> winograd_shape(const ConvAttrs& p, const Geometry& at, const Desc& x, const Desc& kernel,
                                            const Desc& y, WinogradTask task) {
  const Dims sizes = kernel.get_dims();
  if (at.strides != Dims{1, 1} || at.dilations != Dims{0, 0} || p.groups != 1 || sizes[2] != 3 || sizes[3] != 3)
    return {};
  WinogradShape shape{x, kernel, y, at.before[0], at.before[1]};
  shape.size = winograd_size(shape, task);
  if (shape.size == 0) return {};
  return shape;
}

// The order of an operand's kernel: that in which it lies, unless nobody has laid it out.
Desc order_of_kernel(const KernelRequest& request, std::int64_t groups, const Desc& preferred) {
  const Layout& given = request.inputs[1];
  if (given.is_any()) return preferred;
  const Type& type = request.node.in(1).type();
  const Desc desc = given.detail() ? desc_of(given, type) : plain_weights(type, groups);
  return desc.permute_axes(weights_permutation(desc.get_ndims(), groups > 1));
}

// The type of a factor of the product: the operand's, or bfloat16.
Type factor(const KernelRequest& request, int operand, DType dtype) {
  return {dtype, request.node.in(operand).shape()};
}

// Backward primitives are made beside the forward one that they belong to, of factors alone.
dnnl::convolution_forward::primitive_desc forward_hint(const Activations& activations, const Desc& kernel,
                                                       const Geometry& at) {
  return {engine(),
          dnnl::prop_kind::forward_training,
          Algorithm::convolution_direct,
          activations.x,
          kernel,
          activations.y,
          at.strides,
          at.dilations,
          at.before,
          at.after,
          attributes()};
}

// The order in which the gradient of a kernel comes; none when its convolution has reference loops only.
std::optional<Desc> gradient_order(const Activations& activations, const Desc& kernel, const Desc& gradient,
                                   const Geometry& at) try {
  const dnnl::convolution_backward_weights::primitive_desc made(
      engine(), Algorithm::convolution_direct, activations.x, gradient, activations.y, at.strides, at.dilations,
      at.before, at.after, forward_hint(activations, kernel, at), attributes());
  if (!is_optimised(made)) return {};
  return made.diff_weights_desc();
} catch (const dnnl::error&) {  // not implemented
  return {};
}

// Plans with factors of a type that may be narrower than the operands'; none when oneDNN has reference loops only for
// it.
using Build = std::optional<KernelPlan> (*)(const KernelRequest& request, DType factors);
KernelPlan planned(const KernelRequest& request, Build build) {
  if (rounds_factors(request)) try {
      if (auto plan = build(request, DType::bfloat16)) return std::move(*plan);
    } catch (const dnnl::error&) {  // not implemented
    }
  return *build(request, request.node.in(0).dtype());
}

std::optional<KernelPlan> forward(const KernelRequest& request, DType factors) {
  const auto& p = request.node.attrs<ConvAttrs>();
  const Type x = factor(request, 0, factors), kernel = factor(request, 1, factors), &y = request.node.types()[0];
  const Type &x_given = request.node.in(0).type(), &kernel_given = request.node.in(1).type();
  const bool rounds = x != x_given;
  const Geometry at(p, x.shape, kernel.shape);
  const Desc bias = p.epilogue.bias ? plain_desc(request.node.in(2).type()) : Desc();

  std::vector<Activations> choices;
  if (request.inputs[0].detail()) {
    const Desc order = channels_first(desc_of(request.inputs[0], x_given));
    const auto operand = with_elements(order, x);
    if (const auto result = in_order_of(order, y); result && operand) choices.push_back({*operand, *result});
  } else if (!starts_blocked(x.shape[-1], y.shape[-1])) {
    choices.push_back(plain_order(x, y));
  }
  choices.push_back(any_order(x, y));

  const auto make = [&](const Activations& activations, const Desc& weights) {
    return dnnl::convolution_forward::primitive_desc(
        engine(), dnnl::prop_kind::forward_training, Algorithm::convolution_direct, activations.x, weights, bias,
        activations.y, at.strides, at.dilations, at.before, at.after, epilogue_attributes(p.epilogue));
  };
  const Desc weights = free_weights(kernel, p.groups);
  auto made = first_optimised(choices, [&](const Activations& activations) { return make(activations, weights); });
  if (rounds && !is_optimised(made)) return {};
  const bool pairs = factors != DType::float32;  // of 16 bits products want pairs of channels, gradients do not
  std::optional<Desc> order;
  if (const auto gradient = with_elements(made.dst_desc(), {factors, y.shape});
      gradient && is_trained(request.node.in(1)))
    order = gradient_order({made.src_desc(), *gradient}, weights, free_weights(kernel_given, p.groups), at);
  if (order && !pairs && *order != made.weights_desc()) try {
      auto same_order = make({made.src_desc(), made.dst_desc()}, *order);
      if (is_optimised(same_order)) made = std::move(same_order);
    } catch (const dnnl::error&) {  // not implemented for this order
    }
  const bool transformed = request.is_fixed(1);
  const auto task = transformed ? WinogradTask::forward_of_transformed : WinogradTask::forward;
  if (auto shape = winograd_shape(p, at, made.src_desc(),
                                  order_of_kernel(request, p.groups, order ? *order : made.weights_desc()),
                                  made.dst_desc(), task)) {
    if (rounds) return {};
    if (p.epilogue.bias) shape->bias = bias.get_data_type();
    if (auto found = winograd_forward(*shape, p.epilogue, transformed)) {
      const Layout given = weights_layout(shape->kernel, kernel_given, 1);
      KernelPlan plan = plan_of(std::move(found),
                                {activation_layout(shape->x, x_given), transformed ? winograd_layout(*shape) : given},
                                {activation_layout(shape->y, y)});
      append_epilogue(p.epilogue, 2, plan);
      if (transformed) {
        plan.at_rest.assign(plan.inputs.size(), Layout::any());
        plan.at_rest[1] = given;
      }
      return plan;
    }
  }
  auto primitive = std::make_unique<PrimitiveKernel>(dnnl::convolution_forward(made), made.scratchpad_desc());
  primitive->input(DNNL_ARG_SRC, 0, made.src_desc());
  primitive->input(DNNL_ARG_WEIGHTS, 1, made.weights_desc());
  primitive->output(DNNL_ARG_DST, 0, made.dst_desc());

  KernelPlan plan;
  plan.inputs = {activation_layout(made.src_desc(), x_given),
                 weights_layout(made.weights_desc(), kernel_given, p.groups)};
  plan.outputs = {activation_layout(made.dst_desc(), y)};
  bind_epilogue(p.epilogue, 2, bias, y, *primitive, plan);
  if (rounds) {
    plan.at_rest = plan.inputs;
    plan.at_rest[0] = plan.at_rest[1] = Layout::plain();
  } else if (pairs) {
    plan.at_rest.assign(plan.inputs.size(), Layout::any());
  }
  if (order && pairs) {
    const Layout gradient = weights_layout(*order, kernel_given, p.groups);
    const Type variable{DType::float32, kernel.shape};
    plan.at_rest[1] = rounds ? gradient : weights_layout_for(gradient, kernel, variable).value_or(Layout::any());
  }
  plan.scratch_bytes = primitive->scratch_bytes();
  plan.kernel = std::move(primitive);
  return plan;
}

std::optional<KernelPlan> backward_data(const KernelRequest& request, DType factors) {
  const auto& p = request.node.attrs<ConvBackwardDataAttrs>();
  const Type dy = factor(request, 0, factors), kernel = factor(request, 1, factors), &dx = request.node.types()[0];
  const Type &dy_given = request.node.in(0).type(), &kernel_given = request.node.in(1).type();
  const bool rounds = dy != dy_given;
  const Geometry at(p.conv, dx.shape, kernel.shape);
  const Desc weights = free_weights(kernel, p.conv.groups);

  std::vector<Activations> choices;
  if (request.inputs[0].detail()) {
    const Desc order = channels_first(desc_of(request.inputs[0], dy_given));
    const auto operand = with_elements(order, dy);
    if (const auto result = in_order_of(order, dx); result && operand) choices.push_back({*result, *operand});
  } else {
    choices.push_back(plain_order(dx, dy));
  }
  choices.push_back(any_order(dx, dy));

  const auto made = first_optimised(choices, [&](const Activations& activations) {
    const Activations hint = rounds ? any_order({factors, dx.shape}, dy) : activations;
    const dnnl::convolution_backward_data::primitive_desc found(
        engine(), Algorithm::convolution_direct, activations.x, weights, activations.y, at.strides, at.dilations,
        at.before, at.after, forward_hint(hint, weights, at), attributes());
    return is_depthwise(p.conv, dx) ? without_padded_groups(found) : found;
  });
  if (rounds && !is_optimised(made)) return {};
  if (const auto shape =
          winograd_shape(p.conv, at, made.diff_src_desc(), order_of_kernel(request, p.conv.groups, made.weights_desc()),
                         made.diff_dst_desc(), WinogradTask::backward_data)) {
    if (rounds) return {};
    if (auto found = winograd_backward_data(*shape))
      return plan_of(std::move(found),
                     {activation_layout(shape->y, dy_given), weights_layout(shape->kernel, kernel_given, 1)},
                     {activation_layout(shape->x, dx)});
  }
  auto primitive = std::make_unique<PrimitiveKernel>(dnnl::convolution_backward_data(made), made.scratchpad_desc());
  primitive->input(DNNL_ARG_DIFF_DST, 0, made.diff_dst_desc());
  primitive->input(DNNL_ARG_WEIGHTS, 1, made.weights_desc());
  primitive->output(DNNL_ARG_DIFF_SRC, 0, made.diff_src_desc());
  KernelPlan plan = plan_of(std::move(primitive),
                            {activation_layout(made.diff_dst_desc(), dy_given),
                             weights_layout(made.weights_desc(), kernel_given, p.conv.groups)},
                            {activation_layout(made.diff_src_desc(), dx)});
  if (rounds) plan.at_rest = {Layout::plain(), Layout::plain()};
  return plan;
}

std::optional<KernelPlan> backward_weights(const KernelRequest& request, DType factors) {
  const auto& p = request.node.attrs<ConvBackwardWeightsAttrs>();
  const Type x = factor(request, 0, factors), dy = factor(request, 1, factors), &dkernel = request.node.types()[0];
  const Type &x_given = request.node.in(0).type(), &dy_given = request.node.in(1).type();
  const bool rounds = x != x_given;
  const Geometry at(p.conv, x.shape, p.shape);
  const Desc weights = free_weights({factors, dkernel.shape}, p.conv.groups),
             gradient = free_weights(dkernel, p.conv.groups);
  const Desc bias = p.bias ? plain_desc(request.node.types()[1]) : Desc();

  // Pictures are plain beside a blocked dy: there oneDNN chooses.
  std::vector<Activations> choices;
  if (static_cast<bool>(request.inputs[0].detail()) == static_cast<bool>(request.inputs[1].detail())) {
    const auto first = with_elements(channels_first(desc_of(request.inputs[0], x_given)), x),
               second = with_elements(channels_first(desc_of(request.inputs[1], dy_given)), dy);
    if (first && second) choices.push_back({*first, *second});
  }
  choices.push_back(any_order(x, dy));

  const auto made = first_optimised(choices, [&](const Activations& activations) {
    return dnnl::convolution_backward_weights::primitive_desc(
        engine(), Algorithm::convolution_direct, activations.x, gradient, bias, activations.y, at.strides, at.dilations,
        at.before, at.after, forward_hint(activations, weights, at), attributes());
  });
  if (rounds && !is_optimised(made)) return {};
  if (auto shape = winograd_shape(p.conv, at, made.src_desc(), made.diff_weights_desc(), made.diff_dst_desc(),
                                  WinogradTask::backward_weights)) {
    if (rounds) return {};
    if (p.bias) shape->bias = bias.get_data_type();
    if (auto found = winograd_backward_weights(*shape, p.bias)) {
      std::vector<Layout> outputs = {weights_layout(shape->kernel, dkernel, 1)};
      if (p.bias) outputs.push_back(Layout::plain());
      return plan_of(std::move(found), {activation_layout(shape->x, x_given), activation_layout(shape->y, dy_given)},
                     std::move(outputs));
    }
  }
  auto primitive = std::make_unique<PrimitiveKernel>(dnnl::convolution_backward_weights(made), made.scratchpad_desc());
  primitive->input(DNNL_ARG_SRC, 0, made.src_desc());
  primitive->input(DNNL_ARG_DIFF_DST, 1, made.diff_dst_desc());
  primitive->output(DNNL_ARG_DIFF_WEIGHTS, 0, made.diff_weights_desc());
  std::vector<Layout> outputs = {weights_layout(made.diff_weights_desc(), dkernel, p.conv.groups)};
  if (p.bias) {
    primitive->output(DNNL_ARG_DIFF_BIAS, 1, bias);
    outputs.push_back(Layout::plain());
  }
  KernelPlan plan =
      plan_of(std::move(primitive),
              {activation_layout(made.src_desc(), x_given), activation_layout(made.diff_dst_desc(), dy_given)},
              std::move(outputs));
  if (rounds) plan.at_rest = {Layout::plain(), Layout::plain()};
  return plan;
}

}  // namespace

KernelPlan conv(const KernelRequest& request) { return planned(request, forward); }
KernelPlan conv_backward_data(const KernelRequest& request) { return planned(request, backward_data); }
KernelPlan conv_backward_weights(const KernelRequest& request) { return planned(request, backward_weights); }

}  // namespace nacre::onednn
