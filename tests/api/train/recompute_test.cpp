// train.recompute: the same training in less memory.
#include "api/experiment/experiment.h"
#include "formats/yaml.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

// Blocks of convolutions with normalisation, dropout and a sum, deep enough to be cut.
Model residual(bool recompute, std::string_view device) {
  Symbol x = Input({12, 12, 8});
  const Symbol input = x;
  for (int block = 0; block < 6; ++block) {
    const Symbol before = x;
    x = Conv2D({.filters = 8, .kernel_size = 3, .padding = ConvPadding::same, .use_bias = false})(x);
    x = BatchNormalization()(x);
    x = ReLU()(x);
    x = Conv2D({.filters = 8, .kernel_size = 3, .padding = ConvPadding::same})(x);
    x = Dropout({.rate = 0.25})(x);
    x = Add()(Symbols{x, before});
  }
  Model model({input}, {Dense({.units = 3, .activation = "softmax"})(GlobalAveragePooling2D()(x))});
  model.set_device(device);
  model.initialize(3);
  model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}, .recompute = recompute});
  return model;
}

Batch pictures(std::int64_t count) {
  RandomStream random(RandomKey::of(5, "pictures"));
  Tensor x(DType::float32, {count, 12, 12, 8}), y(DType::int32, {count});
  for (float& value : x.writable<float>()) value = static_cast<float>(random.normal());
  for (std::int32_t& value : y.writable<std::int32_t>()) value = static_cast<std::int32_t>(random.below(3));
  return {.inputs = {x}, .targets = {y}, .weights = {}, .size = count};
}

class Recompute : public testing::TestWithParam<std::string_view> {};

TEST_P(Recompute, TrainsTheSameInLessMemory) {
  Model plain = residual(false, GetParam()), again = residual(true, GetParam());
  const Batch batch = pictures(8);
  const std::size_t kept = plain.trainer().training_step(batch).device()->statistics().arena_bytes,
                    repeated = again.trainer().training_step(batch).device()->statistics().arena_bytes;
  EXPECT_LT(static_cast<double>(repeated), 0.75 * static_cast<double>(kept));
  for (int step = 0; step < 3; ++step) {
    const Logs want = plain.train_on_batch(batch), got = again.train_on_batch(batch);
    EXPECT_NEAR(number(got, "loss"), number(want, "loss"), 1e-5);
  }
  const std::vector<Tensor> want = values(plain), got = values(again);  // moving statistics among them
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) expect_near(got[i], want[i], 2e-5, 1e-4);
}

TEST_P(Recompute, CompilingAgainTurnsItOff) {
  Model model = residual(true, GetParam());
  const Batch batch = pictures(4);
  const std::size_t repeated = model.trainer().training_step(batch).device()->statistics().arena_bytes;
  CompileOptions options = *model.trainer().options();
  options.recompute = false;
  model.compile(options);
  EXPECT_GT(model.trainer().training_step(batch).device()->statistics().arena_bytes, repeated);
}

INSTANTIATE_TEST_SUITE_P(Devices, Recompute, testing::Values("cpu", "reference"), [](const auto& row) { return std::string(row.param); });

}  // namespace
}  // namespace nacre::test
