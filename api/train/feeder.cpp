#include "api/train/feeder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace nacre {

namespace {

// For each wanted name the column that has it; the columns in their order when they are named otherwise.
std::vector<std::size_t> match(const std::vector<Column>& columns, const std::vector<std::string>& wanted) {
  std::vector<std::size_t> order(wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto found = std::find_if(columns.begin(), columns.end(), [&](const Column& column) { return column.name == wanted[i]; });
    if (found == columns.end()) {
      std::iota(order.begin(), order.end(), std::size_t{0});
      break;
    }
    order[i] = static_cast<std::size_t>(found - columns.begin());
  }
  return order;
}

std::string list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "'" : ", '") + name + "'";
  return text;
}

// " (float32(1,), 'comment' string())": by name where there is one.
std::string described(const std::vector<Column>& columns) {
  std::string text;
  for (const Column& column : columns) {
    text += text.empty() ? " (" : ", ";
    if (!column.name.empty()) text += fmt::format("'{}' ", column.name);
    text += fmt::format("{}", column.type);
  }
  return text.empty() ? text : text + ")";
}

Types with_batch(const std::vector<Column>& columns, const std::vector<std::size_t>& order) {
  Types types;
  for (std::size_t column : order) types.push_back({columns[column].type.dtype, Shape{unknown} + columns[column].type.shape});
  return types;
}

bool is_wrong(double index, std::int64_t count, const std::optional<std::int64_t>& ignored) {
  if (ignored && index == static_cast<double>(*ignored)) return false;
  return !(index >= 0 && index < static_cast<double>(count));
}

}  // namespace

Feeder::Feeder(DatasetRef dataset, const FunctionalLayer& model, Objective* objective, std::map<std::int64_t, double> class_weight)
    : dataset_(std::move(dataset)), class_weight_(std::move(class_weight)) {
  if (dataset_->size() == 0) throw Error("the data has no samples").usage();
  const std::vector<std::string> input_names = model.input_names();
  if (dataset_->inputs().size() != input_names.size())
    throw Error("the data has {} input{}{}, the model takes {}: {}", dataset_->inputs().size(),
                dataset_->inputs().size() == 1 ? "" : "s", described(dataset_->inputs()), input_names.size(),
                list(input_names))
        .hint(dataset_->inputs().size() < input_names.size() ? "" : "columns of a table that are no input: drop: [NAME, …], or csv:FILE,drop=NAME on a command line")
        .usage();
  inputs_ = match(dataset_->inputs(), input_names);
  find_rows(model);
  if (!objective) return;

  std::vector<std::string> used;
  for (std::size_t i = 0; i < objective->outputs().size(); ++i)
    if (objective->uses(i)) used.push_back(objective->outputs()[i]);
  const std::vector<Column>& columns = dataset_->targets();
  if (columns.size() == objective->outputs().size()) {  // a target for every output, even for those that nothing wants
    const auto order = match(columns, objective->outputs());
    for (std::size_t i = 0; i < order.size(); ++i)
      if (objective->uses(i)) targets_.push_back(order[i]);
  } else if (columns.size() == used.size()) {
    targets_ = match(columns, used);
  } else {
    Error error("the data has {} target{}, losses and metrics want {}: {}", columns.size(), columns.size() == 1 ? "" : "s",
                used.size(), list(used));
    if (columns.empty()) error.hint("targets stand beside the inputs: y after x in scripts, npy:x=x.npy,y=y.npy, idx:IMAGES,LABELS");
    throw error.usage();
  }
  if (!class_weight_.empty() && used.size() != 1) throw Error("class weights are for models with one output").usage();

  Types predictions;
  for (const Symbol& output : model.outputs()) predictions.push_back(output.type());
  objective->resolve(with_batch(columns, targets_), predictions);
  find_labels(model, *objective);
}

void Feeder::find_rows(const FunctionalLayer& model) {
  for (const auto& call : model.calls()) {
    if (call->layer->class_name() != "Embedding") continue;
    const auto input = std::find(model.inputs().begin(), model.inputs().end(), call->inputs.at(0));
    if (input == model.inputs().end()) continue;
    const std::size_t column = inputs_[static_cast<std::size_t>(input - model.inputs().begin())];
    if (dataset_->inputs()[column].type.dtype == DType::string) continue;  // which the model refuses
    const std::int64_t rows = call->layer->own_weights().at(0).variable->shape()[0];
    indices_.push_back({.column = column, .count = rows,
                        .owner = fmt::format("{} has {} rows", call->layer->label(), rows), .noun = "index",
                        .hint = "input_dim is the largest index plus one"});
  }
}

