// Keras 3's own formats: what nacre writes and reads of .keras and .weights.h5 files.
#include "api/keras/tree.h"

#include "api/keras/places.h"
#include "api/shared_layers.h"
#include "formats/file.h"
#include "formats/hdf5.h"
#include "formats/json.h"
#include "formats/zip.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

std::vector<std::string> paths_of(const Model& model) {
  std::vector<std::string> paths;
  for (const KerasPlace& place : keras_places(model.graph())) paths.push_back(place.path);
  return paths;
}

TEST(KerasPlaces, AreThoseOfKeras) {
  const Symbol text = Input({5}, "text", DType::int32);
  const Symbol inner_input = Input({6});
  const Model inner({inner_input}, {Dense({.units = 3})(Dense({.units = 4})(inner_input))}, {.name = "head"});
  const Symbol embedded = Embedding({.input_dim = 7, .output_dim = 4})(text);
  const Symbol both = Bidirectional({.layer = LSTM({.units = 3})})(embedded);
  const Symbol each = TimeDistributed({.layer = Dense({.units = 6})})(embedded);
  const Symbol flat = Dense({.units = 3})(Flatten()(each));
  const Model model({text}, {Concatenate()({inner(both), flat})});
  const std::vector<std::string> paths = paths_of(model);
  for (const char* wanted :
       {"", "layers/input_layer", "layers/embedding", "layers/bidirectional", "layers/bidirectional/forward_layer", "layers/bidirectional/forward_layer/cell",
        "layers/bidirectional/backward_layer/cell", "layers/time_distributed/layer", "layers/functional/layers/dense", "layers/functional/layers/dense_1",
        "layers/dense", "layers/concatenate"})
    EXPECT_NE(std::ranges::find(paths, wanted), paths.end()) << wanted;
}

TEST(KerasPlaces, CountLayersOfAClassAndSharedLayersOnce) {
  const Symbol a = Input({4}, "a"), b = Input({4}, "b");
  const LayerRef shared = Dense({.units = 2}, {.name = "shared"});
  const Model model({a, b}, {Dense({.units = 1}, {.name = "last"})(Add()({shared(a), shared(b)}))});
  EXPECT_EQ(paths_of(model), (std::vector<std::string>{"", "layers/input_layer", "layers/input_layer_1", "layers/dense", "layers/add", "layers/dense_1"}));
}

class EveryFormat : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Save, EveryFormat, testing::Values(".keras", ".h5"), [](const auto& each) { return each.param.substr(1); });

TEST_P(EveryFormat, AModelComesBackWithItsTraining) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / ("model" + GetParam());
  Sequential model = classifier();
  model.compile({.optimizer = optimizers::Adam({.learning_rate = 0.01}), .loss = losses::SparseCategoricalCrossentropy(), .metrics = {"accuracy"}});
  const DatasetRef data = labelled(blobs(40));
  model.fit(data, {.epochs = 1, .shuffle = false});
  model.save(path);

  Model loaded = load_model(path);
  EXPECT_EQ(loaded.name(), "classifier");
  expect_identical(values(loaded), values(model));
  // The next epoch is the same, so the optimizer came back too.
  const FitOptions next{.epochs = 1, .shuffle = false};
  const History a = model.fit(data, next), b = loaded.fit(data, next);
  EXPECT_EQ(a.epochs[0].logs.names(), b.epochs[0].logs.names());
  EXPECT_EQ(number(a.epochs[0].logs, "loss"), number(b.epochs[0].logs, "loss"));
  expect_identical(values(loaded), values(model));
}

TEST_P(EveryFormat, IsToldByItsContentNotItsName) {
  const TemporaryFolder folder;
  const Sequential model = classifier();
  model.save(folder / ("model" + GetParam()));
  const std::filesystem::path lying = folder / (GetParam() == ".keras" ? "other.h5" : "other.keras");
  std::filesystem::rename(folder / ("model" + GetParam()), lying);
  expect_identical(values(load_model(lying)), values(model));
}

TEST_P(EveryFormat, LayersThatTwoModelsShareStayOne) {
  const TemporaryFolder folder;
  const LayerRef shared = Dense({.units = 4}, {.name = "shared"});
  const Symbol inner_input = Input({4}), input = Input({4});
  const Model inner({inner_input}, {shared(inner_input)}, {.name = "inner"});
  Model model({input}, {Add()({inner(input), shared(input)})});
  model.save(folder / ("m" + GetParam()));
  const Model loaded = load_model(folder / ("m" + GetParam()));
  EXPECT_EQ(loaded.layer("shared"), loaded.layer("inner/shared"));
  EXPECT_EQ(loaded.weights().size(), 2u);
  expect_identical(values(loaded), values(model));
}

