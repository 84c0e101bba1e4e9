#include "api/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

namespace nacre {

namespace {

// Makes `tensor` a tensor of `type` with `rows` rows, keeping its memory when it fits and nobody else holds it.
void prepare(Tensor& tensor, const Type& sample, std::int64_t rows) {
  const Type wanted{sample.dtype, Shape{rows} + sample.shape};
  if (tensor.type() != wanted) tensor = Tensor::uninitialised(wanted);
}

void gather_rows(const Tensor& from, std::span<const std::int64_t> indices, Tensor& to) {
  const std::int64_t row = from.size() / std::max<std::int64_t>(from.shape()[0], 1);
  std::int64_t at = 0;
  for (std::int64_t index : indices) copy_elements(from, index * row, row, to, std::exchange(at, at + row));
}

class ArrayDataset final : public Dataset {
 public:
  explicit ArrayDataset(Arrays arrays) : arrays_(std::move(arrays)) {
    need(!arrays_.inputs.empty(), "a data set needs at least one array");
    for (auto* tensors : {&arrays_.inputs, &arrays_.targets})
      for (Tensor& tensor : *tensors)
        if (tensor.dtype() == DType::float64) tensor = tensor.cast(DType::float32);
    size_ = rows(arrays_.inputs.front());
    columns(arrays_.inputs, arrays_.input_names, inputs_);
    columns(arrays_.targets, arrays_.target_names, targets_);
    for (Column& column : inputs_)
      if (column.type.dtype == DType::string) column.whole_file = arrays_.whole_file;
    for (std::size_t i = 0; i < arrays_.target_labels.size(); ++i) targets_.at(i).labels = std::move(arrays_.target_labels[i]);
    for (Tensor& weights : arrays_.weights) {
      need(rows(weights) == size_ && weights.shape().rank() == 1, "sample weights of shape {} for {} samples",
           weights.shape(), size_);
      weights = weights.cast(DType::float32);
    }
  }

  std::int64_t size() const override { return size_; }
  const std::vector<Column>& inputs() const override { return inputs_; }
  const std::vector<Column>& targets() const override { return targets_; }
  bool weighted() const override { return !arrays_.weights.empty(); }

  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    read_all(arrays_.inputs, indices, batch.inputs);
    read_targets(indices, batch);
  }
  void read_targets(std::span<const std::int64_t> indices, Batch& batch) const override {
    batch.size = static_cast<std::int64_t>(indices.size());
    read_all(arrays_.targets, indices, batch.targets);
    read_all(arrays_.weights, indices, batch.weights);
  }

  std::string description() const override {
    std::string text = arrays_.description.empty() ? "arrays" : arrays_.description;
    text += fmt::format(": {} samples", size_);
    for (const Column& column : inputs_) text += fmt::format(", {}", column.type);
    if (!targets_.empty()) text += " →";
    for (const Column& column : targets_) text += fmt::format(" {}", column.type);
    return text;
  }

 private:
  static std::int64_t rows(const Tensor& tensor) {
    need(tensor.shape().rank() >= 1, "a data set cannot hold a single number");
    return tensor.shape()[0];
  }

  void columns(const std::vector<Tensor>& arrays, const std::vector<std::string>& names, std::vector<Column>& result) const {
    ensure(names.empty() || names.size() == arrays.size(), "{} names for {} arrays", names.size(), arrays.size());
    for (std::size_t i = 0; i < arrays.size(); ++i) {
      need(rows(arrays[i]) == size_, "arrays of different lengths: {} samples and {}", size_, rows(arrays[i]));
      result.push_back({names.empty() ? "" : names[i], {arrays[i].dtype(), arrays[i].shape().from(1)}});
    }
  }

  static void read_all(const std::vector<Tensor>& from, std::span<const std::int64_t> indices, std::vector<Tensor>& to) {
    to.resize(from.size());
    for (std::size_t i = 0; i < from.size(); ++i) {
      prepare(to[i], {from[i].dtype(), from[i].shape().from(1)}, static_cast<std::int64_t>(indices.size()));
      gather_rows(from[i], indices, to[i]);
    }
  }

  Arrays arrays_;
  std::int64_t size_ = 0;
  std::vector<Column> inputs_, targets_;
};

class Subset final : public Dataset {
 public:
  Subset(DatasetRef whole, std::vector<std::int64_t> indices) : whole_(std::move(whole)), indices_(std::move(indices)) {
    for (std::int64_t index : indices_) ensure(index >= 0 && index < whole_->size(), "sample {} of {}", index, whole_->size());
  }
  std::int64_t size() const override { return static_cast<std::int64_t>(indices_.size()); }
  const std::vector<Column>& inputs() const override { return whole_->inputs(); }
  const std::vector<Column>& targets() const override { return whole_->targets(); }
  bool weighted() const override { return whole_->weighted(); }
  bool bound_to_thread() const override { return whole_->bound_to_thread(); }
  bool changes() const override { return whole_->changes(); }
  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    whole_->read(mapped(indices), batch);
  }
  void read_targets(std::span<const std::int64_t> indices, Batch& batch) const override {
    whole_->read_targets(mapped(indices), batch);
  }
  int workers() const override { return whole_->workers(); }
  std::string sample_name(std::int64_t index) const override {
    return whole_->sample_name(indices_[static_cast<std::size_t>(index)]);
  }
  std::string description() const override { return fmt::format("{} of {}", size(), whole_->description()); }

