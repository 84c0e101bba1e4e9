// The precision of a model's products, whether its sums have an order, and its dtype policy, as training sets them.
#include "api/dtype_policy.h"
#include "api/experiment/experiment.h"
#include "backend/cudnn/backend.h"
#include "formats/yaml.h"
#include "tests/api/models.h"
#include "tests/support/emulated_gpu.h"

namespace nacre::test {
namespace {

constexpr std::string_view wide = R"(
model:
  sequential:
    - Input: {shape: [64]}
    - Dense: {units: 256, activation: relu}
    - Dense: {units: 256, activation: relu}
    - Dense: {units: 8}
train: {optimizer: sgd, loss: mse%}
)";

Model wide_model(const std::string& words) {
  std::string text(wide);
  text.replace(text.find('%'), 1, words);
  return configured_model(Experiment(parse_config(text, "wide.yaml", ".")));
}

Batch batch_of(std::int64_t count) {
  RandomStream random(RandomKey::of(2, "batch"));
  Tensor x(DType::float32, {count, 64}), y(DType::float32, {count, 8});
  for (Tensor* tensor : {&x, &y})
    for (float& value : tensor->writable<float>()) value = static_cast<float>(random.normal());
  return {.inputs = {x}, .targets = {y}, .weights = {}, .size = count};
}

// The weights after some steps.
std::vector<Tensor> trained(Model model) {
  model.initialize(1);
  for (int step = 0; step < 3; ++step) model.train_on_batch(batch_of(512));
  return values(model);
}

TEST(MatmulPrecision, TrainsNearlyTheSame) {
  const std::vector<Tensor> plain = trained(wide_model("")), medium = trained(wide_model(", matmul_precision: medium"));
  expect_identical(trained(wide_model(", matmul_precision: highest")), plain);
  bool differs = false;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    expect_near(medium[i], plain[i], 2e-3);
    differs = differs || !medium[i].identical(plain[i]);
    EXPECT_EQ(medium[i].dtype(), DType::float32);
  }
  EXPECT_EQ(differs, backends().front()->has_instructions(DType::bfloat16));
}

TEST(MatmulPrecision, GraphsAreMadeAnewWhenItChanges) {
  Model model = wide_model("");
  model.initialize(1);
  const Batch batch = batch_of(512);
  const Tensor exact = model.predict_on_batch(batch)[0];
  model.set_matmul_precision(MatmulPrecision::medium);
  const Tensor rounded = model.predict_on_batch(batch)[0];
  expect_near(rounded, exact, 2e-2);
  EXPECT_EQ(rounded.identical(exact), !backends().front()->has_instructions(DType::bfloat16));
  model.set_matmul_precision(MatmulPrecision::highest);
  EXPECT_TRUE(model.predict_on_batch(batch)[0].identical(exact));
}

TEST(MatmulPrecision, IsNoPartOfKerasFiles) {
  const TemporaryFolder folder;
  wide_model(", matmul_precision: medium, deterministic: false, recompute: true").save(folder / "m.keras");
  const Model loaded = load_model(folder / "m.keras");
  EXPECT_EQ(loaded.trainer().options()->matmul_precision, MatmulPrecision::highest);
  EXPECT_TRUE(loaded.trainer().options()->deterministic);
  EXPECT_FALSE(loaded.trainer().options()->recompute);
}

TEST(Deterministic, IsReadWrittenAndSet) {
  const Experiment experiment(parse_config(std::string(wide).replace(wide.find('%'), 1, ", deterministic: false"), "w.yaml", "."));
  EXPECT_EQ(experiment.render()["train"]["deterministic"], Tree(false));
  Model model = configured_model(experiment);
  EXPECT_FALSE(model.trainer().steps().options().numerics.deterministic);
  model.set_deterministic(true);
  EXPECT_TRUE(model.trainer().steps().options().numerics.deterministic);
  EXPECT_TRUE(wide_model("").trainer().steps().options().numerics.deterministic);
}

// Prediction, and a training step that holds a loop over a convolution.
TEST(Deterministic, ReachesTheLibrarysEngines) {
  const std::shared_ptr<EmulatedDevice> device = emulated_gpu();
  if (!device) GTEST_SKIP() << "no compiler to emulate a GPU with";
  const std::unique_ptr<Backend> backend = gpu::backend_on(device);
  const Model model = configured_model(Experiment(parse_config(R"(
model:
  sequential:
    - Input: {shape: [3, 6, 6, 1]}
    - ConvLSTM2D: {filters: 2, kernel_size: 3}
    - Conv2D: {filters: 2, kernel_size: 3}
    - Flatten
    - Dense: {units: 1}
train: {optimizer: sgd, loss: mse}
)", "small.yaml", ".")));
  model.trainer().initialize(1);
  const Feed feed{.inputs = {Tensor(DType::float32, {2, 3, 6, 6, 1})}, .targets = {Tensor(DType::float32, {2, 1})}, .weights = {}, .size = 2, .hosted = {}};
  model.trainer().train_on_batch({.inputs = feed.inputs, .targets = feed.targets, .weights = {}, .size = 2});
  const auto made = [&](bool deterministic) {
    const std::int64_t before = device->counts().in_any_order;
    Steps steps(std::static_pointer_cast<FunctionalLayer>(model.graph().shared_from_this()), model.trainer().random(), *backend);
    steps.set_options({.numerics = {.deterministic = deterministic}});
    steps.predict(feed);
    const std::int64_t predicting = device->counts().in_any_order - before;
    steps.train(model.trainer().objective(), model.trainer().optimizer(), feed);
    return std::pair(predicting, device->counts().in_any_order - before - predicting);
  };
  EXPECT_EQ(made(true), std::pair(std::int64_t{0}, std::int64_t{0}));
  const auto [predicting, training] = made(false);
  EXPECT_GE(predicting, 3);
  EXPECT_GE(training, 8);
}

TEST(TrainDtype, WeightsStayFloat32) {
  const Experiment experiment(parse_config(std::string(wide).replace(wide.find('%'), 1, ", dtype: mixed_float16"), "w.yaml", "."));
  const Model model = configured_model(experiment, "reference");
  EXPECT_EQ(dtype_policies(model), "mixed_float16");
  EXPECT_EQ(model.outputs()[0].type().dtype, DType::float16);
  for (const Weight& weight : model.weights()) EXPECT_EQ(weight.variable->type().dtype, DType::float32);
  EXPECT_EQ(model.trainer().backend().name(), "reference");
  EXPECT_EQ(experiment.render()["train"]["dtype"], Tree("mixed_float16"));
}

}  // namespace
}  // namespace nacre::test
