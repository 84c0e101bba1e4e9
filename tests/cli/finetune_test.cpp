// nacre finetune: an experiment made of defaults.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "formats/csv.h"
#include "formats/image.h"
#include "formats/json.h"
#include "formats/npy.h"
#include "formats/yaml.h"
#include "tests/cli/run_nacre.h"
#include "tests/support/paths.h"
#include "tests/support/sanitizers.h"

namespace nacre::test {
namespace {

constexpr std::string_view base_config = R"(name: base
seed: 3
model:
  sequential:
    - Input: {shape: [28, 28, 1]}
    - Rescaling: {scale: "${1/255}"}
    - Conv2D: {filters: 4, kernel_size: 3, strides: 3, use_bias: false}
    - BatchNormalization
    - ReLU
    - Flatten
    - Dense: {units: 10, activation: softmax}
data: {train: {digits: {count: 300}}}
train: {optimizer: adam, loss: sparse_categorical_crossentropy, metrics: [accuracy], epochs: 2}
)";

class Finetune : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ::setenv("NACRE_HOME", (folder_.path() / "home").c_str(), 1);
    write_plainly(folder_ / "base.yaml", base_config);
    const Outcome base = run_nacre({"train", "base.yaml", "--output", "base"}, folder_.path());
    ASSERT_EQ(base.status, 0) << base.err;
  }
  static Outcome nacre(const std::vector<std::string>& words) { return run_nacre(words, folder_.path()); }
  inline static TemporaryFolder folder_;
};

TEST_F(Finetune, IsAnExperimentThatTrainCanDoAgain) {
  const Outcome tuned = nacre({"finetune", "base/model.h5", "--data", "digits:200,seed=5", "--epochs", "4", "--output", "tuned"});
  ASSERT_EQ(tuned.status, 0) << tuned.err;
  EXPECT_NE(tuned.out.find("features of the training data"), std::string::npos) << tuned.out;
  EXPECT_NE(tuned.out.find("accuracy 0."), std::string::npos) << tuned.out;
  EXPECT_NE(tuned.out.find("nacre predict tuned/model.h5 PICTURE"), std::string::npos) << tuned.out;
  const Tree config = load_yaml(folder_ / "tuned/config.yaml");
  EXPECT_EQ(config["model"]["head"]["classes"], Tree(10));
  const Csv first = read_csv(folder_ / "tuned/history.csv");
  EXPECT_EQ(first.rows, 4u);
  const Outcome again = nacre({"train", "tuned/config.yaml", "--output", "again"});
  ASSERT_EQ(again.status, 0) << again.err;
  const Csv second = read_csv(folder_ / "again/history.csv");
  EXPECT_EQ(first.column("val_loss").numbers, second.column("val_loss").numbers);
  const std::string seven = (std::filesystem::path(NACRE_SOURCE_DIR) / "tutorials" / "seven.png").string();
  EXPECT_EQ(nacre({"predict", "tuned/model.h5", seven}).status, 0);
}

TEST_F(Finetune, TakesKeysAndSmoothsLabels) {
  const Outcome tuned = nacre({"finetune", "base/model.h5", "--data", "digits:100,seed=5", "--epochs", "1", "--output", "smooth", "--json",
                               "train.loss={CategoricalCrossentropy: {label_smoothing: 0.1}}", "train.batch_size=16"});
  ASSERT_EQ(tuned.status, 0) << tuned.err;
  EXPECT_TRUE(parse_json(tuned.out, "report").find("validation")->find("accuracy"));
  const Tree config = load_yaml(folder_ / "smooth/config.yaml");
  EXPECT_EQ(config["data"]["one_hot"], Tree(10));
  EXPECT_EQ(config["train"]["batch_size"], Tree(16));
}

TEST_F(Finetune, BringsArraysToTheNetworksPictures) {
  write_npz(folder_ / "small.npz", {{"x", Tensor(DType::uint8, {30, 9, 9})}, {"y", Tensor(DType::int32, {30})}});
  const Outcome tuned = nacre({"finetune", "base/model.h5", "--data", "small.npz", "--classes", "3", "--epochs", "1", "--output", "arrays"});
  EXPECT_EQ(tuned.status, 0) << tuned.err;
}

// What the tutorial claims: starting from trained weights is worth more than three points of accuracy.
TEST_F(Finetune, TutorialComparesWithTrainingFromScratch) {
  if (sanitized) GTEST_SKIP() << "it takes minutes with a sanitizer";
  const auto mnist = shared_path("data/mnist");
  if (!mnist) GTEST_SKIP() << absent("data/mnist");
  const std::filesystem::path script = std::filesystem::path(NACRE_SOURCE_DIR) / "tutorials/finetune/few_digits.sh";
  const std::string command =
      fmt::format("cd '{}' && NACRE='{}' sh '{}' '{}' > tutorial.txt 2>&1", folder_.path().string(), NACRE_BINARY,
                  script.string(), std::filesystem::absolute(*mnist).string());
  const int status = std::system(command.c_str());
  std::ifstream file(folder_ / "tutorial.txt");
  const std::string out{std::istreambuf_iterator<char>(file), {}};
  ASSERT_EQ(status, 0) << out;
  const auto accuracy = [&](const char* run) {
    const std::size_t place = out.find("accuracy  ", out.find(fmt::format("{}, on the 10000 test pictures", run)));
    return place < out.size() ? std::stod(out.substr(place + 8)) : -1;
  };
  EXPECT_GT(accuracy("scratch"), 0.5) << out;
  EXPECT_GT(accuracy("finetuned"), accuracy("scratch") + 0.03) << out;
}

