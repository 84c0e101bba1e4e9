// What a user reads when something is wrong: exact messages, exit codes, nothing lost.
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "formats/keras_h5.h"
#include "tests/cli/run_nacre.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

class Mistakes : public testing::Test {
 protected:
  // The message for a configuration that names `lines` of layers after an Input of 28×28×1.
  Outcome with_layers(const std::string& lines, const std::string& verb = "render") {
    write_plainly(folder_ / "m.yaml", "name: net\nmodel:\n  sequential:\n    - Input: {shape: [28, 28, 1]}\n" + lines);
    return nacre({verb, "m.yaml"});
  }
  // Trains a network on digits with changes of the configuration.
  Outcome train(const std::vector<std::string>& overrides) {
    write_small();
    std::vector<std::string> words{"train", "small.yaml", "--output", "run"};
    words.insert(words.end(), overrides.begin(), overrides.end());
    return nacre(words);
  }
  void write_small() {
    write_plainly(folder_ / "small.yaml",
                  "name: small\nmodel:\n  sequential:\n    - Input: {shape: [28, 28, 1]}\n    - Flatten\n"
                  "    - Dense: {units: 10, activation: softmax, name: digit}\n"
                  "data: {train: {digits: {count: 64}}}\n"
                  "train: {loss: sparse_categorical_crossentropy, batch_size: 32}\n");
  }
  Outcome nacre(const std::vector<std::string>& words) { return run_nacre(words, folder_.path()); }

  TemporaryFolder folder_;
};

TEST_F(Mistakes, UnknownKey) {
  const Outcome outcome = with_layers("    - Conv2D: {filter: 3, kernel_size: 3, name: conv1}\n");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.err,
            "m.yaml:5:16: layer 'conv1' (Conv2D): unknown key 'filter'\n  while building model 'net'\n  hint: did you mean 'filters'?\n");
  write_plainly(folder_ / "k.yaml", "modle: 3\n");
  EXPECT_EQ(nacre({"render", "k.yaml"}).err, "k.yaml:1:1: unknown key 'modle'\n  hint: did you mean 'model'?\n");
}

TEST_F(Mistakes, UnknownLayerAndVerb) {
  EXPECT_EQ(with_layers("    - Conv2d: {filters: 3}\n").err,
            "m.yaml:5:7: unknown layer 'Conv2d'\n  while building model 'net'\n  hint: did you mean 'Conv2D'?\n");
  const Outcome verb = nacre({"trian"});
  EXPECT_EQ(verb.status, 2);
  EXPECT_EQ(verb.err, "unknown verb 'trian'\n  hint: did you mean 'train'?\n");
  EXPECT_EQ(nacre({"train"}).status, 2);
  EXPECT_EQ(nacre({"train", "x.yaml", "--epoch", "3"}).status, 2);
}

TEST_F(Mistakes, NumbersOfOptionsOutOfRange) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"predict", "m.h5", "x.png", "--top", "0"},
       "--top: wanted a whole number, 1 or more, got '0'\n  hint: nacre predict --help shows what there is\n"},
      {{"finetune", "lenet", "--data", "d", "--epochs", "1.5"},
       "--epochs: wanted a whole number, 1 or more, got '1.5'\n  hint: nacre finetune --help shows what there is\n"},
      {{"evaluate", "m.h5", "--data", "d", "--batch-size", "99999999999999999999"},
       "--batch-size: wanted a whole number, 1 or more, got '99999999999999999999'\n  hint: nacre evaluate --help shows what there is\n"},
      {{"bench", "m.h5", "--seconds", "nan"},
       "--seconds: wanted a number, 0 to 86400, got 'nan'\n  hint: nacre bench --help shows what there is\n"},
      {{"zoo", "get"}, "names is required\n  hint: nacre zoo get --help shows what there is\n"}};
  for (const auto& [words, message] : cases) {
    const Outcome outcome = nacre(words);
    EXPECT_EQ(outcome.status, 2) << words[0];
    EXPECT_EQ(outcome.err, message);
  }
}

