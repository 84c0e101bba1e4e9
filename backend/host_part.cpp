#include "backend/host_part.h"

#include "backend/graph/passes/pipeline.h"
#include "backend/interpret.h"

namespace nacre {

namespace {

// Which part each node belongs to.
class Parts {
 public:
  explicit Parts(const Graph& graph) : nodes_(graph.nodes()), trained_(nodes_.size()), after_(nodes_.size()) {
    for (const Node* node : nodes_) {
      trained_[at(node)] = node->is(op::variable) || any_operand(*node, trained_);
      after_[at(node)] = (node->is(op::host) && trained_[at(node)]) || any_operand(*node, after_);
      if (before(*node)) host_.push_back(node);
    }
  }
  // Whether it is a function that runs before the device.
  bool before(const Node& node) const { return node.is(op::host) && !trained_[at(&node)]; }
  bool after(const Node& node) const { return after_[at(&node)]; }
  bool on_device(const Node& node) const { return !before(node) && !after(node) && node.types()[0].dtype != DType::string; }
  const std::vector<const Node*>& functions_before() const { return host_; }

  // The nodes that `values` depend on, as far as `enters` lets the walk go into a node's operands.
  template <class Enters>
  std::vector<char> needed(const Values& values, Enters&& enters) const {
    std::vector<char> marked(nodes_.size());
    for (Value value : values) marked[at(&value.node())] = 1;
    for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node)
      if (marked[at(*node)] && enters(**node))
        for (Value operand : (*node)->inputs()) marked[at(&operand.node())] = 1;
    return marked;
  }

 private:
  static std::size_t at(const Node* node) { return static_cast<std::size_t>(node->id()); }
  static bool any_operand(const Node& node, const std::vector<char>& marked) {
    return std::ranges::any_of(node.inputs(), [&](Value operand) { return marked[at(&operand.node())]; });
  }

  std::vector<const Node*> nodes_, host_;
  std::vector<char> trained_, after_;
};

Value mirror(Graph& graph, const Graph::NamedValue& input) { return graph.input(input.name, input.value.type()); }

// Inputs of a part for the results of the functions before the device.
void receive(const Parts& parts, Rewriter& rewriter, bool texts) {
  int number = 0;
  for (const Node* node : parts.functions_before())
    for (int i = 0; i < static_cast<int>(node->types().size()); ++i) {
      const Type& type = node->types()[static_cast<std::size_t>(i)];
      const std::string name = fmt::format("host{}", number++);
      if (texts || type.dtype != DType::string) rewriter.set(node->out(i), rewriter.to().input(name, type));
    }
}

}  // namespace

HostPart::HostPart(const Graph& graph) : graph_(std::make_unique<Graph>()) {
  const Parts parts(graph);
  Rewriter rewriter(graph, *graph_);
  Values results;
  for (const Node* node : parts.functions_before())
    for (int i = 0; i < static_cast<int>(node->types().size()); ++i) results.push_back(node->out(i));
  const std::vector<char> needed = parts.needed(results, [](const Node&) { return true; });
  // Up to the last that is needed: what stands for unknown sizes (emit::zeros) counts as inputs behind the real ones.
  const auto is_needed = [&](const Graph::NamedValue& input) { return needed[static_cast<std::size_t>(input.value.node().id())] != 0; };
  const std::span<const Graph::NamedValue> inputs(graph.inputs());
  const auto behind = std::find_if(inputs.rbegin(), inputs.rend(), is_needed).base();
  for (auto input = inputs.begin(); input != behind; ++input) rewriter.set(input->value, mirror(*graph_, *input));
  for (const Node* node : graph.nodes()) {
    if (node->is(op::host)) counts_.push_back(parts.before(*node) ? node->types().size() : 0);
    if (needed[static_cast<std::size_t>(node->id())] && !node->is(op::input)) rewriter.copy(*node);
  }
  for (std::size_t i = 0; i < results.size(); ++i) graph_->output(std::to_string(i), rewriter(results[i]));
}

std::vector<Tensor> HostPart::run(std::span<const Tensor> inputs) const {
  return interpret(*graph_, inputs.first(graph_->inputs().size()), reference_backend());
}

