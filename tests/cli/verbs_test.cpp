// What each verb does when all is well.
#include <gtest/gtest.h>

#include <fstream>

#include "formats/csv.h"
#include "formats/json.h"
#include "formats/npy.h"
#include "formats/yaml.h"
#include "tests/cli/run_nacre.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

constexpr std::string_view config = R"(name: tiny
seed: 3
model:
  sequential:
    - Input: {shape: [28, 28, 1]}
    - Rescaling: {scale: "${1/255}"}
    - Conv2D: {filters: 4, kernel_size: 3, strides: 2, activation: relu}
    - Dropout: {rate: 0.2}
    - Flatten
    - Dense: {units: 10, activation: softmax}
data: {train: {digits: {count: 200}}, validation: {digits: {count: 50, seed: 9}}}
train: {optimizer: adam, loss: sparse_categorical_crossentropy, metrics: [accuracy], batch_size: 32, epochs: 2}
)";

// A trained model, made once.
class Verbs : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    write_plainly(*folder_ / "tiny.yaml", config);
    trained_ = run_nacre({"train", "tiny.yaml", "--output", "run"}, folder_->path());
  }
  static void TearDownTestSuite() { folder_.reset(); }
  static Outcome nacre(const std::vector<std::string>& words, const std::string& input = "") {
    return run_nacre(words, folder_->path(), input);
  }
  static std::filesystem::path at(std::string_view name) { return *folder_ / name; }

  inline static std::unique_ptr<TemporaryFolder> folder_;
  inline static Outcome trained_;
};

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(Verbs, TrainWritesTheFilesOfARun) {
  ASSERT_EQ(trained_.status, 0) << trained_.err;
  EXPECT_EQ(trained_.err, "");
  EXPECT_NE(trained_.out.find("Epoch 2/2 - "), std::string::npos) << trained_.out;
  EXPECT_EQ(trained_.out.find('\r'), std::string::npos) << "no bar without a terminal";
  for (const char* file : {"config.yaml", "history.csv", "model.h5", "checkpoint.h5"}) EXPECT_TRUE(std::filesystem::exists(at("run") / file)) << file;
  const Csv history = read_csv(at("run/history.csv"));
  EXPECT_EQ(history.rows, 2u);
  EXPECT_NO_THROW(history.column("val_accuracy"));
}

TEST_F(Verbs, TrainTwiceGivesTheSameBits) {
  ASSERT_EQ(nacre({"train", "tiny.yaml", "--output", "again"}).status, 0);
  EXPECT_TRUE(bytes_of(at("run/model.h5")) == bytes_of(at("again/model.h5")));
}

TEST_F(Verbs, AResumedRunEqualsAnUnbrokenOne) {
  ASSERT_EQ(nacre({"train", "tiny.yaml", "train.epochs=1", "--output", "broken"}).status, 0);
  const Outcome resumed = nacre({"train", "tiny.yaml", "--output", "broken", "--resume"});
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_TRUE(bytes_of(at("run/model.h5")) == bytes_of(at("broken/model.h5")));
  EXPECT_EQ(bytes_of(at("run/history.csv")), bytes_of(at("broken/history.csv")));
}