// Keras marks a layer as shared from its second description on.
TEST(LoadModel, AnOptimizerThatTheStateDoesNotFitStartsAnew) {
  const TemporaryFolder folder;
  Sequential model = classifier();
  model.compile({.optimizer = "adam", .loss = losses::SparseCategoricalCrossentropy()});
  model.fit(labelled(blobs(16)), {.epochs = 1});
  KerasArchive archive = model_archive(model.trainer());
  for (WeightGroup& group : archive.weights.groups)
    if (group.path == "optimizer") group.variables.pop_back();
  write_keras_archive(folder / "a.keras", archive);
  std::vector<std::string> notes;
  const Model loaded = load_model(folder / "a.keras", {.notes = &notes});
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_TRUE(notes[0].starts_with("the optimizer starts anew: ")) << notes[0];
  EXPECT_EQ(loaded.trainer().optimizer().iterations(), 0);
  expect_identical(values(loaded), values(model));
}

TEST(SharedLayers, AreFoundThoughTheFirstIsNotMarked) {
  register_models();
  const Tree dense = parse_json(R"({"class_name": "Dense", "config": {"name": "d", "units": 3}})");
  Tree marked = dense;
  marked.set("shared_object_id", 77);
  EXPECT_NE(read_layer(marked), read_layer(marked));  // outside of a scope each is a layer of its own
  const SharedLayers scope;
  const std::shared_ptr<Layer> first = read_layer(dense);
  EXPECT_EQ(read_layer(marked), first);
  EXPECT_EQ(read_layer(marked), first);
  EXPECT_NE(read_layer(dense), first);
}

TEST(SaveWeights, GoIntoOneFileOrShardsAndComeBack) {
  for (const std::string name : {"w.weights.h5", "w.weights.json", "w.h5"}) {
    const TemporaryFolder folder;
    Sequential model = classifier(), other = classifier();
    model.initialize(1), other.initialize(2);
    save_weights(model, folder / name, {.max_shard_size = 200.0 / (1 << 30)});
    other.load_weights(folder / name);
    expect_identical(values(other), values(model));
    EXPECT_EQ(std::filesystem::exists(folder / "w_00001.weights.h5"), name == "w.weights.json");
    EXPECT_NE(message_of([&] { load_model(folder / name); }).find("the file holds weights alone, without a model"), std::string::npos);
  }
}

TEST(SaveWeights, OfCheckpointsWhileTrainingAreKerasOwn) {
  const TemporaryFolder folder;
  Sequential model = classifier(), other = classifier();
  model.compile({.optimizer = "adam", .loss = losses::SparseCategoricalCrossentropy()});
  other.initialize(9);
  model.fit(labelled(blobs(16)), {.epochs = 1,
                                  .callbacks = {callbacks::ModelCheckpoint({.filepath = (folder / "c.weights.h5").string(), .save_weights_only = true}),
                                                callbacks::ModelCheckpoint({.filepath = (folder / "c.keras").string()})}});
  EXPECT_EQ(kind_of_file(folder / "c.weights.h5"), FileKind::weights);
  EXPECT_EQ(kind_of_file(folder / "c.keras"), FileKind::archive);
  other.load_weights(folder / "c.weights.h5");
  expect_identical(values(other), values(model));
  EXPECT_EQ(read_keras_weights(folder / "c.weights.h5").find("optimizer")->variables.size(), 2u + 2 * 4);
  expect_identical(values(load_model(folder / "c.keras")), values(model));
}

TEST(SaveWeights, TellWhichLayerTheyDoNotFit) {
  const TemporaryFolder folder;
  Sequential model = classifier(), wrong = classifier(4);
  model.initialize(1), wrong.initialize(2);
  const std::vector<Tensor> before = values(wrong);
  model.save_weights(folder / "w.weights.h5");
  EXPECT_EQ(message_of([&] { wrong.load_weights(folder / "w.weights.h5"); }),
            fmt::format("{}: layer 'dense_1' (Dense): the file's weight 'layers/dense_1/vars/0' is (8, 3), 'dense_1/kernel' is (8, 4)",
                        (folder / "w.weights.h5").string()));
  expect_identical(values(wrong), before);
  std::vector<std::string> skipped;
  wrong.load_weights(folder / "w.weights.h5", {.skip_mismatch = true, .skipped = &skipped});
  ASSERT_EQ(skipped.size(), 1u);
  EXPECT_NE(skipped[0].find("layer 'dense_1' (Dense)"), std::string::npos);
  EXPECT_TRUE(values(wrong)[0].identical(values(model)[0]));
  EXPECT_TRUE(values(wrong)[2].identical(before[2]));
}

