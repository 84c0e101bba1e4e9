#include "backend/graph/ops/loop.h"

#include "backend/graph/ops/scan.h"

namespace nacre {
namespace {

bool fits(const Type& a, const Type& b) { return a.dtype == b.dtype && same(a.shape, b.shape); }

Types infer_loop(const LoopAttrs& p, const Types& in) {
  const auto carries = static_cast<std::size_t>(p.carries);
  ensure(carries > 0 && in.size() >= carries, "a loop with {} operands for {} carries", in.size(), carries);
  for (const Subgraph& graph : {p.condition, p.body}) {
    ensure(graph->inputs().size() == in.size(), "a loop with {} operands", in.size());
    ensure(graph->variables().empty() && graph->updates().empty(), "the graph of a loop with variables");
    for (std::size_t i = 0; i < in.size(); ++i) {
      const Type& wanted = graph->inputs()[i].value.type();
      need(fits(in[i], wanted), "got {} for a loop that takes {}", in[i], wanted);
    }
  }
  ensure(p.condition->outputs().size() == 1 && p.body->outputs().size() == carries,
         "a loop's graphs have {} and {} outputs", p.condition->outputs().size(), p.body->outputs().size());
  const Type& holds = p.condition->outputs()[0].value.type();
  need(holds == Type{DType::boolean, {}}, "got a condition {}, wanted a bool scalar", holds);
  for (std::size_t i = 0; i < carries; ++i) {
    const Type& type = p.body->outputs()[i].value.type();
    need(fits(type, in[i]), "a step turns {} into {}", in[i], type);
  }
  Types result(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(carries));
  result.push_back({DType::int32, {}});
  if (p.most_steps == unknown) return result;
  for (std::size_t i = 0; i < carries; ++i) result.push_back({in[i].dtype, Shape{p.most_steps} + in[i].shape});
  return result;
}

Gradients grad_loop(const LoopAttrs& p, const Node& node, const Cotangents& d) {
  if (p.most_steps == unknown)
    throw Error("a loop of any number of steps has no gradient")
        .hint("say how many steps it makes at most (maximum_iterations), or use a for loop")
        .usage();
  const auto carries = static_cast<std::size_t>(p.carries);
  Values arrived;
  for (std::size_t i = carries + 1; i < d.size(); ++i) arrived.push_back(node.out(static_cast<int>(i)));
  Cotangents of_steps = d;
  of_steps.erase(of_steps.begin() + static_cast<std::ptrdiff_t>(carries));  // the number of steps has none
  return gradients_of_steps({.body = *p.body,
                             .carries = carries,
                             .count = node.out(static_cast<int>(carries)),
                             .operands = node.inputs(),
                             .arrived = std::move(arrived),
                             .label = node.label()},
                            of_steps);
}

}  // namespace

namespace op {
constinit const OpDef<LoopAttrs> loop{
    {.name = "loop", .doc = "carries = body(carries, fixed) while condition(carries, fixed)"}, infer_loop, grad_loop};
}  // namespace op

ops::Looped ops::loop(const Values& carries, const Values& fixed, const LoopCondition& condition, const LoopBody& body,
                      std::int64_t most_steps) {
  ensure(!carries.empty(), "a loop without carries");
  Graph& around = carries[0].graph();
  const auto open = [&](Graph& graph, const char* kind, const Values& values) {
    Values inputs;
    for (Value value : values) inputs.push_back(graph.input(fmt::format("{}{}", kind, inputs.size()), value.type()));
    return inputs;
  };
  const auto test = std::make_shared<Graph>(around.label()), step = std::make_shared<Graph>(around.label());
  const Values carried = open(*test, "carry", carries), still = open(*test, "fixed", fixed);
  test->output("condition", condition(*test, carried, still));
  const Values arrived = open(*step, "carry", carries), constant = open(*step, "fixed", fixed);
  for (Value value : body(*step, arrived, constant))
    step->output(fmt::format("carry{}", step->outputs().size()), value);

  Values operands = carries;
  operands.insert(operands.end(), fixed.begin(), fixed.end());
  const Node& node =
      around.add(op::loop, {test, step, static_cast<std::int64_t>(carries.size()), most_steps}, std::move(operands));
  Looped looped;
  for (std::size_t i = 0; i < carries.size(); ++i) looped.carries.push_back(node.out(static_cast<int>(i)));
  looped.steps = node.out(static_cast<int>(carries.size()));
  return looped;
}

}  // namespace nacre
