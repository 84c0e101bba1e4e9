#include "api/train/steps.h"

#include <utility>

#include "api/train/emit_loss.h"
#include "backend/collective.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/order.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/passes/pipeline.h"
#include "backend/graph/passes/recompute.h"

namespace nacre {

HostPartRef host_part(FunctionalLayer& model, const RandomState& random, const Types& inputs) {
  auto part = std::make_shared<HostPart>(*prediction_graph(model, random, inputs));
  return part->empty() ? nullptr : part;
}

namespace {

// A value of each process in its own place, zeros in the others': their sum is the values of all.
Value own_place(const Collective& processes, Value value) {
  Values places(static_cast<std::size_t>(processes.size()), ops::fill_like(value, 0));
  places[static_cast<std::size_t>(processes.rank())] = value;
  for (Value& place : places) place = ops::expand_dims(place, 0);
  return ops::concat(std::move(places), 0);
}

// The loss, the gradients and the moving statistics of the whole batch, from those of this process's part. Each process
// has normalised its part by itself: its statistics count as its samples do. Of what overwrites variables the largest
// of all processes' values is taken.
Value sum_over_processes(Graph& graph, const FunctionalLayer& model, const Share& share,
                         const std::vector<Weight>& weights, Value loss, Values& slopes) {
  std::vector<VariableRef> statistics;
  for (const Weight& weight : model.weights())
    if (!weight.variable->trainable() && is_floating(weight.variable->type().dtype) && graph.is_updated(weight.variable))
      statistics.push_back(weight.variable);
  Values parts{loss};
  for (const VariableRef& variable : statistics) parts.push_back(graph.latest(variable) * share.fraction());
  const auto each = [&](auto&& use) {  // as the backward pass comes to them
    for (std::size_t i = slopes.size(); i-- > 0;)
      if (slopes[i]) use(slopes[i], weights[i].variable->overwritten());
  };
  each([&](Value slope, bool overwrites) { parts.push_back(overwrites ? own_place(*share.processes, slope) : slope); });
  const Values sums = Exchange(graph, share).sum(parts);
  auto sum = sums.begin();
  const Value whole = *sum++;
  for (const VariableRef& variable : statistics) graph.update(variable, *sum++);
  each([&](Value& slope, bool overwrites) { slope = overwrites ? ops::max(*sum++, {0}) : *sum++; });
  return whole;
}

}  // namespace

std::unique_ptr<Graph> training_graph(FunctionalLayer& model, Objective& objective, Optimizer& optimizer,
                                      const RandomState& random, const Feed& feed, const Backend& backend,
                                      const HostTypes& hosted, bool recomputing,
                                      const LearningRateMultipliers& multipliers) {
  const bool shared = feed.share.processes != nullptr;
  Graph forward;
  forward.output(shared ? "own loss" : "loss", emit_loss(forward, model, objective, random, feed, hosted, true).loss);
  std::unique_ptr<Graph> graph = ready_for_gradients(forward, backend);

  const std::vector<Weight> weights = model.trainable_weights();
  if (weights.empty())
    throw Error("the model '{}' has nothing to train", model.title()).hint("all its layers are frozen").usage();
  Values variables;
  for (const Weight& weight : weights) variables.push_back(graph->variable(weight.variable));
  const Value part = shared ? graph->result("own loss") * feed.share.fraction() : graph->result("loss");
  const Value loss = optimizer.scale_loss(part);
  Values slope_of_loss;
  if (recomputing) slope_of_loss.push_back(ops::after(ops::fill_like(loss, 1), loss));  // the forward pass ends here
  Values slopes = gradients(*graph, {&loss, 1}, slope_of_loss, variables);
  if (shared) graph->output("loss", sum_over_processes(*graph, model, feed.share, weights, part, slopes));
  std::vector<Optimizer::Gradient> updates;
  const std::map<const Variable*, double> factors = multipliers.of(model);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const auto factor = factors.find(weights[i].variable.get());
    updates.push_back({weights[i].variable, slopes[i], factor == factors.end() ? 1 : factor->second});
  }
  optimizer.apply(*graph, updates);
  for (const Weight& weight : weights)
    if (weight.constraint) graph->update(weight.variable, (*weight.constraint)(graph->latest(weight.variable)));
  graph->update(random.step, ops::add(graph->variable(random.step), graph->scalar(1, DType::int64)));
  return recomputing ? recompute(*run_passes(*graph, backend, common_passes()), backend) : std::move(graph);
}

