// Data comes to the form that a network takes, as its file says it, in training and when it is measured.
#include <fstream>

#include "api/data/images.h"
#include "api/data/relabel.h"
#include "api/experiment/evaluation_data.h"
#include "api/experiment/experiment.h"
#include "api/head.h"
#include "api/save.h"
#include "formats/image.h"
#include "formats/npy.h"
#include "formats/yaml.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

using Names = std::vector<std::string>;

// Pictures of one grey each, dark and bright ones, and a network for them whose file has a preprocessing, as those of
// the zoo: of integers alone.
class InputForms : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto& [name, level] : {std::pair("bright", 200), std::pair("dark", 20)})
      for (int i = 0; i < 6; ++i) picture(fmt::format("p/{}/{}.png", name, i), static_cast<std::uint8_t>(level + i));
    Sequential base({Input({8, 8, 3}, "image"), GlobalAveragePooling2D(),
                     Dense({.units = 2, .activation = "softmax"}, {.name = "answer"})});
    base.initialize(1);
    save(base, {.scale = 1.0 / 255});
  }
  void picture(const std::string& name, std::uint8_t value, std::int64_t height = 8, std::int64_t width = 8) {
    Tensor image(DType::uint8, {height, width, 3});
    std::ranges::fill(image.writable<std::uint8_t>(), value);
    std::filesystem::create_directories((folder_ / name).parent_path());
    write_png(folder_ / name, image);
  }
  void save(Model& base, Preprocessing preprocessing, Names labels = {}) {
    base.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy"});
    base.graph().set_card(
        {.labels = std::move(labels), .preprocessing = std::move(preprocessing), .source = "", .licence = ""});
    base.save(folder_ / "base.keras");
  }
  Experiment experiment(const std::string& data, const std::string& model = "file: base.keras") {
    return Experiment(parse_config(
        "model: {" + model + "}\ndata: {" + data + "}\n" +
            "train: {optimizer: {SGD: {learning_rate: 0}}, loss: sparse_categorical_crossentropy, batch_size: 12}\n",
        "e.yaml", folder_.path()));
  }
  static double largest(const DatasetRef& data) {
    std::vector<std::int64_t> all;
    for (std::int64_t i = 0; i < data->size(); ++i) all.push_back(i);
    Batch batch;
    data->read(all, batch);
    const std::vector<double> values = batch.inputs[0].to_doubles();
    return *std::ranges::max_element(values);
  }
  TemporaryFolder folder_;
};

// Flipping a picture of one grey changes nothing, and at a rate of 0 nothing is learned.
TEST_F(InputForms, AugmentedPicturesArePreprocessedAsTheOthers) {
  const Experiment flipped =
      experiment("train: {images: {folder: p}}, validation: {images: {folder: p}}, augment: [RandomFlip]");
  const OpenedData data = flipped.open_data();
  for (const DatasetRef& set : {data.train, data.validation, data.unaugmented})
    EXPECT_NEAR(largest(set), 205 / 255.0, 1e-6);
  Model model = configured_model(flipped);
  const History history = model.fit(
      data.train, {.epochs = 1, .batch_size = 12, .validation = data.validation, .unaugmented = data.unaugmented});
  EXPECT_NEAR(history.series("loss").front(), history.series("val_loss").front(), 1e-6);
  const Preprocessing& kept = model.graph().card().preprocessing;
  EXPECT_EQ(kept.scale, 1.0 / 255);
  EXPECT_FALSE(kept.floats);  // the file's own word on other data
  EXPECT_NEAR(model.evaluate(EvaluationData("images:" + (folder_ / "p").string()).open(model)).find("loss")[0],
              history.series("loss").front(), 1e-6);
}

TEST_F(InputForms, FloatingNumbersOfASourceAreNotIntegersThatWereAugmented) {
  Tensor x(DType::float32, {4, 8, 8, 3});
  std::ranges::fill(x.writable<float>(), 0.5f);
  write_npz(folder_ / "floats.npz", {{"x", x}, {"y", Tensor(DType::int32, {4})}});
  const OpenedData data = experiment("train: {npz: {file: floats.npz}}, augment: [RandomFlip]").open_data();
  EXPECT_NEAR(largest(data.train), 0.5, 1e-6);
  Model model = configured_model(experiment("train: {npz: {file: floats.npz}}"));
  model.fit(data.train, {.epochs = 1, .batch_size = 4});
  EXPECT_EQ(model.graph().card().preprocessing.scale, 1.0 / 255);
}

