#include "api/save.h"

#include <algorithm>
#include <cstdlib>

#include "api/keras/file.h"
#include "formats/hdf5.h"
#include "formats/json.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

TEST(Save, WeightsGoIntoModelsOfTheSameForm) {
  const TemporaryFolder folder;
  Sequential model = classifier(), other = classifier(), wrong = classifier(4);
  model.initialize(1), other.initialize(2);
  model.save_weights(folder / "weights.h5");
  other.load_weights(folder / "weights.h5");
  expect_identical(values(other), values(model));
  EXPECT_EQ(message_of([&] { wrong.load_weights(folder / "weights.h5"); }),
            fmt::format("{}: layer 'dense_1' (Dense): the file's weight 'dense_1/kernel' is (8, 3), 'dense_1/kernel' is (8, 4)",
                        (folder / "weights.h5").string()));
  EXPECT_NE(message_of([&] { load_model(folder / "weights.h5"); }).find("the file holds weights alone, without a model"), std::string::npos);
}

TEST(Save, OtherNamesAreRefused) {
  EXPECT_EQ(message_of([] { classifier().save("model.txt"); }),
            "cannot tell the format of 'model.txt'\n  hint: the name of a model's file ends in .keras, .h5, .weights.h5, .weights.json, .json or .yaml");
  EXPECT_NE(message_of([] { classifier().save("model.weights.h5"); }).find("the name of a file of weights alone"), std::string::npos);
  EXPECT_NE(message_of([] { classifier().save_weights("model.keras"); }).find("no name of a file of weights"), std::string::npos);
  EXPECT_NE(message_of([] { load_model("/nowhere/model.h5"); }).find("/nowhere/model.h5"), std::string::npos);
}

// Models that Keras saved, with what it predicted: shared/goldens/models/NAME.h5 and NAME.io.h5.
class KerasModels : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Goldens, KerasModels, testing::Values("attn", "multi_io", "nested", "resid", "seq_cnn", "shared_tower", "text", "unet"),
                         parameter_name);

TEST_P(KerasModels, PredictTheSame) {
  const auto path = shared_path("goldens/models/" + GetParam() + ".h5"), io = shared_path("goldens/models/" + GetParam() + ".io.h5");
  if (!path || !io) GTEST_SKIP() << absent("goldens/models/" + GetParam() + ".h5");
  for (const std::string device : {"cpu", "reference"}) {
    Model model = load_model(*path);
    model.set_device(device);
    const hdf5::Group root = hdf5::File::open(*io).root();
    std::vector<Tensor> inputs;
    for (const std::string& name : root.group("inputs").names()) inputs.push_back(root.tensor("inputs/" + name));
    const std::vector<Tensor> outputs = model.predict(array_dataset({.inputs = inputs}));
    const std::vector<std::string> names = root.group("outputs").names();
    ASSERT_EQ(outputs.size(), names.size());
    for (std::size_t i = 0; i < names.size(); ++i) expect_near(outputs[i], root.tensor("outputs/" + names[i]), 1e-5, 1e-4);
  }
}

