#include "backend/graph/grad.h"

#include "backend/graph/ops/ops.h"

namespace nacre {

Values gradients(Graph& graph, std::span<const Value> outputs, std::span<const Value> cotangents, std::span<const Value> wrt) {
  const std::vector<const Node*> nodes = graph.nodes();  // those of the forward walk; rules append after them

  std::vector<char> relevant(nodes.size(), 0);  // depends on one of `wrt`
  for (Value value : wrt) relevant[static_cast<std::size_t>(value.node().id())] = 1;
  for (const Node* node : nodes)
    for (Value in : node->inputs())
      if (relevant[static_cast<std::size_t>(in.node().id())]) relevant[static_cast<std::size_t>(node->id())] = 1;

  std::vector<Cotangents> sums(nodes.size());
  auto add = [&](Value to, Value gradient) {
    ensure(same(gradient.shape(), to.shape()), "the gradient of {} is {}", to.type(), gradient.type());
    Cotangents& outputs_of = sums[static_cast<std::size_t>(to.node().id())];
    outputs_of.resize(to.node().types().size());
    Value& sum = outputs_of[static_cast<std::size_t>(to.index())];
    sum = sum ? sum + gradient : gradient;
  };
  for (std::size_t i = 0; i < outputs.size(); ++i)
    add(outputs[i], i < cotangents.size() && cotangents[i] ? cotangents[i] : ops::fill_like(outputs[i], 1.0));

  for (auto it = nodes.rbegin(); it != nodes.rend(); ++it) {
    const Node& node = **it;
    const Cotangents& cotangent = sums[static_cast<std::size_t>(node.id())];
    if (cotangent.empty() || !relevant[static_cast<std::size_t>(node.id())] || !node.op().grad_erased) continue;
    bool wanted = false;
    for (Value in : node.inputs()) wanted = wanted || relevant[static_cast<std::size_t>(in.node().id())];
    if (!wanted) continue;
    const Graph::Label label(graph, node.label());
    const Gradients found = node.op().grad_erased(node.op(), node.attributes(), node, cotangent);
    ensure(found.size() == node.inputs().size(), "the gradient rule of '{}' gave {} values for {} inputs", node.op().name,
           found.size(), node.inputs().size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      const Value in = node.inputs()[i];
      if (found[i] && relevant[static_cast<std::size_t>(in.node().id())] && is_floating(in.dtype())) add(in, found[i]);
    }
  }

  Values result;
  for (Value value : wrt) {
    const Cotangents& sum = sums[static_cast<std::size_t>(value.node().id())];
    result.push_back(sum.empty() ? Value() : sum[static_cast<std::size_t>(value.index())]);
  }
  return result;
}

Values gradients(Value loss, std::span<const Value> wrt) { return gradients(loss.graph(), {&loss, 1}, {}, wrt); }

Values Pullback::open(const Types& inputs) {
  Values values;
  for (const Type& type : inputs) values.push_back(graph_->input(fmt::format("in{}", values.size()), type));
  return values;
}

void Pullback::differentiate(const Values& inputs, const Values& outputs, const std::vector<bool>& present) {
  Values used, cotangents;
  for (std::size_t i = 0; i < present.size(); ++i) {
    if (!present[i]) continue;
    used.push_back(outputs[i]);
    cotangents.push_back(graph_->input(fmt::format("cotangent{}", i), outputs[i].type()));
  }
  for (Value gradient : gradients(*graph_, used, cotangents, inputs)) {
    reached_.push_back(static_cast<bool>(gradient));
    if (gradient) graph_->output(fmt::format("out{}", reached_.size()), gradient);
  }
}

Gradients Pullback::operator()(Graph& graph, Values inputs, const Values& cotangents) const {
  inputs.insert(inputs.end(), cotangents.begin(), cotangents.end());
  const Values emitted = inline_graph(*graph_, graph, inputs);
  Gradients result;
  auto next = emitted.begin();
  for (const bool reached : reached_) result.push_back(reached ? *next++ : Value());
  return result;
}

Gradients gradients_of_decomposition(const Node& node, const Cotangents& cotangents) {
  Types types;
  for (Value in : node.inputs()) types.push_back(in.type());
  std::vector<bool> present;
  Values given;
  for (Value cotangent : cotangents) {
    present.push_back(static_cast<bool>(cotangent));
    if (cotangent) given.push_back(cotangent);
  }
  const Pullback pullback(types, node.label(), present, [&](Graph&, const Values& inputs) {
    return node.op().decompose_erased(node.op(), node.attributes(), node, inputs);
  });
  return pullback(node.graph(), node.inputs(), given);
}

}  // namespace nacre
