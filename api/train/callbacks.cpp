#include "api/train/callbacks.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "formats/expression.h"
#include "formats/file.h"

namespace nacre {

namespace callbacks {

namespace {

Tree tree_of(std::optional<double> value) { return value ? Tree(*value) : Tree(); }
std::optional<double> number_of(const Tree& tree) {
  return tree.is_null() ? std::nullopt : std::optional(tree.as_number());
}

std::string five_places(std::optional<double> value) { return value ? fmt::format("{:.5f}", *value) : "None"; }

// One {name} or {name:format} of a file name.
std::string formatted(std::string_view field, std::int64_t epoch, std::optional<std::int64_t> batch, const Logs& logs) {
  const std::size_t colon = field.find(':');
  const std::string_view name = field.substr(0, colon);
  const std::string format = fmt::format("{{:{}}}", colon == std::string_view::npos ? "" : field.substr(colon + 1));
  try {
    if (name == "epoch") return fmt::format(fmt::runtime(format), epoch + 1);
    if (name == "batch" && batch) return fmt::format(fmt::runtime(format), *batch + 1);
    if (const double* value = logs.find(name)) return fmt::format(fmt::runtime(format), *value);
  } catch (const fmt::format_error& error) {
    throw Error("the field {{{}}} of the filepath cannot be written: {}", field, error.what())
        .hint("formats are those of {epoch:02d} and {val_loss:.4f}");
  }
  throw Error("the filepath names '{}', which is not in the logs", name)
      .hint(fmt::format("there are: epoch, {}", logs.names()));
}

std::string file_name(const std::string& path, std::int64_t epoch, std::optional<std::int64_t> batch,
                      const Logs& logs) {
  std::string text;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if ((path[i] == '{' || path[i] == '}') && i + 1 < path.size() && path[i + 1] == path[i]) text += path[i++];
    else if (path[i] != '{') text += path[i];
    else {
      const std::size_t end = path.find('}', i);
      if (end == std::string::npos) throw Error("the filepath '{}' has a '{{' without '}}'", path).usage();
      text += formatted(std::string_view(path).substr(i + 1, end - i - 1), epoch, batch, logs);
      i = end;
    }
  }
  return text;
}

}  // namespace

// --- Monitor --------------------------------------------------------------------------------------------------------

const double* Monitor::value(TrainingControl& control, const Logs& logs) const {
  const double* value = logs.find(name_);
  if (!value)
    control.warn(fmt::format("{} monitors '{}', which is not there; there are: {}", owner_, name_, logs.names()));
  return value;
}

bool Monitor::improves(const TrainingControl& control, double value, std::optional<double> reference) const {
  std::optional<Direction> direction;
  std::string_view metric = name_;
  if (metric.starts_with("val_")) metric.remove_prefix(4);
  if (mode_ == MonitorMode::automatic) direction = metric == "loss" ? Direction::down : control.direction(metric);
  else direction = mode_ == MonitorMode::min ? Direction::down : Direction::up;
  if (!direction)
    throw Error("{} monitors '{}', and it is not known whether that should rise or fall", owner_, name_)
        .hint("set mode: min or mode: max")
        .usage();
  if (!reference) return true;
  return *direction == Direction::up ? value - min_delta_ > *reference : value + min_delta_ < *reference;
}

// --- EarlyStopping --------------------------------------------------------------------------------------------------

EarlyStopping::EarlyStopping(Config config)
    : Configured(std::move(config)), monitor_(class_name(), config_.monitor, config_.mode, config_.min_delta) {}

void EarlyStopping::on_train_begin(TrainingControl&) {
  wait_ = best_epoch_ = 0;
  stopped_epoch_.reset();
  best_.reset();
  best_weights_.clear();
}

void EarlyStopping::on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) {
  const double* current = monitor_.value(control, logs);
  if (!current || epoch < config_.start_from_epoch) return;
  ++wait_;
  if (monitor_.improves(control, *current, best_)) {
    best_ = *current;
    best_epoch_ = epoch;
    if (config_.restore_best_weights) best_weights_ = control.weights();
    // What does not beat the baseline is no reason to go on waiting.
    if (!config_.baseline || monitor_.improves(control, *current, config_.baseline)) wait_ = 0;
    return;
  }
  if (wait_ >= config_.patience && epoch > 0) {
    stopped_epoch_ = epoch;
    control.stop(fmt::format("{} has not improved for {} epoch{}", config_.monitor, wait_, wait_ == 1 ? "" : "s"));
  }
}

