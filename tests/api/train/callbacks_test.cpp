// Callbacks against a training that is played to them.
#include "api/train/callbacks.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "api/train/backup_and_restore.h"
#include "api/train/progbar_logger.h"
#include "formats/json.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using namespace callbacks;
using test::message_of;
using test::TemporaryFolder;

// Remembers what callbacks do; the weights are one number.
class FakeTraining : public TrainingControl {
 public:
  void stop(std::string reason) override { stopped = std::move(reason); }
  double learning_rate() const override { return rate; }
  void set_learning_rate(double value) override { rate = value; }
  std::int64_t epoch() const override { return present; }
  std::int64_t epochs() const override { return 100; }
  std::int64_t batches() const override { return 10; }
  std::int64_t iterations() const override { return present * 10; }
  bool interrupted() const override { return false; }
  FunctionalLayer& model() const override { throw InternalError("a played training has no model"); }
  void show_averages(bool shown) override { averages += shown ? '+' : '-'; }
  void back_up(const std::filesystem::path& checkpoint) override { backups += checkpoint.filename().string() + " "; }
  void resume_from(const std::filesystem::path& checkpoint) override { resumed = checkpoint; }
  std::vector<Tensor> weights() const override { return {Tensor::scalar(weight)}; }
  void set_weights(const std::vector<Tensor>& values) override { weight = static_cast<float>(values.at(0).item()); }
  void freeze(const Freeze&) override { throw InternalError("a played training has no layers"); }
  void save(const std::string& file, bool weights_only) override {
    saved += (saved.empty() ? "" : " ") + file + (weights_only ? "!" : "");
  }
  std::optional<Direction> direction(std::string_view metric) const override {
    return metric == "accuracy" ? std::optional(Direction::up) : std::nullopt;
  }
  void say(std::string_view line) override { said += std::string(line) + "\n"; }
  void warn(std::string_view line) override { warned += std::string(line) + "\n"; }

  // Epochs with these values of val_loss, the weight counting them; returns how many ran.
  int run(Callback& callback, std::initializer_list<double> losses, int first = 0) {
    int ran = 0;
    if (first == 0) callback.on_train_begin(*this);
    for (const double loss : losses) {
      present = first + ran++;
      weight = static_cast<float>(present);
      callback.on_epoch_begin(*this, present);
      logs = Logs{{"loss", loss}, {"val_loss", loss}};
      callback.on_epoch_end(*this, present, logs);
      if (!stopped.empty()) break;
    }
    callback.on_train_end(*this, logs);
    return ran;
  }

  std::string stopped, saved, said, warned, averages, backups;
  std::filesystem::path resumed;
  double rate = 0.1;
  float weight = 0;
  std::int64_t present = 0;
  Logs logs;
};