TEST_F(InputForms, NormalisingTwiceIsRefused) {
  const std::string pictures = "train: {images: {folder: p}}, normalize: {divide: 255}";
  EXPECT_NEAR(largest(experiment(pictures).open_data().train), 205 / 255.0,
              1e-6);  // the same is said twice and done once
  const std::string wanted =
      "the model preprocesses its inputs itself, and 'data.normalize' would do so, too\n  hint: leave out "
      "data.normalize";
  const auto expect_refused = [&](auto&& work) {
    const std::string message = message_of(work);
    EXPECT_NE(message.find(wanted), std::string::npos) << message;
  };
  expect_refused([&] { experiment("train: {images: {folder: p}}, normalize: {divide: 100}").open_data(); });
  const Experiment headed = experiment(pictures, "file: base.keras, head: {}");
  expect_refused([&] { headed.open_data(); });
  const Model model = configured_model(experiment("train: {images: {folder: p}}", "file: base.keras, head: {}"));
  EXPECT_TRUE(begins_with_preprocessing(model.graph()));
  expect_refused([&] { headed.open_evaluation_data(input_form(model.graph())); });
  model.save(folder_ / "headed.h5");
  expect_refused([&] { experiment(pictures, "file: headed.h5").open_data(); });
}

// Other data than the network learned has another mean.
TEST_F(InputForms, StandardIsWhatTheNetworkKnows) {
  Model model = configured_model(experiment("train: {images: {folder: p}}"));
  model.graph().set_card(
      {.labels = {}, .preprocessing = {.mean = {100}, .deviation = {50}, .floats = true}, .source = "", .licence = ""});
  model.save(folder_ / "base.keras");
  EXPECT_NEAR(largest(experiment("train: {images: {folder: p}}, normalize: {standard: true}").open_data().train),
              (205 - 100) / 50.0, 1e-6);
}

TEST_F(InputForms, WhatASourceSaysOfItsPicturesCounts) {
  const Tree stretched = parse_yaml("{images: {folder: p, fit: stretch, antialias: false, channels: 1}}");
  const InputForm form{{8, 8, 3}, {.fit = Fit::crop, .antialias = true}, false};
  const auto sized = [&](const Tree& source) {
    return sized_for(read_object<Source>(source), form)->config_tree(Style::full);
  };
  const Tree said = sized(stretched), silent = sized(parse_yaml("{images: {folder: p}}"));
  EXPECT_EQ(said["fit"], Tree("stretch"));
  EXPECT_EQ(said["antialias"], Tree(false));
  EXPECT_EQ(said["channels"], Tree(1));
  EXPECT_EQ(said["size"].text(), "8");
  EXPECT_EQ(silent["fit"], Tree("crop"));
  EXPECT_EQ(silent["antialias"], Tree(true));
  EXPECT_EQ(silent["channels"], Tree(3));
}

// A network for pictures of any size, which was trained on small ones.
TEST_F(InputForms, ASizeThatASourceNamesIsMeasured) {
  Sequential any(
      {Input({unknown, unknown, 3}, "image"), GlobalAveragePooling2D(), Dense({.units = 2, .activation = "softmax"})});
  any.initialize(1);
  save(any, {.size = Extent<2>({4, 4})});
  const Model model = load_model(folder_ / "base.keras");
  const auto shape = [&](const std::string& more) {
    return EvaluationData("images:" + (folder_ / "p").string() + more).open(model)->inputs()[0].type.shape;
  };
  EXPECT_EQ(shape(""), (Shape{4, 4, 3}));
  EXPECT_EQ(shape(",size=[6,6]"), (Shape{6, 6, 3}));
}

