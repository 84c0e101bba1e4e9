// An experiment: everything that one YAML file says.
#pragma once

#include "api/data/source.h"
#include "api/experiment/config_file.h"
#include "api/experiment/model_builder.h"
#include "api/experiment/picture_data.h"
#include "api/model.h"
#include "api/train/callbacks.h"
#include "api/train/compile_options.h"

namespace nacre {

// A number of classes; none: auto, as many as the training data has.
struct ClassCount {
  std::optional<std::int64_t> number;
};
// auto, or 2 and more
template <>
struct FieldKind<ClassCount> {
  static void read(const Tree& tree, ClassCount& value);
  static Tree write(const ClassCount& value, Style style);
  static Tree schema();
};

struct DataConfig {
  Ref<Source> train, validation, test;
  NormalizeConfig normalize;
  std::optional<ClassCount> one_hot;
  std::vector<Ref<Layer>> augment;
  std::optional<std::string> cache;
  std::optional<std::int64_t> workers;
  static void describe(auto&& field) {
    field("train", &DataConfig::train, "what is learned from");
    field("validation", &DataConfig::validation, "what is measured after each epoch");
    field("test", &DataConfig::test, "what `nacre evaluate` measures first of all");
    field("normalize", &DataConfig::normalize, "of inputs, before they reach the model");
    field("one_hot", &DataConfig::one_hot, "number of classes, or auto: class numbers of targets become vectors");
    field("augment", &DataConfig::augment,
          "layers that change the pictures of training batches (RandomFlip, …), before they are normalised; CutMix and MixUp "
          "mix the targets too");
    field("cache", &DataConfig::cache,
          "where decoded pictures are kept, before they are augmented: memory, or a folder for files that later runs use "
          "again; null: they are decoded in each epoch");
    field("workers", &DataConfig::workers,
          "threads that decode and augment ahead; they do not change the batches; default: half of `threads`, 8 at most",
          between(1, 256));
  }
};

// Data sets that a configuration names; null: not given.
struct OpenedData {
  DatasetRef train, validation, test;
  DatasetRef unaugmented;  // the training data before it was augmented, where it was; FitOptions::unaugmented
  // Calls change(set) for each that is given.
  void each(auto&& change) {
    for (DatasetRef* set : {&train, &validation, &test, &unaugmented})
      if (*set) change(*set);
  }
  // What a model is measured on: test, else validation, else train; throws a usage Error when there is none.
  const DatasetRef& measured() const;
};

struct OpenOptions {
  std::optional<double> validation_split{};
  std::uint64_t seed = 0;  // of augmentation
  bool augmenting = true;
  // What the network asks: files of pictures come to its size where their source says nothing else, and the numbers of
  // all data are preprocessed as its file says.
  InputForm form{};
  bool resizing = false;  // other pictures come to that size, too
};
// Opens what is named, takes validation_split off the training data, augments the training data and normalises all of
// it: this is where data comes to the form that a network takes. Relative paths are relative to `folder`. Throws a
// usage Error where `normalize` and the network would both do it. Without training data `one_hot: auto` leaves class
// numbers as they are: what is measured on becomes vectors as its model wants them (data_for).
OpenedData open_data(const DataConfig& config, const std::filesystem::path& folder, const OpenOptions& options);

// Keras's arguments of fit.
struct FitConfig {
  std::int64_t batch_size = 32, epochs = 1, initial_epoch = 0;
  bool shuffle = true;
  std::optional<double> validation_split;
  std::optional<std::int64_t> validation_batch_size, validation_steps;
  std::int64_t validation_freq = 1;
  std::optional<std::int64_t> steps_per_epoch;
  ClassWeight class_weight;
  CacheFeatures cache_features = CacheFeatures::automatic;
  std::vector<Ref<Callback>> callbacks;
  static void describe(auto&& field) {
    field("batch_size", &FitConfig::batch_size, "samples a step; of several processes that train together, of each", at_least(1));
    field("epochs", &FitConfig::epochs, "passes over the training data", at_least(0));
    field("initial_epoch", &FitConfig::initial_epoch, "where training begins; epochs are counted from 0 all the same",
          at_least(0));
    field("shuffle", &FitConfig::shuffle, "a new order of the samples in each epoch");
    field("validation_split", &FitConfig::validation_split, "this share at the end of the training data validates", from_below(0, 1));
    field("validation_batch_size", &FitConfig::validation_batch_size, "samples a step of validation; null: batch_size",
          at_least(1));
    field("validation_steps", &FitConfig::validation_steps, "ends validations after so many batches", at_least(1));
    field("validation_freq", &FitConfig::validation_freq, "validate after so many epochs", at_least(1));
    field("steps_per_epoch", &FitConfig::steps_per_epoch, "ends epochs after so many batches", at_least(1));
    field("class_weight", &FitConfig::class_weight, "{class: weight}, classes by number or name: how much their samples count; balanced: as much as makes all classes equal");
    field("cache_features", &FitConfig::cache_features,
          "whether what frozen layers make of samples that are seen again is computed once: auto: where nothing random "
          "comes "
          "before the layers that learn, of validation data alone where training data is augmented; true: also "
          "elsewhere, "
          "without augmentation as long as those layers are frozen");
    field("callbacks", &FitConfig::callbacks, "what happens beside training");
  }
};

// All but the validation data, the seed and whoever listens; features are kept in cache_folder().
FitOptions fit_options(const FitConfig& config);

// The dtype policy that a whole model is built and trained under.
struct PrecisionConfig {
  std::optional<std::string> dtype;
  static void describe(auto&& field) {
    field("dtype", &PrecisionConfig::dtype,
          "policy of all layers, above their own: mixed_bfloat16 computes in bfloat16 and keeps weights and statistics "
          "in float32; where the processor has no instructions for it, a note says so and float32 is taken; "
          "float8_from_mixed_bfloat16 also rounds what Dense and EinsumDense multiply to eight bits, which some GPUs "
          "multiply as such",
          one_of({floating_policies.begin(), floating_policies.end()}));
  }
};

// `train:` holds the keys of all.
struct TrainConfig {
  CompileOptions compile;
  FitConfig fit;
  PrecisionConfig precision;
};
template <> struct FieldKind<TrainConfig> {
  static void read(const Tree& tree, TrainConfig& value);
  static Tree write(const TrainConfig& value, Style style);
  static Tree schema();
};

struct ExperimentConfig {
  std::string name;
  std::int64_t seed = 0;
  std::string device = "cpu";
  std::optional<std::int64_t> threads;
  Tree variables, model;
  DataConfig data;
  TrainConfig train;
  std::optional<std::string> output, folder;
  static void describe(auto&& field) {
    field("name", &ExperimentConfig::name, "of the experiment and its model; default: the file's name");
    field("seed", &ExperimentConfig::seed, "of everything random", at_least(0));
    field("device", &ExperimentConfig::device, "where it is computed", one_of({"cpu", "gpu", "reference"}));
    field("threads", &ExperimentConfig::threads, "of kernels; default: OMP_NUM_THREADS, or all cores, which processes that train together on one machine share", at_least(1));
    field("variables", &ExperimentConfig::variables, "names for expressions: ${width}");
    field("model", &ExperimentConfig::model, "the network", required());
    field("data", &ExperimentConfig::data, "what it learns from");
    field("train", &ExperimentConfig::train, "how it learns");
    field("output", &ExperimentConfig::output, "folder of the run; default: runs/NAME");
    field("folder", &ExperimentConfig::folder, "where relative paths begin; default: the folder of this file");
  }
};

// Whether a file is a configuration, and not an architecture of Keras in YAML, by its name and its keys. A model of the zoo
// ("zoo:NAME") counts as the configuration that names it.
bool is_experiment(const std::filesystem::path& file);

class Experiment {
 public:
  explicit Experiment(const ConfigFile& file, std::string default_name = "");
  static Experiment load(const std::filesystem::path& file, std::span<const std::string> overrides = {});

