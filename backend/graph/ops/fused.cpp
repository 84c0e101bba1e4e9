#include "backend/graph/ops/fused.h"

#include <utility>

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

Types infer_fused_groups(const FusedGroupsAttrs& p, const Types& in) {
  Types types;
  std::size_t first = 0;
  for (const Subgraph& body : p.bodies) {
    const std::size_t count = body->inputs().size();
    ensure(first + count <= in.size(), "fused groups got {} operands", in.size());
    const auto begin = in.begin() + static_cast<std::ptrdiff_t>(first);
    const Types results = infer_fused({body}, Types(begin, begin + static_cast<std::ptrdiff_t>(count)));
    types.insert(types.end(), results.begin(), results.end());
    first += count;
  }
  ensure(first == in.size(), "fused groups of {} operands got {}", first, in.size());
  return types;
}

Values decompose_fused_groups(const FusedGroupsAttrs& p, const Node&, const Values& in) {
  Values results;
  auto next = in.begin();
  for (const Subgraph& body : p.bodies) {
    const auto first = std::exchange(next, next + static_cast<std::ptrdiff_t>(body->inputs().size()));
    const Values own = inline_graph(*body, in.at(0).graph(), Values(first, next));
    results.insert(results.end(), own.begin(), own.end());
  }
  return results;
}

}  // namespace

namespace op {
constinit const OpDef<FusedAttrs> fused{
    {.name = "fused", .doc = "a group of element-wise ops in one loop"}, infer_fused, nullptr, decompose_fused};
constinit const OpDef<FusedGroupsAttrs> fused_groups{
    {.name = "fused_groups", .doc = "groups of element-wise ops that do not need each other"},
    infer_fused_groups,
    nullptr,
    decompose_fused_groups};
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
