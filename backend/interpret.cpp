#include "backend/interpret.h"

#include "backend/beginning_kernel.h"
#include "backend/graph/ops/host.h"

namespace nacre {

namespace {

// Elements of a value in some layout, in the memory of a backend.
using Buffer = std::shared_ptr<std::byte[]>;

void reorder(const Backend& backend, const Type& type, const Layout& from, const void* source, const Layout& to, void* target) {
  backend.reorder(type, from, to)->run({.inputs = {&source, 1}, .outputs = {&target, 1}, .scratch = nullptr});
}

}  // namespace

std::vector<Tensor> evaluate_node(const Node& node, std::span<const Tensor> inputs, const Backend& backend) {
  const KernelRow* row = backend.row(node);
  if (!row) throw Error("the {} backend has no kernel for '{}'", backend.name(), node.op().name).about(node.label());
  const std::vector<Layout> plain(inputs.size(), Layout::plain());
  const KernelPlan plan = row->build({.node = node, .inputs = plain, .backend = backend});
  if (!plan.kernel) return {inputs[0].reshaped(node.types()[0].shape)};

  std::vector<Buffer> buffers;  // of values in other layouts than plain
  std::vector<const void*> sources;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    ensure(inputs[i].type() == node.inputs()[i].type(), "'{}' was made for {}, got {}", node.op().name,
           node.inputs()[i].type(), inputs[i].type());
    sources.push_back(inputs[i].raw());
    if (plan.inputs[i].is_plain()) continue;
    buffers.push_back(backend.allocate(plan.inputs[i].bytes(inputs[i].type())));
    reorder(backend, inputs[i].type(), Layout::plain(), sources[i], plan.inputs[i], buffers.back().get());
    sources[i] = buffers.back().get();
  }
  std::vector<Tensor> results;
  std::vector<void*> targets;
  for (std::size_t o = 0; o < node.types().size(); ++o) {
    results.push_back(Tensor::uninitialised(node.types()[o]));
    targets.push_back(results[o].raw_writable());
    if (plan.outputs[o].is_plain()) continue;
    buffers.push_back(backend.allocate(plan.outputs[o].bytes(node.types()[o])));
    targets[o] = buffers.back().get();
  }
  const Buffer scratch = backend.allocate(plan.scratch_bytes);
  if (const auto* begins = dynamic_cast<const BeginningKernel*>(plan.kernel.get())) {
    const Buffer memory = backend.allocate(begins->state_bytes());
    void* const state = memory.get();
    const void* const begun = state;
    plan.kernel->run({.inputs = sources, .outputs = {&state, 1}, .scratch = scratch.get()});
    begins->rest()->run({.inputs = {&begun, 1}, .outputs = targets, .scratch = nullptr});
  } else {
    plan.kernel->run({.inputs = sources, .outputs = targets, .scratch = scratch.get()});
  }
  for (std::size_t o = 0; o < results.size(); ++o)
    if (!plan.outputs[o].is_plain() && node.uses(static_cast<int>(o)) > 0)
      reorder(backend, node.types()[o], plan.outputs[o], targets[o], Layout::plain(), results[o].raw_writable());
  backend.wait();
  return results;
}

namespace {

// The results of a function of the host. Its errors are about the layer that called it.
std::vector<Tensor> call(const Node& node, std::span<const Tensor> operands) {
  try {
    return node.attrs<HostAttrs>().function->run(operands);
  } catch (Error& error) {
    if (!node.label().empty()) error.about(node.label());
    throw;
  }
}

// The same also for operands some of whose sizes the node does not know.
std::vector<Tensor> evaluate(const Node& node, std::span<const Tensor> inputs, const Backend& backend) {
  bool known = true;
  for (std::size_t i = 0; i < inputs.size(); ++i) known = known && inputs[i].type() == node.inputs()[i].type();
  if (known) return evaluate_node(node, inputs, backend);
  Graph graph;
  Values operands;
  for (const Tensor& input : inputs) operands.push_back(graph.input(std::to_string(operands.size()), input.type()));
  const Node& copy = graph.copy(node, std::move(operands));
  for (const Type& type : copy.types())
    if (!type.shape.known()) throw Error("the sizes of {} depend on data", type).about(node.label());
  return evaluate_node(copy, inputs, backend);
}

}  // namespace

std::vector<Tensor> interpret(const Graph& graph, std::span<const Tensor> inputs, const Backend& backend) {
  ensure(inputs.size() == graph.inputs().size(), "the graph has {} inputs, got {}", graph.inputs().size(), inputs.size());
  std::vector<std::vector<Tensor>> values(graph.nodes().size());
  auto of = [&](Value value) -> Tensor& {
    return values[static_cast<std::size_t>(value.node().id())][static_cast<std::size_t>(value.index())];
  };
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Value input = graph.inputs()[i].value;
    need(inputs[i].dtype() == input.dtype() && same(inputs[i].shape(), input.shape()), "input '{}' is {}, got {}",
         graph.inputs()[i].name, input.type(), inputs[i].type());
    values[static_cast<std::size_t>(input.node().id())] = {inputs[i]};
  }
  for (const Node* node : graph.nodes()) {
    std::vector<Tensor>& results = values[static_cast<std::size_t>(node->id())];
    if (node->is(op::input)) continue;
    if (node->is(op::variable)) {
      results = {node->attrs<VariableAttrs>().variable->value()};
    } else if (node->is(op::constant)) {
      results = {node->attrs<ConstantAttrs>().value};
    } else {
      std::vector<Tensor> operands;
      for (Value value : node->inputs()) operands.push_back(of(value));
      results = node->is(op::host) ? call(*node, operands) : evaluate(*node, operands, backend);
    }
  }
  std::vector<Tensor> outputs;
  for (const auto& [name, value] : graph.outputs()) outputs.push_back(of(value));
  for (const auto& [variable, value] : graph.updates()) variable->assign(of(value));
  return outputs;
}

}  // namespace nacre
