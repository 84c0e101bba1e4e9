#include "backend/eager/program.h"

#include <algorithm>

#include "backend/core/stop_flag.h"
#include "backend/graph/flops.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/host.h"
#include "backend/graph/ops/pool.h"
#include "backend/graph/ops/recurrent.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/passes/pipeline.h"
#include "backend/interpret.h"

namespace nacre::eager {

namespace {

// Whether the value has a form of its own backend's that no other graph can be given.
bool is_private(Value value) {
  const Node& node = value.node();
  return (node.is(op::max_pool) && value.index() == 1) ||
         (node.is(op::recurrent) && value.index() + 1 == static_cast<int>(node.types().size()));
}

// Parts a graph with gradients in two: the run, and what follows from it.
class Partition {
 public:
  // The first `count` nodes of the graph are the run. `keep`: see Program::derivative.
  Partition(const Graph& joint, std::size_t count, bool keep) : nodes_(joint.nodes()), later_(nodes_.size()) {
    std::vector<char> given(count), fixed(count);  // comes from outside of the run; depends on variables alone
    for (std::size_t id = 0; id < count; ++id) {
      const Node& node = *nodes_[id];
      // A variable that the run updates is another one afterwards.
      given[id] =
          node.is(op::input) || (node.is(op::variable) && joint.is_updated(node.attrs<VariableAttrs>().variable));
      fixed[id] = !given[id];
      for (Value in : node.inputs()) fixed[id] = fixed[id] && fixed[static_cast<std::size_t>(in.node().id())];
    }
    std::fill(later_.begin() + static_cast<std::ptrdiff_t>(count), later_.end(), 1);
    // From the end: what a later node reads is kept, unless it can be had again for nothing, or not be kept.
    wanted_.resize(nodes_.size());
    for (const auto& [name, value] : joint.outputs())
      if (is_later(value)) wanted_[static_cast<std::size_t>(value.node().id())] = 1;
    for (std::size_t id = nodes_.size(); id-- > 0;) {
      const Node& node = *nodes_[id];
      if (!wanted_[id] || !later_[id]) continue;
      for (Value in : node.inputs()) {
        const auto from = static_cast<std::size_t>(in.node().id());
        wanted_[from] = 1;
        if (from < count && !given[from] && (!keep || fixed[from] || is_private(in) || in.is(op::reshape)))
          later_[from] = 1;
      }
    }
  }

  bool is_later(Value value) const { return later_[static_cast<std::size_t>(value.node().id())] != 0; }
  // Whether the node is of what follows.
  bool wanted_later(const Node& node) const {
    const auto id = static_cast<std::size_t>(node.id());
    return later_[id] && wanted_[id];
  }

