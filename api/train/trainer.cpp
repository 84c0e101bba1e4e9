#include "api/train/trainer.h"

#include <algorithm>

#include "api/data/relabel.h"
#include "api/sequential.h"
#include "api/train/fit_run.h"
#include "api/train/in_turn.h"

namespace nacre {

std::vector<double> History::series(std::string_view name) const {
  std::vector<double> values;
  for (const Epoch& epoch : epochs)
    if (const double* value = epoch.logs.find(name)) values.push_back(*value);
  return values;
}

namespace {

// Whether gradients may leave the range of float16 although weights do not.
bool computes_in_float16(const Layer& layer) {
  const auto inner = layer.sublayers();
  return layer.dtype().source() == "mixed_float16" ||
         std::any_of(inner.begin(), inner.end(), [](const auto& sublayer) { return computes_in_float16(*sublayer); });
}

}  // namespace

Trainer::Trainer(std::shared_ptr<FunctionalLayer> model)
    : model_(std::move(model)),
      random_{std::make_shared<Variable>("random/seed", Type{DType::int64, {}}, false),
              std::make_shared<Variable>("random/step", Type{DType::int64, {}}, false)} {
  random_.seed->assign(Tensor::scalar(std::int64_t{0}));
  random_.step->assign(Tensor::scalar(std::int64_t{0}));
  steps_ = std::make_unique<Steps>(model_, random_, backend_for("cpu"));
}

void Trainer::set_device(std::string_view device) {
  const Backend& wanted = backend_for(device);
  if (&wanted == &steps_->backend()) return;
  const Steps::Options options = steps_->options();
  steps_ = std::make_unique<Steps>(model_, random_, wanted);
  steps_->set_options(options);
}

void Trainer::initialize(std::uint64_t seed) { model_->initialize(seed); }

void Trainer::compile(CompileOptions options) {
  if (!options.optimizer) throw Error("compile needs an optimizer").usage();
  const bool scaled = options.optimizer->class_name() == optimizers::LossScaleOptimizerConfig::class_name;
  if (options.auto_scale_loss && !scaled && computes_in_float16(*model_))
    options.optimizer = optimizers::LossScaleOptimizer({.inner_optimizer = options.optimizer});
  if (model_->connected()) objective_ = std::make_unique<Objective>(options, model_->output_names());
  else objective_.reset();  // made when the shapes are known
  options_ = std::move(options);
  steps_->set_options({.numerics = {options_->matmul_precision, options_->deterministic},
                       .recompute = options_->recompute,
                       .multipliers = options_->learning_rate_multipliers});
  steps_->recompile();
}

Optimizer& Trainer::optimizer() const {
  if (!options_) throw Error("the model '{}' is not compiled", model_->title()).hint("call compile with an optimizer and a loss").usage();
  return *options_->optimizer;
}

Objective& Trainer::objective() const {
  optimizer();
  model_->inputs();
  return *objective_;
}

void Trainer::build_for(const std::vector<Column>& inputs) {
  // What texts look like is not the layers' to choose: a Sequential without Input is given one for them.
  auto* const stack = dynamic_cast<SequentialLayer*>(model_.get());
  if (stack && !stack->connected() && inputs.size() == 1 && inputs[0].type.dtype == DType::string)
    stack->set_input(Input(InputConfig{.shape = inputs[0].type.shape, .dtype = DType::string}));
  std::vector<Shape> shapes;
  for (const Column& column : inputs) shapes.push_back(Shape{unknown} + column.type.shape);
  model_->ensure_built(shapes);
  if (options_ && !objective_) objective_ = std::make_unique<Objective>(*options_, model_->output_names());
}

namespace {

std::vector<VariableRef> trainable_variables(const Layer& model) {
  std::vector<VariableRef> variables;
  for (const Weight& weight : model.trainable_weights()) variables.push_back(weight.variable);
  return variables;
}

}  // namespace

void Trainer::prepare_training() {
  optimizer().build(trainable_variables(*model_));
  steps_->refresh();
}

void Trainer::retrain() {
  optimizer().rebuild(trainable_variables(*model_));
  steps_->refresh();
}

History Trainer::fit(const DatasetRef& data, const FitOptions& options) {
  optimizer();  // or the error that there is none
  return within([&] { return fmt::format("while training model '{}'", model_->title()); },
                [&] { return FitRun(*this, data, options).run(); });
}

Logs Trainer::evaluate(const DatasetRef& given, const EvaluateOptions& options) {
  optimizer();
  return within([&] { return fmt::format("while testing model '{}'", model_->title()); }, [&] {
    const DatasetRef data = relabelled(given, model_->card().labels);
    build_for(data->inputs());
    initialize(0);
    steps_->refresh();
    const Feeder feeder(data, *model_, objective_.get());
    Loader loader(data, {.batch_size = options.batch_size, .prepare = feeder.ahead(*steps_)});
    ProgressListener silent;
    return test(*steps_, feeder, loader, {.kind = Sweep::Kind::test, .samples = data->size()}, options.steps, options.stop, {},
                options.listener ? *options.listener : silent, {}, options.observe).logs;
  });
}

Share Trainer::share_of(const Loader& loader, const Processes& processes) {
  if (!processes.several()) return {};
  const Loader::Counts counts = loader.counts();
  return {.processes = processes.collective(), .samples = counts.own, .whole = counts.whole};
}

Trainer::TestResult Trainer::test(Steps& steps, const Feeder& feeder, Loader& loader, Sweep sweep, std::int64_t batches, const std::atomic<bool>* stop,
                                  const Processes& processes, ProgressListener& listener, const std::function<void(std::int64_t, bool)>& batch_hook,
                                  const std::function<void(const Feed&, const Predictions&)>& observe) {
  steps.refresh();
  objective_->reset();
  sweep.batches = batches > 0 ? std::min(batches, loader.batches()) : loader.batches();
  listener.on_begin(sweep);
  loader.start(0);
  Feed feed;
  InTurn<Feed> seen([&](const std::vector<Tensor>& results, const Feed& of) { observe(of, steps.predictions(results)); });
  std::int64_t samples = 0;
  for (std::int64_t number = 0; number < sweep.batches; ++number) {
    const auto [stopped, shown] = processes.any(std::array{stop && *stop, listener.wants_batch(number + 1)});
    if (stopped) {
      seen.finish();
      return {objective_->logs(processes), false};
    }
    const Batch* batch = loader.next();
    if (!batch) break;
    if (batch_hook) batch_hook(number, false);
    feeder.fill(*batch, feed);
    feed.share = share_of(loader, processes);
    samples += processes.several() ? feed.share.whole : feed.size;
    if (observe) {
      const Results& run = steps.test_predicting(*objective_, feed);
      seen.add(run, std::exchange(feed, {}));
    } else {
      steps.test(*objective_, std::exchange(feed, {}));
    }
    if (batch_hook) batch_hook(number, true);
    if (shown) listener.on_batch(number + 1, samples, objective_->logs(processes));
  }
  seen.finish();
  TestResult result{objective_->logs(processes), true};
  listener.on_end(sweep, result.logs);
  return result;
}

std::vector<Tensor> Trainer::predict(const DatasetRef& data, const PredictOptions& options) {
  return within([&] { return fmt::format("while predicting with model '{}'", model_->title()); }, [&] {
    build_for(data->inputs());
    initialize(0);
    steps_->refresh();
    const Feeder feeder(data, *model_, nullptr);
    // One batch needs no thread that reads ahead.
    Loader loader(data, {.batch_size = options.batch_size, .prefetch = data->size() > options.batch_size ? 2 : 0, .prepare = feeder.ahead(*steps_)});
    ProgressListener silent;
    ProgressListener& listener = options.listener ? *options.listener : silent;
    const Sweep sweep{.kind = Sweep::Kind::predict, .batches = loader.batches(), .samples = data->size()};
    listener.on_begin(sweep);
    loader.start(0);
    std::vector<Tensor> results;
    std::int64_t samples = 0, number = 0;
    InTurn<std::int64_t> predictions([&](const std::vector<Tensor>& outputs, std::int64_t size) {
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        Shape shape = outputs[i].shape();
        if (shape.rank() == 0 || shape[0] != size)
          throw Error("the output '{}' is {} for {} samples, wanted a row for each", model_->output_names()[i], shape, size).usage();
        if (samples == 0) {
          shape.set(0, data->size());
          results.push_back(Tensor::uninitialised({outputs[i].dtype(), shape}));
        }
        if (results[i].shape().from(1) != outputs[i].shape().from(1))
          throw Error("the output '{}' has rows of shape {} in one batch, of {} in another", model_->output_names()[i],
                      results[i].shape().from(1), outputs[i].shape().from(1))
              .hint("fix their length (output_sequence_length), or predict in one batch")
              .usage();
        copy_elements(outputs[i], 0, outputs[i].size(), results[i], samples * (outputs[i].size() / size));
      }
      samples += size;
      if (listener.wants_batch(++number)) listener.on_batch(number, samples, {});
    });
    Feed feed;
    while (const Batch* batch = loader.next()) {
      if (options.stop && *options.stop) throw Error("interrupted");
      feeder.fill(*batch, feed);
      predictions.add(steps_->predict(feed), feed.size);
      feed = {};
    }
    predictions.finish();
    listener.on_end(sweep, {});
    return results;
  });
}