std::string contents(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(EarlyStopping, StopsWhenPatienceIsOver) {
  FakeTraining training;
  EarlyStopping callback({.patience = 2});
  EXPECT_EQ(training.run(callback, {5, 4, 4.5, 4, 3}), 4);
  EXPECT_EQ(training.stopped, "val_loss has not improved for 2 epochs");
  EXPECT_EQ(training.said, "");
  EXPECT_EQ(training.weight, 3);
}

TEST(EarlyStopping, RestoresTheBestWeights) {
  FakeTraining training;
  EarlyStopping callback({.patience = 1, .verbose = 1, .restore_best_weights = true});
  EXPECT_EQ(training.run(callback, {5, 2, 4}), 3);
  EXPECT_EQ(training.weight, 1);
  EXPECT_EQ(training.said, "Epoch 3: early stopping\nRestoring the weights of the best epoch: 2\n");
}

TEST(EarlyStopping, SmallChangesAreNoImprovement) {
  FakeTraining training;
  EarlyStopping callback({.min_delta = 0.5, .patience = 1});
  EXPECT_EQ(training.run(callback, {5, 4, 3.6, 1}), 3);
}

// An improvement that does not beat the baseline does not start the waiting anew.
TEST(EarlyStopping, BaselineIsToBeBeatenWithinThePatience) {
  FakeTraining training;
  EarlyStopping callback({.patience = 2, .baseline = 1});
  EXPECT_EQ(training.run(callback, {5, 4, 3, 3.5, 2}), 4);
}

TEST(EarlyStopping, WarmUpEpochsDoNotCount) {
  FakeTraining training;
  EarlyStopping callback({.patience = 1, .start_from_epoch = 3});
  EXPECT_EQ(training.run(callback, {1, 2, 3, 4, 5}), 5);
  EXPECT_EQ(training.stopped, "val_loss has not improved for 1 epoch");
}

TEST(EarlyStopping, KnowsWhichWayIsBetter) {
  FakeTraining training;
  EarlyStopping rising({.monitor = "val_accuracy", .patience = 1}), unknown_way({.monitor = "val_size"});
  rising.on_train_begin(training);
  for (const double accuracy : {0.5, 0.6, 0.7}) {
    Logs logs{{"val_accuracy", accuracy}};
    rising.on_epoch_end(training, training.present++, logs);
  }
  EXPECT_EQ(training.stopped, "");
  Logs logs{{"val_size", 1}};
  EXPECT_EQ(message_of([&] { unknown_way.on_epoch_end(training, 0, logs); }),
            "EarlyStopping monitors 'val_size', and it is not known whether that should rise or fall\n  hint: set "
            "mode: min or mode: max");
  Logs others{{"loss", 1}, {"accuracy", 1}};
  rising.on_epoch_end(training, 0, others);
  EXPECT_EQ(training.warned, "EarlyStopping monitors 'val_accuracy', which is not there; there are: loss, accuracy\n");
}

TEST(EarlyStopping, ResumesWhereItWas) {
  FakeTraining unbroken, first, second;
  EarlyStopping whole({.patience = 3, .restore_best_weights = true}), before(whole.config()), after(whole.config());
  unbroken.run(whole, {5, 4, 6, 6, 6});
  first.run(before, {5, 4, 6});
  after.on_train_begin(second);
  after.load_state(before.save_state());
  EXPECT_EQ(second.run(after, {6, 6}, 3), 2);
  EXPECT_EQ(second.stopped, unbroken.stopped);
  EXPECT_EQ(second.weight, 1);
}

TEST(ModelCheckpoint, NamesFilesByEpochAndNumbers) {
  TemporaryFolder folder;
  FakeTraining training;
  ModelCheckpoint callback({.filepath = (folder / "m/{epoch:02d}-{val_loss:.2f}.h5").string()});
  training.run(callback, {0.5, 0.25});
  const std::string base = (folder / "m").string();
  EXPECT_EQ(training.saved, base + "/01-0.50.h5 " + base + "/02-0.25.h5");
  EXPECT_TRUE(std::filesystem::is_directory(folder / "m"));
}

TEST(ModelCheckpoint, KeepsTheBest) {
  FakeTraining training;
  ModelCheckpoint callback(
      {.filepath = "best-{epoch}.weights.h5", .verbose = 1, .save_best_only = true, .save_weights_only = true});
  training.run(callback, {0.5, 0.75, 0.25});
  EXPECT_EQ(training.saved, "best-1.weights.h5! best-3.weights.h5!");
  EXPECT_EQ(training.said,
            "Epoch 1: val_loss improved from None to 0.50000, saving model to best-1.weights.h5\n"
            "Epoch 2: val_loss did not improve from 0.50000\n"
            "Epoch 3: val_loss improved from 0.50000 to 0.25000, saving model to best-3.weights.h5\n");
}

TEST(ModelCheckpoint, SavesAfterBatches) {
  FakeTraining training;
  ModelCheckpoint callback({.filepath = "{epoch}-{batch}.h5", .save_freq = {.batches = 3}});
  for (training.present = 0; training.present < 2; ++training.present)
    for (std::int64_t batch = 0; batch < 4; ++batch) callback.on_train_batch_end(training, batch, {});
  EXPECT_EQ(training.saved, "1-3.h5 2-2.h5");
}

TEST(ModelCheckpoint, SaysWhatIsWrong) {
  const auto message = [](const char* text) {
    return message_of([&] { read_object<Callback>(parse_json(text, "c.json")); });
  };
  EXPECT_EQ(message(R"({"ModelCheckpoint": {"filepath": "a.txt"}})"),
            "c.json:1:2: the filepath must end in .h5 or .keras, got 'a.txt'");
  EXPECT_EQ(message(R"({"ModelCheckpoint": {"filepath": "a.h5", "save_freq": "day"}})"),
            "c.json:1:55: 'save_freq': wanted 'epoch' or a number of batches, got 'day'");
  FakeTraining training;
  ModelCheckpoint callback({.filepath = "{accuracy}.h5"});
  EXPECT_EQ(message_of([&] { training.run(callback, {1}); }),
            "the filepath names 'accuracy', which is not in the logs\n  hint: there are: epoch, loss, val_loss");
}

TEST(ReduceLROnPlateau, LowersTheRate) {
  FakeTraining training;
  ReduceLROnPlateau callback({.factor = 0.5, .patience = 1, .verbose = 1, .cooldown = 1, .min_lr = 0.03});
  training.run(callback, {5, 5, 5, 5, 5, 5});
  // A rest of one epoch ends as the next one does; the second reduction meets min_lr.
  EXPECT_EQ(training.said,
            "Epoch 2: ReduceLROnPlateau reducing learning rate to 0.05.\n"
            "Epoch 3: ReduceLROnPlateau reducing learning rate to 0.03.\n");
  EXPECT_EQ(*training.logs.find("learning_rate"), 0.03);
}

TEST(LearningRateScheduler, TakesFunctionsAndExpressions) {
  FakeTraining training;
  LearningRateScheduler function(
      {.schedule = [](std::int64_t epoch, double) { return 1.0 / static_cast<double>(epoch + 1); }});
  training.run(function, {1, 1});
  EXPECT_EQ(training.rate, 0.5);
  const auto expression = read_object<Callback>(
      parse_json(R"({"LearningRateScheduler": {"schedule": "epoch < 1 and 0.25 or lr / 2", "verbose": 1}})"));
  training.run(*expression, {1, 1});
  EXPECT_EQ(training.rate, 0.125);
  EXPECT_EQ(training.said,
            "Epoch 1: LearningRateScheduler setting learning rate to 0.25.\nEpoch 2: LearningRateScheduler setting "
            "learning rate to 0.125.\n");
  EXPECT_EQ(*training.logs.find("learning_rate"), 0.125);
  EXPECT_EQ(write_object<Callback>(*expression, Style::yaml).text(),
            "{LearningRateScheduler: {schedule: 'epoch < 1 and 0.25 or lr / 2', verbose: 1}}");
  EXPECT_NE(message_of([] { RateFunction("lr *"); }), "");
}

TEST(CSVLogger, WritesALinePerEpoch) {
  TemporaryFolder folder;
  FakeTraining training;
  const std::string file = (folder / "log.csv").string();
  CSVLogger callback({.filename = file, .separator = ";"});
  training.run(callback, {0.5, 0.25});
  EXPECT_EQ(contents(file), "epoch;loss;val_loss\n0;0.5;0.5\n1;0.25;0.25\n");
  CSVLogger appending({.filename = file, .separator = ";", .append = true});
  training.run(appending, {0.125});
  EXPECT_EQ(contents(file), "epoch;loss;val_loss\n0;0.5;0.5\n1;0.25;0.25\n0;0.125;0.125\n");
}

TEST(CSVLogger, NumbersThatAreMissingAreNA) {
  TemporaryFolder folder;
  FakeTraining training;
  CSVLogger callback({.filename = (folder / "log.csv").string()});
  callback.on_train_begin(training);
  Logs first{{"loss", 1}}, second{{"loss", 2}, {"val_loss", 3}};
  callback.on_epoch_end(training, 0, first);
  callback.on_epoch_end(training, 1, second);
  EXPECT_EQ(contents(folder / "log.csv"), "epoch,loss,val_loss\n0,1,NA\n1,2,3\n");
}

// Lines after the checkpoint are written again by the resumed run.
TEST(CSVLogger, ResumesAtTheCheckpoint) {
  TemporaryFolder folder;
  const std::string file = (folder / "log.csv").string();
  FakeTraining training;
  CSVLogger before({.filename = file}), after({.filename = file});
  before.on_train_begin(training);
  CallbackState state;
  for (const std::int64_t epoch : {0, 1, 2}) {
    Logs logs{{"loss", static_cast<double>(epoch)}};
    before.on_epoch_end(training, epoch, logs);
    if (epoch == 1) state = before.save_state();
  }
  after.on_train_begin(training);
  after.load_state(state);
  Logs logs{{"loss", 2}};
  after.on_epoch_end(training, 2, logs);
  EXPECT_EQ(contents(file), "epoch,loss,val_loss\n0,0,NA\n1,1,NA\n2,2,NA\n");
}

TEST(TerminateOnNaN, StopsAtOnce) {
  FakeTraining training;
  TerminateOnNaN callback, failing({.raise_error = true});
  EXPECT_TRUE(callback.reads_batch_logs());
  callback.on_train_batch_end(training, 3, Logs{{"loss", 1.0}});
  EXPECT_EQ(training.stopped, "");
  callback.on_train_batch_end(training, 4, Logs{{"loss", std::nan("")}});
  EXPECT_EQ(training.stopped, "the loss became nan");
  EXPECT_EQ(training.said, "Batch 4: the loss is nan, terminating training\n");
  EXPECT_EQ(message_of([&] {
              failing.on_train_batch_end(training, 4, Logs{{"loss", INFINITY}});
            }),
            "the loss became inf at batch 4\n  hint: a lower learning rate or clipping may help");
}

// Not on a terminal: no line is rewritten.
TEST(ProgbarLogger, PrintsALineForEachEpoch) {
  FakeTraining training;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), std::fclose);
  ProgbarLogger callback({}, file.get());
  EXPECT_FALSE(callback.reads_batch_logs());
  training.run(callback, {0.5, 0.25});
  std::string text(4096, '\0');
  std::rewind(file.get());
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  EXPECT_TRUE(text.starts_with("Epoch 1/100\n10/10 ━━━━━━━━━━━━━━━━━━━━ ")) << text;
  EXPECT_NE(text.find("/step - loss: 0.5 - val_loss: 0.5\nEpoch 2/100\n10/10 "), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("/step - loss: 0.25 - val_loss: 0.25\n")) << text;
}

