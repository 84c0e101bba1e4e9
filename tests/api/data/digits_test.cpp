#include "api/data/digits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "api/nacre.h"

namespace nacre {
namespace {

Batch all_of(const DatasetRef& data) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(data->size()));
  std::iota(indices.begin(), indices.end(), 0);
  Batch batch;
  data->read(indices, batch);
  return batch;
}

std::vector<double> pixels(const DatasetRef& data, std::int64_t index) {
  Batch batch;
  data->read({&index, 1}, batch);
  return batch.inputs[0].to_doubles();
}

TEST(Digits, APictureIsAFunctionOfSeedAndPlaceAlone) {
  EXPECT_EQ(pixels(digits(5, 3), 4), pixels(digits(5000, 3), 4));
  EXPECT_NE(pixels(digits(5, 3), 4), pixels(digits(5, 4), 4));
}

TEST(Digits, EveryDigitIsDrawnAboutAsOften) {
  const Batch batch = all_of(digits(2000, 1));
  EXPECT_EQ(batch.inputs[0].type(), (Type{DType::uint8, {2000, 28, 28, 1}}));
  std::array<int, 10> counts{};
  for (std::int32_t label : batch.targets[0].data<std::int32_t>()) ++counts.at(static_cast<std::size_t>(label));
  EXPECT_GT(*std::min_element(counts.begin(), counts.end()), 150);
}

TEST(Digits, StrokesAreLightOnDarkGroundWithinThePicture) {
  const Batch batch = all_of(digits(200, 1));
  for (std::int64_t i = 0; i < 200; ++i) {
    int light = 0;
    for (std::uint8_t value : batch.inputs[0].data<std::uint8_t>().subspan(static_cast<std::size_t>(i) * 784, 784)) light += value > 100;
    EXPECT_GT(light, 20) << i;
    EXPECT_LT(light, 500) << i;
  }
}

// Hard enough to be worth a convolution: what a linear softmax reaches. Few samples keep it short.
TEST(Digits, ALinearSoftmaxIsNotEnough) {
  Sequential model({Input({28, 28, 1}), Rescaling({.scale = 1.0 / 255}), Flatten(), Dense({.units = 10, .activation = "softmax"})});
  model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  model.fit(digits(4000, 1), {.epochs = 8, .batch_size = 128});
  const Logs logs = model.evaluate(digits(1000, 2));
  EXPECT_LT(*logs.find("accuracy"), 0.93);
  EXPECT_GT(*logs.find("accuracy"), 0.5) << "it learns all the same";
}

}  // namespace
}  // namespace nacre
