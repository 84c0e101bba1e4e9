// Several processes train one model: those that mpirun starts, and those that meet at an address.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "api/distribute/connection.h"
#include "api/nacre.h"
#include "formats/csv.h"
#include "tests/cli/run_nacre.h"
#include "tests/support/paths.h"
#include "tests/support/sanitizers.h"

namespace nacre::test {
namespace {

// 205 samples train and 50 validate; with batches of 32 the last one has 13.
constexpr std::string_view config = R"(name: tiny
seed: 3
model:
  sequential:
    - Input: {shape: [28, 28, 1]}
    - Rescaling: {scale: "${1/255}"}
    - Flatten
    - Dense: {units: 16, activation: relu}
    - Dense: {units: 10, activation: softmax}
data: {train: {digits: {count: 205}}, validation: {digits: {count: 50, seed: 9}}}
train:
  optimizer: {Adam: {learning_rate: 0.01, global_clipnorm: 1.0}}
  loss: sparse_categorical_crossentropy
  metrics: [accuracy]
  batch_size: 32
  epochs: 3
)";

class MeetingProcesses : public testing::Test {
 protected:
  void SetUp() override { write_plainly(folder_ / "tiny.yaml", config); }
  Outcome nacre(const std::vector<std::string>& words) { return run_nacre(words, folder_.path()); }
  Outcome both(const std::vector<std::string>& words) { return run_processes(2, words, folder_.path()); }
  // As torchrun starts them: the environment says where they meet.
  std::vector<Outcome> meeting(const std::vector<std::string>& words) {
    std::vector<std::unique_ptr<RunningNacre>> running;
    ::setenv("WORLD_SIZE", "2", 1);
    ::setenv("MASTER_ADDR", "localhost", 1);
    ::setenv("MASTER_PORT", std::to_string(Listener("", 0).port()).c_str(), 1);
    for (const char* rank : {"0", "1"}) {
      ::setenv("RANK", rank, 1);
      running.push_back(std::make_unique<RunningNacre>(words, folder_.path()));
    }
    for (const char* variable : {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}) ::unsetenv(variable);
    return {running[0]->wait(), running[1]->wait()};
  }
  void expect_same_curve(const std::string& run, const std::string& other, double tolerance) {
    const Csv a = read_csv(folder_ / (run + "/history.csv")), b = read_csv(folder_ / (other + "/history.csv"));
    ASSERT_EQ(a.rows, b.rows);
    ASSERT_EQ(a.columns.size(), b.columns.size());
    for (std::size_t column = 0; column < a.columns.size(); ++column) {
      EXPECT_EQ(a.columns[column].name, b.columns[column].name);
      for (std::size_t row = 0; row < a.columns[column].numbers.size(); ++row)
        EXPECT_NEAR(a.columns[column].numbers[row], b.columns[column].numbers[row], tolerance)
            << a.columns[column].name << " of epoch " << row + 1;
    }
  }
  void expect_same_weights(const std::string& run, const std::string& other, double tolerance) {
    const std::vector<Weight> a = load_model(folder_ / (run + "/model.h5")).weights(),
                              b = load_model(folder_ / (other + "/model.h5")).weights();
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      const Tensor x = a[i].variable->value(), y = b[i].variable->value();
      ASSERT_EQ(x.size(), y.size());
      for (std::int64_t k = 0; k < x.size(); ++k)
        ASSERT_NEAR(x.at(k), y.at(k), tolerance) << a[i].variable->path() << " " << k;
    }
  }
  TemporaryFolder folder_;
};

class SeveralProcesses : public MeetingProcesses {
 protected:
  void SetUp() override {
    if (sanitized) GTEST_SKIP() << "skipped: MPI's libraries are not built for sanitizers";
    if (!has_mpirun()) GTEST_SKIP() << "skipped: mpirun is not installed (openmpi-bin)";
    if (!std::filesystem::exists(NACRE_MPI_MODULE)) GTEST_SKIP() << "skipped: nacre was built without MPI";
    MeetingProcesses::SetUp();
  }
};

