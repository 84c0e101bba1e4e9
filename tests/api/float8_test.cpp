// Models under float8 policies: what Keras makes of the same steps (tests/golden/make_float8.py), files, other
// policies.
#include "api/dtype_policy.h"
#include "api/keras/tree.h"
#include "api/model_file.h"
#include "api/train/optimizers.h"
#include "backend/executable.h"
#include "formats/file.h"
#include "formats/hdf5.h"
#include "formats/yaml.h"
#include "tests/api/models.h"
#include "tests/support/emulated_gpu.h"
#include "tests/support/tensors.h"

namespace nacre::test {
namespace {

namespace fs = std::filesystem;

fs::path golden(std::string_view name) { return fs::path(NACRE_SOURCE_DIR) / "tests/golden/quantized" / name; }
hdf5::File expected() { return hdf5::File::open(golden("float8_training.io.h5")); }
Model trained_by_keras() {
  register_models();
  std::vector<std::string> notes;
  Model model = load_model(golden("float8_training.keras"), {.notes = &notes});
  EXPECT_TRUE(notes.empty()) << testing::PrintToString(notes);
  return model;
}
Tensor batch_of(const Tensor& all, std::int64_t index) {
  return all.rows(index, index + 1).reshaped(all.shape().from(1));
}

struct Case {
  const char* name;
  const char* optimizer;
};
class Float8Training : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(
    Optimizers, Float8Training,
    testing::Values(Case{"sgd", "SGD: {learning_rate: 0.05}"},
                    Case{"adam",
                         "Adam: {learning_rate: 0.01, global_clipnorm: 1.0, weight_decay: 0.01, use_ema: true, "
                         "ema_momentum: 0.9}"},
                    Case{"accumulated", "SGD: {learning_rate: 0.05, momentum: 0.9, gradient_accumulation_steps: 2}"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST_P(Float8Training, MakesTheStepsOfKeras) {
  const hdf5::File file = expected();
  const auto wanted = file.root().group(GetParam().name);
  const Tensor inputs = file.root().tensor("inputs"), targets = file.root().tensor("targets");
  for (const char* device : {"cpu", "reference"}) {
    SCOPED_TRACE(device);
    Model model = trained_by_keras();
    model.set_device(device);
    model.compile({.optimizer = read_object<Optimizer>(parse_yaml(GetParam().optimizer)), .loss = "mse"});
    const std::vector<double> losses = wanted.tensor("losses").to_doubles();
    for (std::int64_t step = 0; step < inputs.shape()[0]; ++step) {
      model.trainer().reset_metrics();
      const Logs logs = model.train_on_batch(
          {.inputs = {batch_of(inputs, step)}, .targets = {batch_of(targets, step)}, .weights = {}, .size = 8});
      EXPECT_NEAR(*logs.find("loss"), losses[static_cast<std::size_t>(step)], 1e-4) << "step " << step;
    }
    const auto weights = model.weights();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const Tensor of_keras = wanted.group("weights").tensor(fmt::format("{:02}", i));
      EXPECT_TRUE(close(weights[i].variable->value(), of_keras, 2e-4)) << weights[i].variable->path();
    }
    const std::vector<Tensor> predicted = model.predict(array_dataset({.inputs = {batch_of(inputs, 0)}}));
    EXPECT_TRUE(close(predicted[0], wanted.tensor("predicted"), 1e-3));
  }
}

TEST(Float8, PredictsWhatKerasPredicts) {
  register_models();
  const hdf5::File io = hdf5::File::open(golden("float8.io.h5"));
  const auto first = [&](const char* name) {
    return io.root().tensor(fmt::format("{}/{}", name, io.root().group(name).names()[0]));
  };
  std::vector<std::string> notes;
  Model model = load_model(golden("float8.keras"), {.notes = &notes});
  EXPECT_TRUE(notes.empty()) << testing::PrintToString(notes);
  EXPECT_EQ(model.layers().back()->dtype().amax_history_length, 2);
  for (const char* device : {"cpu", "reference"}) {
    model.set_device(device);
    EXPECT_TRUE(close(model.predict(array_dataset({.inputs = {first("inputs")}}))[0], first("outputs"), 2e-5));
  }
}

// A network of sizes that a GPU multiplies in eight bits, and its training step on a backend.
struct Step {
  explicit Step(const Backend& backend) {
    const LayerOptions options{.dtype = {"float8_from_mixed_bfloat16"}};
    model =
        Sequential({Input({32}), Dense({.units = 48, .activation = "relu"}, options), Dense({.units = 16}, options)});
    model.initialize(1);
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.05}), .loss = "mse"});
    RandomStream random(RandomKey::of(3, "batch"));
    batch = {.inputs = {Tensor(DType::float32, {16, 32})},
             .targets = {Tensor(DType::float32, {16, 16})},
             .weights = {},
             .size = 16};
    for (Tensor* tensor : {&batch.inputs[0], &batch.targets[0]})
      for (float& value : tensor->writable<float>()) value = static_cast<float>(random.normal());
    Trainer& trainer = model.trainer();
    const Feed feed = trainer.training_feed(batch);
    step = std::make_unique<Executable>(
        *training_graph(model.graph(), trainer.objective(), trainer.optimizer(), trainer.random(), feed, backend),
        backend);
  }
  double run() { return step->run(std::vector{batch.inputs[0], batch.targets[0]}).back().item(); }

  Model model{Sequential({Input({1})})};
  Batch batch;
  std::unique_ptr<Executable> step;
};