namespace {

// A batch by itself, as a dataset: what Feeder matches with the model.
DatasetRef dataset_of(const Batch& batch) { return array_dataset({.inputs = batch.inputs, .targets = batch.targets, .weights = batch.weights}); }

}  // namespace

Feed Trainer::training_feed(const Batch& batch, std::map<std::int64_t, double> class_weight) {
  optimizer();
  const DatasetRef data = dataset_of(batch);
  build_for(data->inputs());
  initialize(0);
  prepare_training();
  Feed feed;
  Feeder(data, *model_, objective_.get(), std::move(class_weight)).fill(batch, feed);
  return feed;
}

Feed Trainer::feed(const Batch& batch, bool measured) {
  if (measured) optimizer();
  const DatasetRef data = dataset_of(batch);
  build_for(data->inputs());
  initialize(0);
  steps_->refresh();
  Feed feed;
  Feeder(data, *model_, measured ? objective_.get() : nullptr).fill(batch, feed);
  return feed;
}

Logs Trainer::train_on_batch(const Batch& batch, std::map<std::int64_t, double> class_weight) {
  const Feed feed = training_feed(batch, std::move(class_weight));
  steps_->train(*objective_, optimizer(), feed);
  return objective_->logs();
}

Logs Trainer::test_on_batch(const Batch& batch) {
  const Feed feed = this->feed(batch, true);
  steps_->test(*objective_, feed);
  return objective_->logs();
}

std::vector<Tensor> Trainer::predict_on_batch(const Batch& batch) { return steps_->predict(feed(batch, false)).wait(); }

HostedExecutable& Trainer::training_step(const Batch& batch) {
  const Feed feed = training_feed(batch, {});
  return steps_->training(*objective_, optimizer(), feed);
}

HostedExecutable& Trainer::prediction_step(const Batch& batch) { return steps_->prediction(feed(batch, false)); }

}  // namespace nacre
