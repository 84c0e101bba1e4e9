// Samples that can be read in any order, and batches of them.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "api/data/preprocessing.h"
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
  // Of a target that is a class number: the names of the classes, where they have any. Of an input of texts: the tokens by
  // number where the targets are numbers of tokens too, so that the model must number them in the same way.
  std::vector<std::string> labels{};
  std::optional<Preprocessing> preprocessing{};  // of an input that is no longer as it was in its source
  std::optional<bool>
      whole_file{};  // of an input of texts: whether each is all of a file, or a part; null: it is of none
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
  // Whether a sample may be another each time it is read: augmentation.
  virtual bool changes() const { return false; }
  // Fills `batch` with the samples of these indices, reusing its memory where types fit.
  virtual void read(std::span<const std::int64_t> indices, Batch& batch) const = 0;
  // The targets alone, as read() gives them: inputs may be missing from the batch where they cost time.
  virtual void read_targets(std::span<const std::int64_t> indices, Batch& batch) const { read(indices, batch); }
  // How many threads are worth reading batches at the same time.
  virtual int workers() const { return 1; }
  // What a person calls a sample, its file for instance; "" where it is but a number.
  virtual std::string sample_name(std::int64_t /*index*/) const { return {}; }
  // Of samples that are made from files when they are read: tells them from all others without reading them (the names,
  // sizes and times of the files, and what is done with them). "" for others.
  virtual std::string fingerprint() const { return {}; }
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
  int workers() const override { return raw_->workers(); }
  std::string sample_name(std::int64_t index) const override { return raw_->sample_name(index); }
  bool changes() const override { return raw_->changes(); }

 protected:
  DatasetRef raw_;
  std::vector<Column> inputs_, targets_;
};

// Arrays in memory; all have the same first axis. Those of float64 become float32, as in Keras.
struct Arrays {
  std::vector<Tensor> inputs, targets, weights;
  std::vector<std::string> input_names{}, target_names{};  // empty, or as many
  std::vector<std::vector<std::string>> target_labels{};    // Column::labels; empty, or as many
  std::optional<bool> whole_file{};                         // Column::whole_file of inputs of texts
  std::string description{};
};
DatasetRef array_dataset(Arrays arrays);

// The samples of `dataset` with these indices, in this order.
DatasetRef subset(DatasetRef dataset, std::vector<std::int64_t> indices);

// The same samples with preprocessed inputs, once: data whose inputs have been preprocessed stays as it is.
DatasetRef preprocessed(DatasetRef data, const Preprocessing& preprocessing);

// The class of one of a batch's samples: its number or, where the target is a vector, the place of the largest element.
std::int64_t class_of(const Tensor& target, std::int64_t sample);
// How many samples there are of each class number, in the only target, without reading inputs. Throws a usage Error when
// the targets are something else.
std::map<std::int64_t, std::int64_t> class_counts(const Dataset& dataset);
// scikit-learn's class_weight 'balanced': size / (classes · samples of the class).
std::map<std::int64_t, double> balanced_class_weight(const Dataset& dataset);

struct Split {
  DatasetRef train, validation;
};
// Keras's validation_split: the last ⌊fraction · size⌋… samples validate, the first ones train; 0 < fraction < 1. Throws a
// usage Error for samples that are sorted by class (where classes have names): the last ones would all be of one class.
Split split_validation(const DatasetRef& dataset, double fraction);

}  // namespace nacre