void EarlyStopping::on_train_end(TrainingControl& control, const Logs&) {
  if (stopped_epoch_ && config_.verbose) control.say(fmt::format("Epoch {}: early stopping", *stopped_epoch_ + 1));
  if (best_weights_.empty()) return;
  if (config_.verbose) control.say(fmt::format("Restoring the weights of the best epoch: {}", best_epoch_ + 1));
  control.set_weights(best_weights_);
}

CallbackState EarlyStopping::save_state() const {
  CallbackState state;
  state.values.set("wait", wait_);
  state.values.set("best_epoch", best_epoch_);
  state.values.set("best", tree_of(best_));
  state.tensors = best_weights_;
  return state;
}

void EarlyStopping::load_state(const CallbackState& state) {
  wait_ = state.values["wait"].as_integer();
  best_epoch_ = state.values["best_epoch"].as_integer();
  best_ = number_of(state.values["best"]);
  best_weights_ = state.tensors;
}

// --- ModelCheckpoint ------------------------------------------------------------------------------------------------

ModelCheckpoint::ModelCheckpoint(Config config)
    : Configured(std::move(config)),
      monitor_(class_name(), config_.monitor, config_.mode, 0),
      best_(config_.initial_value_threshold) {
  const std::string& path = config_.filepath;
  if (config_.save_weights_only && !path.ends_with(".weights.h5"))
    throw Error("with save_weights_only the filepath must end in .weights.h5, got '{}'", path).usage();
  const bool whole = path.ends_with(".keras") || (path.ends_with(".h5") && !path.ends_with(".weights.h5"));
  if (!config_.save_weights_only && !whole)
    throw Error("the filepath must end in .h5 or .keras, got '{}'", path).usage();
}

void ModelCheckpoint::on_train_batch_end(TrainingControl& control, std::int64_t batch, const Logs& logs) {
  if (!config_.save_freq.batches || ++batches_ < *config_.save_freq.batches) return;
  batches_ = 0;
  save(control, control.epoch(), batch, logs);
}

void ModelCheckpoint::on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) {
  if (!config_.save_freq.batches) save(control, epoch, {}, logs);
}

void ModelCheckpoint::save(TrainingControl& control, std::int64_t epoch, std::optional<std::int64_t> batch,
                           const Logs& logs) {
  const std::string file = file_name(config_.filepath, epoch, batch, logs);
  const auto say = [&](std::string_view what) {
    if (config_.verbose) control.say(fmt::format("Epoch {}: {}", epoch + 1, what));
  };
  const double* current = config_.save_best_only ? monitor_.value(control, logs) : nullptr;
  if (!current) {
    say(fmt::format("saving model to {}", file));
  } else if (monitor_.improves(control, *current, best_)) {
    say(fmt::format("{} improved from {} to {:.5f}, saving model to {}", config_.monitor, five_places(best_), *current,
                    file));
    best_ = *current;
  } else {
    return say(fmt::format("{} did not improve from {}", config_.monitor, five_places(best_)));
  }
  if (const auto folder = std::filesystem::path(file).parent_path(); !folder.empty()) make_folder(folder);
  control.save(file, config_.save_weights_only);
}

CallbackState ModelCheckpoint::save_state() const {
  CallbackState state;
  state.values.set("best", tree_of(best_));
  state.values.set("batches", batches_);
  return state;
}

void ModelCheckpoint::load_state(const CallbackState& state) {
  best_ = number_of(state.values["best"]);
  batches_ = state.values["batches"].as_integer();
}

// --- ReduceLROnPlateau ----------------------------------------------------------------------------------------------

ReduceLROnPlateau::ReduceLROnPlateau(Config config)
    : Configured(std::move(config)), monitor_(class_name(), config_.monitor, config_.mode, config_.min_delta) {}

void ReduceLROnPlateau::on_train_begin(TrainingControl&) {
  best_.reset();
  wait_ = cooldown_ = 0;
}

