// Callbacks that need a model: backups, averages, event files.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "api/train/backup_and_restore.h"
#include "api/train/tensorboard.h"
#include "formats/file.h"
#include "formats/json.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

using callbacks::BackupAndRestore;
using callbacks::LambdaCallback;
using callbacks::LambdaCallbackConfig;
using callbacks::SwapEMAWeights;
using callbacks::TensorBoard;

// A classifier with dropout and shuffled data, so that random numbers matter.
struct Shuffled {
  Sequential model = classifier(3, 0.3);
  FitOptions options{.epochs = 4, .batch_size = 16, .seed = 5};
  Shuffled() { model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}}); }
  History fit() { return model.fit(labelled(blobs(64)), options); }
};

// Breaks the run off with an error after so many batches.
Ref<Callback> breaks_off(std::int64_t batches) {
  LambdaCallbackConfig hooks;
  hooks.on_train_batch_end = [batches, seen = std::int64_t{0}](TrainingControl&, std::int64_t, const Logs&) mutable {
    if (++seen == batches) throw Error("the power is gone");
  };
  return LambdaCallback(hooks);
}

TEST(BackupAndRestore, ABrokenRunGoesOnBitForBit) {
  Shuffled whole;
  whole.options.callbacks = {breaks_off(1000)};
  const History unbroken = whole.fit();
  for (const std::optional<std::int64_t> batches : {std::optional<std::int64_t>{}, std::optional<std::int64_t>{3}}) {
    const TemporaryFolder folder;
    const auto backup = [&] {
      return BackupAndRestore({.backup_dir = (folder / "backup").string(), .save_freq = {batches}});
    };
    Shuffled first, second;
    first.options.callbacks = {breaks_off(11), backup()};  // four batches are an epoch
    EXPECT_EQ(message_of([&] { first.fit(); }).substr(0, 17), "the power is gone");
    EXPECT_TRUE(std::filesystem::exists(folder / "backup/latest.h5"));
    second.options.callbacks = {breaks_off(1000), backup()};
    const History resumed = second.fit();
    expect_identical(values(second.model), values(whole.model));
    ASSERT_EQ(resumed.epochs.size(), unbroken.epochs.size());
    EXPECT_EQ(number(resumed.epochs.back().logs, "loss"), number(unbroken.epochs.back().logs, "loss"));
    EXPECT_FALSE(std::filesystem::exists(folder / "backup"));
  }
}

// What was stopped before its first step had a backup to go on from, and leaves it as its own checkpoint.
TEST(BackupAndRestore, ARunThatIsStoppedAtOnceLosesNothing) {
  const TemporaryFolder folder;
  const auto backup = [&] { return BackupAndRestore({.backup_dir = (folder / "backup").string()}); };
  Shuffled whole, first, second, third;
  whole.options.callbacks = {breaks_off(1000)};
  whole.fit();
  first.options.callbacks = {breaks_off(11), backup()};
  EXPECT_NE(message_of([&] { first.fit(); }), "");
  const std::atomic<bool> stop = true;
  second.options.callbacks = {breaks_off(1000), backup()};
  second.options.stop = &stop;
  second.options.checkpoint = folder / "second.h5";
  EXPECT_TRUE(second.fit().interrupted);
  third.options.callbacks = {breaks_off(9), backup()};  // eight batches are left
  third.options.checkpoint = folder / "second.h5";
  third.options.resume = true;
  std::filesystem::remove_all(folder / "backup");
  third.fit();
  expect_identical(values(third.model), values(whole.model));
}

TEST(BackupAndRestore, ADamagedBackupGivesWayToTheOneBefore) {
  const TemporaryFolder folder;
  const auto backup = [&] {
    return BackupAndRestore({.backup_dir = folder.path().string(), .double_checkpoint = true, .delete_checkpoint = false});
  };
  Shuffled whole, first, second;
  whole.options.callbacks = {breaks_off(1000)};
  whole.fit();
  first.options.callbacks = {breaks_off(11), backup()};
  EXPECT_NE(message_of([&] { first.fit(); }), "");
  std::ofstream(folder / "latest.h5", std::ios::trunc) << "no HDF5";
  second.options.callbacks = {breaks_off(1000), backup()};
  const History resumed = second.fit();
  EXPECT_EQ(resumed.warnings.size(), 1u);
  expect_identical(values(second.model), values(whole.model));
  EXPECT_TRUE(std::filesystem::exists(folder / "latest.h5"));
}

// Two numbers in, one out; the numbers expected are Keras's for the same run.
struct Averaged {
  Sequential model{{Input({2}), Dense({.units = 1, .use_bias = false, .kernel_initializer = "ones"})}};
  DatasetRef data = array_dataset({.inputs = {Tensor::of<float>({4, 2}, {1, 0, 0, 1, 1, 1, 2, 1})},
                                   .targets = {Tensor::of<float>({4, 1}, {0, 1, 2, 1})}});
  std::vector<double> seen;  // the first weight, by a callback at the end of each epoch