// The order of keys says nothing in JSON.
Tree sorted(Tree tree) {
  if (tree.is_sequence())
    for (Tree& item : tree.items()) item = sorted(std::move(item));
  if (tree.is_mapping()) {
    for (Tree::Entry& entry : tree.entries()) entry.value = sorted(std::move(entry.value));
    std::sort(tree.entries().begin(), tree.entries().end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  }
  return tree;
}

// Written again, the config is what Keras wrote: layers, order, calls, training.
TEST_P(KerasModels, AreWrittenAsKerasWroteThem) {
  const auto path = shared_path("goldens/models/" + GetParam() + ".h5");
  if (!path) GTEST_SKIP() << absent("goldens/models/" + GetParam() + ".h5");
  const KerasFile original = read_keras_h5(*path);
  register_models();
  Model model(read_model(original));
  model.compile(read_compile_options(original));
  const KerasFile again = model_file(model.trainer());
  ASSERT_EQ(again.layers.size(), original.layers.size());
  for (std::size_t i = 0; i < again.layers.size(); ++i) {
    EXPECT_EQ(again.layers[i].layer, original.layers[i].layer);
    ASSERT_EQ(again.layers[i].weights.size(), original.layers[i].weights.size());
    for (std::size_t k = 0; k < again.layers[i].weights.size(); ++k)
      EXPECT_TRUE(again.layers[i].weights[k].tensor.identical(original.layers[i].weights[k].tensor));
  }
  EXPECT_EQ(write_json(*again.training_config.find("metrics")), write_json(*original.training_config.find("metrics")));
  EXPECT_EQ(again.training_config["loss"], Tree("mean_squared_error"));  // Keras wrote "mse", which it cannot open itself
  const Tree& ours = again.model_config["config"];
  const Tree& theirs = original.model_config["config"];
  ASSERT_EQ(ours["layers"].items().size(), theirs["layers"].items().size());
  for (std::size_t i = 0; i < ours["layers"].items().size(); ++i) {
    const Tree& a = ours["layers"].items()[i];
    const Tree& b = theirs["layers"].items()[i];
    EXPECT_EQ(a["class_name"], b["class_name"]);
    // Every key that Keras writes is there with the same value.
    for (const auto& [key, value, mark] : b["config"].entries()) {
      if (a["class_name"] == Tree("Sequential") || a["class_name"] == Tree("Functional") || a["class_name"] == Tree("Bidirectional")) continue;
      const Tree* written = a["config"].find(key);
      ASSERT_TRUE(written) << a["class_name"].text() << " lacks " << key;
      EXPECT_EQ(write_json(sorted(*written)), write_json(sorted(value))) << a["class_name"].text() << " " << key;
    }
  }
  for (const std::string_view key : {"input_layers", "output_layers"}) {
    const Tree* wanted = theirs.find(key);
    EXPECT_TRUE(!wanted || ours[key] == *wanted) << key;
  }
}

// A functional model as Keras 3 writes it: operations compute the mask, and every call notes that it was built for
// inference.
Model masked_model() {
  register_models();
  return Model(std::dynamic_pointer_cast<FunctionalLayer>(read_object<Layer>(parse_json(R"({
    "class_name": "Functional",
    "config": {"name": "masked", "trainable": true, "layers": [
      {"class_name": "InputLayer", "name": "text", "inbound_nodes": [],
       "config": {"batch_shape": [null, 6], "dtype": "int32", "name": "text"}},
      {"class_name": "Embedding", "name": "words", "inbound_nodes": [{"args": [["text", 0, 0]], "kwargs": {}}],
       "config": {"name": "words", "input_dim": 10, "output_dim": 4, "mask_zero": true}},
      {"class_name": "NotEqual", "name": "not_equal", "config": {"name": "not_equal"},
       "inbound_nodes": [{"args": [["text", 0, 0], 0], "kwargs": {}}]},
      {"class_name": "NotEqual", "name": "not_nine", "config": {"name": "not_nine"},
       "inbound_nodes": [{"args": [["text", 0, 0], 9], "kwargs": {}}]},
      {"class_name": "LogicalOr", "name": "either", "config": {"name": "either"},
       "inbound_nodes": [{"args": [["not_equal", 0, 0], ["not_nine", 0, 0]], "kwargs": {}}]},
      {"class_name": "Dropout", "name": "dropout", "config": {"name": "dropout", "rate": 0.5},
       "inbound_nodes": [{"args": [["words", 0, 0]], "kwargs": {"training": true}}]},
      {"class_name": "LSTM", "name": "first", "config": {"name": "first", "units": 3, "return_sequences": true},
       "inbound_nodes": [{"args": [["dropout", 0, 0]], "kwargs": {"training": false, "mask": ["not_equal", 0, 0]}}]},
      {"class_name": "LSTM", "name": "second", "config": {"name": "second", "units": 2},
       "inbound_nodes": [{"args": [["first", 0, 0]], "kwargs": {"training": false, "mask": ["either", 0, 0]}}]}],
      "input_layers": ["text", 0, 0], "output_layers": ["second", 0, 0]}})"))));
}

Tensor padded_words() {
  Tensor words(DType::int32, {2, 6});
  for (std::size_t i = 0; i < 12; ++i) words.writable<std::int32_t>()[i] = std::array{3, 9, 1, 7, 0, 0}[i % 6];
  return words;
}

TEST(Save, OperationsOfKerasComputeMasks) {
  Model model = masked_model();
  model.initialize(4);
  const Symbol text = Input({6}, "text", DType::int32);
  const Symbol words = Embedding({.input_dim = 10, .output_dim = 4, .mask_zero = true}, {.name = "words"})(text);
  const Symbol first = LSTM({.units = 3, .return_sequences = true}, {.name = "first"})(words);
  // `either` lets every step count; Reshape hands no mask on.
  const Symbol all = Reshape({.target_shape = {6, 3}})(first);
  Model wanted({text}, {LSTM({.units = 2}, {.name = "second"})(all)});
  wanted.initialize(4);
  const DatasetRef data = array_dataset({.inputs = {padded_words()}});
  expect_near(model.predict(data)[0], wanted.predict(data)[0], 1e-6);  // one is masked, the other a single primitive
}

TEST(Save, TheModeAKerasModelWasBuiltInIsNotPartOfIt) {
  const Model model = masked_model();
  for (const auto& call : model.trainer().model().calls()) EXPECT_FALSE(call->options.find("training"));
}

// Models with what they predict, for keras_reads_models_test.py, which runs this test with a folder to write into.
TEST(SaveForKeras, WritesModels) {
  const char* folder = std::getenv("NACRE_KERAS_FOLDER");
  if (!folder) GTEST_SKIP() << "skipped: run by keras_reads_models_test.py";
  const auto write = [&](const std::string& name, Model model, const std::vector<Tensor>& inputs) {
    model.initialize(4);
    const std::vector<Tensor> outputs = model.predict(array_dataset({.inputs = inputs}));
    for (const char* ending : {".h5", ".keras"}) model.save(std::filesystem::path(folder) / (name + ending));
    hdf5::File file = hdf5::File::create(std::filesystem::path(folder) / (name + ".io.h5"));
    hdf5::Group root = file.root();
    for (std::size_t i = 0; i < inputs.size(); ++i) root.write(fmt::format("inputs/{}", i), inputs[i]);
    for (std::size_t i = 0; i < outputs.size(); ++i) root.write(fmt::format("outputs/{}", i), outputs[i]);
    file.commit();
  };
  RandomStream random(RandomKey::of(1, "inputs"));
  const auto noise = [&](const Shape& shape) {
    Tensor tensor(DType::float32, shape);
    for (float& element : tensor.writable<float>()) element = static_cast<float>(random.normal());
    return tensor;
  };

  Sequential cnn({Input({12, 12, 2}), Conv2D({.filters = 4, .kernel_size = 3, .padding = ConvPadding::same, .activation = "relu"}),
                  BatchNormalization(), MaxPooling2D(), DepthwiseConv2D({.kernel_size = 3}), Flatten(), Dropout({.rate = 0.4}),
                  Dense({.units = 10, .activation = "softmax"})}, {.name = "cnn"});
  Tensor one_hot(DType::float32, {8, 10});
  for (std::size_t i = 0; i < 8; ++i) one_hot.writable<float>()[11 * i % 80] = 1;
  cnn.compile({.optimizer = "adam", .loss = "categorical_crossentropy", .metrics = {"accuracy"}});
  cnn.fit(array_dataset({.inputs = {noise({8, 12, 12, 2})}, .targets = {one_hot}}), {.batch_size = 4});
  write("cnn", cnn, {noise({3, 12, 12, 2})});

  const Symbol a = Input({5}, "a"), b = Input({5}, "b");
  const LayerRef shared = Dense({.units = 4, .activation = "tanh"}, {.name = "shared"});
  const Symbol inner_input = Input({4});
  const Model inner({inner_input}, {Dense({.units = 3, .activation = "relu"})(inner_input)}, {.name = "inner"});
  const Symbol joined = Concatenate()({inner(shared(a)), inner(shared(b))});
  Model graph({a, b}, {Dense({.units = 2}, {.name = "p"})(joined), Subtract({.name = "q"})({shared(a), shared(b)})}, {.name = "graph"});
  graph.compile({.optimizer = "rmsprop", .loss = Losses::by_name({{"p", "mse"}, {"q", "mae"}}), .loss_weights = {1.0, 0.5},
                 .metrics = Metrics::by_name({{"p", {"mae"}}})});
  write("graph", graph, {noise({2, 5}), noise({2, 5})});

  write("ends_nested", Model({a}, {inner(shared(a))}, {.name = "ends_nested"}), {noise({2, 5})});

  Tensor words(DType::int32, {2, 6});
  for (std::int32_t& word : words.writable<std::int32_t>()) word = static_cast<std::int32_t>(random.below(10));
  const Symbol text = Input({6}, "text", DType::int32);
  const Symbol embedded = Embedding({.input_dim = 10, .output_dim = 4, .mask_zero = true})(text);
  write("text", Model({text}, {Dense({.units = 1, .activation = "sigmoid"})(GRU({.units = 3})(LSTM({.units = 5, .return_sequences = true})(embedded)))},
                      {.name = "text"}), {words});
  write("masked", masked_model(), {padded_words()});
}

// For keras_continues_test.py: goes on with the training of every model in "in" and puts it into "out".
TEST(ContinueForKeras, TrainsModels) {
  const char* folder = std::getenv("NACRE_KERAS_FOLDER");
  if (!folder) GTEST_SKIP() << "skipped: run by keras_continues_test.py";
  const std::filesystem::path root = folder;
  const hdf5::Group data = hdf5::File::open(root / "data.h5").root();
  const DatasetRef batches = array_dataset({.inputs = {data.tensor("x")}, .targets = {data.tensor("y")}});
  for (const auto& entry : std::filesystem::directory_iterator(root / "in")) {
    Model model = load_model(entry.path());
    model.fit(batches, {.epochs = 1, .batch_size = 8, .shuffle = false});
    model.save(root / "out" / entry.path().filename());
    if (entry.path().extension() == ".h5") model.save(root / "out" / (entry.path().filename().string() + ".keras"));
  }
}

}  // namespace
}  // namespace nacre::test