void ReduceLROnPlateau::on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) {
  const double rate = control.learning_rate();
  logs.set("learning_rate", rate);
  const double* current = monitor_.value(control, logs);
  if (!current) return;
  if (cooldown_ > 0) {
    --cooldown_;
    wait_ = 0;
  }
  if (monitor_.improves(control, *current, best_)) {
    best_ = *current;
    wait_ = 0;
  } else if (cooldown_ == 0 && ++wait_ >= config_.patience &&
             static_cast<float>(rate) > static_cast<float>(config_.min_lr)) {
    const double lower = std::max(rate * config_.factor, config_.min_lr);
    control.set_learning_rate(lower);
    if (config_.verbose)
      control.say(fmt::format("Epoch {}: {} reducing learning rate to {}.", epoch + 1, class_name(), lower));
    cooldown_ = config_.cooldown;
    wait_ = 0;
  }
}

CallbackState ReduceLROnPlateau::save_state() const {
  CallbackState state;
  state.values.set("best", tree_of(best_));
  state.values.set("wait", wait_);
  state.values.set("cooldown", cooldown_);
  return state;
}

void ReduceLROnPlateau::load_state(const CallbackState& state) {
  best_ = number_of(state.values["best"]);
  wait_ = state.values["wait"].as_integer();
  cooldown_ = state.values["cooldown"].as_integer();
}

// --- LearningRateScheduler ------------------------------------------------------------------------------------------

RateFunction::RateFunction(std::string expression) : text(std::move(expression)) {
  function = [expression = text](std::int64_t epoch, double rate) {
    return evaluate(expression, {{"epoch", Tree(epoch)}, {"lr", Tree(rate)}}).as_number();
  };
  function(0, 0.001);  // a mistake in it is found now
}

void LearningRateScheduler::on_epoch_begin(TrainingControl& control, std::int64_t epoch) {
  const double rate = config_.schedule.function(epoch, control.learning_rate());
  if (!std::isfinite(rate)) throw Error("the schedule gives the learning rate {} for epoch {}", rate, epoch);
  control.set_learning_rate(rate);
  if (config_.verbose)
    control.say(fmt::format("Epoch {}: {} setting learning rate to {}.", epoch + 1, class_name(), rate));
}

void LearningRateScheduler::on_epoch_end(TrainingControl& control, std::int64_t, Logs& logs) {
  logs.set("learning_rate", control.learning_rate());
}

// --- CSVLogger ------------------------------------------------------------------------------------------------------

CSVLogger::CSVLogger(Config config) : Configured(std::move(config)) {
  if (config_.separator.size() != 1)
    throw Error("the separator must be one character, got '{}'", config_.separator).usage();
}
CSVLogger::~CSVLogger() = default;

void CSVLogger::on_train_begin(TrainingControl&) {
  file_.reset();
  columns_.clear();
  resumed_ = false;
}

void CSVLogger::open() {
  file_ =
      std::make_unique<std::ofstream>(config_.filename, config_.append || resumed_ ? std::ios::app : std::ios::trunc);
  file_->seekp(0, std::ios::end);
  if (!*file_) throw Error("cannot write '{}'", config_.filename);
}

void CSVLogger::write_line(const std::vector<std::string>& cells) {
  for (std::size_t i = 0; i < cells.size(); ++i) *file_ << (i > 0 ? config_.separator : "") << cells[i];
  *file_ << '\n' << std::flush;
  if (!*file_) throw Error("cannot write '{}'", config_.filename);
}

void CSVLogger::on_epoch_end(TrainingControl&, std::int64_t epoch, Logs& logs) {
  if (columns_.empty()) {
    for (const auto& [name, value] : logs) columns_.push_back(name);
    std::ranges::sort(columns_);
    // Later epochs may be validated although this one was not.
    if (std::ranges::none_of(columns_, [](const std::string& name) { return name.starts_with("val_"); }))
      for (std::size_t i = 0, count = columns_.size(); i < count; ++i) columns_.push_back("val_" + columns_[i]);
  }
  if (!file_) {
    open();
    if (file_->tellp() == 0) {
      std::vector<std::string> header{"epoch"};
      header.insert(header.end(), columns_.begin(), columns_.end());
      write_line(header);
    }
  }
  std::vector<std::string> cells{fmt::format("{}", epoch)};
  for (const std::string& name : columns_) {
    const double* value = logs.find(name);
    cells.push_back(value ? fmt::format("{}", *value) : "NA");
  }
  write_line(cells);
}