  History fit(bool swap_on_epoch, bool use_ema = true) {
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.1}, {.use_ema = use_ema, .ema_momentum = 0.5}), .loss = "mse"});
    LambdaCallbackConfig hooks;
    hooks.on_epoch_end = [this](TrainingControl& control, std::int64_t, Logs&) { seen.push_back(control.weights()[0].at(0)); };
    return model.fit(data, {.epochs = 3, .batch_size = 2, .validation = data, .shuffle = false,
                            .callbacks = {SwapEMAWeights({.swap_on_epoch = swap_on_epoch}), LambdaCallback(hooks)}});
  }
};

TEST(SwapEMAWeights, ValidatesWithTheAverages) {
  const double losses[] = {1.0625, 0.36623317, 0.28270748}, validated[] = {0.63141859, 0.35585502, 0.27950740};
  const double averages[] = {0.72499996, 0.50169992, 0.37552643};
  for (const bool swap_on_epoch : {false, true}) {
    SCOPED_TRACE(swap_on_epoch);
    Averaged run;
    const History history = run.fit(swap_on_epoch);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(number(history.epochs[i].logs, "loss"), losses[i], 1e-6);
      EXPECT_NEAR(number(history.epochs[i].logs, "val_loss"), validated[i], 1e-6);
      if (swap_on_epoch) EXPECT_NEAR(run.seen[i], averages[i], 1e-6);
      else EXPECT_GT(std::abs(run.seen[i] - averages[i]), 1e-3);
    }
    EXPECT_NEAR(values(run.model)[0].at(0), 0.37552643, 1e-6);
    EXPECT_NEAR(values(run.model)[0].at(1), 0.86067700, 1e-6);
  }
  Averaged without;
  EXPECT_NE(message_of([&] { without.fit(false, false); }).find("the optimizer keeps no moving averages"), std::string::npos);
}

// All event files below a folder, as one text.
std::string events_of(const std::filesystem::path& folder) {
  std::string text;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) text += read_file(entry.path());
  return text;
}

std::size_t count(std::string_view text, std::string_view word) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(word, at)) != std::string_view::npos; at += word.size()) ++found;
  return found;
}

TEST(TensorBoard, WritesWhatItsFieldsSay) {
  const TemporaryFolder folder;
  Shuffled run;
  run.options.epochs = 3;
  run.options.validation = labelled(blobs(16, 3, 4, 9));
  callbacks::TensorBoardConfig config{.log_dir = folder.path().string(), .histogram_freq = 2, .write_images = true,
                                      .write_steps_per_second = true};
  config.update_freq.batches = 2;
  run.options.callbacks = {TensorBoard(config)};
  run.fit();
  const std::string train = events_of(folder / "train"), validation = events_of(folder / "validation");
  EXPECT_EQ(count(train, "epoch_loss"), 3u);
  EXPECT_EQ(count(train, "epoch_learning_rate"), 3u);
  EXPECT_EQ(count(train, "epoch_steps_per_second"), 3u);
  EXPECT_EQ(count(train, "batch_loss"), 6u);  // of 12 batches
  EXPECT_EQ(count(train, "batch_steps_per_second"), 6u);
  EXPECT_EQ(count(validation, "epoch_accuracy"), 3u);
  EXPECT_EQ(count(validation, "evaluation_loss_vs_iterations"), 3u);
  EXPECT_EQ(count(train, "/histogram"), 8u);  // four weights, epochs 0 and 2
  EXPECT_EQ(count(train, "\x89PNG"), 8u);
  EXPECT_EQ(count(train, "graph_keras_model"), 1u);
  EXPECT_EQ(count(train, "\"class_name\": \"Sequential\""), 1u);
}

TEST(TensorBoard, EmbeddingsGoToTheProjector) {
  const TemporaryFolder folder;
  Sequential model({Input({2}), Embedding({.input_dim = 3, .output_dim = 2}, {.name = "words"}), Flatten(), Dense({.units = 1})});
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const DatasetRef data = array_dataset({.inputs = {Tensor::of<float>({2, 2}, {0, 1, 2, 1})}, .targets = {Tensor::of<float>({2, 1}, {0, 1})}});
  callbacks::TensorBoardConfig config{.log_dir = folder.path().string(), .write_graph = false, .embeddings_freq = 1};
  config.embeddings_metadata.files.entries = {{"words", "words.tsv"}};
  model.fit(data, {.callbacks = {TensorBoard(config)}});
  EXPECT_EQ(read_file(folder / "projector_config.pbtxt"),
            "embeddings {\n  tensor_name: \"words/embeddings\"\n  tensor_path: \"words_embeddings.tsv\"\n"
            "  metadata_path: \"words.tsv\"\n}\n");
  const std::string table = read_file(folder / "words_embeddings.tsv");
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 3);
  EXPECT_EQ(std::count(table.begin(), table.end(), '\t'), 3);

  config.embeddings_metadata.files.entries = {{"word", "words.tsv"}};
  EXPECT_NE(message_of([&] { model.fit(data, {.callbacks = {TensorBoard(config)}}); })
                .find("embeddings_metadata names 'word', which is no Embedding layer"), std::string::npos);
}

TEST(TensorBoard, ProfilesAreRefused) {
  EXPECT_NE(message_of([] { read_object<Callback>(parse_json(R"({"TensorBoard": {"profile_batch": 2}})")); }), "");
  const auto every = read_object<Callback>(parse_json(R"({"TensorBoard": {"update_freq": "batch"}})"));
  EXPECT_TRUE(every->reads_batch_logs());
}

}  // namespace
}  // namespace nacre::test