TEST(SaveWeights, GoToLayersOfTheSameNamesWhenAskedTo) {
  const TemporaryFolder folder;
  const LayerRef body = Dense({.units = 8}, {.name = "body"});
  const Sequential model({Input({4}), Dense({.units = 4}, {.name = "before"}), body});
  model.save_weights(folder / "w.weights.h5");
  Sequential other({Input({4}), Dense({.units = 8}, {.name = "body"}), Dense({.units = 2}, {.name = "head"})});
  other.initialize(9);
  std::vector<std::string> skipped;
  other.load_weights(folder / "w.weights.h5", {.by_name = true, .skipped = &skipped});
  EXPECT_TRUE(values(other)[0].identical(values(model)[2]));
  EXPECT_EQ(skipped, std::vector<std::string>{"layer 'head' (Dense): the file has no weights for it"});
}

TEST(SaveArchitecture, ComesBackWithoutWeights) {
  for (const std::string name : {"a.json", "a.yaml"}) {
    const TemporaryFolder folder;
    Sequential model = classifier();
    model.initialize(3);
    model.save(folder / name);
    model.save_weights(folder / "w.weights.h5");
    EXPECT_NE(message_of([&] { load_model(folder / name); }).find("an architecture without weights"), std::string::npos);
    Model loaded = load_architecture(folder / name);
    EXPECT_FALSE(loaded.weights()[0].variable->has_value());
    loaded.load_weights(folder / "w.weights.h5");
    expect_identical(values(loaded), values(model));
    EXPECT_NE(message_of([&] { loaded.load_weights(folder / name); }).find("an architecture without weights"), std::string::npos);
  }
}

TEST(KindOfFile, NamesFilesOfOthers) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& name, std::string_view bytes) {
    write_plainly(folder / name, bytes);
    return message_of([&] { load_model(folder / name); });
  };
  EXPECT_NE(message("m.tflite", std::string_view("\x1c\0\0\0TFL3", 8)).find("this is a TensorFlow Lite model, no model of Keras"), std::string::npos);
  EXPECT_NE(message("lies.h5", std::string_view("\x1c\0\0\0TFL3", 8)).find("a TensorFlow Lite model"), std::string::npos);
  EXPECT_NE(message("m.onnx", "\x08\x07").find("an ONNX model"), std::string::npos);
  EXPECT_NE(message("graph.pb", "\x08\x01").find("a TensorFlow graph"), std::string::npos);
  EXPECT_NE(message("m.pkl", "\x80\x04.").find("a pickled Python object"), std::string::npos);
  EXPECT_NE(message("m.pt", "PK\x03\x04").find("a PyTorch model"), std::string::npos);
  EXPECT_NE(message("m.h5", "").find("the file is empty"), std::string::npos);
  EXPECT_NE(message("m.keras", "no zip").find("this is no zip archive"), std::string::npos);
  EXPECT_NE(message("m.txt", "hello").find("this is no model"), std::string::npos);
  EXPECT_NE(message_of([&] { load_model(folder / "missing.keras"); }).find("missing.keras"), std::string::npos);
  std::filesystem::create_directory(folder / "saved");
  EXPECT_NE(message_of([&] { load_model(folder / "saved"); }).find("there is no 'config.json'"), std::string::npos);
  write_plainly(folder / "saved" / "saved_model.pb", "");
  EXPECT_NE(message_of([&] { load_model(folder / "saved"); }).find("a SavedModel folder of TensorFlow"), std::string::npos);
}

// Models that Keras saved, with what it predicted: shared/goldens/models/NAME.keras, NAME.weights.h5 and NAME.io.h5.
class KerasArchives : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!shared_path("goldens/models/" + GetParam() + ".keras")) GTEST_SKIP() << absent("goldens/models/" + GetParam() + ".keras");
  }
  static std::filesystem::path golden(const std::string& ending) { return *shared_path("goldens/models/" + GetParam() + ending); }
};
INSTANTIATE_TEST_SUITE_P(Goldens, KerasArchives, testing::Values("attn", "multi_io", "nested", "resid", "seq_cnn", "shared_tower", "text", "unet"),
                         parameter_name);

