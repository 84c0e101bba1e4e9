#include "backend/graph/ops/softmax.h"

#include "backend/graph/grad.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/reduce.h"

namespace nacre {

namespace {

Types infer_softmax(const AxisAttrs& p, const Types& in) {
  need(is_floating(in[0].dtype), "needs a floating dtype, got {}", in[0]);
  in[0].shape.checked(static_cast<int>(p.axis));
  return {in[0]};
}
Types infer_softmax_backward(const AxisAttrs& p, const Types& in) {
  need(in[0].dtype == in[1].dtype && same(in[0].shape, in[1].shape), "got y {} and dy {}", in[0], in[1]);
  return infer_softmax(p, in);
}

template <auto& backward>
Gradients grad_softmax(const AxisAttrs& p, const Node& n, const Cotangents& d) {
  return {n.graph().add(backward, p, {n.out(), d[0]}).out()};
}
Gradients grad_backward(const AxisAttrs&, const Node& n, const Cotangents& d) { return gradients_of_decomposition(n, d); }

// Softmax does not change when a constant is subtracted; the largest x keeps the exponentials in range.
Value shifted(Value x, std::int64_t axis) { return x - ops::stop_gradient(ops::max(x, {axis}, true)); }

Values decompose_softmax(const AxisAttrs& p, const Node&, const Values& in) {
  const Value e = ops::exp(shifted(in[0], p.axis));
  return {e / ops::sum(e, {p.axis}, true)};
}
Values decompose_log_softmax(const AxisAttrs& p, const Node&, const Values& in) {
  const Value x = shifted(in[0], p.axis);
  return {x - ops::log(ops::sum(ops::exp(x), {p.axis}, true))};
}
Values decompose_softmax_backward(const AxisAttrs& p, const Node&, const Values& in) {
  const Value y = in[0], dy = in[1];
  return {y * (dy - ops::sum(dy * y, {p.axis}, true))};
}
Values decompose_log_softmax_backward(const AxisAttrs& p, const Node&, const Values& in) {
  const Value y = in[0], dy = in[1];
  return {dy - ops::exp(y) * ops::sum(dy, {p.axis}, true)};
}

}  // namespace

namespace op {

constinit const OpDef<AxisAttrs> softmax{
    {.name = "softmax", .doc = "y = exp(x) / Σ exp(x)"}, infer_softmax, grad_softmax<softmax_backward>, decompose_softmax};
constinit const OpDef<AxisAttrs> log_softmax{{.name = "log_softmax", .doc = "y = x - ln Σ exp(x)"}, infer_softmax,
                                             grad_softmax<log_softmax_backward>, decompose_log_softmax};
constinit const OpDef<AxisAttrs> softmax_backward{
    {.name = "softmax_backward", .doc = "dx = y (dy - Σ dy·y)"}, infer_softmax_backward, grad_backward, decompose_softmax_backward};
constinit const OpDef<AxisAttrs> log_softmax_backward{{.name = "log_softmax_backward", .doc = "dx = dy - exp(y) Σ dy"},
                                                      infer_softmax_backward, grad_backward, decompose_log_softmax_backward};

}  // namespace op

Value ops::softmax(Value x, int axis) {
  return x.graph().add(op::softmax, AxisAttrs{x.shape().checked(axis)}, {x}).out();
}
Value ops::log_softmax(Value x, int axis) {
  return x.graph().add(op::log_softmax, AxisAttrs{x.shape().checked(axis)}, {x}).out();
}

}  // namespace nacre
