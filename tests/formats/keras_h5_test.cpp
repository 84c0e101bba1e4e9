#include "formats/keras_h5.h"

#include <gtest/gtest.h>

#include "formats/file.h"
#include "formats/hdf5.h"
#include "formats/json.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::message_of;
using test::shared_path;
using test::TemporaryFolder;

bool same(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const NamedTensor& x, const NamedTensor& y) { return x.name == y.name && x.tensor.identical(y.tensor); });
}

KerasFile small() {
  KerasFile file;
  file.model_config = parse_json(R"({"class_name": "Sequential", "config": {"name": "net", "scale": 0.1, "layers": []}})");
  file.layers = {{"second", {{"net/second/kernel", Tensor::of<float>({1, 2}, {1.0f, 2.0f})}, {"net/second/bias", Tensor::of<float>({2}, {0.5f, -1.0f})}}},
                 {"empty", {}},
                 {"first", {{"net/first/table", Tensor::of<std::int64_t>({1}, {7})}}}};
  return file;
}

// What Keras wrote is read and written again to the very same bytes.
TEST(KerasH5, WritesTheBytesThatKerasWrites) {
  for (const char* name : {"attn", "multi_io", "nested", "resid", "seq_cnn", "shared_tower", "text", "unet"}) {
    const std::string relative = fmt::format("goldens/models/{}.h5", name);
    const auto path = shared_path(relative);
    if (!path) GTEST_SKIP() << test::absent(relative);
    const TemporaryFolder folder;
    write_keras_h5(folder / "x.h5", read_keras_h5(*path));
    EXPECT_TRUE(read_file(folder / "x.h5") == read_file(*path)) << name;
  }
}

TEST(KerasH5, ReadsAWholeModelOfKeras) {
  const auto path = shared_path("goldens/models/seq_cnn.h5");
  if (!path) GTEST_SKIP() << test::absent("goldens/models/seq_cnn.h5");
  const KerasFile file = read_keras_h5(*path);
  EXPECT_EQ(file.model_config["class_name"].as_string(), "Sequential");
  EXPECT_EQ(file.training_config["loss"].as_string(), "mse");
  EXPECT_EQ(file.backend, "tensorflow");
  ASSERT_EQ(file.layers.size(), 7u);
  EXPECT_EQ(file.layers[0].layer, "conv2d");
  ASSERT_EQ(file.layers[0].weights.size(), 2u);
  EXPECT_EQ(file.layers[0].weights[0].name, "seq_cnn/conv2d/kernel");
  EXPECT_EQ(file.layers[0].weights[0].tensor.type().text(), "float32(3, 3, 3, 6)");
  EXPECT_TRUE(file.find("flatten")->weights.empty());
  EXPECT_EQ(file.find("none"), nullptr);
  EXPECT_EQ(file.optimizer_weights.at(1).name, "rm_sprop/learning_rate");
}

TEST(KerasH5, KeepsEverything) {
  const TemporaryFolder folder;
  KerasFile file = small();
  file.training_config = parse_json(R"({"loss": "mse", "optimizer_config": {"class_name": "Adam"}})");
  file.model_weights = {{"net/own", Tensor::scalar(3.0f)}};
  file.optimizer_weights = {{"adam/iteration", Tensor::scalar(std::int64_t{5})}, {"adam/second_kernel_momentum", Tensor(DType::float32, {1, 2})}};
  file.state = parse_json(R"({"epoch": 3, "best": Infinity})");
  file.state_tensors = {{"seeds", Tensor::of<std::int64_t>({2}, {1, 2})}};
  write_keras_h5(folder / "x.h5", file);
  const KerasFile got = read_keras_h5(folder / "x.h5");
  EXPECT_EQ(got.model_config, file.model_config);
  EXPECT_EQ(got.training_config, file.training_config);
  EXPECT_EQ(got.state, file.state);
  EXPECT_EQ(got.keras_version, "3.15.0");
  EXPECT_EQ(got.backend, "tensorflow");
  ASSERT_EQ(got.layers.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(got.layers[i].layer, file.layers[i].layer);
    EXPECT_TRUE(same(got.layers[i].weights, file.layers[i].weights));
  }
  EXPECT_TRUE(same(got.model_weights, file.model_weights));
  EXPECT_TRUE(same(got.optimizer_weights, file.optimizer_weights));
  EXPECT_TRUE(same(got.state_tensors, file.state_tensors));
}

