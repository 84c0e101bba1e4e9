// The precision of a model's products, and its dtype policy, as training sets them.
#include "api/dtype_policy.h"
#include "api/experiment/experiment.h"
#include "formats/yaml.h"
#include "tests/api/models.h"

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
  wide_model(", matmul_precision: medium, recompute: true").save(folder / "m.keras");
  const Model loaded = load_model(folder / "m.keras");
  EXPECT_EQ(loaded.trainer().options()->matmul_precision, MatmulPrecision::highest);
  EXPECT_FALSE(loaded.trainer().options()->recompute);
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
