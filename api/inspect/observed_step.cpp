#include "api/inspect/observed_step.h"

#include <set>

#include "api/train/emit_loss.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/passes/pipeline.h"
#include "layers/call_observer.h"

namespace nacre {

namespace {

// Forward and loss.
Value emit(Graph& graph, const ObservedStep& step) {
  const HostTypes hosted = step.host ? step.host->types(step.hosted) : HostTypes();
  if (step.objective) return emit_loss(graph, step.model, *step.objective, step.random, step.feed, hosted, true).loss;
  Context context(graph, true, graph.variable(step.random.seed), graph.variable(step.random.step));
  context.set_host_types(hosted);
  const Values inputs = feed_inputs(graph, step.model, types_of(step.feed.inputs));
  const CallResult result = step.model.emit(context, inputs, Values(inputs.size()));
  Value loss;
  for (Value output : result.outputs) {
    if (!is_floating(output.dtype())) continue;
    // With equal factors the sum of what a softmax or a normalisation gives would not depend on anything.
    const Value factors = context.random_uniform(output, "parity") - 0.5;
    const Value sum = ops::sum(ops::cast(output, DType::float32) * factors);
    loss = loss ? loss + sum : sum;
  }
  if (!loss)
    throw Error("no output of the model '{}' is a floating one, and it has no loss", step.model.title()).usage();
  for (Value penalty : context.losses()) loss = loss + ops::cast(penalty, DType::float32);
  return loss;
}

// Each variable goes to the first call that it belongs to: layers inside another come before that.
void distribute_variables(std::vector<ObservedCall>& calls) {
  std::set<const Variable*> taken;
  for (ObservedCall& call : calls) {
    const auto add = [&](const VariableRef& variable) {
      if (taken.insert(variable.get()).second) call.variables.push_back(variable);
    };
    for (const Weight& weight : call.layer->weights()) add(weight.variable);
    for (const VariableRef& state : call.layer->states()) add(state);
  }
}

// Emits the step and finds its calls.
Value emit_observed(Graph& graph, const ObservedStep& step, std::vector<ObservedCall>& calls,
                    std::vector<Values>& results) {
  std::map<const Layer*, int> numbers;
  std::set<std::pair<const Node*, int>> seen;
  calls.clear();
  const CallObserver observer(graph, [&](const Layer& layer, const CallResult& result) {
    ObservedCall& call = calls.emplace_back(&layer, ++numbers[&layer]);
    Values& values = results.emplace_back();
    for (Value value : result.outputs) {
      if (!value || !is_floating(value.dtype()) || value.is(op::host) || value.node().op().kind == OpKind::leaf)
        continue;
      if (!seen.insert({&value.node(), value.index()}).second) continue;
      call.results.push_back(value.type());
      values.push_back(value);
    }
  });
  const Value loss = emit(graph, step);
  calls.emplace_back(&step.model, 1);  // for variables of layers that are not called by themselves
  results.emplace_back();
  distribute_variables(calls);
  return loss;
}

// Whether each node depends on one of the variables.
std::vector<char> dependents(const Graph& graph, const std::set<const Variable*>& variables) {
  std::vector<char> marked(graph.nodes().size());
  for (const Node* node : graph.nodes()) {
    char& mark = marked[static_cast<std::size_t>(node->id())];
    mark = node->is(op::variable) && variables.contains(node->attrs<VariableAttrs>().variable.get());
    for (Value operand : node->inputs()) mark = mark || marked[static_cast<std::size_t>(operand.node().id())];
  }
  return marked;
}

// The step without its updates; its outputs are named as above.
std::unique_ptr<Graph> step_graph(const ObservedStep& step, const Backend& backend, bool apart,
                                  std::vector<ObservedCall>& calls) {
  Graph emitted;
  std::vector<Values> results;  // of each call
  const Value loss = emit_observed(emitted, step, calls, results);
  Graph forward;
  Rewriter copy(emitted, forward);
  for (const Node* node : emitted.nodes()) copy.copy(*node);
  forward.output("loss", copy(loss));
  for (std::size_t c = 0; c < calls.size(); ++c) {
    for (std::size_t i = 0; apart && i < calls[c].results.size(); ++i)
      forward.output(observed_name("result", c, i), copy(results[c][i]));
    for (std::size_t v = 0; v < calls[c].variables.size(); ++v)
      if (const VariableRef& variable = calls[c].variables[v];
          emitted.is_updated(variable) && is_floating(variable->type().dtype))
        forward.output(observed_name("value", c, v), copy(emitted.latest(variable)));
  }

  std::unique_ptr<Graph> graph = ready_for_gradients(forward, backend);
  std::set<const Variable*> learning;
  for (const Weight& weight : step.model.trainable_weights()) learning.insert(weight.variable.get());
  const std::vector<char> reached = dependents(*graph, learning);
  Values with_respect_to;
  std::vector<std::string> names;
  for (std::size_t c = 0; c < calls.size(); ++c) {
    for (std::size_t v = 0; v < calls[c].variables.size(); ++v)
      if (learning.contains(calls[c].variables[v].get())) {
        with_respect_to.push_back(graph->variable(calls[c].variables[v]));
        names.push_back(observed_name("gradient", c, v));
      }
    for (std::size_t i = 0; apart && i < calls[c].results.size(); ++i)
      if (const Value result = graph->result(observed_name("result", c, i));
          reached[static_cast<std::size_t>(result.node().id())]) {
        with_respect_to.push_back(result);
        names.push_back(observed_name("slope", c, i));
      }
  }
  const Values gradients = nacre::gradients(graph->result("loss"), with_respect_to);
  for (std::size_t i = 0; i < gradients.size(); ++i)
    if (gradients[i]) graph->output(names[i], gradients[i]);
  return graph;
}

}  // namespace

std::string observed_name(std::string_view kind, std::size_t call, std::size_t item) {
  return fmt::format("{}/{}/{}", kind, call, item);
}

ObservedValues observe(const ObservedStep& step, const Backend& backend, bool apart, std::vector<ObservedCall>& calls) {
  return within([&] { return fmt::format("while computing on the {} device", backend.name()); },
                [&] {
                  const std::unique_ptr<Graph> graph = step_graph(step, backend, apart, calls);
                  std::vector<Tensor> arguments = step.feed.inputs, outputs;
                  for (std::size_t i = 0; step.objective && i < step.feed.targets.size(); ++i) {
                    arguments.push_back(step.feed.targets[i]);
                    if (!step.feed.weights.empty()) arguments.push_back(step.feed.weights[i]);
                  }
                  arguments.insert(arguments.end(), step.hosted.begin(), step.hosted.end());
                  HostedExecutable(*graph, backend, nullptr, step.numerics).run(arguments, outputs);
                  ObservedValues results;
                  for (std::size_t i = 0; i < outputs.size(); ++i)
                    results.emplace(graph->outputs()[i].name, std::move(outputs[i]));
                  return results;
                });
}

}  // namespace nacre
