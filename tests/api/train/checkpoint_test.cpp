#include "api/train/backup_and_restore.h"
#include "formats/keras_h5.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

class Resume : public OnBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, Resume, every_backend, parameter_name);

// A run with all that has state: dropout, moving averages, a schedule in a callback, plateaus, shuffling.
struct Training {
  Sequential model = [] {
    Sequential stack({Input({4}), Dense({.units = 8, .activation = "relu"}), BatchNormalization(), Dropout({.rate = 0.3}),
                      Dense({.units = 3, .activation = "softmax"})}, {.name = "resumed"});
    stack.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
    return stack;
  }();
  FitOptions options{.epochs = 4, .batch_size = 16, .validation = labelled(blobs(16, 3, 4, 9)), .seed = 11,
                     .callbacks = {callbacks::ReduceLROnPlateau({.monitor = "loss", .factor = 0.5, .patience = 1, .min_delta = 10}),
                                   callbacks::EarlyStopping({.monitor = "val_loss", .patience = 9, .restore_best_weights = true})}};

  History fit(std::string_view device) {
    model.set_device(device);
    return model.fit(labelled(blobs(64)), options);
  }
};

void expect_equal(const History& a, const History& b) {
  ASSERT_EQ(a.epochs.size(), b.epochs.size());
  for (std::size_t i = 0; i < a.epochs.size(); ++i) {
    EXPECT_EQ(a.epochs[i].logs.names(), b.epochs[i].logs.names());
    for (const auto& [name, value] : a.epochs[i].logs) EXPECT_EQ(value, number(b.epochs[i].logs, name)) << name << " of epoch " << i;
  }
}

TEST_P(Resume, TwoAndTwoEpochsAreFour) {
  const TemporaryFolder folder;
  Training whole, first, second;
  const History unbroken = whole.fit(GetParam());
  first.options.epochs = 2;
  first.options.checkpoint = second.options.checkpoint = folder / "checkpoint.h5";
  second.options.resume = true;
  first.fit(GetParam());
  expect_equal(second.fit(GetParam()), unbroken);
  expect_identical(values(second.model), values(whole.model));
  EXPECT_EQ(second.model.trainer().optimizer().iterations(), whole.model.trainer().optimizer().iterations());
}

TEST_P(Resume, AnInterruptedEpochGoesOn) {
  const TemporaryFolder folder;
  Training whole;
  const History unbroken = whole.fit(GetParam());
  for (const std::int64_t batches : {1, 6, 12}) {  // four batches are an epoch; after the 12th an epoch is complete
    Training first, second;
    std::atomic<bool> stop = false;
    std::int64_t count = 0;
    callbacks::LambdaCallbackConfig hooks;
    hooks.on_train_batch_end = [&](TrainingControl&, std::int64_t, const Logs&) { if (++count == batches) stop = true; };
    first.options.stop = &stop;
    first.options.checkpoint = second.options.checkpoint = folder / fmt::format("{}.h5", batches);
    first.options.callbacks.push_back(callbacks::LambdaCallback(hooks));
    second.options.callbacks.push_back(callbacks::LambdaCallback());
    second.options.resume = true;
    const History broken = first.fit(GetParam());
    EXPECT_TRUE(broken.interrupted);
    expect_equal(second.fit(GetParam()), unbroken);
    expect_identical(values(second.model), values(whole.model));
  }
}

// A checkpoint may lie after an epoch's last batch, before its validation.
TEST(ResumeFile, MetricsOfAnEpochWhoseBatchesAreAllDoneAreKept) {
  const TemporaryFolder folder;
  const auto train = [&](bool breaks, const std::string& backup) {
    Training run;
    run.options.callbacks.push_back(callbacks::BackupAndRestore({.backup_dir = (folder / backup).string(), .save_freq = {.batches = 2}}));
    run.options.callbacks.push_back(callbacks::LambdaCallback({.on_test_begin = [&](TrainingControl& control) {
      if (breaks && control.epoch() == 1) throw Error("broken off");
    }}));
    return run.fit("cpu");
  };
  const History unbroken = train(false, "whole");
  EXPECT_NE(message_of([&] { train(true, "broken"); }).find("broken off"), std::string::npos);
  expect_equal(train(false, "broken"), unbroken);
}

// A run that is resumed and stopped again before its first batch leaves the checkpoint as good as it was.
TEST(ResumeFile, AStopBeforeTheFirstBatchKeepsTheMetrics) {
  const TemporaryFolder folder;
  Training whole;
  const History unbroken = whole.fit("cpu");
  std::atomic<bool> stop = false;
  const auto train = [&](std::int64_t batches) {
    Training run;
    run.options.checkpoint = folder / "checkpoint.h5";
    run.options.resume = true;
    run.options.stop = &stop;
    std::int64_t count = 0;
    run.options.callbacks.push_back(callbacks::LambdaCallback(
        {.on_train_batch_end = [&](TrainingControl&, std::int64_t, const Logs&) { stop = ++count == batches; }}));
    return run.fit("cpu");
  };
  EXPECT_TRUE(train(6).interrupted);
  EXPECT_TRUE(train(0).interrupted);  // stop is true still
  stop = false;
  expect_equal(train(0), unbroken);
}

TEST(ResumeFile, AFinishedRunIsLeftAlone) {
  const TemporaryFolder folder;
  Training first, second;
  first.options.checkpoint = second.options.checkpoint = folder / "checkpoint.h5";
  second.options.resume = true;
  const History done = first.fit("cpu");
  expect_equal(second.fit("cpu"), done);
  expect_identical(values(second.model), values(first.model));
}

TEST(ResumeFile, ACheckpointIsAModel) {
  const TemporaryFolder folder;
  Training run;
  run.options.checkpoint = folder / "checkpoint.h5";
  run.options.callbacks.clear();
  run.fit("cpu");
  Model loaded = load_model(folder / "checkpoint.h5");
  const Tensor x = blobs(5).features;
  expect_identical({loaded.predict(x)}, {run.model.predict(x)});
}

// Which layers learn was written in another way then.
TEST(ResumeFile, OlderCheckpointsAreRefused) {
  const TemporaryFolder folder;
  Training run;
  run.options.checkpoint = folder / "checkpoint.h5";
  run.options.resume = true;
  run.fit("cpu");
  KerasFile file = read_keras_h5(folder / "checkpoint.h5");
  file.state.set("format", 1);
  write_keras_h5(folder / "checkpoint.h5", file);
  const std::string message = message_of([&] { run.fit("cpu"); });
  EXPECT_NE(message.find("the checkpoint has format 1, this program reads 2"), std::string::npos) << message;
  EXPECT_NE(message.find("hint: another version of nacre wrote it"), std::string::npos) << message;
}

TEST(ResumeFile, OtherFilesAndCallbacksAreRefused) {
  const TemporaryFolder folder;
  Training run;
  run.options.checkpoint = folder / "model.h5";
  run.options.resume = true;
  run.model.save(folder / "model.h5");
  EXPECT_EQ(message_of([&] { run.fit("cpu"); }),
            fmt::format("{}: this is no checkpoint\n  while resuming from {}\n  while training model 'resumed'\n  hint: resume from a file that training wrote",
                        (folder / "model.h5").string(), (folder / "model.h5").string()));
  Training written, other;
  written.options.checkpoint = other.options.checkpoint = folder / "checkpoint.h5";
  other.options.resume = true;
  other.options.callbacks.pop_back();
  written.fit("cpu");
  EXPECT_NE(message_of([&] { other.fit("cpu"); }).find("was written with 2 callbacks, there are 1 now"), std::string::npos);
}

}  // namespace
}  // namespace nacre::test
