// Callbacks: what happens beside training. Each is a described config with Keras's names and defaults; own ones derive
// from Callback or fill in a LambdaCallback.
#pragma once

#include <cmath>
#include <functional>
#include <iosfwd>

#include "api/train/direction.h"
#include "backend/core/tensor.h"
#include "formats/config.h"

namespace nacre {

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
  virtual std::vector<Tensor> weights() const = 0;  // a snapshot, in the model's order
  virtual void set_weights(const std::vector<Tensor>& weights) = 0;
  virtual void save(const std::string& file, bool weights_only) = 0;
  // Whether a metric (without "val_") is better when it is larger; none when no such metric is known.
  virtual std::optional<Direction> direction(std::string_view metric) const = 0;
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

  // Whether the batch hooks look at logs: reading metrics after each batch costs time.
  virtual bool reads_batch_logs() const { return false; }
  virtual CallbackState save_state() const { return {}; }
  // After on_train_begin, when a run is resumed.
  virtual void load_state(const CallbackState&) {}
};
template <>
Registry<Callback>& registry<Callback>();

namespace callbacks {

enum class MonitorMode : std::uint8_t { automatic, min, max };

// Whether a monitored number has improved.
class Monitor {
 public:
  // `owner` is the callback, for messages.
  Monitor(std::string_view owner, std::string name, MonitorMode mode, double min_delta)
      : owner_(owner), name_(std::move(name)), mode_(mode), min_delta_(std::abs(min_delta)) {}
  const std::string& name() const { return name_; }
  // The value in the logs, or null after a warning.
  const double* value(TrainingControl& control, const Logs& logs) const;
  // By more than min_delta; anything improves on nothing. Throws Error when the direction is not known.
  bool improves(const TrainingControl& control, double value, std::optional<double> reference) const;

 private:
  std::string_view owner_;
  std::string name_;
  MonitorMode mode_;
  double min_delta_;
};

struct EarlyStoppingConfig {
  static constexpr std::string_view class_name = "EarlyStopping";
  static constexpr std::string_view doc = "Stops training when a monitored number no longer improves.";
  std::string monitor = "val_loss";
  double min_delta = 0;
  std::int64_t patience = 0, verbose = 0;
  MonitorMode mode = MonitorMode::automatic;
  std::optional<double> baseline{};
  bool restore_best_weights = false;
  std::int64_t start_from_epoch = 0;
  static void describe(auto&& field) {
    field("monitor", &EarlyStoppingConfig::monitor, "name in the logs");
    field("min_delta", &EarlyStoppingConfig::min_delta, "smaller changes are no improvement");
    field("patience", &EarlyStoppingConfig::patience, "epochs without improvement before it stops", at_least(0));
    field("verbose", &EarlyStoppingConfig::verbose, "1: say so", between(0, 1));
    field("mode", &EarlyStoppingConfig::mode, "auto, min or max: which way is better");
    field("baseline", &EarlyStoppingConfig::baseline, "to be beaten within the patience");
    field("restore_best_weights", &EarlyStoppingConfig::restore_best_weights, "end with the weights of the best epoch");
    field("start_from_epoch", &EarlyStoppingConfig::start_from_epoch, "earlier epochs do not count", at_least(0));
  }
};

class EarlyStopping final : public Configured<Callback, EarlyStoppingConfig> {
 public:
  explicit EarlyStopping(Config config = {});
  void on_train_begin(TrainingControl& control) override;
  void on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) override;
  void on_train_end(TrainingControl& control, const Logs& logs) override;
  CallbackState save_state() const override;
  void load_state(const CallbackState& state) override;

 private:
  Monitor monitor_;
  std::int64_t wait_ = 0, best_epoch_ = 0;
  std::optional<std::int64_t> stopped_epoch_;
  std::optional<double> best_;
  std::vector<Tensor> best_weights_;
};

// After each epoch, or after a number of batches.
struct SaveFrequency {
  std::optional<std::int64_t> batches;  // none: each epoch
};

