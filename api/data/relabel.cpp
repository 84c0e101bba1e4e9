#include "api/data/relabel.h"

#include <algorithm>
#include <numeric>

namespace nacre {

namespace {

// Whether any sample is of the class: a folder without files is a class of which there is none.
bool occurs(const Dataset& data, std::size_t target, std::size_t number) {
  constexpr std::int64_t at_once = 4096;
  Batch batch;
  for (std::int64_t first = 0; first < data.size(); first += at_once) {
    std::vector<std::int64_t> indices(static_cast<std::size_t>(std::min(at_once, data.size() - first)));
    std::iota(indices.begin(), indices.end(), first);
    data.read_targets(indices, batch);
    const Tensor numbers = batch.targets[target].cast(DType::int64);
    if (std::ranges::count(numbers.data<std::int64_t>(), static_cast<std::int64_t>(number)) > 0) return true;
  }
  return false;
}

class Relabelled final : public ChangedDataset {
 public:
  Relabelled(DatasetRef raw, const std::vector<std::string>& labels)
      : ChangedDataset(std::move(raw)), numbers_(targets_.size()) {
    for (std::size_t i = 0; i < targets_.size(); ++i) {
      for (const std::string& name : targets_[i].labels) {
        const auto found = std::ranges::find(labels, name);
        if (found == labels.end() && occurs(*raw_, i, numbers_[i].size())) throw unknown_class(name).hint(suggestion(name, {labels.begin(), labels.end()}));
        numbers_[i].push_back(found - labels.begin());
      }
      if (numbers_[i].empty()) continue;
      if (is_floating(targets_[i].type.dtype))
        throw Error("targets of type {} stand for classes in another order than the model's", targets_[i].type)
            .hint("data without one_hot is put into the model's order")
            .usage();
      targets_[i].labels = labels;
    }
  }
  std::string description() const override { return raw_->description(); }
  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    raw_->read(indices, batch);
    renumber(batch);
  }
  void read_targets(std::span<const std::int64_t> indices, Batch& batch) const override {
    raw_->read_targets(indices, batch);
    renumber(batch);
  }

 private:
  void renumber(Batch& batch) const {
    for (std::size_t i = 0; i < numbers_.size(); ++i) {
      if (numbers_[i].empty()) continue;
      Tensor numbers = batch.targets[i].cast(DType::int32);
      for (std::int32_t& number : numbers.writable<std::int32_t>())
        if (number >= 0 && static_cast<std::size_t>(number) < numbers_[i].size())
          number = static_cast<std::int32_t>(numbers_[i][static_cast<std::size_t>(number)]);
      batch.targets[i] = std::move(numbers);
    }
  }

  std::vector<std::vector<std::int64_t>> numbers_;  // by target and old number; empty: as they are
};

}  // namespace

Error unknown_class(const std::string& name) {
  return Error("the data has a class '{}', which the model does not know", name).usage();
}

DatasetRef relabelled(DatasetRef dataset, const std::vector<std::string>& labels) {
  const auto differs = [&](const Column& column) { return !column.labels.empty() && column.labels != labels; };
  if (labels.empty() || std::ranges::none_of(dataset->targets(), differs)) return dataset;
  return std::make_shared<Relabelled>(std::move(dataset), labels);
}

}  // namespace nacre