std::vector<Types> HostPart::types(std::span<const Tensor> results) const {
  std::vector<Types> types;
  auto result = results.begin();
  for (std::size_t count : counts_) {
    types.emplace_back();
    for (std::size_t i = 0; i < count; ++i) types.back().push_back((result++)->type());
  }
  return types;
}

HostedExecutable::HostedExecutable(const Graph& graph, const Backend& backend, std::shared_ptr<Workspace> workspace,
                                   Numerics numerics) {
  const Parts parts(graph);
  Graph device;
  Rewriter on_device(graph, device);
  for (const Graph::NamedValue& input : graph.inputs())
    if (input.value.dtype() != DType::string) on_device.set(input.value, mirror(device, input));
  receive(parts, on_device, false);

  // What the part after takes over: outputs of the graph, and operands of its own nodes.
  Values wanted, handed_over;
  for (const auto& [name, value] : graph.outputs()) wanted.push_back(value);
  const bool has_after = std::ranges::any_of(wanted, [&](Value value) { return !parts.on_device(value.node()); });
  const std::vector<char> after = parts.needed(wanted, [&](const Node& node) { return parts.after(node); });
  for (const Node* node : graph.nodes())
    if (after[static_cast<std::size_t>(node->id())] && parts.on_device(*node) && has_after && !node->is(op::input))
      for (int i = 0; i < static_cast<int>(node->types().size()); ++i)
        if (node->uses(i) > 0) handed_over.push_back(node->out(i));

  Values roots = has_after ? handed_over : wanted;
  for (const auto& [variable, value] : graph.updates()) {
    if (!parts.on_device(value.node()))
      throw Error("'{}' would be trained through a function that runs on the host", variable->path()).about(value.node().label());
    roots.push_back(value);
  }
  const std::vector<char> needed = parts.needed(roots, [&](const Node& node) { return !parts.before(node); });
  for (const Node* node : graph.nodes())
    if (needed[static_cast<std::size_t>(node->id())] && !node->is(op::input) && !parts.before(*node)) on_device.copy(*node);
  for (const auto& [variable, value] : graph.updates()) device.update(variable, on_device(value));
  if (!has_after) {
    for (const auto& [name, value] : graph.outputs()) device.output(name, on_device(value));
  } else {
    after_ = std::make_unique<Graph>();
    Rewriter rewriter(graph, *after_);
    for (const Graph::NamedValue& input : graph.inputs()) rewriter.set(input.value, mirror(*after_, input));
    receive(parts, rewriter, true);
    for (std::size_t i = 0; i < handed_over.size(); ++i) {
      const std::string name = fmt::format("device{}", i);
      device.output(name, on_device(handed_over[i]));
      rewriter.set(handed_over[i], after_->input(name, handed_over[i].type()));
    }
    for (const Node* node : graph.nodes())
      if (after[static_cast<std::size_t>(node->id())] && parts.after(*node)) rewriter.copy(*node);
    for (const auto& [name, value] : graph.outputs()) after_->output(name, rewriter(value));
  }
  if (!device.outputs().empty() || !device.updates().empty())
    device_ = std::make_unique<Executable>(*decompose_missing(device, backend), backend, std::move(workspace), numerics);
}

void HostedExecutable::run(std::span<const Tensor> inputs, std::vector<Tensor>& outputs) {
  take_numbers(inputs);
  if (device_) device_->run(numbers_, after_ ? computed_ : outputs);
  numbers_.clear();  // the loader fills the same memory again
  if (after_) outputs = run_after(inputs);
}

void HostedExecutable::start(std::span<const Tensor> inputs, Results& results) {
  if (after_) return run(inputs, results.tensors_);
  take_numbers(inputs);
  if (device_) device_->start(numbers_, results);
  numbers_.clear();
}

void HostedExecutable::take_numbers(std::span<const Tensor> inputs) {
  numbers_.clear();
  for (const Tensor& input : inputs)
    if (input.dtype() != DType::string) numbers_.push_back(input);
}

std::vector<Tensor> HostedExecutable::run_after(std::span<const Tensor> inputs) const {
  std::vector<Tensor> all(inputs.begin(), inputs.end());
  all.insert(all.end(), computed_.begin(), computed_.end());
  return interpret(*after_, all, reference_backend());
}

}  // namespace nacre