TEST_F(Mistakes, WrongType) {
  const Outcome outcome = with_layers("    - Flatten\n    - Dense: {units: many, name: fc1}\n");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.err, "m.yaml:6:22: layer 'fc1' (Dense): 'units': wanted an integer, got 'many'\n  while building model 'net'\n");
}

TEST_F(Mistakes, ShapesThatDoNotFit) {
  const Outcome outcome = with_layers("    - Flatten\n    - Conv2D: {filters: 3, kernel_size: 3, name: conv1}\n");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.err,
            "m.yaml:6:7: layer 'conv1' (Conv2D): got input (None, 784), wanted rank 4\n  while building model 'net'\n"
            "  hint: put a Reshape layer before it that adds the missing axes\n");
}

TEST_F(Mistakes, MissingFiles) {
  const Outcome config = nacre({"train", "nothing.yaml"});
  EXPECT_EQ(config.status, 2);
  EXPECT_EQ(config.err, "nothing.yaml: cannot be opened: no such file or folder\n  hint: check the path: it leads to " + (folder_ / "nothing.yaml").string() + "\n");
  const Outcome data = train({"data.train={idx: {images: none.gz, labels: none.gz}}"});
  EXPECT_EQ(data.status, 2);
  EXPECT_EQ(data.err, "none.gz: cannot be opened: no such file or folder\n  while opening the training data\n"
                      "  hint: check the path: it leads to " + (folder_ / "none.gz").string() + "\n");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run")) << "nothing is made for a run that cannot begin";
}

TEST_F(Mistakes, DataThatDoesNotFitTheModel) {
  write_plainly(folder_ / "t.csv", "1,2,0\n3,4,1\n");
  for (int attempt = 0; attempt < 2; ++attempt) {  // the second finds no remains of the first
    const Outcome outcome = train({"data.train={csv: {file: t.csv, target: 2}}"});
    EXPECT_EQ(outcome.err,
              "got data (2, 2) for the input 'input', wanted (None, 28, 28, 1)\n  while training model 'small'\n"
              "  hint: check the shape of Input and that of the data; the first axis counts samples\n");
  }
}

TEST_F(Mistakes, NothingInPlacesOfObjects) {
  EXPECT_EQ(train({"train.callbacks=[null]"}).err, "override 'train.callbacks=[null]':1:2: 'callbacks': wanted an object, got null\n");
  EXPECT_EQ(train({"train.class_weight={one: 1}"}).err,
            "'class_weight': the data has no class 'one'\n  while training model 'small'\n"
            "  hint: its classes have no names: number them from 0\n");
  EXPECT_EQ(train({"train.validation_split=1"}).err,
            "override 'train.validation_split=1':1:1: 'validation_split': got 1, wanted at least 0 and below 1\n");
}

