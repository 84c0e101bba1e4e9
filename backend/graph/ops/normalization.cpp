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

template <Over over>
Types infer_forward(const EpsilonAttrs&, const Types& in) {
  ensure(in.size() == 3, "a normalisation with {} operands", in.size());
  const Type &x = in[0], &gamma = in[1], &beta = in[2];
  check_operands(x, gamma);
  need(beta.dtype == gamma.dtype && same(beta.shape, gamma.shape), "got gamma {} and beta {}", gamma, beta);
  const Type statistics = {gamma.dtype, statistics_shape(over, x.shape)};
  return {x, statistics, statistics};
}

template <Over over>
Types infer_backward(const EpsilonAttrs&, const Types& in) {
  ensure(in.size() == 5, "the gradient of a normalisation with {} operands", in.size());
  const Type &x = in[0], &gamma = in[1], &mean = in[2], &variance = in[3], &dy = in[4];
  check_operands(x, gamma);
  const Shape statistics = statistics_shape(over, x.shape);
  for (const Type& type : {mean, variance})
    need(type.dtype == gamma.dtype && same(type.shape, statistics), "got {}, wanted {}", type,
         Type{gamma.dtype, statistics});
  need(dy.dtype == x.dtype && same(dy.shape, x.shape), "got {} for input {}", dy, x);
  return {x, gamma, gamma};
}

// The statistics with the axes that they were reduced over, to broadcast against x.
Value beside(Over over, Value statistics) {
  return over == Over::layer ? ops::expand_dims(statistics, statistics.shape().rank()) : statistics;
}

template <Over over>
Values decompose_forward(const EpsilonAttrs& p, const Node&, const Values& in) {
  const Value x = ops::cast(in[0], in[1].dtype()), gamma = in[1], beta = in[2];
  const auto axes = reduced_axes(over, x.shape());
  const Value mean = ops::mean(x, axes);
  const Value centred = x - beside(over, mean);
  const Value variance = ops::mean(ops::square(centred), axes);
  const Value y = centred * (beside(over, ops::rsqrt(variance + p.epsilon)) * gamma) + beta;
  return {ops::cast(y, in[0].dtype()), mean, variance};
}

// With x̂ = (x - mean) / √(variance + ε) and h = γ dy:
// dx = (h - mean(h) - x̂ mean(h x̂)) / √(variance + ε), dγ = Σ dy x̂, dβ = Σ dy.
// Source: Ioffe and Szegedy, "Batch Normalization" (2015), section 3.
template <Over over>
Values decompose_backward(const EpsilonAttrs& p, const Node&, const Values& in) {
  const Value gamma = in[1], x = ops::cast(in[0], gamma.dtype()), dy = ops::cast(in[4], gamma.dtype());
  const auto axes = reduced_axes(over, x.shape());
  const Value scale = beside(over, ops::rsqrt(in[3] + p.epsilon));
  const Value normal = (x - beside(over, in[2])) * scale;
  const Value h = dy * gamma;
  const Value dx = (h - ops::mean(h, axes, true) - normal * ops::mean(h * normal, axes, true)) * scale;
  return {ops::cast(dx, in[0].dtype()), ops::sum(dy * normal, leading_axes(x.shape())),
          ops::sum(dy, leading_axes(x.shape()))};
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

Gradients grad_forward(Over over, const OpDef<EpsilonAttrs>& backward, const EpsilonAttrs& p, const Node& node,
                       const Cotangents& d) {
  Gradients result(3);
  if (d[0]) {
    const Node& found = node.graph().add(backward, p, {node.in(0), node.in(1), node.out(1), node.out(2), d[0]});
    result = {found.out(0), found.out(1), found.out(2)};
  }
  if (d[1] || d[2]) {
    const Value dx = through_statistics(over, node, d[1], d[2]);
    result[0] = result[0] ? result[0] + dx : dx;
  }
  return result;
}

Gradients grad_batch_norm(const EpsilonAttrs& p, const Node& node, const Cotangents& d) {
  return grad_forward(Over::batch, op::batch_norm_backward, p, node, d);
}

Gradients grad_layer_norm(const EpsilonAttrs& p, const Node& node, const Cotangents& d) {
  return grad_forward(Over::layer, op::layer_norm_backward, p, node, d);
}

Gradients grad_backward(const EpsilonAttrs&, const Node& node, const Cotangents& d) {
  return gradients_of_decomposition(node, d);
}

}  // namespace

namespace op {
constinit const OpDef<EpsilonAttrs> batch_norm{
    {.name = "batch_norm", .doc = "y = γ (x - mean) / √(variance + ε) + β, statistics over all axes but the last"},
    infer_forward<Over::batch>,
    grad_batch_norm,
    decompose_forward<Over::batch>};
constinit const OpDef<EpsilonAttrs> batch_norm_backward{
    {.name = "batch_norm_backward", .doc = "the gradients of batch_norm, through its statistics"},
    infer_backward<Over::batch>,
    grad_backward,
    decompose_backward<Over::batch>};
constinit const OpDef<EpsilonAttrs> layer_norm{
    {.name = "layer_norm", .doc = "y = γ (x - mean) / √(variance + ε) + β, statistics over the last axis"},
    infer_forward<Over::layer>,
    grad_layer_norm,
    decompose_forward<Over::layer>};
constinit const OpDef<EpsilonAttrs> layer_norm_backward{
    {.name = "layer_norm_backward", .doc = "the gradients of layer_norm, through its statistics"},
    infer_backward<Over::layer>,
    grad_backward,
    decompose_backward<Over::layer>};
}  // namespace op

namespace ops {

Normalized batch_norm(Value x, Value gamma, Value beta, double epsilon) {
  const Node& node = x.graph().add(op::batch_norm, {epsilon}, {x, gamma, beta});
  return {node.out(0), node.out(1), node.out(2)};
}

Normalized layer_norm(Value x, Value gamma, Value beta, double epsilon) {
  const Node& node = x.graph().add(op::layer_norm, {epsilon}, {x, gamma, beta});
  return {node.out(0), node.out(1), node.out(2)};
}

}  // namespace ops

}  // namespace nacre