TEST_F(Verbs, AnotherRunIsNeverOverwritten) {
  const Outcome refused = nacre({"train", "tiny.yaml", "--output", "run"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_EQ(refused.err, "run: the folder holds another run\n  hint: `nacre train run/config.yaml --resume` goes on with it, --output names another folder\n");
  ASSERT_EQ(nacre({"train", "tiny.yaml", "train.epochs=0"}).status, 0);
  ASSERT_EQ(nacre({"train", "tiny.yaml", "train.epochs=0"}).status, 0);
  EXPECT_TRUE(std::filesystem::exists(at("runs/tiny/model.h5")));
  EXPECT_TRUE(std::filesystem::exists(at("runs/tiny-2/model.h5")));
}

TEST_F(Verbs, FilesOfCallbacksAreRelativeToTheConfig) {
  std::filesystem::create_directory(at("elsewhere"));
  write_plainly(at("elsewhere/logged.yaml"), std::string(config));
  const Outcome outcome = nacre({"train", "elsewhere/logged.yaml", "train.epochs=1", "train.callbacks=[{CSVLogger: {filename: log.csv}}]", "--output", "logged"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(std::filesystem::exists(at("elsewhere/log.csv")));
}

TEST_F(Verbs, TrainAsJson) {
  const Outcome outcome = nacre({"train", "tiny.yaml", "train.epochs=1", "--output", "json", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Tree report = parse_json(outcome.out, "out");
  EXPECT_EQ(report["model"].as_string(), "json/model.h5");
  EXPECT_EQ(report["history"].items().size(), 1u);
  EXPECT_TRUE(report["history"].items()[0]["val_loss"].is_number());
  EXPECT_GE(report["expected_mb"].as_integer(), report["planned_mb"].as_integer());
  EXPECT_GT(report["expected_mb"].as_integer(), 0);
}

TEST_F(Verbs, TrainTakesKerasKeysOfEpochsAndValidation) {
  const Outcome outcome =
      nacre({"train", "tiny.yaml", "train.initial_epoch=1", "train.epochs=3", "train.validation_batch_size=10",
             "train.validation_steps=2", "--output", "part", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Tree report = parse_json(outcome.out, "out");
  ASSERT_EQ(report["history"].items().size(), 2u);
  EXPECT_EQ(report["history"].items()[0]["epoch"].as_integer(), 2);
  const Outcome tested = nacre({"evaluate", "part/model.h5", "--data", "digits:20,9", "--batch-size", "10", "--json"});
  ASSERT_EQ(tested.status, 0) << tested.err;
  EXPECT_EQ(parse_json(tested.out, "out")["loss"].as_number(), report["history"].items()[1]["val_loss"].as_number());
  EXPECT_EQ(nacre({"train", "tiny.yaml", "train.validation_steps=0"}).status, 2);
}

TEST_F(Verbs, TheWrittenConfigTrainsTheSame) {
  ASSERT_EQ(nacre({"train", "run/config.yaml", "--output", "from_config"}).status, 0);
  EXPECT_TRUE(bytes_of(at("run/model.h5")) == bytes_of(at("from_config/model.h5")));
}

TEST_F(Verbs, RenderIsComplete) {
  const Outcome once = nacre({"render", "tiny.yaml"});
  ASSERT_EQ(once.status, 0) << once.err;
  const Tree tree = parse_yaml(once.out);
  EXPECT_EQ(tree["model"]["sequential"].items()[2]["Conv2D"]["padding"].as_string(), "valid");
  EXPECT_EQ(tree["train"]["optimizer"]["Adam"]["beta_1"].as_number(), 0.9);
  write_plainly(at("rendered.yaml"), once.out);
  EXPECT_EQ(nacre({"render", "rendered.yaml"}).out, once.out);
  EXPECT_EQ(parse_json(nacre({"render", "tiny.yaml", "--json"}).out, "out"), tree);
}

TEST_F(Verbs, EvaluateOnConfigAndSources) {
  const Outcome text = nacre({"evaluate", "run/model.h5", "--data", "tiny.yaml"});
  EXPECT_EQ(text.status, 0) << text.err;
  const Outcome json = nacre({"evaluate", "run/model.h5", "--data", "digits:50,9", "--json"});
  ASSERT_EQ(json.status, 0) << json.err;
  const Tree report = parse_json(json.out, "out");
  const Csv history = read_csv(at("run/history.csv"));
  EXPECT_NEAR(report["loss"].as_number(), history.column("val_loss").numbers.back(), 1e-5);
  EXPECT_NEAR(report["accuracy"].as_number(), history.column("val_accuracy").numbers.back(), 1e-6);
}

TEST_F(Verbs, PredictReadsAndWritesManyKinds) {
  Tensor pictures(DType::float32, {3, 28, 28, 1});
  for (std::size_t i = 0; float& value : pictures.writable<float>()) value = static_cast<float>((i++ * 37) % 256);
  write_npy(at("p.npy"), pictures);
  write_npz(at("p.npz"), {{"x", pictures}});
  const Outcome json = nacre({"predict", "run/model.h5", "p.npy"});
  ASSERT_EQ(json.status, 0) << json.err;
  const Tree rows = parse_json(json.out, "out");
  ASSERT_EQ(rows.items().size(), 3u);
  ASSERT_EQ(rows.items()[0].items().size(), 10u);

  ASSERT_EQ(nacre({"predict", "run/model.h5", "p.npz", "-o", "y.npy"}).status, 0);
  ASSERT_EQ(nacre({"predict", "run/model.h5", "input=p.npy", "-o", "y.npz"}).status, 0);
  ASSERT_EQ(nacre({"predict", "run/model.h5", "p.npy", "-o", "y.csv"}).status, 0);
  ASSERT_EQ(nacre({"predict", "run/model.h5", "p.npy", "-o", "y.json", "--batch-size", "2"}).status, 0);
  const Tensor y = read_npy(at("y.npy"));
  EXPECT_EQ(y.shape(), (Shape{3, 10}));
  EXPECT_NEAR(y.at(7), rows.items()[0].items()[7].as_number(), 1e-6);
  EXPECT_EQ(read_npz(at("y.npz")).size(), 1u);
  EXPECT_EQ(read_csv(at("y.csv")).rows, 3u);
  EXPECT_EQ(load_json(at("y.json")).items().size(), 3u);
}

TEST_F(Verbs, PredictPicturesAndStandardInput) {
  const std::string seven = (std::filesystem::path(NACRE_SOURCE_DIR) / "tutorials" / "seven.png").string();
  const Outcome two = nacre({"predict", "run/model.h5", seven, seven});
  ASSERT_EQ(two.status, 0) << two.err;
  const Tree rows = parse_json(two.out, "out");
  ASSERT_EQ(rows.items().size(), 2u);
  EXPECT_EQ(rows.items()[0], rows.items()[1]);

  write_plainly(at("flat.yaml"), "model: {sequential: [Input: {shape: [2]}, Dense: {units: 1, kernel_initializer: ones}]}\n"
                                 "data: {train: {npy: {x: x.npy, y: y1.npy}}}\ntrain: {loss: mse, epochs: 0}\n");
  write_npy(at("x.npy"), Tensor(DType::float32, {4, 2}));
  write_npy(at("y1.npy"), Tensor(DType::float32, {4, 1}));
  const Outcome trained = nacre({"train", "flat.yaml", "--output", "flat"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_EQ(nacre({"predict", "flat/model.h5", "-"}, "1,2\n3,4\n").out, "[[3.0], [7.0]]\n");
  EXPECT_EQ(nacre({"predict", "flat/model.h5", "-"}, "[1, 2]\n[3, 4]\n").out, "[[3.0], [7.0]]\n");
  EXPECT_EQ(nacre({"predict", "flat/model.h5", "-"}, "{\"input\": [5, 6]}\n").out, "[[11.0]]\n");
}

// What `data.normalize` did to the training data is in the model's file: it takes data as it lies in files, and data that
// a configuration normalises is not normalised twice.
TEST_F(Verbs, ModelsNormaliseAsTheirTrainingDid) {
  std::string table = "a,b,y\n", rows = "a,b\n";
  for (int i = 0; i < 40; ++i) {
    const int a = 100 + i * 7 % 13, b = -5000 + i * i * 11 % 900;
    table += fmt::format("{},{},{}\n", a, b, 0.25 * a - 0.001 * b);
    rows += fmt::format("{},{}\n", a, b);
  }
  write_plainly(at("table.csv"), table);
  write_plainly(at("rows.csv"), rows);
  write_plainly(at("table.yaml"), "model: {sequential: [Input: {shape: [2]}, Dense: {units: 1}]}\n"
                                  "data: {train: {csv: {file: table.csv, target: y}}, normalize: {standard: true}}\n"
                                  "train: {loss: mse, optimizer: {Adam: {learning_rate: 0.5}}, batch_size: 8, epochs: 60}\n");
  const Outcome trained = nacre({"train", "table.yaml", "--output", "table"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  for (const std::string data : {"table.yaml", "csv:table.csv,target=y", "table/config.yaml"}) {
    const Outcome measured = nacre({"evaluate", "table/model.h5", "--data", data, "--json"});
    ASSERT_EQ(measured.status, 0) << measured.err;
    EXPECT_LT(parse_json(measured.out, data)["loss"].as_number(), 0.5) << data;  // of thousands without normalisation
  }
  const Outcome answers = nacre({"predict", "table/model.h5", "rows.csv"});
  ASSERT_EQ(answers.status, 0) << answers.err;
  EXPECT_NEAR(parse_json(answers.out, "out").items()[0].items()[0].as_number(), 30, 1.5);

  write_plainly(at("bright.yaml"), "include: tiny.yaml\nname: bright\nmodel: {sequential: [Input: {shape: [28, 28, 1]}, Flatten, Dense: {units: 10, activation: softmax}]}\n"
                                   "data: {normalize: {divide: 255}}\n");
  const Outcome bright = nacre({"train", "bright.yaml", "--output", "bright"});
  ASSERT_EQ(bright.status, 0) << bright.err;
  const Outcome by_config = nacre({"evaluate", "bright/model.h5", "--data", "bright.yaml", "--json"}),
                by_name = nacre({"evaluate", "bright/model.h5", "--data", "digits:50,9", "--json"});
  EXPECT_EQ(parse_json(by_config.out, "out")["loss"], parse_json(by_name.out, "out")["loss"]);
}

TEST_F(Verbs, TutorialsAsTheyStand) {
  const std::filesystem::path tutorials = std::filesystem::path(NACRE_SOURCE_DIR) / "tutorials";
  const Outcome digits = nacre({"train", (tutorials / "digits.yaml").string(), "data.train.digits.count=256",
                                "data.validation.digits.count=64", "train.epochs=1", "--output", "digits"});
  EXPECT_EQ(digits.status, 0) << digits.err;
  EXPECT_EQ(nacre({"predict", "digits/model.h5", (tutorials / "seven.png").string()}).status, 0);
  const Outcome resnet = nacre({"summary", (tutorials / "resnet.yaml").string(), "variables.n=1"});
  EXPECT_EQ(resnet.status, 0) << resnet.err;
  const auto mnist = shared_path("data/mnist");
  if (!mnist) GTEST_SKIP() << absent("data/mnist");
  const Outcome lenet = nacre({"train", (tutorials / "mnist.yaml").string(), "variables.mnist=" + std::filesystem::absolute(*mnist).string(),
                               "train.steps_per_epoch=2", "train.epochs=1", "data.validation=null", "--output", "lenet"});
  EXPECT_EQ(lenet.status, 0) << lenet.err;
}

TEST_F(Verbs, SummaryOfModelsAndConfigs) {
  const Outcome saved = nacre({"summary", "run/model.h5", "--json"}), described = nacre({"summary", "tiny.yaml", "--json"});
  ASSERT_EQ(saved.status, 0) << saved.err;
  ASSERT_EQ(described.status, 0) << described.err;
  EXPECT_EQ(parse_json(saved.out, "out")["total_params"], parse_json(described.out, "out")["total_params"]);
  const Outcome text = nacre({"summary", "tiny.yaml"});
  EXPECT_NE(text.out.find("Trainable params"), std::string::npos);
}

TEST_F(Verbs, PlotDrawsBothKinds) {
  const Outcome outcome = nacre({"plot", "run"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(bytes_of(at("run/curves.svg")).substr(0, 5), "<?xml");
  EXPECT_EQ(bytes_of(at("run/curves.png")).substr(1, 3), "PNG");
}

TEST_F(Verbs, DoctorSchemaAndVersion) {
  const Tree doctor = parse_json(nacre({"doctor", "--json"}).out, "out");
  EXPECT_EQ(doctor["backends"].items()[0]["device"].as_string(), "cpu");
  const Tree schema = parse_json(nacre({"schema"}).out, "out");
  EXPECT_TRUE(schema["properties"].find("model"));
  EXPECT_TRUE(schema["$defs"].find("layer"));
  EXPECT_EQ(nacre({"--version"}).out.substr(0, 6), "nacre ");
  EXPECT_EQ(nacre({"--help"}).status, 0);
}

TEST_F(Verbs, ReferenceWritesThePagesOfTutorials) {
  ASSERT_EQ(nacre({"reference", "pages"}).status, 0);
  const std::filesystem::path committed = std::filesystem::path(NACRE_SOURCE_DIR) / "tutorials/reference";
  std::size_t pages = 0;
  for (const auto& entry : std::filesystem::directory_iterator(at("pages"))) {
    const std::string name = entry.path().filename().string();
    EXPECT_TRUE(bytes_of(entry.path()) == bytes_of(committed / name)) << name;
    ++pages;
  }
  EXPECT_TRUE(std::filesystem::exists(at("pages/lua.md")));
  EXPECT_GT(pages, 20u);
}

TEST_F(Verbs, ThreadsAreThoseOfTheEnvironmentUnlessTheyAreGiven) {
  const auto threads_with = [](const char* name, const char* value) {
    ::setenv(name, value, 1);
    const Tree doctor = parse_json(nacre({"doctor", "--json"}).out, "out");
    const Outcome given = nacre({"bench", "tiny.yaml", "--infer", "--seconds", "0", "--threads", "2", "--json"});
    ::unsetenv(name);
    EXPECT_EQ(parse_json(given.out, "out")["threads"].as_integer(), 2) << given.err;
    return doctor["threads"].as_integer();
  };
  EXPECT_EQ(threads_with("OMP_NUM_THREADS", "3"), 3);
  EXPECT_EQ(threads_with("OMP_NUM_THREADS", "1,4"), 1);
}

TEST_F(Verbs, TheReferenceBackendAgrees) {
  const Outcome outcome = nacre({"evaluate", "run/model.h5", "--data", "digits:20,9", "--json", "--device", "reference"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Outcome cpu = nacre({"evaluate", "run/model.h5", "--data", "digits:20,9", "--json"});
  EXPECT_NEAR(parse_json(outcome.out, "out")["loss"].as_number(), parse_json(cpu.out, "out")["loss"].as_number(), 1e-5);
}

}  // namespace
}  // namespace nacre::test
