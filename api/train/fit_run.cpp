#include "api/train/fit_run.h"

#include <algorithm>
#include <cmath>

#include "api/adapt.h"
#include "api/data/relabel.h"
#include "api/freeze.h"
#include "api/keras/file.h"
#include "api/layer_names.h"
#include "api/save.h"
#include "api/train/in_turn.h"
#include "api/train/losses.h"

namespace nacre {

namespace {

// Files of a model say what was done to the inputs that it learned.
void keep_preprocessing(FunctionalLayer& model, const Dataset& data) {
  const auto known = std::ranges::find_if(data.inputs(), [](const Column& column) { return column.preprocessing.has_value(); });
  if (known == data.inputs().end()) return;
  ModelCard card = model.card();
  Preprocessing learned = *known->preprocessing;
  // Of numbers that are not for it to change, what the file said before still holds for others.
  if (const Preprocessing& before = card.preprocessing; learned.is_identity() && !before.changes(known->type.dtype)) {
    const Preprocessing pictures = std::exchange(learned, before);
    if (pictures.size) learned.size = pictures.size, learned.fit = pictures.fit, learned.antialias = pictures.antialias;
  }
  card.preprocessing = std::move(learned);
  model.set_card(std::move(card));
}

// They say what of a file of texts was a sample, too.
void keep_whole_files(FunctionalLayer& model, const Dataset& data) {
  ModelCard card = model.card();
  for (const Column& column : data.inputs()) card.whole_files = column.whole_file.value_or(card.whole_files);
  model.set_card(std::move(card));
}

// How many classes the only output tells apart; 0: it does not say.
std::size_t units_of(const FunctionalLayer& model) {
  if (!model.connected() || model.outputs().size() != 1) return 0;
  const Shape& output = model.outputs().front().type().shape;
  const std::int64_t units = output.rank() ? output[-1] : 1;
  return units == unknown ? 0 : units == 1 ? 2 : static_cast<std::size_t>(units);
}

// Data whose classes the model knows, in the model's order: a folder numbers its classes by itself. As many others as
// it has are new to it; fewer or more would be `learned` as classes that they are not.
DatasetRef in_known_order(DatasetRef data, const FunctionalLayer& model, bool learned) {
  const std::vector<std::string>& labels = model.card().labels;
  if (labels.empty()) return data;
  for (const Column& target : data->targets())
    for (const std::string& name : target.labels) {
      if (std::ranges::find(labels, name) != labels.end()) continue;
      if (!learned || target.labels.size() == units_of(model)) return data;
      throw unknown_class(name).hint(
          "model: {head: {classes: auto}} gives it an output for the classes of the data, as `nacre finetune` does");
    }
  return relabelled(std::move(data), labels);
}

bool compares_classes(const CompileOptions& options) {
  const std::optional<Chosen<Loss>>& loss = options.loss.all;
  return loss && loss->object &&
         (loss->object->class_name() == losses::SparseCategoricalCrossentropyConfig::class_name ||
          loss->object->class_name() == losses::CategoricalCrossentropyConfig::class_name);
}

// Files of a classifier name the classes that it learned; outputs that there are no classes for are called by their
// numbers.
void keep_labels(FunctionalLayer& model, const Dataset& data, const CompileOptions& options,
                 ProgressListener& listener) {
  if (data.targets().size() != 1) return;
  const Column& target = data.targets().front();
  const std::size_t units = units_of(model), count = target.labels.size();
  if (count == 0 || units == 0) return;
  if (count != units) {
    if (!compares_classes(options) || model.outputs().front().type().shape.rank() != 2) return;
    const std::string found =
        fmt::format("the data has {} classes, the output '{}' is for {}", count, model.output_names().front(), units);
    if (count > units) throw Error("{}", found).hint("a unit for each class, at least").usage();
    listener.say(found + ": nothing is learned of the last ones");
  }
  ModelCard card = model.card();
  card.labels = target.labels;
  while (card.labels.size() < units) card.labels.push_back(std::to_string(card.labels.size()));
  model.set_card(std::move(card));
}

// The same numbers must mean the same classes.
void check_labels(const Dataset& train, const Dataset& validation) {
  const std::size_t count = std::min(train.targets().size(), validation.targets().size());
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<std::string>&trained = train.targets()[i].labels, &validated = validation.targets()[i].labels;
    if (trained.empty() || validated.empty() || trained == validated) continue;
    const auto [here, there] = std::ranges::mismatch(trained, validated);
    const auto name = [](auto at, auto end) { return at == end ? std::string("nothing") : fmt::format("'{}'", *at); };
    throw Error("class {} is {} in the training data, and {} in the validation data", here - trained.begin(),
                name(here, trained.end()), name(there, validated.end()))
        .hint("both need the same classes: name them in order (classes: [a, b]) or, of running texts, one vocabulary")
        .usage();
  }
}

// How many classes the model tells apart; 0: it does not say.
std::int64_t classes_of(const FunctionalLayer& model) {
  if (model.outputs().size() != 1) return 0;
  const Shape& output = model.outputs().front().type().shape;
  return output.rank() > 0 && output[-1] > 1 ? output[-1] : 0;
}

// Of a pass that ends after `steps` of them, where that is not 0.
std::int64_t batches_of(const Loader& loader, std::int64_t steps) {
  return steps > 0 ? std::min(steps, loader.batches()) : loader.batches();
}

}  // namespace

