#include "api/data/augment.h"

#include <gtest/gtest.h>

#include "api/data/digits.h"
#include "api/data/loader.h"
#include "api/experiment/experiment.h"
#include "formats/yaml.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::message_of;

std::vector<Ref<Layer>> layers(const std::string& yaml) {
  std::vector<Ref<Layer>> list;
  FieldKind<std::vector<Ref<Layer>>>::read(parse_yaml(yaml), list);
  return list;
}

// The pictures of all batches of an epoch.
std::vector<Tensor> pictures(const DatasetRef& data, std::int64_t epoch, std::int64_t first = 0, int prefetch = 0) {
  Loader loader(data, {.batch_size = 8, .prefetch = prefetch});
  loader.start(epoch, first);
  std::vector<Tensor> all;
  while (const Batch* batch = loader.next()) all.push_back(batch->inputs[0].cast(DType::float64));
  return all;
}

TEST(Augmented, ChangesPicturesAnewInEachBatchAndEpoch) {
  const DatasetRef raw = digits(20, 1),
                   data = augmented(raw, layers("[{RandomRotation: {factor: 0.1}}, RandomInvert]"), 7);
  EXPECT_EQ(data->inputs()[0].type, (Type{DType::float32, {28, 28, 1}}));
  EXPECT_EQ(data->targets()[0].type, raw->targets()[0].type);
  const std::vector<Tensor> plain = pictures(raw, 0), first = pictures(data, 0), second = pictures(data, 1);
  ASSERT_EQ(first.size(), 3U);  // 8, 8, 4
  EXPECT_EQ(first[2].shape(), (Shape{4, 28, 28, 1}));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_FALSE(first[i].identical(plain[i]));
    EXPECT_FALSE(first[i].identical(second[i]));
  }
}

TEST(Augmented, IsAFunctionOfSeedAndStepSoThatRunsResume) {
  const DatasetRef raw = digits(20, 1);
  const auto data = [&](std::uint64_t seed) {
    return augmented(raw, layers("[RandomFlip, {RandomZoom: {height_factor: 0.2}}]"), seed);
  };
  const std::vector<Tensor> whole = pictures(data(7), 3), rest = pictures(data(7), 3, 1),
                            ahead = pictures(data(7), 3, 0, 2);
  ASSERT_EQ(rest.size(), 2U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(ahead[i].identical(whole[i]));
  for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(rest[i].identical(whole[i + 1]));
  EXPECT_FALSE(pictures(data(8), 3)[0].identical(whole[0]));
}

TEST(Augmented, MixesTargetsThatAreVectors) {
  const DatasetRef data = augmented(one_hot(digits(16, 1), 10), layers("[RandomFlip, {MixUp: {alpha: 1.0}}]"), 1);
  EXPECT_EQ(data->targets()[0].type, (Type{DType::float32, {10}}));
  Batch batch;
  batch.step = 5;
  const std::int64_t indices[] = {0, 1, 2, 3, 4, 5, 6, 7};
  data->read(indices, batch);
  int mixed = 0;
  for (int i = 0; i < 8; ++i) {
    double sum = 0, largest = 0;
    for (int k = 0; k < 10; ++k)
      sum += batch.targets[0].at(10 * i + k), largest = std::max(largest, batch.targets[0].at(10 * i + k));
    EXPECT_NEAR(sum, 1, 1e-5);
    mixed += largest < 0.99;
  }
  EXPECT_GT(mixed, 2);
}

TEST(OneHot, SaysWhichNumbersDoNotFit) {
  const DatasetRef data = one_hot(digits(30, 1), 10), small = one_hot(digits(30, 1), 3);
  Batch batch;
  const std::int64_t indices[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  data->read(indices, batch);
  EXPECT_EQ(batch.targets[0].type(), (Type{DType::float32, {12, 10}}));
  EXPECT_TRUE(message_of([&] { small->read(indices, batch); }).ends_with("wanted 0 … 2"));
}

TEST(Augmented, RefusesWhatDoesNotFit) {
  const DatasetRef raw = digits(8, 1);
  EXPECT_EQ(message_of([&] { augmented(raw, layers("[{RandomCrop: {height: 20, width: 20}}]"), 1); }),
            "the layers make (20, 20, 1) of pictures (28, 28, 1), wanted the same shape\n"
            "  hint: put layers that change sizes into the model");
  EXPECT_EQ(message_of([&] { augmented(raw, layers("[CutMix]"), 1); }),
            "layers that mix samples want one target, a vector for each sample\n"
            "  hint: data: {one_hot: auto} makes vectors of class numbers; the loss is then categorical_crossentropy");
  const DatasetRef table = array_dataset({.inputs = {Tensor(Type{DType::float32, {4, 3}})}});
  EXPECT_EQ(message_of([&] { augmented(table, layers("[RandomFlip]"), 1); }),
            "samples have inputs of shape (3,), wanted one input, a picture (height, width, channels)");
}

TEST(Experiment, AugmentsTrainingDataAloneAndBeforeItIsNormalised) {
  const Experiment experiment(parse_config(R"(
model: {sequential: [{Flatten: {}}]}
data:
  train: {digits: {count: 8}}
  validation: {digits: {count: 8}}
  normalize: {divide: 255}
  one_hot: auto
  augment: [{RandomInvert: {factor: [1.0, 1.0]}}, {CutMix: {}}]
)",
                                           "test", "."));
  const auto mean = [](const DatasetRef& data) {
    const Tensor batch = pictures(data, 0)[0];
    double sum = 0;
    for (std::int64_t i = 0; i < batch.size(); ++i) sum += batch.at(i);
    return sum / static_cast<double>(batch.size());
  };
  const OpenedData data = experiment.open_data();
  EXPECT_LT(mean(data.validation), 0.4);                          // white strokes on black
  EXPECT_NEAR(mean(data.train), 1 - mean(data.validation), 0.1);  // and inverted
  EXPECT_EQ(data.validation->targets()[0].type, (Type{DType::float32, {10}}));
  const Experiment unchecked(
      parse_config("model: {sequential: [{Flatten: {}}]}\ndata: {train: {digits: {count: 8}}, augment: [RandomInvert]}",
                   "test", "."));
  EXPECT_EQ(unchecked.open_evaluation_data({})->inputs()[0].type.dtype, DType::uint8);  // as it is
}

}  // namespace
}  // namespace nacre
