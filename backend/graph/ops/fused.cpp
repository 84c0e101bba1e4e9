#include "backend/graph/ops/fused.h"

namespace nacre {

namespace {

Types infer_fused(const FusedAttrs& p, const Types& in) {
  const auto& operands = p.body->inputs();
  ensure(in.size() == operands.size(), "a fused group of {} operands got {}", operands.size(), in.size());
  for (std::size_t i = 0; i < in.size(); ++i)
    ensure(in[i] == operands[i].value.type(), "operand {} of a fused group is {}, got {}", i, operands[i].value.type(),
           in[i]);
  Types types;
  for (const auto& [name, value] : p.body->outputs()) types.push_back(value.type());
  return types;
}

Values decompose_fused(const FusedAttrs& p, const Node&, const Values& in) {
  return inline_graph(*p.body, in.at(0).graph(), in);
}

}  // namespace

namespace op {
constinit const OpDef<FusedAttrs> fused{
    {.name = "fused", .doc = "a group of element-wise ops in one loop"}, infer_fused, nullptr, decompose_fused};
}

Subgraph group_of(const Node& node) {
  auto body = std::make_shared<Graph>();
  Values operands;
  for (Value value : node.inputs()) {
    const Value operand = body->input(std::to_string(operands.size()), value.type());
    const bool number = value.is(op::constant) && value.shape().elements() == 1;
    operands.push_back(number ? body->constant(value.node().attrs<ConstantAttrs>().value) : operand);
  }
  body->output("0", body->copy(node, std::move(operands)).out());
  return body;
}

}  // namespace nacre