 private:
  std::vector<std::int64_t> mapped(std::span<const std::int64_t> indices) const {
    std::vector<std::int64_t> whole(indices.size());
    for (std::size_t i = 0; i < indices.size(); ++i) whole[i] = indices_[static_cast<std::size_t>(indices[i])];
    return whole;
  }

  DatasetRef whole_;
  std::vector<std::int64_t> indices_;
};

// Calls receive(class) for each sample, in order; the data has one target.
void each_class(const Dataset& dataset, auto&& receive) {
  std::vector<std::int64_t> indices;
  Batch batch;
  constexpr std::int64_t at_once = 4096;
  for (std::int64_t begin = 0; begin < dataset.size(); begin += at_once) {
    indices.resize(static_cast<std::size_t>(std::min(at_once, dataset.size() - begin)));
    std::iota(indices.begin(), indices.end(), begin);
    dataset.read_targets(indices, batch);
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(indices.size()); ++i) receive(class_of(batch.targets.front(), i));
  }
}

// Whether samples of several classes lie class by class.
bool sorted_by_class(const Dataset& dataset) {
  if (dataset.targets().size() != 1 || dataset.targets().front().labels.empty() || dataset.targets().front().type.shape.rank() > 0)
    return false;
  std::set<std::int64_t> classes;
  std::int64_t changes = 0, last = -1;
  each_class(dataset, [&](std::int64_t label) {
    classes.insert(label);
    changes += std::exchange(last, label) != label;
  });
  const auto count = static_cast<std::int64_t>(classes.size());
  return count > 1 && changes == count && dataset.size() >= 4 * count;  // of few samples chance alone may sort
}

}  // namespace

std::int64_t class_of(const Tensor& target, std::int64_t sample) {
  const std::int64_t width = target.size() / target.shape()[0];
  if (width == 1) return std::llround(target.at(sample));
  std::int64_t label = 0;
  for (std::int64_t k = 1; k < width; ++k)
    if (target.at(sample * width + k) > target.at(sample * width + label)) label = k;
  return label;
}

std::map<std::int64_t, std::int64_t> class_counts(const Dataset& dataset) {
  if (dataset.targets().size() != 1) throw Error("classes can be counted of one target, the data has {}", dataset.targets().size()).usage();
  const Type& type = dataset.targets().front().type;
  if (type.dtype == DType::string || (is_floating(type.dtype) && type.shape.elements() == 1))
    throw Error("the targets are {}, wanted class numbers", type).usage();
  std::map<std::int64_t, std::int64_t> counts;
  each_class(dataset, [&](std::int64_t label) { ++counts[label]; });
  return counts;
}

std::map<std::int64_t, double> balanced_class_weight(const Dataset& dataset) {
  const auto counts = class_counts(dataset);
  std::map<std::int64_t, double> weights;
  for (const auto& [label, count] : counts)
    weights[label] = static_cast<double>(dataset.size()) / static_cast<double>(static_cast<std::int64_t>(counts.size()) * count);
  return weights;
}

DatasetRef array_dataset(Arrays arrays) { return std::make_shared<ArrayDataset>(std::move(arrays)); }

DatasetRef subset(DatasetRef dataset, std::vector<std::int64_t> indices) {
  return std::make_shared<Subset>(std::move(dataset), std::move(indices));
}

Split split_validation(const DatasetRef& dataset, double fraction) {
  if (!(fraction > 0 && fraction < 1)) throw Error("a validation split of {}, wanted a fraction between 0 and 1", fraction).usage();
  const auto first = static_cast<std::int64_t>(std::floor(static_cast<double>(dataset->size()) * (1 - fraction)));
  if (first == 0 || first == dataset->size())
    throw Error("a validation split of {} leaves nothing of {} samples on one side", fraction, dataset->size()).usage();
  if (sorted_by_class(*dataset))
    throw Error("a validation split takes the last samples, but these are sorted by class: they would all be of class '{}'",
                dataset->targets().front().labels.back())
        .hint("shuffle the rows of the file, or name validation data of its own")
        .usage();
  std::vector<std::int64_t> all(static_cast<std::size_t>(dataset->size()));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  return {subset(dataset, {all.begin(), all.begin() + first}), subset(dataset, {all.begin() + first, all.end()})};
}

}  // namespace nacre