TEST_F(SeveralProcesses, TwoTrainAsOneWithTheDoubledBatch) {
  const Outcome one = nacre({"train", "tiny.yaml", "--output", "one"});
  ASSERT_EQ(one.status, 0) << one.err;
  const Outcome two = both({"train", "tiny.yaml", "train.batch_size=16", "--output", "two"});
  ASSERT_EQ(two.status, 0) << two.err;
  EXPECT_EQ(two.err, "");
  // One of them speaks.
  EXPECT_NE(two.out.find("tiny on oneDNN"), std::string::npos) << two.out;
  EXPECT_NE(two.out.find(", 2 processes with "), std::string::npos) << two.out;
  EXPECT_EQ(two.out.find("Epoch 3/3 - "), two.out.rfind("Epoch 3/3 - ")) << two.out;
  EXPECT_EQ(two.out.find("saved "), two.out.rfind("saved ")) << two.out;
  expect_same_curve("one", "two", 1e-4);
  expect_same_weights("one", "two", 1e-4);
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
    EXPECT_TRUE(entry.path().filename() == "one" || entry.path().filename() == "two" ||
                entry.path().filename() == "tiny.yaml")
        << entry.path();
}

TEST_F(SeveralProcesses, TrainInMixedPrecision) {
  const Outcome two =
      both({"train", "tiny.yaml", "train.batch_size=16", "train.dtype=mixed_bfloat16", "--output", "half"});
  ASSERT_EQ(two.status, 0) << two.err;
  ASSERT_EQ(nacre({"train", "tiny.yaml", "train.dtype=mixed_bfloat16", "--output", "one"}).status, 0);
  expect_same_curve("one", "half", 0.05);
}

// One that is interrupted ends all; the run is resumed by both.
TEST_F(SeveralProcesses, StopTogetherAndGoOn) {
  RunningNacre running({"train", "tiny.yaml", "train.batch_size=16", "train.epochs=100000", "--output", "broken"},
                       folder_.path(), 2);
  ASSERT_TRUE(RunningNacre::appears(folder_ / "broken/checkpoint.h5", 60));
  running.signal(SIGTERM);  // mpirun passes it on
  const Outcome broken = running.wait();
  EXPECT_NE(broken.status, 0);
  ASSERT_TRUE(std::filesystem::exists(folder_ / "broken/checkpoint.h5"));
  const std::int64_t done = static_cast<std::int64_t>(read_csv(folder_ / "broken/history.csv").rows);
  const Outcome resumed = both({"train", "broken/config.yaml", fmt::format("train.epochs={}", done + 2), "--resume"});
  EXPECT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(read_csv(folder_ / "broken/history.csv").rows, static_cast<std::size_t>(done + 2));
}

TEST_F(SeveralProcesses, AMistakeIsToldOnce) {
  const Outcome outcome = both({"train", "tiny.yaml", "train.batch_sise=16"});
  EXPECT_EQ(outcome.status, 2);
  const std::size_t told = outcome.err.find("unknown key 'batch_sise'");
  EXPECT_NE(told, std::string::npos) << outcome.err;
  EXPECT_EQ(told, outcome.err.rfind("unknown key 'batch_sise'")) << outcome.err;
  EXPECT_EQ(outcome.err.find("in process"), std::string::npos) << outcome.err;
}

