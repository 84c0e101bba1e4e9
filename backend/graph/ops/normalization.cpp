#include "backend/graph/ops/normalization.h"

#include "backend/graph/grad.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"

namespace nacre {
namespace {

// Both kinds of normalisation differ in the axes alone: batch over all but the last, layer over the last.
enum class Over : std::uint8_t { batch, layer };

Shape statistics_shape(Over over, const Shape& x) {
  return over == Over::batch ? x.from(x.rank() - 1) : x.first(x.rank() - 1);
}

std::vector<std::int64_t> reduced_axes(Over over, const Shape& x) {
  std::vector<std::int64_t> axes;
  for (int axis = 0; axis < x.rank(); ++axis)
    if ((axis == x.rank() - 1) == (over == Over::layer)) axes.push_back(axis);
  return axes;
}

std::vector<std::int64_t> leading_axes(const Shape& x) { return reduced_axes(Over::batch, x); }

void check_operands(const Type& x, const Type& gamma) {
  need(x.shape.rank() >= 2, "got input {}, wanted rank 2 or more", x.shape);
  need(is_floating(x.dtype), "got input {}, wanted a floating type", x);
  need((gamma.dtype == x.dtype || gamma.dtype == DType::float32) && gamma.shape.rank() == 1,
       "got gamma {} for input {}", gamma, x);
  need(same(gamma.shape[0], x.shape[-1]), "got input {}, wanted {} channels", x.shape, gamma.shape[0]);
}

Types infer_normalized(Over over, const Types& in) {
  ensure(in.size() >= 3, "a normalisation with {} operands", in.size());
  const Type &x = in[0], &gamma = in[1], &beta = in[2];
  check_operands(x, gamma);
  need(beta.dtype == gamma.dtype && same(beta.shape, gamma.shape), "got gamma {} and beta {}", gamma, beta);
  const Type statistics = {gamma.dtype, statistics_shape(over, x.shape)};
  return {x, statistics, statistics};
}

Types infer_slopes(Over over, const Types& in) {
  ensure(in.size() >= 5, "the gradient of a normalisation with {} operands", in.size());
  const Type &x = in[0], &gamma = in[1], &mean = in[2], &variance = in[3], &dy = in[4];
  check_operands(x, gamma);
  const Shape statistics = statistics_shape(over, x.shape);
  for (const Type& type : {mean, variance})
    need(type.dtype == gamma.dtype && same(type.shape, statistics), "got {}, wanted {}", type,
         Type{gamma.dtype, statistics});
  need(dy.dtype == x.dtype && same(dy.shape, x.shape), "got {} for input {}", dy, x);
  return {x, gamma, gamma};
}

Types infer_layer_norm(const EpsilonAttrs&, const Types& in) {
  ensure(in.size() == 3, "a layer normalisation with {} operands", in.size());
  return infer_normalized(Over::layer, in);
}
Types infer_layer_norm_backward(const EpsilonAttrs&, const Types& in) {
  ensure(in.size() == 5, "the gradient of a layer normalisation with {} operands", in.size());
  return infer_slopes(Over::layer, in);
}

bool has_activation(const BatchNormAttrs& p) { return p.epilogue.activation != EpilogueKind::none; }

Types infer_batch_norm(const BatchNormAttrs& p, const Types& in) {
  ensure(!p.epilogue.bias, "a batch normalisation with a second bias");
  ensure(!has_activation(p) || p.epilogue.activation == EpilogueKind::relu ||
             (p.epilogue.activation == EpilogueKind::clip && !p.epilogue.residual),
         "a batch normalisation with an activation that has no gradient here");
  const Types result = infer_normalized(Over::batch, in);
  check_epilogue(p.epilogue, in, 3, result[0]);
  return result;
}
Types infer_batch_norm_backward(const BatchNormAttrs& p, const Types& in) {
  Types result = infer_slopes(Over::batch, in);
  ensure(in.size() == (has_activation(p) ? 6u : 5u), "the gradient of a batch normalisation with {} operands", in.size());
  if (!has_activation(p)) return result;
  const Type& wanted = p.epilogue.residual ? in[0] : in[1];
  ensure(in[5].dtype == wanted.dtype && same(in[5].shape, wanted.shape), "got {}, wanted {}", in[5], wanted);
  if (p.epilogue.residual) result.push_back(in[0]);
  return result;
}

// The statistics with the axes that they were reduced over, to broadcast against x.
Value beside(Over over, Value statistics) {
  return over == Over::layer ? ops::expand_dims(statistics, statistics.shape().rank()) : statistics;
}

// y in gamma's precision, mean, variance.
Values decomposed(Over over, double epsilon, const Values& in) {
  const Value x = ops::cast(in[0], in[1].dtype()), gamma = in[1], beta = in[2];
  const auto axes = reduced_axes(over, x.shape());
  const Value mean = ops::mean(x, axes);
  const Value centred = x - beside(over, mean);
  const Value variance = ops::mean(ops::square(centred), axes);
  return {centred * (beside(over, ops::rsqrt(variance + epsilon)) * gamma) + beta, mean, variance};
}
Values decompose_layer_norm(const EpsilonAttrs& p, const Node&, const Values& in) {
  Values result = decomposed(Over::layer, p.epsilon, in);
  result[0] = ops::cast(result[0], in[0].dtype());
  return result;
}
Values decompose_batch_norm(const BatchNormAttrs& p, const Node&, const Values& in) {
  Values result = decomposed(Over::batch, p.epsilon, in);
  Value& y = result[0];
  if (p.epilogue.residual) y = y + ops::cast(in[3], y.dtype());
  if (p.epilogue.activation == EpilogueKind::relu) y = ops::relu(y);
  if (p.epilogue.activation == EpilogueKind::clip) y = ops::clip(y, p.epilogue.alpha, p.epilogue.beta);
  y = ops::cast(y, in[0].dtype());
  return result;
}

// With x̂ = (x - mean) / √(variance + ε) and h = γ dy:
// dx = (h - mean(h) - x̂ mean(h x̂)) / √(variance + ε), dγ = Σ dy x̂, dβ = Σ dy.
// Source: Ioffe and Szegedy, "Batch Normalization" (2015), section 3.
Values decomposed_backward(Over over, double epsilon, const Values& in, Value dy) {
  const Value gamma = in[1], x = ops::cast(in[0], gamma.dtype());
  const auto axes = reduced_axes(over, x.shape());
  const Value scale = beside(over, ops::rsqrt(in[3] + epsilon));
  const Value normal = (x - beside(over, in[2])) * scale;
  const Value h = dy * gamma;
  const Value dx = (h - ops::mean(h, axes, true) - normal * ops::mean(h * normal, axes, true)) * scale;
  return {ops::cast(dx, in[0].dtype()), ops::sum(dy * normal, leading_axes(x.shape())),
          ops::sum(dy, leading_axes(x.shape()))};
}
Values decompose_layer_norm_backward(const EpsilonAttrs& p, const Node&, const Values& in) {
  return decomposed_backward(Over::layer, p.epsilon, in, ops::cast(in[4], in[1].dtype()));
}
Values decompose_batch_norm_backward(const BatchNormAttrs& p, const Node&, const Values& in) {
  Value dy = ops::cast(in[4], in[1].dtype());
  const Value zero = ops::scalar_like(dy, 0);
  if (has_activation(p) && p.epilogue.residual) {
    dy = ops::select(ops::greater(ops::cast(in[5], dy.dtype()), zero), dy, zero);
  } else if (has_activation(p)) {
    const Value centred = ops::cast(in[0], dy.dtype()) - in[2];
    const Value y = centred * (ops::rsqrt(in[3] + p.epsilon) * in[1]) + in[5];
    const Value passes = p.epilogue.activation == EpilogueKind::relu
                             ? ops::greater(y, zero)
                             : ops::logical_and(ops::greater_equal(y, ops::scalar_like(y, p.epilogue.alpha)),
                                                ops::less_equal(y, ops::scalar_like(y, p.epilogue.beta)));
    dy = ops::select(passes, dy, zero);
  }
  Values result = decomposed_backward(Over::batch, p.epsilon, in, dy);
  if (has_activation(p) && p.epilogue.residual) result.push_back(ops::cast(dy, in[0].dtype()));
  return result;
}

// ∂mean/∂x = 1/n and ∂variance/∂x = 2 (x - mean)/n over the n elements of each statistic.
Value through_statistics(Over over, const Node& node, Value dmean, Value dvariance) {
  const Value x = ops::cast(node.in(0), node.in(1).dtype());
  Value dx;
  if (dmean) dx = ops::broadcast_like(beside(over, dmean), x);
  if (dvariance) {
    const Value part = 2.0 * (x - beside(over, node.out(1))) * beside(over, dvariance);
    dx = dx ? dx + part : part;
  }
  const Value count = ops::sum(ops::fill_like(x, 1.0), reduced_axes(over, x.shape()), true);
  return ops::cast(dx / count, node.in(0).dtype());
}

void add_through_statistics(Over over, const Node& node, const Cotangents& d, Gradients& result) {
  if (!d[1] && !d[2]) return;
  const Value dx = through_statistics(over, node, d[1], d[2]);
  result[0] = result[0] ? result[0] + dx : dx;
}

Gradients grad_batch_norm(const BatchNormAttrs& p, const Node& node, const Cotangents& d) {
  Gradients result(node.inputs().size());
  if (d[0]) {
    Values operands{node.in(0), node.in(1), node.out(1), node.out(2), d[0]};
    if (has_activation(p)) operands.push_back(p.epilogue.residual ? node.out(0) : node.in(2));
    const Node& found = node.graph().add(op::batch_norm_backward, p, operands);
    for (int i = 0; i < 3; ++i) result[static_cast<std::size_t>(i)] = found.out(i);
    if (p.epilogue.residual) result[3] = has_activation(p) ? found.out(3) : d[0];
  }
  add_through_statistics(Over::batch, node, d, result);
  return result;
}

Gradients grad_layer_norm(const EpsilonAttrs& p, const Node& node, const Cotangents& d) {
  Gradients result(3);
  if (d[0]) {
    const Node& found =
        node.graph().add(op::layer_norm_backward, p, {node.in(0), node.in(1), node.out(1), node.out(2), d[0]});
    result = {found.out(0), found.out(1), found.out(2)};
  }
  add_through_statistics(Over::layer, node, d, result);
  return result;
}

template <class Attrs>
Gradients grad_backward(const Attrs&, const Node& node, const Cotangents& d) {
  return gradients_of_decomposition(node, d);
}

}  // namespace

namespace op {
constinit const OpDef<BatchNormAttrs> batch_norm{
    {.name = "batch_norm", .doc = "y = γ (x - mean) / √(variance + ε) + β, statistics over all axes but the last"},
    infer_batch_norm,
    grad_batch_norm,
    decompose_batch_norm};
constinit const OpDef<BatchNormAttrs> batch_norm_backward{
    {.name = "batch_norm_backward", .doc = "the gradients of batch_norm, through its statistics"},
    infer_batch_norm_backward,
    grad_backward<BatchNormAttrs>,
    decompose_batch_norm_backward};
constinit const OpDef<EpsilonAttrs> layer_norm{
    {.name = "layer_norm", .doc = "y = γ (x - mean) / √(variance + ε) + β, statistics over the last axis"},
    infer_layer_norm,
    grad_layer_norm,
    decompose_layer_norm};
constinit const OpDef<EpsilonAttrs> layer_norm_backward{
    {.name = "layer_norm_backward", .doc = "the gradients of layer_norm, through its statistics"},
    infer_layer_norm_backward,
    grad_backward<EpsilonAttrs>,
    decompose_layer_norm_backward};
}  // namespace op

namespace ops {

Normalized batch_norm(Value x, Value gamma, Value beta, double epsilon) {
  const Node& node = x.graph().add(op::batch_norm, {.epsilon = epsilon, .epilogue = {}}, {x, gamma, beta});
  return {node.out(0), node.out(1), node.out(2)};
}

Normalized layer_norm(Value x, Value gamma, Value beta, double epsilon) {
  const Node& node = x.graph().add(op::layer_norm, {epsilon}, {x, gamma, beta});
  return {node.out(0), node.out(1), node.out(2)};
}

}  // namespace ops

}  // namespace nacre