void expect_golden(Model model, const std::filesystem::path& io) {
  const hdf5::Group root = hdf5::File::open(io).root();
  std::vector<Tensor> inputs;
  for (const std::string& name : root.group("inputs").names()) inputs.push_back(root.tensor("inputs/" + name));
  const std::vector<Tensor> outputs = model.predict(array_dataset({.inputs = inputs}));
  const std::vector<std::string> names = root.group("outputs").names();
  ASSERT_EQ(outputs.size(), names.size());
  for (std::size_t i = 0; i < names.size(); ++i) expect_near(outputs[i], root.tensor("outputs/" + names[i]), 1e-5, 1e-4);
}

TEST_P(KerasArchives, PredictTheSame) { expect_golden(load_model(golden(".keras")), golden(".io.h5")); }

TEST_P(KerasArchives, GiveTheirWeightsToTheArchitecture) {
  const TemporaryFolder folder;
  write_plainly(folder / "a.json", ZipReader(golden(".keras")).read("config.json"));
  Model model = load_architecture(folder / "a.json");
  model.load_weights(golden(".weights.h5"));
  expect_golden(model, golden(".io.h5"));
}

// The variables at each path, which says that nacre puts them where Keras does.
TEST_P(KerasArchives, AreWrittenAtThePathsOfKeras) {
  const Model model = load_model(golden(".keras"));
  const WeightTree wanted = read_keras_weights(golden(".weights.h5"));
  const WeightTree got = weight_tree(model.trainer());
  for (const WeightGroup& group : wanted.groups) {
    if (group.empty() || group.path == "optimizer") continue;
    const WeightGroup* found = got.find(group.path);
    ASSERT_TRUE(found) << group.path;
    EXPECT_EQ(found->name, group.name);
    ASSERT_EQ(found->variables.size(), group.variables.size()) << group.path;
    for (std::size_t i = 0; i < group.variables.size(); ++i) EXPECT_TRUE(found->variables[i].identical(group.variables[i])) << group.path;
  }
}

// Every object that Keras notes, by its name, also those without weights.
TEST_P(KerasArchives, NameTheObjectsOfKeras) {
  if (GetParam() == "attn") GTEST_SKIP() << "skipped: Keras notes the names of two objects without weights";
  const TemporaryFolder folder;
  Model model = load_model(golden(".keras"), {.compile = false});
  model.save_weights(folder / "w.weights.h5");
  WeightTree without_optimizer = read_keras_weights(golden(".weights.h5"));
  std::erase_if(without_optimizer.groups, [](const WeightGroup& group) { return group.path == "optimizer"; });
  WeightTree ours = read_keras_weights(folder / "w.weights.h5");
  ASSERT_EQ(ours.groups.size(), without_optimizer.groups.size());
  for (std::size_t i = 0; i < ours.groups.size(); ++i) {
    EXPECT_EQ(ours.groups[i].path, without_optimizer.groups[i].path);
    EXPECT_EQ(ours.groups[i].name, without_optimizer.groups[i].name);
  }
}

// What stands around the layers' own configs in config.json.
void expect_same_frame(const Tree& got, const Tree& wanted, const std::string& place) {
  for (const std::string_view key : {"module", "class_name", "registered_name"}) EXPECT_EQ(got[key], wanted[key]) << place << " " << key;
  if (const Tree* build = wanted.find("build_config"); build && wanted["class_name"] != Tree("Flatten")) {
    ASSERT_TRUE(got.find("build_config")) << place;
    EXPECT_EQ(write_json(got["build_config"]), write_json(*build)) << place;
  }
  const Tree* layers = wanted["config"].find("layers");
  if (!layers) return;
  ASSERT_EQ(got["config"]["layers"].items().size(), layers->items().size());
  for (std::size_t i = 0; i < layers->items().size(); ++i)
    expect_same_frame(got["config"]["layers"].items()[i], layers->items()[i], place + "/" + layers->items()[i]["config"]["name"].as_string());
}

TEST_P(KerasArchives, HaveTheConfigOfKeras) {
  const Tree wanted = parse_json(ZipReader(golden(".keras")).read("config.json"));
  const Model model = load_model(golden(".keras"));
  const Tree got = archive_config(model.trainer());
  expect_same_frame(got, wanted, "");
  EXPECT_EQ(got["compile_config"]["optimizer"]["class_name"], wanted["compile_config"]["optimizer"]["class_name"]);
  EXPECT_EQ(write_json(got["compile_config"]["metrics"]), write_json(wanted["compile_config"]["metrics"]));
}

}  // namespace
}  // namespace nacre::test
