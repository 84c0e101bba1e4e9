// Data-parallel training: several processes (threads here) train as one with the batches of all would.
#include <cstdlib>

#include "api/distribute/processes.h"
#include "api/dtype_policy.h"
#include "api/train/backup_and_restore.h"
#include "backend/core/processors.h"
#include "tests/api/models.h"
#include "tests/support/thread_processes.h"

namespace nacre::test {
namespace {

struct Trained {
  History history;
  std::vector<Tensor> weights;
};

struct Case {
  std::function<Model()> model;  // compiled
  DatasetRef data, validation{};
  FitOptions options{};
};

Trained alone(const Case& each, const std::string& device) {
  Model model = each.model();
  model.set_device(device);
  FitOptions options = each.options;
  options.validation = each.validation;
  return {model.fit(each.data, options), values(model)};
}

// `change(rank, options)` makes a process differ from the others.
std::vector<Trained> together(int count, const Case& each, const std::string& device,
                              const std::function<void(int, FitOptions&)>& change = {}) {
  std::vector<Trained> all(static_cast<std::size_t>(count));
  std::vector<Model> models;
  for (int rank = 0; rank < count; ++rank) {
    models.push_back(each.model());
    models.back().set_device(device);
  }
  ThreadProcesses(count).run([&](int rank, const CollectiveRef& collective) {
    Model& model = models[static_cast<std::size_t>(rank)];
    FitOptions options = each.options;
    options.validation = each.validation;
    options.batch_size /= count;
    options.processes = Processes(collective);
    if (change) change(rank, options);
    all[static_cast<std::size_t>(rank)] = {model.fit(each.data, options), values(model)};
  });
  return all;
}

void expect_curve(const History& got, const History& want, double tolerance) {
  ASSERT_EQ(got.epochs.size(), want.epochs.size());
  for (std::size_t i = 0; i < want.epochs.size(); ++i) {
    EXPECT_EQ(got.epochs[i].logs.names(), want.epochs[i].logs.names());
    for (const auto& [name, value] : want.epochs[i].logs)
      EXPECT_NEAR(number(got.epochs[i].logs, name), value, tolerance * std::max(1.0, std::abs(value)))
          << name << " of epoch " << i;
  }
}

// The same curve and weights as one process, and the same bits in all.
void expect_one_training(int count, const Case& each, const std::string& device, double tolerance = 2e-5) {
  const Trained whole = alone(each, device);
  const std::vector<Trained> parts = together(count, each, device);
  for (const Trained& part : parts) {
    expect_curve(part.history, whole.history, tolerance);
    ASSERT_EQ(part.weights.size(), whole.weights.size());
    for (std::size_t i = 0; i < whole.weights.size(); ++i)
      expect_near(part.weights[i], whole.weights[i], tolerance, tolerance);
    expect_identical(part.weights, parts.front().weights);
    expect_curve(part.history, parts.front().history, 0);
  }
}

class TrainingThreads : public OnBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, TrainingThreads, every_backend, parameter_name);

Model compiled(Sequential model, CompileOptions options) {
  model.initialize(7);
  model.compile(std::move(options));
  return model;
}

// 65 samples: of the last batch one is left, which a single process has.
Case plain_case() {
  return {.model =
              [] {
                return compiled(classifier(), {.optimizer = optimizers::Adam({.learning_rate = 0.02}),
                                               .loss = "sparse_categorical_crossentropy",
                                               .metrics = {"accuracy"}});
              },
          .data = labelled(blobs(65)),
          .validation = labelled(blobs(33, 3, 4, 2)),
          .options = {.epochs = 3, .batch_size = 16, .seed = 3}};
}

TEST_P(TrainingThreads, TwoAreOneWithTheDoubledBatch) { expect_one_training(2, plain_case(), GetParam()); }

TEST_P(TrainingThreads, FourAreToo) { expect_one_training(4, plain_case(), GetParam()); }

TEST_P(TrainingThreads, GradientsAreClippedAndGatheredAsOne) {
  const optimizers::SGDConfig config{.learning_rate = 0.1, .momentum = 0.9};
  for (const OptimizerOptions& options :
       {OptimizerOptions{.clipnorm = 0.05}, OptimizerOptions{.global_clipnorm = 0.05},
        OptimizerOptions{.clipvalue = 0.01}, OptimizerOptions{.use_ema = true, .gradient_accumulation_steps = 2}}) {
    Case each = plain_case();
    each.model = [=] {
      return compiled(classifier(), {.optimizer = optimizers::SGD(config, options),
                                     .loss = "sparse_categorical_crossentropy",
                                     .metrics = {"accuracy"}});
    };
    expect_one_training(2, each, GetParam());
  }
}

TEST_P(TrainingThreads, PenaltiesSampleWeightsAndReductionsCountAsInOne) {
  const Blobs blob = blobs(39);
  Tensor weights(DType::float32, {39});
  for (std::size_t i = 0; i < 39; ++i) weights.writable<float>()[i] = 0.1f + static_cast<float>(i % 5);
  for (const Reduction reduction :
       {Reduction::sum_over_batch_size, Reduction::sum, Reduction::mean, Reduction::mean_with_sample_weight}) {
    Case each = plain_case();
    each.data = array_dataset({.inputs = {blob.features}, .targets = {blob.one_hot}, .weights = {weights}});
    each.validation = array_dataset({.inputs = {blob.features}, .targets = {blob.one_hot}, .weights = {weights}});
    each.model = [=] {
      Sequential model({Input({4}), Dense({.units = 5, .activation = "tanh", .kernel_regularizer = "l2"}),
                        Dense({.units = 3, .activation = "softmax"})});
      return compiled(std::move(model), {.optimizer = optimizers::SGD({.learning_rate = 0.02}),
                                         .loss = losses::CategoricalCrossentropy({}, {.reduction = reduction}),
                                         .metrics = {"accuracy", metrics::AUC({.num_thresholds = 20})},
                                         .weighted_metrics = {"mse"}});
    };
    SCOPED_TRACE(EnumNames<Reduction>::names[static_cast<std::size_t>(reduction)]);
    expect_one_training(2, each, GetParam());
  }
}

// Sequences of unequal lengths: a mean is over the steps that count in all processes.
TEST_P(TrainingThreads, MaskedStepsAreLeftOutAsInOne) {
  RandomStream random(RandomKey::of(4, "sequences"));
  Tensor x(DType::float32, {21, 5, 2}), y(DType::float32, {21, 5, 1});
  for (std::int64_t i = 0; i < 21; ++i)
    for (std::int64_t t = 0; t < 5; ++t) {
      y.writable<float>()[static_cast<std::size_t>(i * 5 + t)] = static_cast<float>(random.normal());
      for (std::int64_t k = 0; k < 2 && t <= i % 5; ++k)
        x.writable<float>()[static_cast<std::size_t>((i * 5 + t) * 2 + k)] = static_cast<float>(random.normal());
    }
  for (const bool recompute : {false, true}) {
    Case each = plain_case();
    each.data = each.validation = array_dataset({.inputs = {x}, .targets = {y}});
    each.options.batch_size = 8;
    each.model = [=] {
      Sequential model({Input({5, 2}), Masking(), GRU({.units = 4, .return_sequences = true}),
                        Dense({.units = 6, .activation = "tanh"}), Dense({.units = 1})});
      return compiled(std::move(model), {.optimizer = optimizers::SGD({.learning_rate = 0.05}),
                                         .loss = "mse",
                                         .metrics = {"mae"},
                                         .recompute = recompute});
    };
    expect_one_training(2, each, GetParam());
  }
}

TEST_P(TrainingThreads, MixedPrecisionStaysTogether) {
  for (const std::string policy : {"mixed_bfloat16", "mixed_float16"}) {
    Case each = plain_case();
    each.model = [=] {
      const LayerOptions options{.dtype = {policy}};
      Sequential model({Input({4}), Dense({.units = 8, .activation = "relu"}, options),
                        Dense({.units = 3, .activation = "softmax"}, options)});
      return compiled(std::move(model), {.optimizer = optimizers::SGD({.learning_rate = 0.05}),
                                         .loss = "sparse_categorical_crossentropy",
                                         .metrics = {"accuracy"}});
    };
    SCOPED_TRACE(policy);
    expect_one_training(2, each, GetParam(), 0.03);
  }
}

// Each normalises what it has; the statistics are the mean of all, weighted by samples.
// Sums in another order move some numbers to their neighbours of eight bits.
TEST_P(TrainingThreads, ScalesOfEightBitsAreThoseOfAll) {
  Case each = plain_case();
  each.data = labelled(blobs(16)), each.validation = nullptr;
  each.model = [] {
    return with_dtype(compiled(classifier(), {.optimizer = optimizers::SGD({.learning_rate = 0.1}),
                                              .loss = "sparse_categorical_crossentropy"}),
                      {"float8_from_float32"});
  };
  expect_one_training(2, each, GetParam(), 5e-2);
  // Of the first step: its largest values are exactly those of the whole batch.
  each.options.epochs = 1;
  const std::vector<Tensor> whole = alone(each, GetParam()).weights, part = together(2, each, GetParam())[1].weights;
  int histories = 0;
  for (std::size_t i = 0; i < whole.size(); ++i)
    if (whole[i].shape() == Shape{1024}) {
      EXPECT_GT(whole[i].at(0), 0);
      expect_near(part[i], whole[i], 1e-6, 1e-6), ++histories;
    }
  EXPECT_EQ(histories, 6);
}

TEST_P(TrainingThreads, MovingStatisticsAreThoseOfAll) {
  const Blobs blob = blobs(12);
  Case each{.model =
                [] {
                  Sequential model({Input({4}), BatchNormalization({.momentum = 0.0}),
                                    Dense({.units = 3, .activation = "softmax"})});
                  return compiled(std::move(model), {.optimizer = optimizers::SGD({.learning_rate = 0.01}),
                                                     .loss = "sparse_categorical_crossentropy"});
                },
            .data = labelled(blob),
            .options = {.batch_size = 12, .shuffle = false}};
  const std::vector<Trained> parts = together(2, each, GetParam());
  expect_identical(parts[0].weights, parts[1].weights);
  for (std::int64_t k = 0; k < 4; ++k) {
    double mean = 0, variance = 0;
    for (int part = 0; part < 2; ++part) {
      double sum = 0, squares = 0;
      for (std::int64_t i = 6 * part; i < 6 * part + 6; ++i) {
        const double value = blob.features.at(i * 4 + k);
        sum += value / 6, squares += value * value / 6;
      }
      mean += sum / 2, variance += (squares - sum * sum) / 2;
    }
    EXPECT_NEAR(parts[0].weights[2].at(k), mean, 1e-5);
    EXPECT_NEAR(parts[0].weights[3].at(k), variance, 1e-5);
  }
}

TEST_P(TrainingThreads, DropoutDrawsAnewInEachAndTheyStayTogether) {
  Case each = plain_case();
  each.model = [] {
    return compiled(classifier(3, 0.5), {.optimizer = "adam", .loss = "sparse_categorical_crossentropy"});
  };
  const std::vector<Trained> parts = together(2, each, GetParam());
  expect_identical(parts[0].weights, parts[1].weights);
}

// What one of them is told ends them all, at the same step.
TEST_P(TrainingThreads, AllEndTogether) {
  std::atomic<bool> stop = false;
  const std::vector<Trained> interrupted = together(2, plain_case(), GetParam(), [&](int rank, FitOptions& options) {
    if (rank == 0) return;
    callbacks::LambdaCallbackConfig hooks;
    hooks.on_train_batch_end = [&](TrainingControl& control, std::int64_t, const Logs&) {
      if (control.iterations() == 7) stop = true;
    };
    options.callbacks.push_back(callbacks::LambdaCallback(hooks));
    options.stop = &stop;
  });
  expect_identical(interrupted[0].weights, interrupted[1].weights);
  for (const Trained& each : interrupted) EXPECT_TRUE(each.history.interrupted);

  const std::vector<Trained> stopped = together(2, plain_case(), GetParam(), [&](int rank, FitOptions& options) {
    callbacks::LambdaCallbackConfig hooks;
    hooks.on_epoch_end = [rank](TrainingControl& control, std::int64_t epoch, Logs&) {
      if (rank == 1 && epoch == 0) control.stop("enough");
    };
    options.callbacks.push_back(callbacks::LambdaCallback(hooks));
  });
  for (const Trained& each : stopped) EXPECT_EQ(each.history.epochs.size(), 1u);
  expect_identical(stopped[0].weights, stopped[1].weights);
}

TEST_P(TrainingThreads, TerminateOnNaNEndsAllWhereOneMeetsIt) {
  const Blobs blob = blobs(32);
  Tensor weights(DType::float32, {32});
  weights.writable<float>()[20] = std::nanf("");  // of a sample that the second process has
  Case each = plain_case();
  each.data = array_dataset({.inputs = {blob.features}, .targets = {blob.labels}, .weights = {weights}});
  each.validation = nullptr;
  each.options.shuffle = false, each.options.batch_size = 32;
  each.options.callbacks = {};
  const std::vector<Trained> parts = together(
      2, each, GetParam(), [](int, FitOptions& options) { options.callbacks.push_back(callbacks::TerminateOnNaN()); });
  for (const Trained& part : parts) {
    EXPECT_EQ(part.history.epochs.size(), 1u);
    EXPECT_NE(part.history.stopped, "");
  }
}

TEST_P(TrainingThreads, TheFirstAloneWritesAndSpeaks) {
  const TemporaryFolder folder;
  struct Lines final : ProgressListener {
    void on_end(const Sweep& sweep, const Logs&) override {
      if (sweep.kind == Sweep::Kind::train) samples.push_back(sweep.samples);
    }
    std::vector<std::int64_t> samples;
  };
  std::array<Lines, 2> lines;
  together(2, plain_case(), GetParam(), [&](int rank, FitOptions& options) {
    const std::filesystem::path own = folder / std::to_string(rank);
    options.listener = &lines[static_cast<std::size_t>(rank)];
    options.checkpoint = own / "checkpoint.h5";
    options.callbacks = {
        std::make_shared<callbacks::CSVLogger>(callbacks::CSVLoggerConfig{.filename = (own / "log.csv").string()}),
        callbacks::ModelCheckpoint({.filepath = (own / "best.h5").string()}),
        callbacks::BackupAndRestore({.backup_dir = (own / "backup").string(), .delete_checkpoint = false})};
    if (rank == 0) std::filesystem::create_directories(own);
  });
  for (const char* file : {"checkpoint.h5", "log.csv", "best.h5", "backup/latest.h5"})
    EXPECT_TRUE(std::filesystem::exists(folder / "0" / file)) << file;
  EXPECT_FALSE(std::filesystem::exists(folder / "1"));
  EXPECT_EQ(lines[0].samples, (std::vector<std::int64_t>{65, 65, 65}));
  EXPECT_TRUE(lines[1].samples.empty());
}

TEST_P(TrainingThreads, AResumedRunIsAnUnbrokenOne) {
  Case each = plain_case();
  each.model = [] {
    return compiled(classifier(3, 0.3),
                    {.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  };
  const std::vector<Trained> whole = together(2, each, GetParam());
  for (const std::int64_t steps : {2, 5, 6}) {  // five are an epoch
    const TemporaryFolder folder;
    std::atomic<bool> stop = false;
    const auto broken = [&](int rank, FitOptions& options) {
      options.checkpoint = folder / "checkpoint.h5";
      callbacks::LambdaCallbackConfig hooks;
      hooks.on_train_batch_end = [&, rank](TrainingControl& control, std::int64_t, const Logs&) {
        if (rank == 0 && control.iterations() == steps) stop = true;
      };
      options.callbacks = {callbacks::LambdaCallback(hooks)};
      if (rank == 0) options.stop = &stop;
    };
    for (const Trained& part : together(2, each, GetParam(), broken)) EXPECT_TRUE(part.history.interrupted);
    const std::vector<Trained> resumed = together(2, each, GetParam(), [&](int, FitOptions& options) {
      options.checkpoint = folder / "checkpoint.h5";
      options.resume = true;
      options.callbacks = {callbacks::LambdaCallback()};
    });
    for (std::size_t rank = 0; rank < 2; ++rank) {
      expect_identical(resumed[rank].weights, whole[rank].weights);
      expect_curve(resumed[rank].history, whole[rank].history, 1e-6);  // sums are rounded where they were broken
    }
  }
}

TEST_P(TrainingThreads, ABrokenEpochIsResumedByAsMany) {
  const TemporaryFolder folder;
  std::atomic<bool> stop = false;
  Case each = plain_case();
  each.options.checkpoint = folder / "checkpoint.h5";
  together(2, each, GetParam(), [&](int, FitOptions& options) {
    callbacks::LambdaCallbackConfig hooks;
    hooks.on_train_batch_end = [&](TrainingControl&, std::int64_t, const Logs&) { stop = true; };
    options.callbacks = {callbacks::LambdaCallback(hooks)};
    options.stop = &stop;
  });
  each.options.resume = true;
  each.options.callbacks = {callbacks::LambdaCallback()};
  const std::string message = message_of([&] { alone(each, GetParam()); });
  EXPECT_NE(message.find("the run was broken within an epoch of 2 processes, there is 1 now"), std::string::npos)
      << message;
}

TEST_P(TrainingThreads, ACheckpointThatOneDoesNotSeeIsRefused) {
  const TemporaryFolder folder;
  EXPECT_EQ(message_of([&] {
              Case each = plain_case();
              each.options.checkpoint = folder / "checkpoint.h5";
              alone(each, GetParam());
              each.options.resume = true;
              together(2, each, GetParam(), [&](int rank, FitOptions& options) {
                if (rank == 1) options.checkpoint = folder / "elsewhere.h5";
              });
            }),
            "some of the processes have a checkpoint to go on from, and others have none\n  while training model "
            "'classifier'\n"
            "  hint: all read the same files: on several machines they lie in a folder that is shared");
}

TEST(ProcessThreads, ShareTheCoresOfTheirMachine) {
  if (std::getenv("OMP_NUM_THREADS")) GTEST_SKIP() << "OMP_NUM_THREADS says how many threads there are";
  const int usual = Processes().threads();
  EXPECT_EQ(usual, default_threads());
  ThreadProcesses(2).run([&](int, const CollectiveRef& collective) {
    EXPECT_EQ(Processes(collective).threads(), std::max(1, usual / 2));
  });
}

// --- the environment ----------------------------------------------------------------------------------------------

class Environment {
 public:
  explicit Environment(std::map<const char*, const char*> variables) : variables_(std::move(variables)) {
    for (const auto& [name, value] : variables_) ::setenv(name, value, 1);
  }
  ~Environment() {
    for (const auto& [name, value] : variables_) ::unsetenv(name);
  }

 private:
  std::map<const char*, const char*> variables_;
};

TEST(ProcessEnvironment, IsThatOfWhoeverStartedTheProcess) {
  EXPECT_EQ(process_environment().size, 1);
  EXPECT_FALSE(Processes::of_environment().several());
  {
    const Environment mpirun({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "4"}});
    EXPECT_EQ(process_environment().rank, 1);
    EXPECT_EQ(process_environment().size, 4);
    EXPECT_TRUE(process_environment().by_mpi);
  }
  for (const char* wrong : {"", "x", "-2", "1", "0", "99999999999999999999"}) {
    const Environment odd({{"PMI_RANK", "0"}, {"PMI_SIZE", wrong}});
    EXPECT_EQ(process_environment().size, 1) << wrong;
  }
  const Environment torchrun({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "localhost"}});
  EXPECT_EQ(process_environment().rank, 1);
  EXPECT_EQ(process_environment().address, "localhost");
  EXPECT_FALSE(process_environment().by_mpi);
  for (const char* wrong : {"", "x", "0", "-29500", "70000"}) {
    const Environment odd(std::map<const char*, const char*>{{"MASTER_PORT", wrong}});
    EXPECT_EQ(
        message_of([] { Processes::of_environment(); }),
        "this is process 1 of 2 (RANK and WORLD_SIZE), but MASTER_ADDR and MASTER_PORT do not say where the first "
        "one listens\n  hint: start them with torchrun, or with mpirun -n 2 nacre train …");
  }
  const Environment port(std::map<const char*, const char*>{{"MASTER_PORT", "29500"}});
  EXPECT_EQ(process_environment().port, 29500);
  const Environment agent(std::map<const char*, const char*>{{"TORCHELASTIC_USE_AGENT_STORE", "True"}});
  EXPECT_EQ(process_environment().port, 29501);
}

}  // namespace
}  // namespace nacre::test
