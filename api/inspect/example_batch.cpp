#include "api/inspect/example_batch.h"

#include <algorithm>

#include "backend/core/random.h"

namespace nacre {

namespace {

// The number of rows of an Embedding, also of one within a wrapper; none for other layers.
std::optional<std::int64_t> rows_of(const Layer& layer) {
  if (layer.class_name() == "Embedding") return layer.own_weights().at(0).variable->shape()[0];
  std::optional<std::int64_t> fewest;
  for (const auto& inner : layer.sublayers())
    if (const auto rows = rows_of(*inner)) fewest = fewest ? std::min(*fewest, *rows) : rows;
  return fewest;
}

// Where the elements of inputs go unchanged, through layers without weights, and the tables that they index there.
class IndexBounds {
 public:
  explicit IndexBounds(const FunctionalLayer& model) : bounds_(model.inputs().size()) {
    std::vector<Origins> inputs(model.inputs().size());
    for (std::size_t i = 0; i < inputs.size(); ++i) inputs[i] = {i};
    walk(model, inputs);
  }
  const std::optional<std::int64_t>& of(std::size_t input) const { return bounds_[input]; }

 private:
  using Origins = std::set<std::size_t>;  // inputs of the model

  std::vector<Origins> walk(const FunctionalLayer& model, const std::vector<Origins>& inputs) {
    std::map<const LayerCall*, std::vector<Origins>> results;
    const auto origins_of = [&](const Symbol& symbol) {
      const auto input = std::ranges::find(model.inputs(), symbol);
      if (input != model.inputs().end()) return inputs[static_cast<std::size_t>(input - model.inputs().begin())];
      const auto found = results.find(&symbol.call());
      return found == results.end() ? Origins() : found->second[static_cast<std::size_t>(symbol.index())];
    };
    for (const auto& call : model.calls()) {
      std::vector<Origins> operands;
      Origins all;
      for (const Symbol& input : call->inputs) {
        operands.push_back(origins_of(input));
        all.insert(operands.back().begin(), operands.back().end());
      }
      std::vector<Origins>& outputs = results[call.get()];
      if (const auto* inner = dynamic_cast<const FunctionalLayer*>(call->layer.get());
          inner && inner->inputs().size() == operands.size()) {
        outputs = walk(*inner, operands);
      } else if (const auto rows = rows_of(*call->layer)) {
        for (std::size_t origin : all) bounds_[origin] = bounds_[origin] ? std::min(*bounds_[origin], *rows) : *rows;
      } else if (call->layer->count_params() == 0) {
        outputs.assign(call->types.size(), all);
      }
      outputs.resize(call->types.size());
    }
    std::vector<Origins> outputs;
    for (const Symbol& output : model.outputs()) outputs.push_back(origins_of(output));
    return outputs;
  }

  std::vector<std::optional<std::int64_t>> bounds_;
};

Type of_batch(Type type, std::int64_t batch, std::string_view what) {
  if (type.shape.rank() > 0) type.shape.set(0, batch);
  if (!type.shape.known())
    throw Error("{} is {}, and only the batch may be unknown in a measurement", what, type.shape)
        .hint("give Input a shape without null")
        .usage();
  if (type.dtype == DType::string) throw Error("{} holds texts, which cannot be made up", what).usage();
  return type;
}

Tensor integers_below(const Type& type, std::int64_t bound, RandomStream& random) {
  Tensor tensor(DType::int64, type.shape);
  for (std::int64_t& value : tensor.writable<std::int64_t>())
    value = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(bound)));
  return tensor.cast(type.dtype);
}

Tensor uniform(const Type& type, RandomStream& random) {
  Tensor tensor(DType::float32, type.shape);
  for (float& value : tensor.writable<float>()) value = static_cast<float>(random.uniform());
  return tensor.cast(type.dtype);
}

Tensor one_hot(const Type& type, RandomStream& random) {
  Tensor tensor(DType::float32, type.shape);
  const std::int64_t classes = type.shape[-1];
  const auto values = tensor.writable<float>();
  for (std::size_t row = 0; row < values.size(); row += static_cast<std::size_t>(classes))
    values[row + static_cast<std::size_t>(random.below(static_cast<std::uint64_t>(classes)))] = 1;
  return tensor.cast(type.dtype);
}

}  // namespace

Types target_types(const FunctionalLayer& model, Objective& objective, std::int64_t batch) {
  Types predictions, targets, used;
  for (std::size_t i = 0; i < model.outputs().size(); ++i) {
    predictions.push_back(model.outputs()[i].type());
    Type type = predictions.back();
    if (type.shape.rank() > 0 && type.shape[0] == unknown) type.shape.set(0, batch);
    targets.push_back(type.shape.known() ? type : Type{DType::float32, {batch}});
    if (objective.uses(i)) used.push_back(targets.back());
  }
  objective.resolve(used, predictions);
  for (std::size_t i = 0; i < targets.size(); ++i)
    if (objective.integer_labels(i)) targets[i] = {DType::int32, targets[i].shape.first(targets[i].shape.rank() - 1)};
  return targets;
}

Batch example_batch(const Model& model, std::int64_t size, std::uint64_t seed) {
  RandomStream random(RandomKey::of(seed, "batch"));
  const FunctionalLayer& graph = model.graph();
  const IndexBounds bounds(graph);
  const std::vector<std::string> names = graph.input_names();
  Batch batch;
  batch.size = size;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Type type = of_batch(graph.inputs()[i].type(), size, fmt::format("the input '{}'", names[i]));
    const bool floats = is_floating(type.dtype) && !bounds.of(i);
    batch.inputs.push_back(floats ? uniform(type, random) : integers_below(type, bounds.of(i).value_or(2), random));
  }
  if (!model.trainer().options()) return batch;
  CompileOptions losses = *model.trainer().options();
  losses.metrics = losses.weighted_metrics = {};
  Objective objective(losses, graph.output_names());
  const Types targets = target_types(graph, objective, size);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const Shape& prediction =
        of_batch(graph.outputs()[i].type(), size, fmt::format("the output '{}'", graph.output_names()[i])).shape;
    const bool labels = !is_floating(targets[i].dtype) && targets[i].shape.rank() < prediction.rank();
    if (labels || targets[i].shape.rank() == 0 || targets[i].shape[-1] == 1)
      batch.targets.push_back(integers_below(targets[i], labels ? prediction[-1] : 2, random));
    else batch.targets.push_back(one_hot(targets[i], random));
  }
  return batch;
}

}  // namespace nacre