// A file that one process alone cannot read ends both, and is told.
TEST_F(SeveralProcesses, OneThatFailsEndsTheOthers) {
  write_plainly(folder_ / "apart.sh",
                "#!/bin/sh\n[ \"$OMPI_COMM_WORLD_RANK\" = 1 ] && exec \"$0.nacre\" train missing.yaml\nexec "
                "\"$0.nacre\" train tiny.yaml train.epochs=100000\n");
  std::filesystem::permissions(folder_ / "apart.sh", std::filesystem::perms::owner_all);
  std::filesystem::create_symlink(NACRE_BINARY, folder_ / "apart.sh.nacre");
  const Outcome outcome =
      run_program({"mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", "./apart.sh"}, folder_.path());
  EXPECT_EQ(outcome.status, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("missing.yaml"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("in process 1 of 2"), std::string::npos) << outcome.err;
}

TEST_F(SeveralProcesses, FineTuneTogether) {
  ASSERT_EQ(nacre({"train", "tiny.yaml", "--output", "start"}).status, 0);
  write_plainly(
      folder_ / "data.yaml",
      "data: {train: {digits: {count: 96, seed: 5}}, validation: {digits: {count: 40, seed: 6}}, augment: []}\n");
  const auto tune = [](const std::string& batch, const std::string& output) {
    return std::vector<std::string>{"finetune",  "start/model.h5", "--data",
                                    "data.yaml", "--epochs",       "2",
                                    "--output",  output,           "train.batch_size=" + batch};
  };
  const Outcome one = nacre(tune("32", "one"));
  ASSERT_EQ(one.status, 0) << one.err;
  const Outcome two = both(tune("16", "two"));
  ASSERT_EQ(two.status, 0) << two.err;
  expect_same_curve("one", "two", 1e-3);
  expect_same_weights("one", "two", 1e-3);
}

// A script's fit; all else is done by each, and the first one speaks.
TEST_F(SeveralProcesses, FitInLuaTogether) {
  write_plainly(folder_ / "tiny.lua", R"(
    local batch, name = tonumber(arg[1]), arg[2]
    nacre.set_seed(3)
    local model = nacre.Sequential{nacre.Input{28, 28, 1}, nacre.layers.Flatten(),
      nacre.layers.Dense{units = 16, activation = "relu"}, nacre.layers.Dense{units = 10, activation = "softmax"}}
    model:compile{optimizer = "adam", loss = "sparse_categorical_crossentropy"}
    local history = model:fit{data = {digits = {count = 101}}, epochs = 2, batch_size = batch, verbose = false}
    local logs = model:evaluate{data = {digits = {count = 30, seed = 9}}}
    print(string.format("%.4f %.4f %.4f", history.loss[1], history.loss[2], logs.loss))
    model:save(name .. "/model.h5")
  )");
  for (const char* name : {"one", "two"}) std::filesystem::create_directory(folder_ / name);
  const Outcome one = nacre({"lua", "tiny.lua", "32", "one"}), two = both({"lua", "tiny.lua", "16", "two"});
  ASSERT_EQ(one.status, 0) << one.err;
  ASSERT_EQ(two.status, 0) << two.err;
  EXPECT_EQ(one.out.size(), two.out.size()) << two.out;  // once
  double expected[3], got[3];
  ASSERT_EQ(std::sscanf(one.out.c_str(), "%lf %lf %lf", expected, expected + 1, expected + 2), 3) << one.out;
  ASSERT_EQ(std::sscanf(two.out.c_str(), "%lf %lf %lf", got, got + 1, got + 2), 3) << two.out;
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(got[i], expected[i], 2e-3 * expected[i]) << i;
  expect_same_weights("one", "two", 1e-3);
  const Outcome input = both({"lua", "-"});
  EXPECT_EQ(input.status, 2);
  EXPECT_NE(input.err.find("several processes cannot read one script"), std::string::npos) << input.err;
}

TEST_F(MeetingProcesses, TrainAsThoseOfMpiDo) {
  ASSERT_EQ(nacre({"train", "tiny.yaml", "--output", "one"}).status, 0);
  const std::vector<Outcome> outcomes = meeting({"train", "tiny.yaml", "train.batch_size=16", "--output", "two"});
  for (const Outcome& outcome : outcomes) EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcomes[0].out.find(", 2 processes with "), std::string::npos) << outcomes[0].out;
  EXPECT_EQ(outcomes[1].out, "");
  expect_same_curve("one", "two", 1e-4);
  expect_same_weights("one", "two", 1e-4);
}

TEST(ProcessesWithoutAddress, AreToldWhatIsMissing) {
  const TemporaryFolder folder;
  write_plainly(folder / "tiny.yaml", config);
  ::setenv("RANK", "0", 1);
  ::setenv("WORLD_SIZE", "2", 1);
  const Outcome outcome = run_nacre({"train", "tiny.yaml"}, folder.path());
  ::unsetenv("RANK");
  ::unsetenv("WORLD_SIZE");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.err,
            "this is process 0 of 2 (RANK and WORLD_SIZE), but MASTER_ADDR and MASTER_PORT do not say where the first "
            "one listens\n  hint: start them with torchrun, or with mpirun -n 2 nacre train …\n");
  EXPECT_EQ(outcome.out, "");
}

}  // namespace
}  // namespace nacre::test
