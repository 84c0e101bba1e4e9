#include "backend/graph/ops/branch.h"

#include "backend/graph/grad.h"
#include "backend/graph/ops/elementwise.h"

namespace nacre {
namespace {

bool fits(const Type& a, const Type& b) { return a.dtype == b.dtype && same(a.shape, b.shape); }

Types infer_branch(const BranchAttrs& p, const Types& in) {
  need(in[0].dtype == DType::int32 && in[0].shape.rank() == 0, "got a choice {}, wanted an int32 scalar", in[0]);
  ensure(!p.bodies.empty(), "a branch without bodies");
  Types results;
  for (const Subgraph& body : p.bodies) {
    ensure(body->inputs().size() + 1 == in.size(), "a branch with {} operands", in.size());
    ensure(body->variables().empty() && body->updates().empty(), "a branch body with variables");
    for (std::size_t i = 1; i < in.size(); ++i) {
      const Type& wanted = body->inputs()[i - 1].value.type();
      need(fits(in[i], wanted), "got {} for a branch that takes {}", in[i], wanted);
    }
    Types types;
    for (const auto& [name, value] : body->outputs()) types.push_back(value.type());
    if (results.empty()) results = types;
    need(types.size() == results.size(), "one branch gives {} results, another {}", results.size(), types.size());
    for (std::size_t i = 0; i < types.size(); ++i)
      need(fits(types[i], results[i]), "one branch gives {}, another {}", results[i], types[i]);
  }
  return results;
}

Gradients grad_branch(const BranchAttrs& p, const Node& node, const Cotangents& d) {
  const Values& in = node.inputs();
  const Values operands(in.begin() + 1, in.end());
  Types types;
  for (Value value : operands) types.push_back(value.type());
  std::vector<bool> present;
  Values walked = operands;  // the operands, then the cotangents that there are
  for (Value value : d) {
    present.push_back(static_cast<bool>(value));
    if (value) walked.push_back(value);
  }
  std::vector<std::shared_ptr<const Pullback>> pullbacks;
  std::vector<bool> reached(operands.size());  // by the gradient of any body
  for (const Subgraph& body : p.bodies) {
    pullbacks.push_back(std::make_shared<const Pullback>(
        types, node.label(), present,
        [&](Graph& graph, const Values& inputs) { return inline_graph(*body, graph, inputs); }));
    for (std::size_t i = 0; i < operands.size(); ++i) reached[i] = reached[i] || pullbacks.back()->reaches(i);
  }
  std::vector<ops::BranchBody> bodies;
  for (const auto& pullback : pullbacks)
    bodies.push_back([&](Graph& graph, const Values& inputs) {
      const auto cotangents = inputs.begin() + static_cast<std::ptrdiff_t>(operands.size());
      const Gradients found = (*pullback)(graph, {inputs.begin(), cotangents}, {cotangents, inputs.end()});
      Values results;
      for (std::size_t i = 0; i < operands.size(); ++i)
        if (reached[i]) results.push_back(found[i] ? found[i] : ops::fill_like(inputs[i], 0.0));
      return results;
    });
  const Values found = ops::branch(in[0], walked, bodies);
  Gradients result(in.size());
  std::size_t next = 0;
  for (std::size_t i = 0; i < operands.size(); ++i)
    if (reached[i]) result[i + 1] = found[next++];
  return result;
}

}  // namespace

namespace op {
constinit const OpDef<BranchAttrs> branch{
    {.name = "branch", .doc = "bodies[choice](operands)"}, infer_branch, grad_branch};
}  // namespace op

Values ops::branch(Value choice, const Values& operands, const std::vector<BranchBody>& bodies) {
  BranchAttrs attrs;
  for (const BranchBody& body : bodies) {
    auto graph = std::make_shared<Graph>(choice.graph().label());
    Values inputs;
    for (Value operand : operands) inputs.push_back(graph->input(fmt::format("in{}", inputs.size()), operand.type()));
    const Values results = body(*graph, inputs);
    for (std::size_t i = 0; i < results.size(); ++i) graph->output(fmt::format("out{}", i), results[i]);
    attrs.bodies.push_back(std::move(graph));
  }
  Values all = {choice};
  all.insert(all.end(), operands.begin(), operands.end());
  const Node& node = choice.graph().add(op::branch, std::move(attrs), std::move(all));
  Values results;
  for (int i = 0; i < static_cast<int>(node.types().size()); ++i) results.push_back(node.out(i));
  return results;
}

}  // namespace nacre