void CSVLogger::on_train_end(TrainingControl&, const Logs&) { file_.reset(); }

CallbackState CSVLogger::save_state() const {
  CallbackState state;
  std::error_code error;
  const auto size = std::filesystem::file_size(config_.filename, error);
  const bool kept = !error && (file_ || config_.append);
  state.values.set("bytes", kept ? static_cast<std::int64_t>(size) : std::int64_t{0});
  state.values.set("columns", FieldKind<std::vector<std::string>>::write(columns_, Style::yaml));
  return state;
}

// Lines that were written after the checkpoint are cut off.
void CSVLogger::load_state(const CallbackState& state) {
  FieldKind<std::vector<std::string>>::read(state.values["columns"], columns_);
  resumed_ = true;
  const auto bytes = static_cast<std::uintmax_t>(state.values["bytes"].as_integer());
  std::error_code error;
  if (const auto size = std::filesystem::file_size(config_.filename, error); !error && size > bytes)
    std::filesystem::resize_file(config_.filename, bytes, error);
}

// --- the others -----------------------------------------------------------------------------------------------------

void TerminateOnNaN::on_train_batch_end(TrainingControl& control, std::int64_t batch, const Logs& logs) {
  const double* loss = logs.find("loss");
  if (!loss || std::isfinite(*loss)) return;
  if (config_.raise_error)
    throw Error("the loss became {} at batch {}", *loss, batch).hint("a lower learning rate or clipping may help");
  control.say(fmt::format("Batch {}: the loss is {}, terminating training", batch, *loss));
  control.stop(fmt::format("the loss became {}", *loss));
}

void LambdaCallback::on_train_begin(TrainingControl& control) {
  if (config_.on_train_begin) config_.on_train_begin(control);
}
void LambdaCallback::on_train_end(TrainingControl& control, const Logs& logs) {
  if (config_.on_train_end) config_.on_train_end(control, logs);
}
void LambdaCallback::on_epoch_begin(TrainingControl& control, std::int64_t epoch) {
  if (config_.on_epoch_begin) config_.on_epoch_begin(control, epoch);
}
void LambdaCallback::on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) {
  if (config_.on_epoch_end) config_.on_epoch_end(control, epoch, logs);
}
void LambdaCallback::on_train_batch_begin(TrainingControl& control, std::int64_t batch) {
  if (config_.on_train_batch_begin) config_.on_train_batch_begin(control, batch);
}
void LambdaCallback::on_train_batch_end(TrainingControl& control, std::int64_t batch, const Logs& logs) {
  if (config_.on_train_batch_end) config_.on_train_batch_end(control, batch, logs);
}

void LambdaCallback::on_test_begin(TrainingControl& control) {
  if (config_.on_test_begin) config_.on_test_begin(control);
}
void LambdaCallback::on_test_end(TrainingControl& control, const Logs& logs) {
  if (config_.on_test_end) config_.on_test_end(control, logs);
}
void LambdaCallback::on_test_batch_begin(TrainingControl& control, std::int64_t batch) {
  if (config_.on_test_batch_begin) config_.on_test_batch_begin(control, batch);
}
void LambdaCallback::on_test_batch_end(TrainingControl& control, std::int64_t batch, const Logs& logs) {
  if (config_.on_test_batch_end) config_.on_test_batch_end(control, batch, logs);
}

}  // namespace callbacks

void FieldKind<callbacks::RateFunction>::read(const Tree& tree, callbacks::RateFunction& value) {
  value = callbacks::RateFunction(tree.is_number() ? tree.text() : tree.as_string());
}
Tree FieldKind<callbacks::RateFunction>::write(const callbacks::RateFunction& value, Style) {
  return value.text.empty() ? Tree() : Tree(value.text);
}
Tree FieldKind<callbacks::RateFunction>::schema() {
  Tree schema;
  schema.set("type", Tree::Sequence{"string", "number"});
  return schema;
}

}  // namespace nacre