TEST(Float8, AGpuMultipliesInEightBits) {
  if (!emulated_gpu_backend()) GTEST_SKIP() << "no compiler to emulate a GPU with";
  Step gpu(*emulated_gpu_backend()), reference(reference_backend());
  const std::string text = gpu.step->text();
  int products = 0;
  for (std::size_t at = 0; (at = text.find("float8_matmul(", at)) != std::string::npos; ++at) ++products;
  EXPECT_EQ(products, 5) << text;  // of the first layer y and the kernel's gradient, of the second x's as well
  EXPECT_EQ(gpu.step->statistics().borrowed, 0) << text;
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(gpu.run(), reference.run(), 2e-2) << "step " << i;
  const std::vector<Tensor> got = values(gpu.model), want = values(reference.model);
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(close(got[i], want[i], 2e-2)) << i;
}

TEST(Float8, FilesKeepTheScales) {
  Model model = trained_by_keras();
  const hdf5::File file = expected();
  model.compile({.optimizer = "sgd", .loss = "mse"});
  model.train_on_batch({.inputs = {batch_of(file.root().tensor("inputs"), 0)},
                        .targets = {batch_of(file.root().tensor("targets"), 0)},
                        .weights = {},
                        .size = 8});
  const TemporaryFolder folder;
  for (const char* name : {"again.keras", "again.h5"}) {
    SCOPED_TRACE(name);
    model.save(folder / name);
    std::vector<std::string> notes;
    const Model again = load_model(folder / name, {.notes = &notes});
    EXPECT_TRUE(notes.empty()) << testing::PrintToString(notes);
    for (std::size_t i = 0; i < model.layers().size(); ++i)
      EXPECT_EQ(again.layers()[i]->dtype(), model.layers()[i]->dtype());
    const std::vector<Tensor> got = values(again), want = values(model);
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i].identical(want[i])) << i;
  }
  model.save_weights(folder / "alone.weights.h5");
  Model other = trained_by_keras();
  other.load_weights(folder / "alone.weights.h5");
  const std::vector<Tensor> got = values(other), want = values(model);
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i].identical(want[i])) << i;
}

TEST(Float8, ProjectionsOfAttentionKeepTheirScales) {
  const Symbol x = Input({4, 8}, "x");
  const Symbol y = MultiHeadAttention({.num_heads = 2, .key_dim = 4}, {.name = "heads"})(Symbols{x, x});
  Model plain({x}, {Dense({.units = 3})(y)});
  plain.initialize(1);
  plain.compile({.optimizer = "sgd", .loss = "mse"});
  const Model model = with_dtype(plain, {"float8_from_float32"});
  EXPECT_EQ(model.weights().size(), plain.weights().size() + 5 * 6);
  RandomStream random(RandomKey::of(1, "projections"));
  Batch batch{.inputs = {Tensor(DType::float32, {2, 4, 8})},
              .targets = {Tensor(DType::float32, {2, 4, 3})},
              .weights = {},
              .size = 2};
  for (float& value : batch.inputs[0].writable<float>()) value = static_cast<float>(random.normal());
  model.trainer().train_on_batch(batch);
  const TemporaryFolder folder;
  for (const char* name : {"heads.keras", "heads.h5"}) {
    model.save(folder / name);
    std::vector<std::string> notes;
    const std::vector<Tensor> got = values(load_model(folder / name, {.notes = &notes})), want = values(model);
    EXPECT_TRUE(notes.empty()) << testing::PrintToString(notes);
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i].identical(want[i])) << name << " " << i;
  }
}

TEST(Float8, AModelTakesThePolicyWhereItMultiplies) {
  Model model(Sequential({Input({6, 6, 1}), Conv2D({.filters = 2, .kernel_size = 3}), Flatten(), Dense({.units = 3})}));
  model.initialize(1);
  const Model short_one = with_dtype(model, {"float8_from_mixed_bfloat16"});
  for (const auto& layer : short_one.layers())
    EXPECT_EQ(layer->dtype().is_float8(), layer->class_name() == "Dense") << layer->label();
  EXPECT_EQ(short_one.layers().back()->dtype().name, "float8_from_mixed_bfloat16");
  EXPECT_EQ(short_one.weights().size(), model.weights().size() + 6);
  const Model back = with_dtype(short_one, {"float32"});
  const std::vector<Tensor> got = values(back), want = values(model);
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i].identical(want[i])) << i;
}

TEST(Float8, PoliciesAreSpelledAsInKeras) {
  const auto read = [](const char* text) {
    DTypePolicy policy;
    FieldKind<DTypePolicy>::read(parse_yaml(text), policy);
    return policy;
  };
  EXPECT_EQ(read("float8_from_float16").compute(), DType::float16);
  EXPECT_EQ(read("float8_from_mixed_float16").variable(), DType::float32);
  EXPECT_FALSE(read("mixed_float16").is_float8());
  const DTypePolicy own = read(
      "{class_name: QuantizedFloat8DTypePolicy, config: {mode: float8, source_name: bfloat16, amax_history_length: "
      "7}}");
  EXPECT_EQ(own.name, "float8_from_bfloat16");
  EXPECT_EQ(own.amax_history_length, 7);
  for (const Style style : {Style::keras, Style::yaml}) {
    DTypePolicy again;
    FieldKind<DTypePolicy>::read(FieldKind<DTypePolicy>::write(own, style), again);
    EXPECT_EQ(again, own);
  }
  EXPECT_EQ(FieldKind<DTypePolicy>::write({"float8_from_float32"}, Style::yaml), Tree("float8_from_float32"));
  for (const char* wrong :
       {"float8_from_int32", "float8", "{config: {mode: float8, source_name: float32, amax_history_length: 0}}",
        "{config: {mode: float8, source_name: float32, amax_history_length: 99999999999}}",
        "{config: {mode: float8, source_name: 3}}", "{config: {mode: int8, source_name: float32}}"})
    EXPECT_THROW(read(wrong), Error) << wrong;
}

}  // namespace
}  // namespace nacre::test