struct ModelCheckpointConfig {
  static constexpr std::string_view class_name = "ModelCheckpoint";
  static constexpr std::string_view doc = "Saves the model while it trains.";
  std::string filepath;
  std::string monitor = "val_loss";
  std::int64_t verbose = 0;
  bool save_best_only = false, save_weights_only = false;
  MonitorMode mode = MonitorMode::automatic;
  SaveFrequency save_freq{};
  std::optional<double> initial_value_threshold{};
  static void describe(auto&& field) {
    field("filepath", &ModelCheckpointConfig::filepath, "may hold {epoch:02d}, {batch}, {val_loss:.4f}, …", required());
    field("monitor", &ModelCheckpointConfig::monitor, "name in the logs, for save_best_only");
    field("verbose", &ModelCheckpointConfig::verbose, "1: say so", between(0, 1));
    field("save_best_only", &ModelCheckpointConfig::save_best_only, "only when the monitored number improved");
    field("save_weights_only", &ModelCheckpointConfig::save_weights_only,
          "weights without the architecture: FILE.weights.h5");
    field("mode", &ModelCheckpointConfig::mode, "auto, min or max: which way is better");
    field("save_freq", &ModelCheckpointConfig::save_freq, "epoch, or a number of batches");
    field("initial_value_threshold", &ModelCheckpointConfig::initial_value_threshold,
          "to be beaten before anything is saved");
  }
};

class ModelCheckpoint final : public Configured<Callback, ModelCheckpointConfig> {
 public:
  explicit ModelCheckpoint(Config config = {});
  void on_train_batch_end(TrainingControl& control, std::int64_t batch, const Logs& logs) override;
  void on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) override;
  bool reads_batch_logs() const override { return config_.save_freq.batches.has_value(); }
  CallbackState save_state() const override;
  void load_state(const CallbackState& state) override;

 private:
  void save(TrainingControl& control, std::int64_t epoch, std::optional<std::int64_t> batch, const Logs& logs);
  Monitor monitor_;
  std::optional<double> best_;
  std::int64_t batches_ = 0;  // since the last saving
};

struct ReduceLROnPlateauConfig {
  static constexpr std::string_view class_name = "ReduceLROnPlateau";
  static constexpr std::string_view doc = "Lowers the learning rate when a monitored number no longer improves.";
  std::string monitor = "val_loss";
  double factor = 0.1;
  std::int64_t patience = 10, verbose = 0;
  MonitorMode mode = MonitorMode::automatic;
  double min_delta = 1e-4;
  std::int64_t cooldown = 0;
  double min_lr = 0;
  static void describe(auto&& field) {
    field("monitor", &ReduceLROnPlateauConfig::monitor, "name in the logs");
    field("factor", &ReduceLROnPlateauConfig::factor, "of the learning rate", above(0), from_below(0, 1));
    field("patience", &ReduceLROnPlateauConfig::patience, "epochs without improvement before it acts", at_least(0));
    field("verbose", &ReduceLROnPlateauConfig::verbose, "1: say so", between(0, 1));
    field("mode", &ReduceLROnPlateauConfig::mode, "auto, min or max: which way is better");
    field("min_delta", &ReduceLROnPlateauConfig::min_delta, "smaller changes are no improvement", at_least(0));
    field("cooldown", &ReduceLROnPlateauConfig::cooldown, "epochs to rest after acting", at_least(0));
    field("min_lr", &ReduceLROnPlateauConfig::min_lr, "lowest learning rate", at_least(0));
  }
};

class ReduceLROnPlateau final : public Configured<Callback, ReduceLROnPlateauConfig> {
 public:
  explicit ReduceLROnPlateau(Config config = {});
  void on_train_begin(TrainingControl& control) override;
  void on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) override;
  CallbackState save_state() const override;
  void load_state(const CallbackState& state) override;

 private:
  Monitor monitor_;
  std::optional<double> best_;
  std::int64_t wait_ = 0, cooldown_ = 0;
};

// A learning rate as a function of the epoch and the present rate: a C++ function, or an expression in `epoch` and
// `lr`: lr * 0.9, epoch < 10 and 0.1 or 0.01.
struct RateFunction {
  std::function<double(std::int64_t epoch, double rate)> function;
  std::string text;  // "" for C++ functions
  RateFunction() = default;
  RateFunction(std::string expression);
  template <class Function>
  requires std::is_invocable_r_v<double, Function, std::int64_t, double> RateFunction(Function function_)
      : function(std::move(function_)) {}
};

struct LearningRateSchedulerConfig {
  static constexpr std::string_view class_name = "LearningRateScheduler";
  static constexpr std::string_view doc = "Sets the learning rate at the start of each epoch.";
  RateFunction schedule{};
  std::int64_t verbose = 0;
  static void describe(auto&& field) {
    field("schedule", &LearningRateSchedulerConfig::schedule, "an expression in epoch (from 0) and lr: lr * 0.9",
          required());
    field("verbose", &LearningRateSchedulerConfig::verbose, "1: say so", between(0, 1));
  }
};