TEST_F(Mistakes, LabelsOutOfRange) {
  const Outcome outcome = train({"model.sequential.digit.units=5"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.err.find("label"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("5 classes"), std::string::npos) << outcome.err;
}

TEST_F(Mistakes, LossThatIsNotANumber) {
  const Outcome stopped = train({"train.optimizer={SGD: {learning_rate: 1.0e+38}}", "train.epochs=3", "train.callbacks=[TerminateOnNaN]"});
  EXPECT_EQ(stopped.status, 0) << stopped.err;
  EXPECT_NE(stopped.out.find("ended early: "), std::string::npos) << stopped.out;
}

TEST_F(Mistakes, NoLoss) {
  const Outcome outcome = train({"train.loss=null"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.err, "small.yaml: the key 'train.loss' is missing\n  hint: train: {loss: mse}\n");
}

TEST_F(Mistakes, FullDisk) {
  ASSERT_EQ(train({"train.epochs=0"}).status, 0);
  std::filesystem::create_symlink("/dev/full", folder_ / "full.json");
  const std::string seven = (std::filesystem::path(NACRE_SOURCE_DIR) / "tutorials" / "seven.png").string();
  const Outcome outcome = nacre({"predict", "run/model.h5", seven, "-o", "full.json"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("no space left"), std::string::npos) << outcome.err;
}

TEST_F(Mistakes, NoPermissionToWrite) {
  write_small();
  const Outcome outcome = nacre({"train", "small.yaml", "--output", "/proc/nacre-run"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.err.find("/proc/nacre-run: cannot be created"), std::string::npos) << outcome.err;
}

TEST_F(Mistakes, DamagedModel) {
  ASSERT_EQ(train({"train.epochs=0"}).status, 0);
  const std::filesystem::path model = folder_ / "run/model.h5";
  std::filesystem::resize_file(model, std::filesystem::file_size(model) / 2);
  const Outcome outcome = nacre({"summary", "run/model.h5"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.err.find("run/model.h5: "), 0u) << outcome.err;
}

TEST_F(Mistakes, ControlCStopsWithACheckpointThatGoesOn) {
  write_small();
  RunningNacre running({"train", "small.yaml", "train.epochs=1000000", "--output", "run"}, folder_.path());
  ASSERT_TRUE(RunningNacre::appears(folder_ / "run/checkpoint.h5", 60));
  running.signal(SIGINT);
  const Outcome stopped = running.wait();
  EXPECT_EQ(stopped.status, 1) << stopped.err;
  EXPECT_NE(stopped.out.find("stopped; to go on: nacre train run/config.yaml --resume"), std::string::npos) << stopped.out;
  EXPECT_TRUE(std::filesystem::exists(folder_ / "run/model.h5"));
  const Outcome resumed = nacre({"train", "run/config.yaml", "train.epochs=1", "--resume"});
  EXPECT_EQ(resumed.status, 0) << resumed.err;
}

TEST_F(Mistakes, ControlCBeforeTheFirstStepLeavesNothing) {
  ::setenv("NACRE_HOME", (folder_ / "home").c_str(), 1);  // or an earlier run might have computed the features
  write_plainly(folder_ / "frozen.yaml", R"(data: {train: {digits: {count: 30000}}}
model:
  sequential:
    - Input: {shape: [28, 28, 1]}
    - Conv2D: {filters: 96, kernel_size: 3, trainable: false}
    - Conv2D: {filters: 96, kernel_size: 3, trainable: false}
    - GlobalAveragePooling2D
    - Dense: {units: 10, activation: softmax}
train: {loss: sparse_categorical_crossentropy, epochs: 3}
)");
  RunningNacre running({"train", "frozen.yaml", "--output", "run"}, folder_.path());
  ::unsetenv("NACRE_HOME");
  ASSERT_TRUE(running.says("computing the features", 60));
  running.signal(SIGINT);
  const Outcome stopped = running.wait();
  EXPECT_EQ(stopped.status, 1) << stopped.err;
  EXPECT_NE(stopped.out.find("stopped before the first step: there is nothing to go on from"), std::string::npos)
      << stopped.out;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run"));
}

TEST_F(Mistakes, KilledWhileSavingKeepsThePreviousFile) {
  write_small();
  for (int attempt = 0; attempt < 4; ++attempt) {
    std::vector<std::string> words{"train", "small.yaml", "train.epochs=1000000", "--output", "run"};
    if (attempt > 0) words.push_back("--resume");
    RunningNacre running(words, folder_.path());
    ASSERT_TRUE(RunningNacre::appears(folder_ / "run/checkpoint.h5", 60));
    std::this_thread::sleep_for(std::chrono::milliseconds(150 + 37 * attempt));
    running.signal(SIGKILL);
    EXPECT_EQ(running.wait().status, 128 + SIGKILL);
    const Outcome summary = nacre({"summary", "run/checkpoint.h5"});
    EXPECT_EQ(summary.status, 0) << summary.err;
  }
}

// They ended as "out of memory", of nobody and no size.
TEST_F(Mistakes, SizesBeyondTheMachineNameTheirLayer) {
  const Outcome picture =
      with_layers("    - Resizing: {height: 1048576, width: 1048576, interpolation: nearest, name: huge}\n", "summary");
  const Outcome weighed = with_layers("    - Resizing: {height: 16777216, width: 16777216, name: huge}\n", "summary");
  EXPECT_NE(weighed.err.find("layer 'huge' (Resizing): float32("), std::string::npos) << weighed.err;
  EXPECT_EQ(picture.status, 1);
  EXPECT_NE(picture.err.find("layer 'huge' (Resizing): float32("), std::string::npos) << picture.err;
  EXPECT_NE(picture.err.find("1048576, 1048576, 1) takes "), std::string::npos) << picture.err;
  const Outcome tiles = with_layers(
      "    - ContrastLimitedAdaptiveHistogramEqualization: {tile_grid_size: 4294967296, name: huge}\n", "summary");
  EXPECT_NE(tiles.err.find("layer 'huge' (ContrastLimitedAdaptiveHistogramEqualization): got 4294967296 tiles for an "
                           "axis of 28 elements, wanted at most 56"),
            std::string::npos)
      << tiles.err;
  write_small();
  const Outcome weights = train({"model.sequential.digit.units=1099511627776", "data.train.digits.count=1"});
  EXPECT_EQ(weights.status, 1);
  EXPECT_NE(weights.err.find("float32(784, 1099511627776) takes 3448068464705536 bytes, and this machine has "),
            std::string::npos)
      << weights.err;
  EXPECT_NE(weights.err.find("while making the weight 'digit/kernel'"), std::string::npos) << weights.err;
}

// Names from files went to the terminal as they were: those of a hostile one can recolour it, or write over what it
// shows.
TEST_F(Mistakes, NamesFromFilesAreEscaped) {
  const auto architecture = [&](std::string_view class_name) {
    write_plainly(folder_ / "hostile.json",
                  fmt::format(
                      R"({{"class_name": "Sequential", "config": {{"name": "n\u001b[2J", "layers": [
          {{"class_name": "InputLayer", "config": {{"batch_shape": [null, 3], "name": "in\r"}}}},
          {{"class_name": "{}", "config": {{"name": "d\u001b[1m\nb", "units": 2}}}}]}}}})",
                      class_name));
  };
  KerasFile weights;
  weights.layers.push_back({"fc\x1b[1m", {{"fc/kernel\n:0", Tensor::of<float>({1}, {1})}}});
  write_keras_h5(folder_ / "weights.h5", weights);
  const auto harmless = [](const std::string& text) { return text.find_first_of("\x1b\r") == std::string::npos; };

  architecture("Dense");
  const Outcome table = nacre({"summary", "hostile.json"}), rows = nacre({"summary", "weights.h5"});
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_TRUE(harmless(table.out + table.err)) << table.out;
  for (const char* name : {R"(Model: "n\x1b[2J")", R"(d\x1b[1m\nb)", R"(Input 'in\r')"})
    EXPECT_NE(table.out.find(name), std::string::npos) << table.out;
  EXPECT_EQ(rows.status, 0) << rows.err;
  EXPECT_TRUE(harmless(rows.out + rows.err)) << rows.out;
  EXPECT_NE(rows.out.find(R"(fc/kernel\n:0  fc\x1b[1m  (1,))"), std::string::npos) << rows.out;
  const Outcome copied = nacre({"convert", "hostile.json", "copy.keras", "--weights", "weights.h5", "--by-name"});
  EXPECT_TRUE(harmless(copied.out + copied.err)) << copied.err;

  architecture(R"(Den\u001bse)");
  const Outcome unknown = nacre({"summary", "hostile.json"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_NE(unknown.err.find(R"(Den\x1bse)"), std::string::npos) << unknown.err;
  EXPECT_TRUE(harmless(unknown.err)) << unknown.err;
}

}  // namespace
}  // namespace nacre::test
