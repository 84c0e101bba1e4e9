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

Types with_batch(const std::vector<Column>& columns, const std::vector<std::size_t>& order) {
  Types types;
  for (std::size_t column : order) types.push_back({columns[column].type.dtype, Shape{unknown} + columns[column].type.shape});
  return types;
}

// Whether a label is no class.
bool is_wrong(double label, std::int64_t classes, const std::optional<std::int64_t>& ignored) {
  if (ignored && label == static_cast<double>(*ignored)) return false;
  return !(label >= 0 && label < static_cast<double>(classes));
}

}  // namespace

Feeder::Feeder(DatasetRef dataset, const FunctionalLayer& model, Objective* objective, std::map<std::int64_t, double> class_weight)
    : dataset_(std::move(dataset)), class_weight_(std::move(class_weight)) {
  const std::vector<std::string> input_names = model.input_names();
  if (dataset_->inputs().size() != input_names.size())
    throw Error("the data has {} input{}, the model takes {}: {}", dataset_->inputs().size(),
                dataset_->inputs().size() == 1 ? "" : "s", input_names.size(), list(input_names)).usage();
  inputs_ = match(dataset_->inputs(), input_names);
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
    throw Error("the data has {} target{}, losses and metrics want {}: {}", columns.size(), columns.size() == 1 ? "" : "s",
                used.size(), list(used)).usage();
  }
  if (!class_weight_.empty() && used.size() != 1) throw Error("class weights are for models with one output").usage();

  Types predictions;
  for (const Symbol& output : model.outputs()) predictions.push_back(output.type());
  objective->resolve(with_batch(columns, targets_), predictions);
  for (std::size_t i = 0, target = 0; i < objective->outputs().size(); ++i) {
    if (!objective->uses(i)) continue;
    const Shape& shape = predictions[i].shape;
    const std::int64_t classes = shape.rank() > 0 ? shape[-1] : 1;
    const Loss* loss = objective->loss(i);
    if (const auto* sparse = dynamic_cast<const losses::SparseCategoricalCrossentropy*>(loss))
      labels_.push_back({target, objective->outputs()[i], classes, sparse->config().ignore_class});
    else if (dynamic_cast<const losses::CategoricalGeneralizedCrossEntropy*>(loss))
      labels_.push_back({target, objective->outputs()[i], classes, {}});
    ++target;
  }
}

void Feeder::fill(const Batch& batch, Feed& feed) const {
  feed.size = batch.size;
  feed.inputs.clear(), feed.targets.clear(), feed.weights.clear();
  for (std::size_t column : inputs_) feed.inputs.push_back(batch.inputs[column]);
  for (std::size_t column : targets_) feed.targets.push_back(batch.targets[column]);
  for (const Labels& labels : labels_) check_labels(labels, feed.targets[labels.target]);
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

void Feeder::check_labels(const Labels& labels, const Tensor& values) const {
  if (labels.classes == unknown) return;
  const bool wrong = visit(values.dtype(), [&]<class T>(T*) {
    const auto elements = values.data<T>();
    return std::any_of(elements.begin(), elements.end(),
                       [&](T label) { return is_wrong(convert<double>(label), labels.classes, labels.ignored); });
  });
  if (wrong) refuse_label(labels);
}

// The batch may be shuffled: the sample is looked for in the dataset itself.
void Feeder::refuse_label(const Labels& labels) const {
  Batch batch;
  for (std::int64_t sample = 0; sample < dataset_->size(); ++sample) {
    dataset_->read({&sample, 1}, batch);
    const Tensor& values = batch.targets[targets_[labels.target]];
    for (std::int64_t i = 0; i < values.size(); ++i)
      if (const double label = values.at(i); is_wrong(label, labels.classes, labels.ignored))
        throw Error("sample {} has the label {}, the output '{}' has {} classes: 0 … {}", sample, label, labels.output,
                    labels.classes, labels.classes - 1)
            .hint("labels count from 0; the last layer needs as many units as there are classes")
            .usage();
  }
  throw InternalError("a wrong label was not found again");
}

Tensor Feeder::weights_of_classes(const Tensor& target) const {
  const std::int64_t samples = target.shape()[0], width = samples ? target.size() / samples : 0;
  Tensor weights(DType::float32, {samples});
  const auto out = weights.writable<float>();
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    std::int64_t label = 0;  // one-hot labels: the place of the largest
    if (width == 1) label = std::llround(target.at(sample));
    else
      for (std::int64_t k = 1; k < width; ++k)
        if (target.at(sample * width + k) > target.at(sample * width + label)) label = k;
    const auto found = class_weight_.find(label);
    out[static_cast<std::size_t>(sample)] = found == class_weight_.end() ? 1.0f : static_cast<float>(found->second);
  }
  return weights;
}

}  // namespace nacre
