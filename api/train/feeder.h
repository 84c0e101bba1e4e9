// Batches of a dataset in the order and form in which a model takes them.
#pragma once

#include "api/data/dataset.h"
#include "api/train/steps.h"

namespace nacre {

// Matches columns with the inputs and outputs of a model: by name where the dataset names them so, else by order.
class Feeder {
 public:
  // For training and tests; null objective: inputs only. Throws a usage Error when the columns do not fit.
  Feeder(DatasetRef dataset, const FunctionalLayer& model, Objective* objective, std::map<std::int64_t, double> class_weight = {});

  // Also checks the labels of losses that take integers: an Error tells the label, its sample and the classes.
  void fill(const Batch& batch, Feed& feed) const;

 private:
  struct Labels {  // of a target that holds classes
    std::size_t target;
    std::string output;
    std::int64_t classes;
    std::optional<std::int64_t> ignored;
  };
  void check_labels(const Labels& labels, const Tensor& values) const;
  [[noreturn]] void refuse_label(const Labels& labels) const;
  Tensor weights_of_classes(const Tensor& target) const;

  DatasetRef dataset_;
  std::vector<std::size_t> inputs_, targets_;  // columns
  std::vector<Labels> labels_;
  std::map<std::int64_t, double> class_weight_;
};

}  // namespace nacre
