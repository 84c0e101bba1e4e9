// Callbacks, with Keras's names and defaults. Own ones derive from Callback or fill in a LambdaCallback.
#pragma once

#include <cmath>
#include <functional>
#include <iosfwd>

#include "api/train/callback.h"
#include "api/train/frequency.h"

namespace nacre {

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
  bool on_every_process() const override { return false; }
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
  bool on_every_process() const override { return false; }
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

struct SwapEMAWeightsConfig {
  static constexpr std::string_view class_name = "SwapEMAWeights";
  static constexpr std::string_view doc =
      "Validates with the moving averages of the weights that an optimizer with use_ema keeps.";
  bool swap_on_epoch = false;
  static void describe(auto&& field) {
    field("swap_on_epoch", &SwapEMAWeightsConfig::swap_on_epoch,
          "callbacks that follow in the list see the averages at the end of each epoch too: ModelCheckpoint saves them");
  }
};

class SwapEMAWeights final : public Configured<Callback, SwapEMAWeightsConfig> {
 public:
  using Configured::Configured;
  void on_epoch_begin(TrainingControl& control, std::int64_t) override { control.show_averages(false); }
  void on_epoch_end(TrainingControl& control, std::int64_t, Logs&) override {
    if (config_.swap_on_epoch) control.show_averages(true);
  }
  void on_test_begin(TrainingControl& control) override { control.show_averages(true); }
  void on_test_end(TrainingControl& control, const Logs&) override { control.show_averages(false); }
};

// Own functions without a class of one's own; those that are empty do nothing. In a configuration it is refused.
struct LambdaCallbackConfig {
  static constexpr std::string_view class_name = "LambdaCallback";
  static constexpr std::string_view doc = "Calls functions of a program: for C++, not for configurations.";
  std::function<void(TrainingControl&)> on_train_begin{};
  std::function<void(TrainingControl&, const Logs&)> on_train_end{};
  std::function<void(TrainingControl&, std::int64_t epoch)> on_epoch_begin{};
  std::function<void(TrainingControl&, std::int64_t epoch, Logs&)> on_epoch_end{};
  std::function<void(TrainingControl&, std::int64_t batch)> on_train_batch_begin{};
  std::function<void(TrainingControl&, std::int64_t batch, const Logs&)> on_train_batch_end{};
  std::function<void(TrainingControl&)> on_test_begin{};
  std::function<void(TrainingControl&, const Logs&)> on_test_end{};
  std::function<void(TrainingControl&, std::int64_t batch)> on_test_batch_begin{};
  std::function<void(TrainingControl&, std::int64_t batch, const Logs&)> on_test_batch_end{};
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
  void on_test_begin(TrainingControl& control) override;
  void on_test_end(TrainingControl& control, const Logs& logs) override;
  void on_test_batch_begin(TrainingControl& control, std::int64_t batch) override;
  void on_test_batch_end(TrainingControl& control, std::int64_t batch, const Logs& logs) override;
  bool reads_batch_logs() const override { return config_.on_train_batch_end || config_.on_test_batch_end; }
};

}  // namespace callbacks

template <>
struct EnumNames<callbacks::MonitorMode> {
  static constexpr std::string_view names[] = {"auto", "min", "max"};
};
template <>
struct FieldKind<callbacks::RateFunction> {
  static void read(const Tree& tree, callbacks::RateFunction& value);
  static Tree write(const callbacks::RateFunction& value, Style style);
  static Tree schema();
};

}  // namespace nacre