 private:
  std::vector<const Node*> nodes_;
  std::vector<char> later_, wanted_;
};

}  // namespace

Program::Program(std::unique_ptr<Graph> graph, const Backend& backend, std::shared_ptr<Workspace> workspace,
                 Numerics numerics)
    : graph_(std::move(graph)), backend_(backend), workspace_(std::move(workspace)), numerics_(numerics) {
  for (const auto& [variable, value] : graph_->variables())
    if (is_floating(variable->type().dtype)) variables_.push_back(variable);
  for (const Node* node : graph_->nodes()) on_host_ = on_host_ || node->is(op::host);
  for (const auto& [name, value] : graph_->inputs()) on_host_ = on_host_ || value.dtype() == DType::string;
  if (!on_host_) work_ = work_of(*graph_);
}

std::vector<Tensor> Program::run(std::span<const Tensor> inputs) {
  StopFlag::check(work_);
  if (on_host_) return interpret(*graph_, inputs, backend_);
  if (!executable_) executable_ = std::make_unique<Executable>(*graph_, backend_, workspace_, numerics_);
  return executable_->run(inputs);
}

std::shared_ptr<const Program::Derivative> Program::derivative(const std::vector<char>& wanted, bool keep) {
  const std::pair<std::vector<char>, bool> key{wanted, keep};
  const auto known = derivatives_.find(key);
  if (known != derivatives_.end()) return known->second;
  return derivatives_[key] = differentiate(wanted, keep);
}

std::shared_ptr<const Program::Derivative> Program::differentiate(const std::vector<char>& wanted, bool keep) const {
  if (on_host_)
    throw Error("what works on texts and tables has no gradient")
        .hint("call such layers before the function that is differentiated")
        .usage();
  // One graph with both: the run, then the gradients.
  const std::unique_ptr<Graph> joint = ready_for_gradients(*graph_, backend_);
  const std::size_t count = joint->nodes().size(), results = joint->outputs().size();
  auto derivative = std::make_shared<Derivative>();
  Values outputs, cotangents, wrt;
  for (std::size_t i = 0; i < results; ++i) {
    const Value output = joint->outputs()[i].value;
    if (!is_floating(output.dtype())) continue;
    derivative->cotangents.push_back(i);
    outputs.push_back(output);
    cotangents.push_back(joint->input(fmt::format("cotangent {}", i), output.type()));
  }
  std::vector<std::size_t> sources;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i]) continue;
    sources.push_back(i);
    wrt.push_back(i < input_count() ? joint->inputs()[i].value : joint->variable(variables_[i - input_count()]));
  }
  const Values slopes = gradients(*joint, outputs, cotangents, wrt);
  for (std::size_t i = 0; i < slopes.size(); ++i) {
    if (!slopes[i]) continue;
    derivative->results.push_back(sources[i]);
    joint->output(fmt::format("gradient {}", i), slopes[i]);
  }

  const Partition partition(*joint, count, keep);
  const std::vector<const Node*> nodes = joint->nodes();
  auto forward = std::make_unique<Graph>(), backward = std::make_unique<Graph>();
  Rewriter first(*joint, *forward), second(*joint, *backward);
  for (std::size_t id = 0; id < count; ++id) first.copy(*nodes[id]);
  for (std::size_t i = 0; i < results; ++i) forward->output(joint->outputs()[i].name, first(joint->outputs()[i].value));
  for (const auto& [variable, value] : joint->updates()) forward->update(variable, first(value));

  // Names that the gradients of the gradients do not use again.
  const auto open = [&](Value value) {
    second.set(value, backward->input(fmt::format("in{}", backward->inputs().size()), value.type()));
  };
  for (Value cotangent : cotangents) open(cotangent);
  const auto hand_over = [&](Value value) {
    if (second.mapped(value)) return;
    open(value);
    const auto place_in = [&](const std::vector<Graph::NamedValue>& values, std::size_t end) {
      std::size_t place = 0;
      while (place < end && !(values[place].value == value)) ++place;
      return place;
    };
    if (value.is(op::input)) {
      derivative->operands.push_back({false, place_in(joint->inputs(), joint->inputs().size())});
      return;
    }
    std::size_t place = place_in(joint->outputs(), results);
    if (place == results) {
      place = forward->outputs().size();
      forward->output(fmt::format("kept {}", place), first(value));
    }
    derivative->operands.push_back({true, place});
  };
  for (const Node* node : nodes) {
    if (!partition.wanted_later(*node) || node->is(op::input)) continue;
    for (Value in : node->inputs())
      if (!partition.is_later(in)) hand_over(in);
    second.copy(*node);
  }
  for (std::size_t i = results; i < joint->outputs().size(); ++i) {
    const Value slope = joint->outputs()[i].value;
    if (!partition.is_later(slope)) hand_over(slope);
    backward->output(fmt::format("out{}", i - results), second(slope));
  }
  derivative->forward = std::make_shared<Program>(std::move(forward), backend_, workspace_, numerics_);
  derivative->backward = std::make_shared<Program>(std::move(backward), backend_, workspace_, numerics_);
  return derivative;
}

}  // namespace nacre::eager
