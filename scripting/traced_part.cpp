#include "scripting/traced_part.h"

#include <algorithm>

#include "backend/graph/grad.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/passes/pipeline.h"

namespace nacre::scripting {

namespace {

const Type whole{DType::int64, {}};

}  // namespace

TracedPart::TracedPart(ComputingState& state)
    : state_(state),
      outer_(*state_.trace()),
      outer_running_(state_.running()),
      context_(graph_, outer_.context().training(), outer_.context().seed() ? graph_.input("seed", whole) : Value(),
               outer_.context().step() ? graph_.input("step", whole) : Value()),
      scope_(context_, &outer_) {
  if (context_.seed()) inputs_.emplace_back("seed", outer_.context().seed());
  if (context_.step()) inputs_.emplace_back("step", outer_.context().step());
}

Object TracedPart::open(const Call& call, const Object& operand) {
  opened_.push_back(operand);
  if (operand.kind == &class_of<Weight>()) return operand;
  const Value outside = traced_value(call, operand);
  std::string name = fmt::format("opened {}", opened_.size() - 1);
  const Value inside = graph_.input(name, outside.type());
  inputs_.emplace_back(std::move(name), outside);
  return make_object(Traced{inside, {}, running_});
}

std::vector<Structure> TracedPart::run(const Call& call, const Out& function, const std::vector<Out>& arguments) {
  const ComputingState::Tracing tracing(state_, scope_, running_);
  const int first = call.invoke(function, arguments);
  std::vector<Structure> results;
  for (int i = first; i <= lua_gettop(call.lua()); ++i) results.push_back(Structure::read(call, i));
  for (const Structure& result : results)
    result.each([&](const Object& tensor) {
      graph_.output(fmt::format("y{}", graph_.outputs().size()), traced_value(call, tensor));
    });
  for (const auto& [input, outside] : scope_.imported())
    inputs_.emplace_back(input.node().attrs<InputAttrs>().name, outside);
  for (const auto& [variable, value] : graph_.variables())
    variables_.emplace_back(variable, outer_.graph().latest(variable));
  return results;
}

Values TracedPart::place(const Graph& graph, const Values& wanted, const Values& cotangents) const {
  Rewriter rewriter(graph, outer_.graph());
  std::size_t next = 0;
  for (const auto& [name, input] : graph.inputs()) {
    const auto known =
        std::ranges::find(inputs_, name, [](const auto& entry) -> const std::string& { return entry.first; });
    rewriter.set(input, known == inputs_.end() ? cotangents.at(next++) : known->second);
  }
  for (const Node* node : graph.nodes()) {
    if (node->is(op::variable)) {
      const VariableRef& variable = node->attrs<VariableAttrs>().variable;
      const auto known = std::ranges::find(variables_, variable, [](const auto& entry) { return entry.first; });
      rewriter.set(node->out(), known == variables_.end() ? outer_.graph().latest(variable) : known->second);
    }
    rewriter.copy(*node);
  }
  return rewriter(wanted);
}

std::vector<Object> TracedPart::close() {
  const std::unique_ptr<Graph> ready = ready_for_gradients(graph_, state_.eager()->backend());
  Values wanted;
  for (const auto& [name, value] : ready->outputs()) wanted.push_back(value);
  for (const auto& [variable, value] : ready->updates()) wanted.push_back(value);
  const Values placed = place(*ready, wanted, {});
  const std::size_t results = ready->outputs().size();
  for (std::size_t i = results; i < placed.size(); ++i)
    outer_.graph().update(ready->updates()[i - results].variable, placed[i]);
  std::vector<Object> objects;
  for (std::size_t i = 0; i < results; ++i) objects.push_back(state_.traced(placed[i]));
  return objects;
}

std::vector<Object> TracedPart::gradients(const Call& call,
                                          const std::vector<std::optional<Object>>& cotangents) const {
  if (!*outer_running_ || state_.trace() != &outer_)
    throw Error("the gradients of a traced function are taken in the function around it").usage();
  const std::unique_ptr<Graph> joint = ready_for_gradients(graph_, state_.eager()->backend());
  Values outputs, slopes, given, wrt;
  for (std::size_t i = 0; i < cotangents.size(); ++i) {
    const Value output = joint->outputs().at(i).value;
    if (!cotangents[i]) continue;
    outputs.push_back(output);
    given.push_back(traced_value(call, *cotangents[i]));
    if (given.back().type() != output.type())
      throw Error("the gradient of a result {} is {}", output.type(), given.back().type()).usage();
    slopes.push_back(joint->input(fmt::format("cotangent {}", i), output.type()));
  }
  for (std::size_t i = 0; i < opened_.size(); ++i) {
    if (opened_[i].kind == &class_of<Weight>()) {
      wrt.push_back(joint->variable(std::static_pointer_cast<Weight>(opened_[i].value)->variable));
      continue;
    }
    const std::string name = fmt::format("opened {}", i);
    wrt.push_back(std::ranges::find(joint->inputs(), name, &Graph::NamedValue::name)->value);
  }
  const Values found = nacre::gradients(*joint, outputs, slopes, wrt);
  Values present;
  for (const Value slope : found)
    if (slope) present.push_back(slope);
  const Values placed = place(*joint, present, given);
  std::vector<Object> objects;
  auto next = placed.begin();
  for (std::size_t i = 0; i < found.size(); ++i)
    objects.push_back(state_.traced(found[i] ? *next++ : outer_.graph().constant(Tensor(wrt[i].type()))));
  return objects;
}

}  // namespace nacre::scripting
