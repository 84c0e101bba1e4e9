#include "api/inspect/summary.h"

#include <algorithm>

#include "api/inspect/example_batch.h"
#include "backend/graph/flops.h"
#include "backend/graph/passes/pipeline.h"

namespace nacre {

namespace {

// The type of one sample as a batch; none when other sizes are free.
std::optional<Type> of_batch(Type type, std::int64_t batch) {
  if (type.shape.rank() > 0 && type.shape[0] == unknown) type.shape.set(0, batch);
  return type.shape.known() ? std::optional(type) : std::nullopt;
}

// The arithmetic of one call, emitted alone for one sample.
std::optional<std::int64_t> flops_of_call(const LayerCall& call, const Trainer& trainer) {
  if (call.inputs.empty()) return 0;
  Graph graph;
  Context context(graph, false, graph.variable(trainer.random().seed), graph.variable(trainer.random().step));
  bool known = true;
  const auto inputs_for = [&](const Symbols& symbols) {
    Values values;
    for (const Symbol& symbol : symbols) {
      const auto type = of_batch(symbol.type(), 1);
      known = known && type;
      values.push_back(graph.input(std::to_string(graph.inputs().size()), type.value_or(symbol.type())));
    }
    return values;
  };
  CallArguments arguments{.inputs = inputs_for(call.inputs), .masks = {}, .named = {}, .options = call.options};
  for (const auto& [name, symbols] : call.named) arguments.named[name] = inputs_for(symbols);
  if (!known) return std::nullopt;
  (*call.layer)(context, std::move(arguments));
  for (const Node* node : graph.nodes())
    for (const Type& type : node->types())
      if (!type.shape.known() && node->op().kind != OpKind::host) return std::nullopt;  // depends on data
  return flops_of(graph);
}

// Whether sizes may depend on data, which this layer or one inside it handles on the host.
bool runs_on_host(const Layer& layer) {
  const auto inner = layer.sublayers();
  return layer.runs_on_host() || std::ranges::any_of(inner, [](const auto& each) { return runs_on_host(*each); });
}

std::vector<std::string> connections(const LayerCall& call, const std::map<const LayerCall*, std::int64_t>& numbers) {
  std::vector<std::string> texts;
  const auto add = [&](const Symbols& symbols) {
    for (const Symbol& symbol : symbols)
      texts.push_back(fmt::format("{}[{}][{}]", symbol.call().layer->name(), numbers.at(&symbol.call()), symbol.index()));
  };
  add(call.inputs);
  for (const auto& [name, symbols] : call.named) add(symbols);
  return texts;
}

std::size_t bytes_of(const std::vector<Weight>& weights) {
  std::size_t bytes = 0;
  for (const Weight& weight : weights) bytes += weight.variable->type().bytes();
  return bytes;
}

std::int64_t count_of(const std::vector<Weight>& weights) {
  std::int64_t count = 0;
  for (const Weight& weight : weights) count += weight.variable->shape().elements();
  return count;
}

ModelSummary::Memory memory_of(const Graph& graph, const Backend& backend, std::int64_t batch) {
  const Executable executable(*decompose_missing(graph, backend), backend);
  std::size_t variables = 0;
  for (const auto& [variable, value] : graph.variables()) variables += variable->type().bytes();
  const ExecutableStatistics& statistics = executable.statistics();
  return {batch, statistics.arena_bytes + statistics.persistent_bytes, variables};
}

// A batch like those of training, without elements that matter.
Feed example_feed(const FunctionalLayer& graph, Objective& objective, const Types& inputs, std::int64_t batch) {
  Feed feed{.inputs = {}, .targets = {}, .weights = {}, .size = batch};
  for (const Type& type : inputs) feed.inputs.emplace_back(type);
  const Types targets = target_types(graph, objective, batch);
  for (std::size_t i = 0; i < targets.size(); ++i)
    if (objective.uses(i)) feed.targets.emplace_back(targets[i]);
  return feed;
}

void measure_memory(ModelSummary& summary, const Model& model, const Types& inputs, std::int64_t batch) {
  const Trainer& trainer = model.trainer();
  FunctionalLayer& graph = model.graph();
  summary.prediction = memory_of(*prediction_graph(graph, trainer.random(), inputs), trainer.backend(), batch);
  if (!trainer.options() || trainer.options()->loss.empty() || graph.trainable_weights().empty()) return;
  std::vector<VariableRef> variables;
  for (const Weight& weight : graph.trainable_weights()) variables.push_back(weight.variable);
  // An optimizer of its own: that of the model gets its slots when training begins.
  const Ref<Optimizer> optimizer = read_object<Optimizer>(write_object<Optimizer>(trainer.optimizer(), Style::keras));
  optimizer->build(variables);
  CompileOptions options = *trainer.options();
  options.metrics = options.weighted_metrics = {};  // they take next to nothing, and their meaning waits for the data
  Objective objective(options, graph.output_names());
  const Feed feed = example_feed(graph, objective, inputs, batch);
  summary.training = memory_of(*training_graph(graph, objective, *optimizer, trainer.random(), feed, trainer.backend(), {},
                                               options.recompute),
                               trainer.backend(), batch);
}

}  // namespace

ModelSummary summarize(const Model& model, const SummaryOptions& options) {
  const FunctionalLayer& graph = model.graph();
  ModelSummary summary;
  summary.name = graph.title();
  summary.class_name = graph.class_name();

  std::map<const LayerCall*, std::int64_t> numbers;
  std::map<const Layer*, std::vector<const LayerCall*>> calls;
  for (const auto& call : graph.calls()) {
    numbers[call.get()] = static_cast<std::int64_t>(calls[call->layer.get()].size());
    calls[call->layer.get()].push_back(call.get());
  }
  std::vector<std::shared_ptr<Layer>> layers = graph.layers();
  summary.flops = graph.connected() ? std::optional<std::int64_t>(0) : std::nullopt;
  const Layer* before = nullptr;
  for (const auto& layer : layers) {
    ModelSummary::Row row{.name = layer->name(), .class_name = layer->shown_class(), .inputs = {}, .outputs = {}, .parameters = layer->count_params(),
                          .flops = {}, .connected_to = {}};
    if (graph.connected()) row.flops = 0;
    for (const LayerCall* call : calls[layer.get()]) {
      row.inputs.clear(), row.outputs.clear();
      for (const Symbol& input : call->inputs) row.inputs.push_back(input.shape());
      for (const Type& type : call->types) row.outputs.push_back(type.shape);
      for (std::string& text : connections(*call, numbers)) row.connected_to.push_back(std::move(text));
      const auto flops = flops_of_call(*call, model.trainer());
      if (row.flops && flops) *row.flops += *flops;
      else row.flops.reset();
      if (before && (call->inputs.size() != 1 || call->inputs[0].call().layer.get() != before)) summary.branches = true;
    }
    if (calls[layer.get()].size() > 1) summary.branches = true;
    if (summary.flops && row.flops) *summary.flops += *row.flops;
    else summary.flops.reset();
    before = layer.get();
    summary.rows.push_back(std::move(row));
  }

  const auto trainable = graph.trainable_weights(), frozen = graph.non_trainable_weights();
  summary.trainable = count_of(trainable), summary.non_trainable = count_of(frozen);
  summary.trainable_bytes = bytes_of(trainable), summary.non_trainable_bytes = bytes_of(frozen);
  if (const auto& compiled = model.trainer().options(); compiled && compiled->optimizer->built())
    for (const VariableRef& variable : compiled->optimizer->variables()) {
      summary.optimizer += variable->shape().elements();
      summary.optimizer_bytes += variable->type().bytes();
    }
  if (!graph.connected()) return summary;
  Types inputs;
  bool known = true;
  for (const Symbol& input : graph.inputs()) {
    summary.inputs.push_back({input.call().layer->name(), input.type()});
    const auto type = of_batch(input.type(), options.batch_size);
    known = known && type;
    if (type) inputs.push_back(*type);
  }
  for (const Symbol& output : graph.outputs()) summary.outputs.push_back({output.call().layer->name(), output.type()});
  if (options.measure_memory && known && !runs_on_host(graph)) measure_memory(summary, model, inputs, options.batch_size);
  return summary;
}

}  // namespace nacre