FitRun::FitRun(Trainer& trainer, const DatasetRef& data, const FitOptions& options)
    : trainer_(trainer),
      options_(options),
      processes_(options.processes),
      lines_(stdout),
      listener_(!processes_.first()  ? silent_
                : options.listener   ? *options.listener
                : options.verbose    ? static_cast<ProgressListener&>(lines_)
                                     : silent_),
      train_(data),
      validation_(options.validation) {
  if (!validation_ && options.validation_split > 0) {
    const Split split = split_validation(data, options.validation_split);
    train_ = split.train, validation_ = split.validation;
  }
  train_ = in_known_order(train_, *trainer.model_, true);
  if (validation_) {
    validation_ = in_known_order(validation_, *trainer.model_, false);
    check_labels(*train_, *validation_);
  }
  trainer.build_for(train_->inputs());
  keep_preprocessing(*trainer.model_, *train_);
  keep_whole_files(*trainer.model_, *train_);
  keep_labels(*trainer.model_, *train_, *trainer.options_, listener_);
  adapt_layers(*trainer.model_, train_, options.seed, listener_);
  trainer.initialize(options.seed);
  trainer.prepare_training();
  (void)trainer.steps_->options().multipliers.of(*trainer.model_);  // refuses unknown names, also where features are cached
  trainer.random_.seed->assign(Tensor::scalar(static_cast<std::int64_t>(options.seed)));
  draw_apart();

  class_weight_ = options.class_weight.of(*train_, classes_of(*trainer.model_));
  whole_training_.emplace(*trainer.steps_, trainer.model(), train_, Use::train, *this);
  if (validation_) whole_validation_.emplace(*trainer.steps_, trainer.model(), validation_, Use::validate, *this);
  for (const Ref<Callback>& callback : options.callbacks) reads_batch_logs_ = reads_batch_logs_ || callback->reads_batch_logs();
  reads_batch_logs_ = processes_.any(reads_batch_logs_);  // all come to the same exchanges
  position_.epoch = options.initial_epoch;
  first_step_ = trainer.optimizer().iterations();
  plan();
}

void FitRun::draw_apart() {
  if (processes_.first()) return;
  const auto seed = static_cast<std::uint64_t>(trainer_.random_.seed->value().data<std::int64_t>()[0]);
  RandomStream random(RandomKey::of(seed, "process", static_cast<std::uint32_t>(processes_.rank())));
  const std::uint64_t high = random.word(), low = random.word();
  trainer_.random_.seed->assign(Tensor::scalar(static_cast<std::int64_t>(high << 32 | low)));
}

