#include "api/adapt.h"

#include <algorithm>
#include <functional>

#include "api/data/loader.h"
#include "api/train/feeder.h"
#include "layers/lookup.h"

namespace nacre {

namespace {

constexpr std::int64_t batch_size = 256;

using Receiver = std::function<void(const std::vector<Tensor>& inputs)>;
using Walk = std::function<void(const Receiver&)>;  // once over the data

// What comes into a call of a model, from the model's inputs.
class Operands {
 public:
  Operands(FunctionalLayer& model, const LayerCall& call) : model_(model), call_(call) {}

  const std::vector<Tensor>& operator()(const std::vector<Tensor>& inputs) {
    Types types;
    for (const Tensor& input : inputs) types.push_back(input.type());
    const HostPart before(*graph(types, {}));
    std::vector<Tensor> arguments = inputs, results = before.run(inputs);
    std::string key;
    for (const auto* tensors : {&inputs, &std::as_const(results)})
      for (const Tensor& tensor : *tensors) key += tensor.type().text();
    HostedExecutable& executable = programs_.get(key, [&] {
      return std::make_unique<HostedExecutable>(*graph(types, before.types(results)), backend_, workspace_);
    });
    arguments.insert(arguments.end(), results.begin(), results.end());
    executable.run(arguments, operands_);
    return operands_;
  }

 private:
  std::unique_ptr<Graph> graph(const Types& types, std::vector<Types> host_types) const {
    auto graph = std::make_unique<Graph>();
    Context context(*graph, false);
    context.set_host_types(std::move(host_types));
    Values inputs;
    for (const Type& type : types) inputs.push_back(graph->input(std::to_string(inputs.size()), type));
    const Values operands = model_.emit_operands(context, std::move(inputs), call_);
    for (std::size_t i = 0; i < operands.size(); ++i) graph->output(std::to_string(i), operands[i]);
    return graph;
  }

  FunctionalLayer& model_;
  const LayerCall& call_;
  const Backend& backend_ = backend_for("cpu");
  std::shared_ptr<Workspace> workspace_ = std::make_shared<Workspace>(backend_);
  ExecutableCache<HostedExecutable> programs_;
  std::vector<Tensor> operands_;
};

// Whether this layer, or one inside it, has something to learn.
bool wants_data(const Layer& layer) {
  if (!layer.adapted()) return true;
  for (const auto& inner : layer.sublayers())
    if (wants_data(*inner)) return true;
  return false;
}

void adapt_layers(FunctionalLayer& model, const Walk& walk, std::uint64_t seed, ProgressListener& listener) {
  for (const auto& call : model.calls()) {
    Layer& layer = *call->layer;
    if (!wants_data(layer)) continue;
    // Those before have learned by now: what they need to compute are weights.
    for (const auto& before : model.calls()) {
      if (before == call) break;
      before->layer->initialize(seed);
    }
    Operands operands(model, *call);
    const auto over = [&](const Receiver& receiver) {
      walk([&](const std::vector<Tensor>& inputs) { receiver(operands(inputs)); });
    };
    if (auto* inner = dynamic_cast<FunctionalLayer*>(&layer)) {
      adapt_layers(*inner, over, seed, listener);
    } else if (const auto adaptation = layer.adaptation()) {
      listener.say(fmt::format("{} learns from the training data", layer.label()));
      over([&](const std::vector<Tensor>& inputs) { adaptation->add(inputs.front()); });
      adaptation->finish();
    }
  }
}

// Layers that read texts whose source has numbered their tokens take its vocabulary as it is.
void take_vocabularies(FunctionalLayer& model, const std::vector<Column>& columns, const Feeder& feeder) {
  for (const auto& call : model.calls()) {
    auto* const holder = dynamic_cast<VocabularyHolder*>(call->layer.get());
    if (!holder || call->layer->adapted()) continue;
    const auto input = std::ranges::find(model.inputs(), call->inputs.at(0));
    if (input == model.inputs().end()) continue;
    const Column& column = columns[feeder.input_columns()[static_cast<std::size_t>(input - model.inputs().begin())]];
    if (column.labels.empty()) continue;
    within([&] { return fmt::format("while {} takes the vocabulary of the data", call->layer->label()); },
           [&] { holder->set_vocabulary(column.labels); });
  }
}

Walk walk_over(const DatasetRef& data, std::function<std::vector<Tensor>(const Batch&)> take) {
  return [data, take = std::move(take)](const Receiver& receiver) {
    Loader loader(data, {.batch_size = batch_size, .prefetch = data->size() > batch_size ? 2 : 0});
    loader.start(0);
    while (const Batch* batch = loader.next()) receiver(take(*batch));
  };
}

}  // namespace

void adapt(const LayerRef& layer, const DatasetRef& data) {
  const auto adaptation = layer->adaptation();
  if (!adaptation) throw Error("{} learns nothing from data", layer->label()).usage();
  walk_over(data, [](const Batch& batch) { return std::vector{batch.inputs.front()}; })(
      [&](const std::vector<Tensor>& inputs) { adaptation->add(inputs.front()); });
  adaptation->finish();
}

void adapt(const LayerRef& layer, const Tensor& data) { adapt(layer, array_dataset({.inputs = {data}})); }

void adapt_layers(FunctionalLayer& model, const DatasetRef& data, std::uint64_t seed, ProgressListener& listener) {
  if (!wants_data(model)) return;
  const Feeder feeder(data, model, nullptr);
  take_vocabularies(model, data->inputs(), feeder);
  adapt_layers(model, walk_over(data, [&](const Batch& batch) {
                 Feed feed;
                 feeder.fill(batch, feed);
                 return feed.inputs;
               }), seed, listener);
}

}  // namespace nacre