std::unique_ptr<Graph> test_graph(FunctionalLayer& model, Objective& objective, const RandomState& random,
                                  const Feed& feed, const HostTypes& hosted, bool predicting) {
  auto graph = std::make_unique<Graph>();
  const auto [loss, result] = emit_loss(*graph, model, objective, random, feed, hosted, false);
  graph->output("loss", loss);
  if (!predicting) return graph;
  for (std::size_t i = 0; i < result.outputs.size(); ++i) graph->output(std::to_string(i), result.outputs[i]);
  for (std::size_t i = 0; i < result.masks.size(); ++i)
    graph->output(fmt::format("mask/{}", i), result.masks[i] ? result.masks[i] : graph->scalar(1, DType::boolean));
  return graph;
}

std::unique_ptr<Graph> prediction_graph(FunctionalLayer& model, const RandomState& random, const Types& types,
                                        const HostTypes& hosted) {
  auto graph = std::make_unique<Graph>();
  Context context(*graph, false, graph->variable(random.seed), graph->variable(random.step));
  context.set_host_types(hosted);
  const Values inputs = feed_inputs(*graph, model, types);
  const CallResult result = model.emit(context, inputs, Values(inputs.size()));
  for (std::size_t i = 0; i < result.outputs.size(); ++i) graph->output(std::to_string(i), result.outputs[i]);
  return graph;
}

namespace {

// No vocabulary gives numbers beyond the rows of the table that it leads to.
void check_vocabularies(const FunctionalLayer& model) {
  for (const auto& call : model.calls()) {
    if (const auto* inner = dynamic_cast<const FunctionalLayer*>(call->layer.get())) check_vocabularies(*inner);
    if (call->layer->class_name() != "Embedding") continue;
    const Layer& lookup = *call->inputs.at(0).call().layer;
    const Tree config = lookup.runs_on_host() ? lookup.config_tree(Style::keras) : Tree();
    const Tree* tokens = config.find("vocabulary_size");
    const std::int64_t rows = call->layer->own_weights().at(0).variable->shape()[0];
    if (tokens && tokens->is_integer() && tokens->as_integer() > rows)
      throw Error("{} has {} tokens, {} has {} rows", lookup.label(), tokens->as_integer(), call->layer->label(), rows)
          .hint("input_dim is the number of tokens with the special ones; max_tokens bounds it")
          .usage();
  }
}

}  // namespace

Steps::Steps(std::shared_ptr<FunctionalLayer> model, RandomState random, const Backend& backend)
    : model_(std::move(model)),
      random_(std::move(random)),
      backend_(backend),
      workspace_(std::make_shared<Workspace>(backend)),
      steps_taken_(backend),
      predictions_made_(backend) {}

void Steps::set_options(const Options& options) {
  if (std::exchange(options_, options) != options) forget();
}

void Steps::refresh() {
  std::vector<LayerState> layers;
  bool on_host = false;
  const auto collect = [&](const auto& self, const std::shared_ptr<Layer>& layer) -> void {
    if (!layer->adapted())
      throw Error("{} has not learned from data yet", layer->label())
          .hint(
              "fit lets it learn from the training data, adapt from any; or give its vocabulary or bins in the "
              "configuration")
          .usage();
    layers.push_back({layer, layer->trainable(), layer->revision()});
    on_host = on_host || layer->runs_on_host();
    for (const auto& inner : layer->sublayers()) self(self, inner);
  };
  collect(collect, model_);
  if (layers == layers_) return;
  check_vocabularies(*model_);
  forget();
  layers_ = std::move(layers);
  on_host_ = on_host;
}

HostPartRef Steps::host_part(const Types& inputs) {
  if (!on_host_) return nullptr;
  Types types = inputs;
  std::string key;
  for (Type& type : types) {
    if (type.shape.rank() > 0) type.shape.set(0, unknown);
    key += " " + type.text();
  }
  const auto [place, fresh] = host_parts_.try_emplace(key);
  if (fresh) place->second = nacre::host_part(*model_, random_, types);
  return place->second;
}