// Processes on machines of different kinds round differently: what has come apart is brought together again.
void FitRun::share_state() {
  if (!processes_.several()) return;
  std::vector<VariableRef> variables = trainer_.optimizer().variables();
  for (const Weight& weight : trainer_.model_->weights()) variables.push_back(weight.variable);
  for (const VariableRef& variable : variables) {
    const Tensor own = variable->value();
    Tensor first = own;
    processes_.take_first(first);
    if (!first.identical(own)) variable->assign(std::move(first));
  }
}

void FitRun::plan() {
  const std::int64_t steps = std::max<std::int64_t>((options_.epochs - options_.initial_epoch) * batches(), 1);
  if (trainer_.optimizer().plan(steps, first_step_)) trainer_.steps_->recompile();
}

FitRun::Pipeline::Pipeline(Steps& steps_, FunctionalLayer& model, DatasetRef data_, Use use, const FitRun& run)
    : steps(steps_),
      data(std::move(data_)),
      feeder(data, model, run.trainer_.objective_.get(), use == Use::train ? run.class_weight_ : std::map<std::int64_t, double>()),
      loader(data, {.batch_size = use == Use::validate && run.options_.validation_batch_size > 0 ? run.options_.validation_batch_size
                                                                                                 : run.options_.batch_size,
                    .part = run.processes_.rank(),
                    .parts = run.processes_.size(),
                    .shuffle = use == Use::train && run.options_.shuffle,
                    .seed = run.options_.seed,
                    .prepare = feeder.ahead(steps)}) {}

FitRun::Cached::Cached(SplitModel split, DatasetRef train, DatasetRef validated, const FitRun& run)
    : parts(std::move(split)), steps(parts.above, run.trainer_.random_, run.trainer_.backend()) {
  Steps::Options options = run.trainer_.steps_->options();
  options.multipliers = options.multipliers.within(*parts.above);
  steps.set_options(options);
  steps.refresh();
  if (train) training.emplace(steps, *parts.above, std::move(train), Use::train, run);
  if (validated) validation.emplace(steps, *parts.above, std::move(validated), Use::validate, run);
}

void FitRun::choose_pipeline() {
  std::vector<bool> learning;
  for (const Layer* layer : all_layers(trainer_.model())) learning.push_back(layer->trainable());
  if (learning_ == learning) return;
  learning_ = std::move(learning);
  cached_.reset();
  if (options_.cache_features != CacheFeatures::never) cached_ = cached();
}

std::unique_ptr<FitRun::Cached> FitRun::cached() {
  const bool always = options_.cache_features == CacheFeatures::always;
  const auto tell = [&](std::string_view what, std::string_view why) {
    if (always && !std::exchange(told_of_cache_, true))
      say(fmt::format("cache_features: {} computed once: {}", what, why));
  };
  const auto nothing = [&](std::string_view why) {
    tell("nothing is", why);
    return nullptr;
  };
  // Whether it is worth while must not depend on where a run was broken: a resumed one has the same bits.
  const std::int64_t first = options_.initial_epoch, last = options_.epochs, freq = options_.validation_freq;
  const bool repeats = batches_of(whole_training_->loader, options_.steps_per_epoch) * (last - first) >
                       whole_training_->loader.batches();
  // The samples that measure are the same in each epoch, also where augmentation goes on.
  const bool validates =
      validation_ && !validation_->changes() && !validation_->bound_to_thread() &&
      batches_of(whole_validation_->loader, options_.validation_steps) * (last / freq - first / freq) >
          whole_validation_->loader.batches();
  const bool rests =
      always && train_->changes() && options_.unaugmented && options_.unaugmented->size() == train_->size();
  const DatasetRef train = rests ? in_known_order(options_.unaugmented, *trainer_.model_, true) : train_;
  const bool trains = repeats && !train->changes() && !train->bound_to_thread();
  if (repeats && !trains)
    tell("the features of the training data are not", train->changes()
                                                          ? "it is another each time, and there is none without that"
                                                          : "a function of a script makes it");
  if (!trains && !validates) return nullptr;
  auto parts = split_below_learning(trainer_.model(), trainer_.random_, always);
  if (!parts) return nothing("no frozen layers with weights lie below all that learn, or masks go with what they give");
  if (!parts->below->outputs().front().shape().from(1).known()) return nothing("samples have different sizes");
  const auto features = [&](const DatasetRef& data, std::string_view what) {
    return features_of(data, parts->below, trainer_.random_, trainer_.backend(),
                       {.batch_size = options_.batch_size,
                        .folder = options_.feature_folder,
                        .what = what,
                        .numerics = trainer_.steps_->options().numerics},
                       listener_, options_.stop);
  };
  const DatasetRef trained = trains ? features(train, "training") : nullptr;
  if (trains && !trained) return nullptr;
  const DatasetRef validated = validates ? features(validation_, "validation") : nullptr;
  if (validates && !validated) return nullptr;
  told_of_cache_ = true;  // that layers learn later is no news
  return std::make_unique<Cached>(std::move(*parts), trained, validated, *this);
}

