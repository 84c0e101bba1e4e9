// Batches of a dataset in the order and form in which a model takes them.
#pragma once

#include "api/data/loader.h"
#include "api/train/steps.h"

namespace nacre {

// Matches columns with the inputs and outputs of a model: by name where the dataset names them so, else by order.
class Feeder {
 public:
  // For training and tests; null objective: inputs only. Throws a usage Error when the columns do not fit.
  Feeder(DatasetRef dataset, const FunctionalLayer& model, Objective* objective, std::map<std::int64_t, double> class_weight = {});

  // The data's column for each input of the model.
  const std::vector<std::size_t>& input_columns() const { return inputs_; }

  // What a loader does with each batch ahead of the step: it runs the model's host part. Empty when there is none.
  std::function<void(Batch&)> ahead(Steps& steps) const;

  // Also checks numbers that are indices: labels of losses that take integers, rows of embeddings. An Error tells the
  // number, its sample and what is allowed.
  void fill(const Batch& batch, Feed& feed) const;

  // Which column of the dataset each target of a feed comes from.
  const std::vector<std::size_t>& target_columns() const { return targets_; }

 private:
  struct Indices {  // a column that holds them
    bool target = false;  // a column of targets, else of inputs
    std::size_t column = 0;
    std::int64_t count = 0;  // 0 … count-1 are allowed
    std::optional<std::int64_t> ignored{};  // and this one
    std::string owner{};     // "output 'digit' has 10 classes"
    std::string_view noun{}, hint{};
  };
  void find_rows(const FunctionalLayer& model);
  void find_labels(const FunctionalLayer& model, const Objective& objective);
  void check(const Indices& indices, const Batch& batch) const;
  [[noreturn]] void refuse(const Indices& indices) const;
  Tensor weights_of_classes(const Tensor& target) const;

  DatasetRef dataset_;
  std::vector<std::size_t> inputs_, targets_;  // columns
  std::vector<Indices> indices_;
  std::map<std::int64_t, double> class_weight_;
};

}  // namespace nacre