TEST(KerasH5, KeepsWeightsAlone) {
  const TemporaryFolder folder;
  KerasFile file = small();
  file.model_config = {};
  write_keras_h5(folder / "x.h5", file);
  const auto root = hdf5::File::open(folder / "x.h5").root();
  EXPECT_FALSE(root.has("model_weights"));
  EXPECT_TRUE(root.has_dataset("second/net/second/kernel"));
  const KerasFile got = read_keras_h5(folder / "x.h5");
  EXPECT_TRUE(got.model_config.is_null());
  EXPECT_TRUE(same(got.layers[0].weights, file.layers[0].weights));
}

// More names than one attribute holds.
TEST(KerasH5, LayersMayBeCalledLikeGroupsOfTheFile) {
  const TemporaryFolder folder;
  for (const bool whole : {false, true})
    for (const char* name : {"model_weights", "optimizer_weights", "nacre"}) {
      KerasFile file = small();
      if (!whole) file.model_config = {};
      file.layers[0].layer = name;
      write_keras_h5(folder / "x.h5", file);
      const KerasFile found = read_keras_h5(folder / "x.h5");
      ASSERT_EQ(found.layers.size(), 3u) << name;
      EXPECT_TRUE(same(found.find(name)->weights, file.layers[0].weights)) << name;
    }
}

TEST(KerasH5, SpreadsLongLists) {
  const TemporaryFolder folder;
  KerasFile file = small();
  for (int i = 0; i < 300; ++i) file.layers.push_back({fmt::format("{}{}", std::string(500, 'x'), i), {}});
  write_keras_h5(folder / "x.h5", file);
  const auto weights = hdf5::File::open(folder / "x.h5").root().group("model_weights");
  EXPECT_FALSE(weights.has_attribute("layer_names"));
  EXPECT_EQ(weights.texts_attribute("layer_names0").size(), 101u);
  EXPECT_TRUE(weights.has_attribute("layer_names2"));
  const KerasFile got = read_keras_h5(folder / "x.h5");
  ASSERT_EQ(got.layers.size(), 303u);
  EXPECT_EQ(got.layers[302].layer, file.layers[302].layer);
  EXPECT_EQ(got.layers[0].layer, "second");
}

// Fixed-length names, colons, no versions: Keras 1 and 2 with h5py 2.
TEST(KerasH5, ReadsOldFiles) {
  const TemporaryFolder folder;
  hdf5::File output = hdf5::File::create(folder / "x.h5");
  auto root = output.root();
  root.set_attribute_padded("layer_names", {"dense_1", "flatten"});
  root.make_group("dense_1").set_attribute_padded("weight_names", {"dense_1/kernel:0", "dense_1/bias:0"});
  root.write("dense_1/dense_1/kernel:0", Tensor(DType::float32, {2, 3}));
  root.write("dense_1/dense_1/bias:0", Tensor(DType::float32, {3}));
  root.make_group("flatten").set_attribute_padded("weight_names", {});
  output.commit();
  const KerasFile file = read_keras_h5(folder / "x.h5");
  EXPECT_EQ(file.keras_version, "");
  ASSERT_EQ(file.layers.size(), 2u);
  EXPECT_EQ(file.layers[0].weights[0].name, "dense_1/kernel:0");
  EXPECT_EQ(file.layers[0].weights[0].tensor.shape(), (Shape{2, 3}));
}

