// The callback: what happens beside training, and what it may know of it and do to it.
#pragma once

#include <filesystem>

#include "api/train/direction.h"
#include "backend/core/tensor.h"
#include "formats/config.h"

namespace nacre {

class FunctionalLayer;
struct Freeze;

// Named numbers in the order in which they were added: "loss", "accuracy", "val_loss", ….
class Logs {
 public:
  Logs() = default;
  Logs(std::initializer_list<std::pair<std::string, double>> entries) : entries_(entries) {}
  const double* find(std::string_view name) const;  // null when absent
  void set(std::string_view name, double value);    // replaces or appends
  std::string names() const;                        // "loss, accuracy"
  bool empty() const { return entries_.empty(); }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }

 private:
  std::vector<std::pair<std::string, double>> entries_;
};

// What callbacks may know of the training and do to it; fit implements it.
class TrainingControl {
 public:
  virtual ~TrainingControl() = default;
  virtual void stop(std::string reason) = 0;  // after the present batch or epoch
  virtual double learning_rate() const = 0;
  virtual void set_learning_rate(double rate) = 0;
  virtual std::int64_t epoch() const = 0;           // from 0
  virtual std::int64_t epochs() const = 0;          // when training ends unless it is stopped
  virtual std::int64_t batches() const = 0;         // of an epoch
  virtual std::int64_t iterations() const = 0;      // steps of the optimizer so far
  virtual bool interrupted() const = 0;             // by the user: training ends, but not because it is done
  virtual FunctionalLayer& model() const = 0;
  virtual std::vector<Tensor> weights() const = 0;  // a snapshot, in the model's order
  virtual void set_weights(const std::vector<Tensor>& weights) = 0;
  // Freezes layers of the model (api/freeze.h) and lets the others learn from the next step on; before the first batch of an
  // epoch.
  virtual void freeze(const Freeze& frozen) = 0;
  virtual void save(const std::string& file, bool weights_only) = 0;
  // Whether the weights are for now the optimizer's moving averages of them. Throws Error when it keeps none.
  virtual void show_averages(bool shown) = 0;
  // Writes a checkpoint, with the state of all callbacks, when those after this one were called too.
  virtual void back_up(const std::filesystem::path& checkpoint) = 0;
  // In on_train_begin: goes on from such a checkpoint instead of the start.
  virtual void resume_from(const std::filesystem::path& checkpoint) = 0;
  // Whether a metric (without "val_") is better when it is larger; none when no such metric is known.
  virtual std::optional<Direction> direction(std::string_view metric) const = 0;
  // Whether this process writes files: of several that train together the first does.
  virtual bool writes_files() const { return true; }
  virtual void say(std::string_view line) = 0;   // for the user, beside the progress bar
  virtual void warn(std::string_view line) = 0;  // likewise; each line is shown once
};

// What a callback remembers, for checkpoints: a resumed run equals an unbroken one.
struct CallbackState {
  Tree values;
  std::vector<Tensor> tensors;
};

// Used by the thread that trains. Batches and epochs are counted from 0. Logs of epochs may be added to: later
// callbacks, the history and the progress line see what was added.
class Callback : public Configurable<Callback> {
 public:
  virtual void on_train_begin(TrainingControl&) {}
  virtual void on_train_end(TrainingControl&, const Logs&) {}
  virtual void on_epoch_begin(TrainingControl&, std::int64_t /*epoch*/) {}
  virtual void on_epoch_end(TrainingControl&, std::int64_t /*epoch*/, Logs&) {}
  virtual void on_train_batch_begin(TrainingControl&, std::int64_t /*batch*/) {}
  virtual void on_train_batch_end(TrainingControl&, std::int64_t /*batch*/, const Logs&) {}
  virtual void on_test_begin(TrainingControl&) {}
  virtual void on_test_end(TrainingControl&, const Logs&) {}
  virtual void on_test_batch_begin(TrainingControl&, std::int64_t /*batch*/) {}
  virtual void on_test_batch_end(TrainingControl&, std::int64_t /*batch*/, const Logs&) {}

  // Of several processes that train together, whether it is called in every one: what changes the training is, with the same
  // numbers in each; what only looks on, and writes down what it sees, belongs to the first.
  virtual bool on_every_process() const { return true; }
  // Whether the batch hooks look at logs: reading metrics after each batch costs time.
  virtual bool reads_batch_logs() const { return false; }
  virtual CallbackState save_state() const { return {}; }
  // After on_train_begin, when a run is resumed.
  virtual void load_state(const CallbackState&) {}
};
template <>
Registry<Callback>& registry<Callback>();

}  // namespace nacre