History FitRun::run() {
  each_callback([&](Callback& callback) { callback.on_train_begin(*this); });
  const std::filesystem::path from = options_.resume && std::filesystem::exists(options_.checkpoint) ? options_.checkpoint : resumed_from_;
  if (processes_.any(!from.empty()) != !processes_.any(from.empty()))
    throw Error("some of the processes have a checkpoint to go on from, and others have none")
        .hint("all read the same files: on several machines they lie in a folder that is shared")
        .usage();
  if (!from.empty()) {
    restore(from);
    if (from != options_.checkpoint) write_checkpoint();  // it goes on from its own, where it is broken again
  }
  share_state();
  stopping_ = !history_.stopped.empty();
  while (!(stopping_ = processes_.any(stopping_)) && !history_.interrupted && position_.epoch < options_.epochs) run_epoch();
  if (!history_.interrupted) trainer_.optimizer().finalize();
  const Logs last = history_.epochs.empty() ? Logs() : history_.epochs.back().logs;
  each_callback([&](Callback& callback) { callback.on_train_end(*this, last); });
  return std::move(history_);
}

void FitRun::restore(const std::filesystem::path& path) {
  Checkpoint checkpoint = read_checkpoint(path, trainer_);
  if (checkpoint.position.batch > 0 && !checkpoint.position.epoch_logs && checkpoint.processes != processes_.size())
    throw Error("the run was broken within an epoch of {} process{}, there {} {} now", checkpoint.processes,
                checkpoint.processes == 1 ? "" : "es", processes_.several() ? "are" : "is", processes_.size())
        .at({path.string()})
        .hint("resume with as many: which samples are left depends on it")
        .usage();
  position_ = std::move(checkpoint.position);
  std::swap(history_, checkpoint.history);
  for (const std::string& line : checkpoint.history.warnings) warn(line);  // said before
  told_of_cache_ = checkpoint.told_of_cache;
  resumed_metrics_ = std::move(checkpoint.metrics);
  if (!processes_.first())
    for (Tensor& metric : resumed_metrics_) metric = Tensor(metric.type());  // the first one has what all have measured
  draw_apart();
  first_step_ = checkpoint.first_step;
  plan();
  if (checkpoint.callbacks.size() != options_.callbacks.size())
    throw Error("the checkpoint was written with {} callbacks, there are {} now", checkpoint.callbacks.size(), options_.callbacks.size())
        .at({path.string()})
        .hint("resume with the callbacks of the first run, or start anew")
        .usage();
  listener_.on_resume(history_);
  for (std::size_t i = 0; i < checkpoint.callbacks.size(); ++i) options_.callbacks[i]->load_state(checkpoint.callbacks[i]);
}

std::int64_t FitRun::batches() const { return batches_of(whole_training_->loader, options_.steps_per_epoch); }