Steps::Hosted Steps::hosted(const Feed& feed) {
  Hosted hosted{feed, on_host_ ? host_part(types_of(feed.inputs)) : nullptr, {}};
  if (hosted.part) hosted.results = feed.hosted ? *feed.hosted : hosted.part->run(feed.inputs);
  return hosted;
}

Steps::Key::Key(const Wanted& wanted) : kind(wanted.kind), share(wanted.batch.feed.share) {
  for (const auto* tensors : wanted.batch.tensors())
    for (const Tensor& tensor : *tensors) types.push_back(tensor.type());
}

bool Steps::Key::operator==(const Wanted& wanted) const {
  if (kind != wanted.kind || share != wanted.batch.feed.share) return false;
  std::size_t at = 0;
  for (const auto* tensors : wanted.batch.tensors())
    for (const Tensor& tensor : *tensors)
      if (at == types.size() || types[at++] != tensor.type()) return false;
  return at == types.size();
}

std::unique_ptr<HostedExecutable> Steps::compile(const Graph& graph) const {
  return std::make_unique<HostedExecutable>(graph, backend_, workspace_, options_.numerics);
}

const Results& Steps::start_step(HostedExecutable& executable, const Hosted& hosted) {
  const Feed& feed = hosted.feed;
  arguments_.clear();
  arguments_.insert(arguments_.end(), feed.inputs.begin(), feed.inputs.end());
  for (std::size_t i = 0; i < feed.targets.size(); ++i) {
    arguments_.push_back(feed.targets[i]);
    if (!feed.weights.empty()) arguments_.push_back(feed.weights[i]);
  }
  arguments_.insert(arguments_.end(), hosted.results.begin(), hosted.results.end());
  return start(executable, steps_taken_);
}

const Results& Steps::start(HostedExecutable& executable, Turns& turns) {
  Results& results = turns.next();
  executable.start(arguments_, results);
  arguments_.clear();  // the loader fills the same memory again
  if (results.late()) turns.before().wait();
  return results;
}

HostedExecutable& Steps::training(Objective& objective, Optimizer& optimizer, const Hosted& hosted) {
  return steps_.get(Wanted{"train", hosted}, [&] {
    return compile(*training_graph(*model_, objective, optimizer, random_, hosted.feed, backend_, hosted.types(),
                                   options_.recompute, options_.multipliers));
  });
}

const Results& Steps::train(Objective& objective, Optimizer& optimizer, const Feed& feed) {
  const Hosted batch = hosted(feed);
  return start_step(training(objective, optimizer, batch), batch);
}

const Results& Steps::test(Objective& objective, const Feed& feed) {
  const Hosted batch = hosted(feed);
  return start_step(steps_.get(Wanted{"test", batch}, [&] {
    return compile(*test_graph(*model_, objective, random_, feed, batch.types()));
  }), batch);
}

const Results& Steps::test_predicting(Objective& objective, const Feed& feed) {
  const Hosted batch = hosted(feed);
  return start_step(steps_.get(Wanted{"test, predicting", batch}, [&] {
    return compile(*test_graph(*model_, objective, random_, feed, batch.types(), true));
  }), batch);
}

Predictions Steps::predictions(const std::vector<Tensor>& results) const {
  const std::size_t outputs = model_->outputs().size();
  const std::span<const Tensor> all(results);
  return {all.subspan(1, outputs), all.subspan(1 + outputs, outputs)};
}

HostedExecutable& Steps::prediction(const Hosted& hosted) {
  return predictions_.get(Wanted{"predict", hosted}, [&] {
    return compile(*prediction_graph(*model_, random_, types_of(hosted.feed.inputs), hosted.types()));
  });
}

const Results& Steps::predict(const Feed& feed) {
  const Hosted batch = hosted(feed);
  HostedExecutable& executable = prediction(batch);
  arguments_ = feed.inputs;
  arguments_.insert(arguments_.end(), batch.results.begin(), batch.results.end());
  return start(executable, predictions_made_);
}

}  // namespace nacre