void Feeder::find_labels(const FunctionalLayer& model, const Objective& objective) {
  for (std::size_t i = 0, target = 0; i < objective.outputs().size(); ++i) {
    if (!objective.uses(i)) continue;
    const Shape& shape = model.outputs()[i].shape();
    const std::int64_t classes = shape.rank() > 0 ? shape[-1] : 1;
    const std::size_t column = targets_[target++];
    const auto labels = objective.integer_labels(i);
    if (!labels || classes == unknown) continue;
    indices_.push_back({.target = true, .column = column, .count = classes,
                        .ignored = labels->ignored,
                        .owner = fmt::format("the output '{}' has {} classes", objective.outputs()[i], classes), .noun = "label",
                        .hint = "labels count from 0; the last layer needs as many units as there are classes"});
  }
}

std::function<void(Batch&)> Feeder::ahead(Steps& steps) const {
  const HostPartRef part = steps.host_part(with_batch(dataset_->inputs(), inputs_));
  if (!part) return {};
  return [part, columns = inputs_](Batch& batch) {
    std::vector<Tensor> inputs;
    for (std::size_t column : columns) inputs.push_back(batch.inputs[column]);
    batch.hosted = part->run(inputs);
  };
}

void Feeder::fill(const Batch& batch, Feed& feed) const {
  feed.size = batch.size;
  feed.hosted = batch.hosted;
  feed.inputs.clear(), feed.targets.clear(), feed.weights.clear();
  for (std::size_t column : inputs_) feed.inputs.push_back(batch.inputs[column]);
  for (std::size_t column : targets_) feed.targets.push_back(batch.targets[column]);
  for (const Indices& indices : indices_) check(indices, batch);
  if (!batch.weights.empty())
    for (std::size_t column : targets_) feed.weights.push_back(batch.weights[batch.weights.size() == 1 ? 0 : column]);
  if (class_weight_.empty()) return;
  Tensor weights = weights_of_classes(feed.targets.front());
  if (!feed.weights.empty()) {
    const Tensor given = feed.weights.front().cast(DType::float32);
    if (given.size() != weights.size())
      throw Error("class weights go with one sample weight per sample, got {} for {} samples", given.shape(), batch.size).usage();
    for (std::size_t i = 0; i < static_cast<std::size_t>(given.size()); ++i) weights.writable<float>()[i] *= given.data<float>()[i];
  }
  feed.weights.assign(1, std::move(weights));
}

void Feeder::check(const Indices& indices, const Batch& batch) const {
  const Tensor& values = (indices.target ? batch.targets : batch.inputs)[indices.column];
  const bool wrong = visit(values.dtype(), [&]<class T>(T*) {
    const auto elements = values.data<T>();
    return std::any_of(elements.begin(), elements.end(),
                       [&](T index) { return is_wrong(convert<double>(index), indices.count, indices.ignored); });
  });
  if (wrong) refuse(indices);
}

// The batch may be shuffled: the sample is looked for in the dataset itself.
void Feeder::refuse(const Indices& indices) const {
  Batch batch;
  for (std::int64_t sample = 0; sample < dataset_->size(); ++sample) {
    dataset_->read({&sample, 1}, batch);
    const Tensor& values = (indices.target ? batch.targets : batch.inputs)[indices.column];
    for (std::int64_t i = 0; i < values.size(); ++i)
      if (const double index = values.at(i); is_wrong(index, indices.count, indices.ignored))
        throw Error("sample {} has the {} {}, {}: 0 … {}", sample, indices.noun, index, indices.owner, indices.count - 1)
            .hint(std::string(indices.hint))
            .usage();
  }
  throw InternalError("a wrong index was not found again");
}

Tensor Feeder::weights_of_classes(const Tensor& target) const {
  const std::int64_t samples = target.shape()[0];
  Tensor weights(DType::float32, {samples});
  const auto out = weights.writable<float>();
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    const auto found = class_weight_.find(class_of(target, sample));
    out[static_cast<std::size_t>(sample)] = found == class_weight_.end() ? 1.0f : static_cast<float>(found->second);
  }
  return weights;
}

}  // namespace nacre
