#include "scripting/functions/traced_part.h"

#include <algorithm>

#include "backend/graph/grad.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/passes/pipeline.h"

namespace nacre::scripting {

namespace {

Value input_named(const Graph& graph, const std::string& name) {
  return std::ranges::find(graph.inputs(), name, &Graph::NamedValue::name)->value;
}

}  // namespace

TracedPart::TracedPart(ComputingState& state)
    : state_(state), outer_(*state_.trace()), outer_running_(state_.running()), function_(state) {}

Object TracedPart::open(const Call& call, const Object& operand) {
  if (operand.kind == &class_of<Weight>()) {
    opened_.push_back({std::static_pointer_cast<Weight>(operand.value)->variable});
    return operand;
  }
  const Value outside = traced_value(call, operand);
  Object inside = function_.open(outside.type(), traced_mask(call, operand));
  opened_.push_back({nullptr, function_.opened().back(), outside});
  return inside;
}

std::vector<Structure> TracedPart::run(const Call& call, const Out& function, const std::vector<Out>& arguments) {
  std::vector<Structure> results = function_.run(call, function, arguments);
  outer_.note_optimizers_of(function_.scope());
  function_.output_masks();
  ready_ = ready_for_gradients(function_.graph(), state_.eager()->backend_of(function_.graph()));
  return results;
}

Values TracedPart::place(const Graph& graph, const Values& wanted, const Values& cotangents) const {
  Rewriter rewriter(graph, outer_.graph());
  for (const Opened& opened : opened_)
    if (!opened.weight) rewriter.set(input_named(graph, opened.name), opened.outside);
  for (const auto& [name, outside] : function_.taken()) rewriter.set(input_named(graph, name), outside);
  for (std::size_t i = 0; i < cotangents.size(); ++i)
    rewriter.set(graph.inputs()[graph.inputs().size() - cotangents.size() + i].value, cotangents[i]);
  for (const Node* node : graph.nodes()) {
    if (node->is(op::input)) continue;
    if (node->is(op::variable)) {
      const VariableRef& variable = node->attrs<VariableAttrs>().variable;
      const auto known =
          std::ranges::find(function_.variables(), variable, [](const auto& entry) { return entry.first; });
      rewriter.set(node->out(), known == function_.variables().end() ? outer_.graph().latest(variable) : known->second);
    }
    rewriter.copy(*node);
  }
  return rewriter(wanted);
}

std::vector<Object> TracedPart::close() {
  Values wanted;
  for (const auto& [name, value] : ready_->outputs()) wanted.push_back(value);
  for (const auto& [variable, value] : ready_->updates()) wanted.push_back(value);
  const Values placed = place(*ready_, wanted, {});
  const std::size_t outputs = ready_->outputs().size();
  for (std::size_t i = outputs; i < placed.size(); ++i)
    outer_.graph().update(ready_->updates()[i - outputs].variable, placed[i]);
  std::vector<Object> objects;
  auto mask = placed.begin() + static_cast<std::ptrdiff_t>(function_.masks().size());
  for (std::size_t i = 0; i < function_.masks().size(); ++i)
    objects.push_back(state_.traced(placed[i], function_.masks()[i] ? *mask++ : Value()));
  return objects;
}

std::vector<Object> TracedPart::gradients(const Call& call,
                                          const std::vector<std::optional<Object>>& cotangents) const {
  if (!*outer_running_ || state_.trace() != &outer_)
    throw Error("the gradients of a traced function are taken in the function around it").usage();
  // A copy, so that what it has in common with the results is computed once.
  const std::unique_ptr<Graph> joint = rewrite(*ready_, [](const Node&, Rewriter&) { return false; });
  Values outputs, slopes, given, wrt;
  for (std::size_t i = 0; i < cotangents.size(); ++i) {
    const Value output = joint->outputs().at(i).value;
    if (!cotangents[i]) continue;
    outputs.push_back(output);
    given.push_back(traced_value(call, *cotangents[i]));
    slopes.push_back(joint->input(fmt::format("cotangent {}", i), output.type()));
  }
  for (const Opened& opened : opened_)
    wrt.push_back(opened.weight ? joint->variable(opened.weight) : input_named(*joint, opened.name));
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
