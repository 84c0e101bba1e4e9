// Training, testing and prediction with a model: compile, fit, evaluate, predict.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>

#include "api/data/loader.h"
#include "api/train/class_weight.h"
#include "api/train/feature_cache.h"
#include "api/train/feeder.h"
#include "api/train/progress.h"

namespace nacre {

struct FitOptions {
  std::int64_t epochs = 1;  // the last epoch, counted from the start also when initial_epoch is not 0
  std::int64_t batch_size = 32;      // of each process
  std::int64_t initial_epoch = 0;
  DatasetRef validation{};           // stands above validation_split
  double validation_split = 0;       // the last part of the data validates
  std::int64_t validation_batch_size = 0;  // 0: batch_size
  std::int64_t validation_freq = 1;  // validate after every so many epochs
  std::int64_t validation_steps = 0;  // batches of a validation; 0: all
  std::int64_t steps_per_epoch = 0;  // batches of an epoch; 0: all
  bool shuffle = true;
  std::uint64_t seed = 0;            // of initial weights that are not set yet, of shuffling and of random layers
  ClassWeight class_weight{};
  std::vector<Ref<Callback>> callbacks{};
  // Frozen layers are computed once for all epochs (see feature_cache.h) where samples are seen again: of the training
  // data or, where that is augmented and `always` is asked for, of the same samples without: `unaugmented`; and of the
  // validation data, also where what trains must be computed in each epoch. Files for later runs go to the folder; "":
  // none.
  CacheFeatures cache_features = CacheFeatures::automatic;
  DatasetRef unaugmented{};
  std::filesystem::path feature_folder{};
  // With others each takes its part of every batch, and all end with the same model, as one process with a batch of
  // batch_size · their number would, but that dropout draws anew in each and batch normalisation sees its part alone. All are
  // given the same data, options and files.
  Processes processes{};
  bool verbose = false;              // a line per epoch on standard output, when nobody listens
  ProgressListener* listener = nullptr;
  const std::atomic<bool>* stop = nullptr;  // when it becomes true, training ends after the batch in progress
  // A checkpoint is written here after every epoch and when training is stopped; "" writes none.
  std::filesystem::path checkpoint{};
  bool resume = false;               // go on from the checkpoint, if there is one
};

struct EvaluateOptions {
  std::int64_t batch_size = 32;
  std::int64_t steps = 0;  // batches; 0: all
  ProgressListener* listener = nullptr;
  const std::atomic<bool>* stop = nullptr;
  // Sees every batch, in the order of the samples, with what the model predicted for it; what it is given is valid
  // until it returns.
  std::function<void(const Feed&, const Predictions&)> observe{};
};

struct PredictOptions {
  std::int64_t batch_size = 32;
  ProgressListener* listener = nullptr;
  const std::atomic<bool>* stop = nullptr;
};

struct Checkpoint;

// A model that is compiled, or not yet. Not synchronised.
class Trainer {
 public:
  explicit Trainer(std::shared_ptr<FunctionalLayer> model);

  FunctionalLayer& model() const { return *model_; }
  // Which backend runs the graphs: "cpu", "gpu", "reference". Throws a usage Error when it cannot be had.
  void set_device(std::string_view device);
  const Backend& backend() const { return steps_->backend(); }
  // Of a model that only predicts; compile sets both, too.
  void set_matmul_precision(MatmulPrecision precision) {
    Steps::Options options = steps_->options();
    options.numerics.matmul_precision = precision;
    steps_->set_options(options);
  }
  void set_deterministic(bool deterministic) {
    Steps::Options options = steps_->options();
    options.numerics.deterministic = deterministic;
    steps_->set_options(options);
  }
  void initialize(std::uint64_t seed);  // weights that have no value yet

  void compile(CompileOptions options);
  const std::optional<CompileOptions>& options() const { return options_; }  // none: not compiled
  Optimizer& optimizer() const;
  Objective& objective() const;

  History fit(const DatasetRef& data, const FitOptions& options);
  Logs evaluate(const DatasetRef& data, const EvaluateOptions& options);
  // One tensor per output, with all samples.
  std::vector<Tensor> predict(const DatasetRef& data, const PredictOptions& options);
  // One step; metrics gather until reset_metrics().
  Logs train_on_batch(const Batch& batch, std::map<std::int64_t, double> class_weight = {});
  Logs test_on_batch(const Batch& batch);
  // One tensor per output.
  std::vector<Tensor> predict_on_batch(const Batch& batch);
  // A batch by itself as steps() takes it, as often as wanted. Weights have values then, and for training slots.
  Feed training_feed(const Batch& batch, std::map<std::int64_t, double> class_weight = {});
  Feed feed(const Batch& batch, bool measured);  // measured: with the targets of losses and metrics
  // What train_on_batch and predict_on_batch run for batches like this one, compiled but not run. Valid until the next
  // compile() or change of layers.
  HostedExecutable& training_step(const Batch& batch);
  HostedExecutable& prediction_step(const Batch& batch);
  void reset_metrics() { objective().reset(); }

  Steps& steps() const { return *steps_; }
  const RandomState& random() const { return random_; }

 private:
  friend class FitRun;
  friend Checkpoint read_checkpoint(const std::filesystem::path& path, Trainer& trainer);
  void build_for(const std::vector<Column>& inputs);  // a Sequential without Input
  void prepare_training();                            // weights and optimizer slots exist
  void retrain();                                     // the same after layers were frozen or thawed
  struct TestResult {
    Logs logs;
    bool whole;  // not stopped
  };
  // What a batch that the loader gave is of all processes' batch.
  static Share share_of(const Loader& loader, const Processes& processes);
  // One sweep over a loader, of all processes. `batch_hook(batch, done)` is called before and after each batch; it and
  // `observe` may be empty.
  TestResult test(Steps& steps, const Feeder& feeder, Loader& loader, Sweep sweep, std::int64_t batches, const std::atomic<bool>* stop,
                  const Processes& processes, ProgressListener& listener, const std::function<void(std::int64_t, bool)>& batch_hook,
                  const std::function<void(const Feed&, const Predictions&)>& observe = {});

  std::shared_ptr<FunctionalLayer> model_;
  RandomState random_;
  std::unique_ptr<Steps> steps_;
  std::optional<CompileOptions> options_;
  std::unique_ptr<Objective> objective_;
};

}  // namespace nacre