TEST_F(InputForms, ClassesThatTheModelDoesNotKnowAreRefused) {
  Sequential four({Input({8, 8, 3}, "image"), GlobalAveragePooling2D(), Dense({.units = 4, .activation = "softmax"})});
  four.initialize(1);
  save(four, {.scale = 1.0 / 255}, {"airplane", "bright", "cat", "dog"});
  const auto fit = [&](const std::string& model) {
    const Experiment trained = experiment("train: {images: {folder: p}}", model);
    Model network = configured_model(trained);
    network.fit(trained.open_data().train, {.epochs = 1, .batch_size = 12});
    return network.graph().card().labels;
  };
  const std::string message = message_of([&] { fit("file: base.keras"); });
  EXPECT_NE(message.find("the data has a class 'dark', which the model does not know"), std::string::npos) << message;
  EXPECT_NE(message.find("hint: model: {head: {classes: auto}}"), std::string::npos) << message;
  EXPECT_EQ(fit("file: base.keras, head: {classes: auto}"), (Names{"bright", "dark"}));
  std::filesystem::rename(folder_ / "p/dark", folder_ / "p/dog");
  EXPECT_EQ(fit("file: base.keras"), (Names{"airplane", "bright", "cat", "dog"}));
}

TEST_F(InputForms, OutputsWithoutAClassAreNumberedAndTooFewAreRefused) {
  struct Lines final : ProgressListener {
    void say(std::string_view line) override { said += std::string(line) + "\n"; }
    std::string said;
  } lines;
  const Experiment more = experiment("train: {images: {folder: p}}", "file: base.keras, head: {classes: 4}");
  Model model = configured_model(more);
  model.fit(more.open_data().train, {.epochs = 1, .batch_size = 12, .listener = &lines});
  EXPECT_EQ(model.graph().card().labels, (Names{"bright", "dark", "2", "3"}));
  EXPECT_NE(lines.said.find("the data has 2 classes, the output 'head' is for 4"), std::string::npos) << lines.said;
  picture("p/grey/0.png", 100);
  picture("p/white/0.png", 250);
  const Experiment fewer = experiment("train: {images: {folder: p}}", "file: base.keras, head: {classes: 3}");
  Model small = configured_model(fewer);
  const std::string message = message_of([&] { small.fit(fewer.open_data().train, {.epochs = 1}); });
  EXPECT_NE(message.find("the data has 4 classes, the output 'head' is for 3"), std::string::npos) << message;
}

// The largest class of the table lies in the part that validates.
TEST(OneHotOfData, AutoCountsTheClassesOfAllTrainingData) {
  const TemporaryFolder folder;
  std::ofstream(folder / "rows.csv") << "x,y\n1,0\n2,1\n3,0\n4,1\n5,2\n";
  const auto experiment = [&](const std::string& data) {
    return Experiment(parse_config("model: {sequential: [{Input: {shape: [1]}}, {Dense: {units: 3}}]}\ndata: {" + data +
                                       "}\n"
                                       "train: {validation_split: 0.2, loss: categorical_crossentropy}",
                                   "test", folder.path()));
  };
  const std::string rows = "{csv: {file: rows.csv, target: y}}";
  const Experiment counted = experiment("train: " + rows + ", one_hot: auto");
  const OpenedData data = counted.open_data();
  EXPECT_EQ(data.train->targets()[0].type, (Type{DType::float32, {3}}));
  EXPECT_EQ(data.validation->targets()[0].type, (Type{DType::float32, {3}}));
  EXPECT_EQ(counted.render()["data"]["one_hot"], Tree(3));
  // What is measured on says nothing of how many classes there are: the model does.
  const Experiment measured = experiment("test: " + rows + ", one_hot: auto");
  EXPECT_EQ(measured.open_evaluation_data({})->targets()[0].type.shape.rank(), 0);
  EXPECT_EQ(data_for(configured_model(measured), measured.open_evaluation_data({}))->targets()[0].type,
            (Type{DType::float32, {3}}));
  for (const char* wrong : {"one_hot: 1", "one_hot: many"})
    EXPECT_NE(
        message_of([&] { experiment("train: " + rows + ", " + wrong); }).find("wanted auto or a number of at least 2"),
        std::string::npos);
  const Experiment real = experiment("train: {csv: {file: rows.csv, target: x}}, one_hot: auto");
  std::ofstream(folder / "rows.csv") << "x,y\n1.5,0\n2.5,1\n";
  EXPECT_NE(message_of([&] { real.open_data(); }).find("hint: give their number: one_hot: 10"), std::string::npos);
}

}  // namespace
}  // namespace nacre::test