TEST(BackupAndRestore, AsksForBackupsAndResumes) {
  const TemporaryFolder folder;
  FakeTraining training;
  BackupAndRestore batches({.backup_dir = (folder / "b").string(), .save_freq = {.batches = 2}});
  for (std::int64_t batch = 0; batch < 5; ++batch) batches.on_train_batch_end(training, batch, {});
  EXPECT_EQ(training.backups, "latest.h5 latest.h5 ");
  BackupAndRestore epochs({.backup_dir = (folder / "e").string()});
  training.backups.clear();
  training.run(epochs, {1, 2, 3});
  EXPECT_EQ(training.backups, "latest.h5 latest.h5 latest.h5 ");
  EXPECT_EQ(training.resumed, "");
  EXPECT_EQ(message_of([] { BackupAndRestore empty({}); }), "backup_dir is empty");
}

TEST(SwapEMAWeights, ShowsAveragesWhileValidating) {
  FakeTraining training;
  SwapEMAWeights plain, swapping({.swap_on_epoch = true});
  for (SwapEMAWeights* callback : {&plain, &swapping}) {
    training.averages.clear();
    Logs logs;
    callback->on_epoch_begin(training, 0);
    callback->on_test_begin(training);
    callback->on_test_end(training, logs);
    callback->on_epoch_end(training, 0, logs);
    EXPECT_EQ(training.averages, callback == &plain ? "-+-" : "-+-+");
  }
}

TEST(LambdaCallback, ConfigurationsCannotHoldIt) {
  EXPECT_EQ(message_of([] { read_object<Callback>(parse_json(R"({"LambdaCallback": {}})", "c.json")); }),
            "c.json:1:20: a LambdaCallback holds functions, which a configuration cannot give\n  hint: C++ makes it; in "
            "Lua a table of the functions is a callback: {on_epoch_end = function(self, epoch, logs) … end}");
}

TEST(LambdaCallback, CallsWhatItIsGiven) {
  FakeTraining training;
  int epochs = 0;
  LambdaCallback callback(
      {.on_epoch_end = [&](TrainingControl&, std::int64_t, Logs& logs) { logs.set("epochs", ++epochs); }});
  training.run(callback, {1, 2, 3});
  EXPECT_EQ(*training.logs.find("epochs"), 3);
}

}  // namespace
}  // namespace nacre
