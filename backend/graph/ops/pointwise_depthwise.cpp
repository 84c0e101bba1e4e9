#include "backend/graph/ops/pointwise_depthwise.h"

#include "backend/graph/grad.h"

namespace nacre {

namespace {

// The operands of the first convolution, and those of the second one but its first.
template <class Operands>
std::pair<Operands, Operands> split(const PointwiseDepthwiseAttrs& p, const Operands& in) {
  const auto middle = in.begin() + depthwise_operand(p);
  return {Operands(in.begin(), middle), Operands(middle, in.end())};
}

Types infer_pointwise_depthwise(const PointwiseDepthwiseAttrs& p, const Types& in) {
  ensure(!p.pointwise.epilogue.residual && !p.depthwise.epilogue.residual, "pointwise_depthwise with a residual");
  ensure(std::ssize(in) == depthwise_operand(p) + 1 + p.depthwise.epilogue.bias, "pointwise_depthwise of {} operands",
         in.size());
  auto [first, second] = split(p, in);
  second.insert(second.begin(), op::conv.infer(p.pointwise, first)[0]);
  return op::conv.infer(p.depthwise, second);
}

Gradients grad_pointwise_depthwise(const PointwiseDepthwiseAttrs&, const Node& node, const Cotangents& d) {
  return gradients_of_decomposition(node, d);
}

Values decompose_pointwise_depthwise(const PointwiseDepthwiseAttrs& p, const Node&, const Values& in) {
  auto [first, second] = split(p, in);
  Graph& graph = in[0].graph();
  second.insert(second.begin(), graph.add(op::conv, p.pointwise, std::move(first)).out());
  return {graph.add(op::conv, p.depthwise, std::move(second)).out()};
}

}  // namespace

Type pointwise_type(const Node& node) {
  const auto& p = node.attrs<PointwiseDepthwiseAttrs>();
  Types operands;
  for (int i = 0; i < depthwise_operand(p); ++i) operands.push_back(node.in(i).type());
  return op::conv.infer(p.pointwise, operands)[0];
}

namespace op {
constinit const OpDef<PointwiseDepthwiseAttrs> pointwise_depthwise{
    {.name = "pointwise_depthwise", .doc = "y = depthwise(pointwise(x)), two convolutions with what follows each"},
    infer_pointwise_depthwise,
    grad_pointwise_depthwise,
    decompose_pointwise_depthwise};
}  // namespace op

}  // namespace nacre