class LearningRateScheduler final : public Configured<Callback, LearningRateSchedulerConfig> {
 public:
  using Configured::Configured;
  void on_epoch_begin(TrainingControl& control, std::int64_t epoch) override;
  void on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) override;
};

struct CSVLoggerConfig {
  static constexpr std::string_view class_name = "CSVLogger";
  static constexpr std::string_view doc = "Writes the logs of each epoch as a line of a CSV file.";
  std::string filename, separator = ",";
  bool append = false;
  static void describe(auto&& field) {
    field("filename", &CSVLoggerConfig::filename, "the file", required());
    field("separator", &CSVLoggerConfig::separator, "between the columns");
    field("append", &CSVLoggerConfig::append, "go on with a file that exists");
  }
};

// The columns are those of the first epoch, sorted; what is missing in one is "NA". A resumed run continues the file.
class CSVLogger final : public Configured<Callback, CSVLoggerConfig> {
 public:
  explicit CSVLogger(Config config = {});
  ~CSVLogger() override;
  void on_train_begin(TrainingControl& control) override;
  void on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) override;
  void on_train_end(TrainingControl& control, const Logs& logs) override;
  CallbackState save_state() const override;
  void load_state(const CallbackState& state) override;

 private:
  void open();
  void write_line(const std::vector<std::string>& cells);
  std::unique_ptr<std::ofstream> file_;  // opened at the end of the first epoch
  std::vector<std::string> columns_;
  bool resumed_ = false;
};

struct TerminateOnNaNConfig {
  static constexpr std::string_view class_name = "TerminateOnNaN";
  static constexpr std::string_view doc = "Stops training when the loss is not a finite number.";
  bool raise_error = false;
  static void describe(auto&& field) {
    field("raise_error", &TerminateOnNaNConfig::raise_error, "fail instead of stopping");
  }
};

class TerminateOnNaN final : public Configured<Callback, TerminateOnNaNConfig> {
 public:
  using Configured::Configured;
  void on_train_batch_end(TrainingControl& control, std::int64_t batch, const Logs& logs) override;
  bool reads_batch_logs() const override { return true; }
};

// Own functions without a class of one's own; those that are empty do nothing. For C++ only: not in the registry.
struct LambdaCallbackConfig {
  static constexpr std::string_view class_name = "LambdaCallback";
  static constexpr std::string_view doc = "Calls functions.";
  std::function<void(TrainingControl&)> on_train_begin{};
  std::function<void(TrainingControl&, const Logs&)> on_train_end{};
  std::function<void(TrainingControl&, std::int64_t epoch)> on_epoch_begin{};
  std::function<void(TrainingControl&, std::int64_t epoch, Logs&)> on_epoch_end{};
  std::function<void(TrainingControl&, std::int64_t batch)> on_train_batch_begin{};
  std::function<void(TrainingControl&, std::int64_t batch, const Logs&)> on_train_batch_end{};
  static void describe(auto&&) {}
};

class LambdaCallback final : public Configured<Callback, LambdaCallbackConfig> {
 public:
  using Configured::Configured;
  void on_train_begin(TrainingControl& control) override;
  void on_train_end(TrainingControl& control, const Logs& logs) override;
  void on_epoch_begin(TrainingControl& control, std::int64_t epoch) override;
  void on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) override;
  void on_train_batch_begin(TrainingControl& control, std::int64_t batch) override;
  void on_train_batch_end(TrainingControl& control, std::int64_t batch, const Logs& logs) override;
  bool reads_batch_logs() const override { return bool(config_.on_train_batch_end); }
};

}  // namespace callbacks

template <>
struct EnumNames<callbacks::MonitorMode> {
  static constexpr std::string_view names[] = {"auto", "min", "max"};
};
template <>
struct FieldKind<callbacks::SaveFrequency> {
  static void read(const Tree& tree, callbacks::SaveFrequency& value);
  static Tree write(const callbacks::SaveFrequency& value, Style style);
  static Tree schema();
};
template <>
struct FieldKind<callbacks::RateFunction> {
  static void read(const Tree& tree, callbacks::RateFunction& value);
  static Tree write(const callbacks::RateFunction& value, Style style);
  static Tree schema();
};

}  // namespace nacre