TEST_F(Finetune, FeaturesAreKeptForScriptsToo) {
  write_plainly(folder_ / "tune.lua",
                "local model = nacre.load('base/model.h5', {freeze = 'until head', head = {classes = 10}})\n"
                "model:compile{optimizer = 'adam', loss = 'sparse_categorical_crossentropy'}\n"
                "model:fit{data = {digits = {count = 60, seed = 77}}, epochs = 2, verbose = 1}\n");
  const Outcome first = nacre({"lua", "tune.lua"});
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_EQ(first.out.find("as an earlier run computed them"), std::string::npos) << first.out;
  const Outcome second = nacre({"lua", "tune.lua"});
  EXPECT_NE(second.out.find("as an earlier run computed them"), std::string::npos) << second.out << second.err;
}

TEST_F(Finetune, AFolderCalledLikeAModelIsNoModel) {
  std::filesystem::create_directory(folder_ / "mlp");
  const Outcome tuned = nacre({"finetune", "mlp", "--data", "digits:50", "--epochs", "1", "--output", "of_zoo"});
  EXPECT_EQ(tuned.status, 0) << tuned.err;
  const Outcome absent_file = nacre({"finetune", "nofile.h5", "--data", "digits:10"});
  EXPECT_NE(absent_file.err.find("nofile.h5: cannot be opened: no such file"), std::string::npos) << absent_file.err;
  const Outcome folder = nacre({"finetune", "base", "--data", "digits:10"});
  EXPECT_NE(folder.err.find("hint: name the file: "), std::string::npos) << folder.err;
}

// Also where the first picture is the damaged one, and with the words of the command line.
TEST_F(Finetune, KeysOfDataCountWhenItIsLookedAt) {
  for (const char* name : {"cat", "dog"}) {
    std::filesystem::create_directories(folder_ / "pets" / name);
    for (int i = 1; i < 6; ++i)
      write_png(folder_ / "pets" / name / fmt::format("{}.png", i), Tensor(DType::uint8, {28, 28, 1}));
  }
  write_plainly(folder_ / "pets/cat/0.png", "\xff\xd8no picture");
  const std::vector<std::string> words{"finetune", "base/model.h5", "--data",  "pets", "--epochs",
                                       "1",        "--output",      "pets_run"};
  const Outcome damaged = nacre(words);
  EXPECT_EQ(damaged.status, 1) << damaged.err;
  EXPECT_NE(damaged.err.find("on_error=skip"), std::string::npos) << damaged.err;
  std::vector<std::string> skipping = words;
  skipping.push_back("data.train.images.on_error=skip");
  const Outcome tuned = nacre(skipping);
  EXPECT_EQ(tuned.status, 0) << tuned.err;
  EXPECT_NE(tuned.out.find("1 damaged left out: cat/0.png"), std::string::npos) << tuned.out;
}

TEST_F(Finetune, TheScheduleFollowsTheEpochs) {
  const Outcome tuned = nacre({"finetune", "base/model.h5", "--data", "digits:60", "--output", "six", "train.epochs=6"});
  ASSERT_EQ(tuned.status, 0) << tuned.err;
  const Tree callbacks = load_yaml(folder_ / "six/config.yaml")["train"]["callbacks"];
  const Tree& schedule = callbacks.items()[0]["FreezeScheduler"]["schedule"];
  EXPECT_EQ(schedule.entries().size(), 2u);
  EXPECT_TRUE(schedule.find("2")) << schedule.text();
}

// What does not fit is said: the system would end the program without a word.
TEST_F(Finetune, FilesThatMayNotBecomeSoLargeAreAnError) {
  const std::string command = fmt::format("ulimit -f 8; exec '{}' train base.yaml --output limited", NACRE_BINARY);
  const Outcome limited = run_program({"sh", "-c", command}, folder_.path());
  EXPECT_EQ(limited.status, 1) << limited.err;
  EXPECT_NE(limited.err.find("larger than a file may be"), std::string::npos) << limited.err;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "limited", gone))
    EXPECT_NE(entry.path().extension(), ".part") << entry.path();
}

TEST_F(Finetune, MistakesAreTold) {
  const Outcome base = nacre({"finetune", "nosuchnet", "--data", "digits:10"});
  EXPECT_EQ(base.status, 2) << base.err;
  EXPECT_NE(base.err.find("nosuchnet"), std::string::npos) << base.err;
  EXPECT_EQ(nacre({"finetune", "base/model.h5", "--data", "digits:10", "--classes", "many"}).status, 2);
  const Outcome loss = nacre({"train", "zoo:lenet", "data.train={digits: {count: 10}}"});
  EXPECT_EQ(loss.status, 2) << loss.err;
  EXPECT_NE(loss.err.find("hint: train.loss=sparse_categorical_crossentropy for classes"), std::string::npos) << loss.err;
  const Outcome resumed = nacre({"finetune", "base/model.h5", "--data", "digits:10", "--output", "tuned", "--resume"});
  EXPECT_EQ(resumed.status, 2) << resumed.err;
  EXPECT_NE(resumed.err.find("nacre train tuned/config.yaml --resume"), std::string::npos) << resumed.err;
  const Outcome layer = nacre({"finetune", "base/model.h5", "--data", "digits:100", "--epochs", "2", "--unfreeze", "conv9", "--output", "layer"});
  EXPECT_EQ(layer.status, 2) << layer.err;
  EXPECT_NE(layer.err.find("has no layer 'conv9'"), std::string::npos) << layer.err;
}

}  // namespace
}  // namespace nacre::test
