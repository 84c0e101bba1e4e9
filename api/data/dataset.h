// Samples that can be read in any order, and batches of them.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/core/tensor.h"

namespace nacre {

// Some samples, stacked on a first axis. Inputs, targets and weights are in the order of the dataset's columns.
struct Batch {
  std::vector<Tensor> inputs, targets;
  std::vector<Tensor> weights;  // sample weights, float32 (size,): none, one for all targets, or one per target
  std::int64_t size = 0;
  std::int64_t step = 0;  // counts the batches of all epochs: what random changes of the samples draw from
  std::optional<std::vector<Tensor>> hosted;  // what the model's host part made of the inputs, when it ran already
};

// A named array of every sample: its type without the batch axis.
struct Column {
  std::string name;  // "" when the source has no name for it
  Type type;
  std::vector<std::string> labels{};  // of a target that is a class number: the names of the classes, where they have any
};

// Immutable, and usable from several threads unless it is bound to one.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;
  virtual const std::vector<Column>& inputs() const = 0;
  virtual const std::vector<Column>& targets() const = 0;
  virtual bool weighted() const { return false; }
  // Whether read() runs on the thread alone that uses the data set: loaders do not read ahead then.
  virtual bool bound_to_thread() const { return false; }
  // Fills `batch` with the samples of these indices, reusing its memory where types fit.
  virtual void read(std::span<const std::int64_t> indices, Batch& batch) const = 0;
  // What a person calls a sample, its file for instance; "" where it is but a number.
  virtual std::string sample_name(std::int64_t /*index*/) const { return {}; }
  // One line for the user: "digits: 60000 samples, 28×28×1 uint8 → int32".
  virtual std::string description() const = 0;
};
using DatasetRef = std::shared_ptr<const Dataset>;

// Gives another's samples in another form.
class ChangedDataset : public Dataset {
 public:
  explicit ChangedDataset(DatasetRef raw) : raw_(std::move(raw)), inputs_(raw_->inputs()), targets_(raw_->targets()) {}
  std::int64_t size() const override { return raw_->size(); }
  const std::vector<Column>& inputs() const override { return inputs_; }
  const std::vector<Column>& targets() const override { return targets_; }
  bool weighted() const override { return raw_->weighted(); }
  bool bound_to_thread() const override { return raw_->bound_to_thread(); }
  std::string sample_name(std::int64_t index) const override { return raw_->sample_name(index); }

 protected:
  DatasetRef raw_;
  std::vector<Column> inputs_, targets_;
};

// Arrays in memory; all have the same first axis. Those of float64 become float32, as in Keras.
struct Arrays {
  std::vector<Tensor> inputs, targets, weights;
  std::vector<std::string> input_names, target_names;  // empty, or as many
  std::string description;
};
DatasetRef array_dataset(Arrays arrays);

// The samples of `dataset` with these indices, in this order.
DatasetRef subset(DatasetRef dataset, std::vector<std::int64_t> indices);

struct Split {
  DatasetRef train, validation;
};
// Keras's validation_split: the last ⌊fraction · size⌋… samples validate, the first ones train; 0 < fraction < 1.
Split split_validation(const DatasetRef& dataset, double fraction);

}  // namespace nacre