  const ExperimentConfig& config() const { return config_; }
  const std::filesystem::path& folder() const { return folder_; }
  // Where the run's files go: `output` relative to the working folder, or runs/NAME.
  std::filesystem::path output_folder() const;

  // Without weights those that the configuration names are not read: the form alone is of interest.
  std::shared_ptr<FunctionalLayer> build_model(bool with_weights = true) const;
  // The saved model that the configuration takes as it is: it names the file and changes nothing of the model.
  std::optional<std::filesystem::path> saved_model() const;

  // Opens what the file names for its own network, or for one that takes this; see above.
  OpenedData open_data() const;
  OpenedData open_data(const InputForm& form) const;
  // What such a network is measured on.
  DatasetRef open_evaluation_data(const InputForm& form) const;

  // The whole configuration with blocks expanded, expressions evaluated and every default filled in. It says in which
  // folder its paths begin, so it may be stored elsewhere.
  Tree render() const;

 private:
  // The `model:` part, with the number of classes where its head counts them.
  const Tree& model() const;
  std::int64_t classes() const;  // of the training data, which is given

  ExperimentConfig config_;
  mutable std::optional<std::int64_t> classes_;  // found when they are asked for
  mutable std::optional<Tree> model_;
  mutable std::optional<InputForm> form_;  // of the network
  std::filesystem::path folder_;
  Variables variables_;
};

// Its model under train.dtype, compiled when it says with what loss; on this device ("": the default one).
Model configured_model(const Experiment& experiment, std::string_view device = "", bool with_weights = true);

// JSON Schema (2020-12) of experiment files.
Tree experiment_schema();

}  // namespace nacre