void FitRun::run_epoch() {
  const Sweep sweep{.kind = Sweep::Kind::train, .epoch = position_.epoch, .epochs = options_.epochs, .batches = batches(),
                  .samples = std::min(train_->size(), batches() * options_.batch_size * processes_.size()), .first_batch = position_.batch};
  if (position_.batch == 0) {
    trainer_.objective_->reset();
    each_callback([&](Callback& callback) { callback.on_epoch_begin(*this, position_.epoch); });
  }
  choose_pipeline();
  listener_.on_begin(sweep);
  if (!position_.epoch_logs) run_batches(sweep);
  if (history_.interrupted) {
    // Before its first batch an epoch has not begun: the checkpoint of the one before holds.
    if (position_.batch > 0) write_checkpoint();
    return;
  }

  Logs logs = *position_.epoch_logs;
  if (validation_ && (position_.epoch + 1) % options_.validation_freq == 0 && !validate(logs)) {
    history_.interrupted = true;
    return write_checkpoint();
  }
  for (const auto& [name, rate] : trainer_.optimizer().learning_rates()) logs.set(name, rate);
  each_callback([&](Callback& callback) { callback.on_epoch_end(*this, position_.epoch, logs); });
  listener_.on_end(sweep, logs);
  history_.epochs.push_back({position_.epoch, std::move(logs)});
  share_state();
  position_ = {.epoch = position_.epoch + 1};
  write_checkpoint();
  write_backups();
}

void FitRun::run_batches(const Sweep& sweep) {
  Pipeline& pipeline = training();
  pipeline.loader.start(position_.epoch, position_.batch);
  Feed feed;
  struct Nothing {};
  InTurn<Nothing> losses([this](const std::vector<Tensor>& results, Nothing) {
    if (!std::isfinite(results.back().item()))
      warn("the loss is not a finite number any more; lower the learning rate, or stop with TerminateOnNaN");
  });
  for (std::int64_t samples = position_.batch * options_.batch_size * processes_.size(); position_.batch < sweep.batches;) {
    const auto [stopping, interrupt, shown] = processes_.any(std::array{stopping_, interrupted(), listener_.wants_batch(position_.batch + 1)});
    if ((stopping_ = stopping)) break;
    if ((history_.interrupted = interrupt)) return losses.finish();
    const Batch* batch = pipeline.loader.next();
    if (!batch) break;
    each_callback([&](Callback& callback) { callback.on_train_batch_begin(*this, position_.batch); });
    pipeline.feeder.fill(*batch, feed);
    feed.share = Trainer::share_of(pipeline.loader, processes_);
    if (!resumed_metrics_.empty()) restore_metrics(feed);
    if (!std::exchange(told_memory_, true)) tell_memory(feed);
    losses.add(pipeline.steps.train(*trainer_.objective_, trainer_.optimizer(), feed), {});
    samples += processes_.several() ? feed.share.whole : feed.size;
    feed = {};

    const std::int64_t number = position_.batch++;
    const Logs logs = shown || reads_batch_logs_ ? trainer_.objective_->logs(processes_) : Logs();
    each_callback([&](Callback& callback) { callback.on_train_batch_end(*this, number, logs); });
    write_backups();
    if (shown) listener_.on_batch(position_.batch, samples, logs);
  }
  losses.finish();
  if (!resumed_metrics_.empty()) {  // the run was broken after the last batch: any batch will do
    pipeline.loader.start(position_.epoch);
    if (const Batch* batch = pipeline.loader.next()) {
      pipeline.feeder.fill(*batch, feed);
      feed.share = Trainer::share_of(pipeline.loader, processes_);
      restore_metrics(feed);
    }
  }
  position_.epoch_logs = trainer_.objective_->logs(processes_);
}

void FitRun::restore_metrics(const Feed& feed) {
  training().steps.training(*trainer_.objective_, trainer_.optimizer(), feed);
  restore_variables(trainer_.objective_->variables(), resumed_metrics_, "metrics");
  resumed_metrics_.clear();
}

void FitRun::tell_memory(const Feed& feed) {
  Executable* const step = training().steps.training(*trainer_.objective_, trainer_.optimizer(), feed).device();
  if (step) listener_.on_compiled(step_memory(*step, trainer_.model(), &trainer_.optimizer(), {&feed.inputs, &feed.targets, &feed.weights}));
}