TEST(KerasH5, ReadsLayersThatHaveNumbersForNames) {
  const TemporaryFolder folder;
  hdf5::File made = hdf5::File::create(folder / "old.h5");
  hdf5::Group root = made.root();
  root.set_attribute("nb_layers", Tensor::scalar<std::int64_t>(2));
  for (const auto& [layer, count] : {std::pair("layer_0", 0), std::pair("layer_1", 2)}) {
    hdf5::Group group = root.make_group(layer);
    group.set_attribute("nb_params", Tensor::scalar<std::int64_t>(count));
    for (int i = 0; i < count; ++i) group.write(fmt::format("param_{}", i), Tensor::of<float>({2}, {1.0f, static_cast<float>(i)}));
  }
  made.commit();
  const KerasFile file = read_keras_h5(folder / "old.h5");
  ASSERT_EQ(file.layers.size(), 2u);
  EXPECT_TRUE(file.layers[0].weights.empty());
  ASSERT_EQ(file.layers[1].weights.size(), 2u);
  EXPECT_EQ(file.layers[1].weights[1].tensor.at(1), 1);
  EXPECT_EQ(file.keras_version, "");
}

TEST(KerasH5, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.h5";
  const auto with = [&](auto&& fill) {
    hdf5::File output = hdf5::File::create(path);
    fill(output.root());
    output.commit();
    return message_of([&] { read_keras_h5(path); });
  };
  EXPECT_EQ(with([](hdf5::Group root) { root.make_group("x"); }), path + ": the file holds no Keras model: there are no 'layer_names'");
  EXPECT_EQ(with([](hdf5::Group root) { root.make_group("layers"); }),
            path + ": the file holds no Keras model: there are no 'layer_names'\n"
                   "  hint: these are weights in the layout of Keras 3 (.weights.h5), without a model");
  EXPECT_EQ(with([](hdf5::Group root) { root.set_attribute("layer_names", std::vector<std::string>{"dense"}); }),
            path + ": there is no group '/dense'");
  EXPECT_EQ(with([](hdf5::Group root) {
              root.set_attribute("layer_names", std::vector<std::string>{"dense"});
              root.make_group("dense").set_attribute("weight_names", std::vector<std::string>{"kernel"});
              root.write("dense/kernal", Tensor::scalar(1.0f));
            }),
            path + ": there is no dataset '/dense/kernel'\n  hint: did you mean 'kernal'?");
  EXPECT_EQ(with([](hdf5::Group root) {
              root.set_attribute("layer_names", Tensor(DType::float64, {0}));
              root.set_attribute("model_config", "{\"a\": }");
            }),
            path + "@model_config:1:7: not valid JSON: a value is wanted, got '}'\n  while reading the attribute 'model_config' of " + path);
  KerasFile lying = small();
  lying.layers[0].layer = "top_level_model_weights";
  EXPECT_EQ(message_of([&] { write_keras_h5(path, lying); }),
            "a layer has the name 'top_level_model_weights', under which the file keeps the model's own weights\n  hint: give the layer another name");
  lying.layers[0].layer = std::string(70'000, 'n');
  EXPECT_EQ(message_of([&] { write_keras_h5(path, lying); }), fmt::format("the name '{}…' is too long for HDF5", std::string(60, 'n')));
  KerasFile twice = small();
  twice.layers.push_back(twice.layers[0]);
  EXPECT_EQ(message_of([&] { write_keras_h5(path, twice); }), "two layers have the name 'second'\n  hint: give the layers distinct names");
  twice = small();
  twice.layers[0].weights.push_back(twice.layers[0].weights[0]);
  EXPECT_EQ(message_of([&] { write_keras_h5(path, twice); }),
            "two weights in '/model_weights/second' have the name 'net/second/kernel'\n  hint: give the layers distinct names");
}

}  // namespace
}  // namespace nacre