bool FitRun::validate(Logs& logs) {
  each_callback([&](Callback& callback) { callback.on_test_begin(*this); });
  const auto hook = [&](std::int64_t batch, bool done) {
    const Logs batch_logs = done && reads_batch_logs_ ? trainer_.objective_->logs(processes_) : Logs();
    each_callback([&](Callback& callback) {
      if (done) callback.on_test_batch_end(*this, batch, batch_logs);
      else callback.on_test_batch_begin(*this, batch);
    });
  };
  const Sweep sweep{.kind = Sweep::Kind::validation, .epoch = position_.epoch, .epochs = options_.epochs, .samples = validation_->size()};
  const auto [results, whole] = trainer_.test(validation().steps, validation().feeder, validation().loader, sweep, options_.validation_steps,
                                              options_.stop, processes_, listener_, hook);
  if (!whole) return false;
  for (const auto& [name, value] : results) {
    logs.set("val_" + name, value);
    if (name == "loss" && !std::isfinite(value))
      warn("the loss on the validation data is not a finite number; is there a sample that the network has no answer to?");
  }
  each_callback([&](Callback& callback) { callback.on_test_end(*this, results); });
  return true;
}

void FitRun::write_checkpoint() {
  if (!options_.checkpoint.empty()) write_checkpoint(options_.checkpoint);
}

void FitRun::write_backups() {
  for (const std::filesystem::path& path : std::exchange(backups_, {})) write_checkpoint(path);
}

void FitRun::write_checkpoint(const std::filesystem::path& path) {
  const bool within_epoch = position_.batch > 0 && !position_.epoch_logs;
  if (within_epoch) (void)trainer_.objective_->logs(processes_);  // the first process has the metrics of all then
  if (!processes_.first()) return;
  Optimizer& optimizer = trainer_.optimizer();
  const bool shown = optimizer.averages_shown();  // files hold the weights themselves
  optimizer.show_averages(false);
  Checkpoint checkpoint{position_, history_, {}, resumed_metrics_, first_step_, processes_.size(), told_of_cache_};
  checkpoint.history.interrupted = false;
  each_callback([&](Callback& callback) { checkpoint.callbacks.push_back(callback.save_state()); });
  if (within_epoch && checkpoint.metrics.empty())
    for (const VariableRef& variable : trainer_.objective_->variables()) checkpoint.metrics.push_back(variable->value());
  nacre::write_checkpoint(path, trainer_, checkpoint);
  optimizer.show_averages(shown);
}

void FitRun::stop(std::string reason) {
  stopping_ = true;
  if (history_.stopped.empty()) history_.stopped = std::move(reason);
}

std::vector<Tensor> FitRun::weights() const {
  std::vector<Tensor> values;
  for (const Weight& weight : trainer_.model_->weights()) values.push_back(weight.variable->value());
  return values;
}

void FitRun::set_weights(const std::vector<Tensor>& values) {
  std::vector<VariableRef> variables;
  for (const Weight& weight : trainer_.model_->weights()) variables.push_back(weight.variable);
  restore_variables(variables, values, "weights");
}

void FitRun::freeze(const Freeze& frozen) {
  nacre::freeze(trainer_.model(), frozen);
  trainer_.retrain();
}

void FitRun::save(const std::string& file, bool weights_only) {
  if (!processes_.first()) return;
  // What a file cannot hold is said once, not with each one.
  struct Once final : ProgressListener {
    explicit Once(FitRun& fit) : run(fit) {}
    void warn(std::string_view line) override { run.warn(line); }
    FitRun& run;
  } once(*this);
  const SaveOptions options{.listener = &once};
  if (weights_only) save_weights(trainer_, file, options);
  else save_model(trainer_, file, options);
}

void FitRun::show_averages(bool shown) {
  if (!trainer_.optimizer().has_averages())
    throw Error("the optimizer keeps no moving averages of the weights").hint("set its use_ema: true").usage();
  trainer_.optimizer().show_averages(shown);
}

std::optional<Direction> FitRun::direction(std::string_view metric) const { return trainer_.objective_->direction(metric); }

void FitRun::warn(std::string_view line) {
  if (std::find(history_.warnings.begin(), history_.warnings.end(), line) != history_.warnings.end()) return;
  history_.warnings.emplace_back(line);
  listener_.warn(line);
}

}  // namespace nacre
