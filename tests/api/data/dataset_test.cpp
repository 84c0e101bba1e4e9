#include "api/data/dataset.h"

#include <gtest/gtest.h>

#include <numeric>

#include "api/data/source.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::message_of;

DatasetRef numbers(std::int64_t count) {
  Tensor x(DType::float32, {count, 2}), y(DType::int32, {count});
  std::iota(x.writable<float>().begin(), x.writable<float>().end(), 0.0f);
  std::iota(y.writable<std::int32_t>().begin(), y.writable<std::int32_t>().end(), 0);
  return array_dataset({.inputs = {x}, .targets = {y}});
}

std::vector<double> inputs_of(const DatasetRef& data, std::vector<std::int64_t> indices) {
  Batch batch;
  data->read(indices, batch);
  return batch.inputs[0].to_doubles();
}

TEST(Dataset, ReadsRowsInAnyOrderAndWithoutTheOldOnes) {
  const DatasetRef data = numbers(4);
  Batch batch;
  data->read(std::vector<std::int64_t>{3, 1, 3}, batch);
  EXPECT_EQ(batch.size, 3);
  EXPECT_EQ(batch.inputs[0].to_doubles(), (std::vector<double>{6, 7, 2, 3, 6, 7}));
  EXPECT_EQ(batch.targets[0].to_doubles(), (std::vector<double>{3, 1, 3}));
  data->read(std::vector<std::int64_t>{0}, batch);
  EXPECT_EQ(batch.inputs[0].to_doubles(), (std::vector<double>{0, 1}));
}

TEST(Dataset, DoublesBecomeFloatsAsInKeras) {
  const DatasetRef data = array_dataset({.inputs = {Tensor(DType::float64, {2, 3})}, .targets = {Tensor(DType::float64, {2})}});
  EXPECT_EQ(data->inputs()[0].type, (Type{DType::float32, {3}}));
  EXPECT_EQ(data->targets()[0].type, (Type{DType::float32, {}}));
}

TEST(Dataset, ArraysOfDifferentLengthsAreRefused) {
  EXPECT_EQ(message_of([] { array_dataset({.inputs = {Tensor(DType::float32, {2, 3})}, .targets = {Tensor(DType::int32, {3})}}); }),
            "arrays of different lengths: 2 samples and 3");
  EXPECT_EQ(message_of([] { array_dataset({.inputs = {Tensor::scalar(1.0f)}}); }), "a data set cannot hold a single number");
}

TEST(Dataset, TheEndValidates) {
  const Split split = split_validation(numbers(10), 0.25);  // Keras: int(10 * (1 - 0.25)) = 7 train
  EXPECT_EQ(split.train->size(), 7);
  EXPECT_EQ(inputs_of(split.validation, {0, 2}), (std::vector<double>{14, 15, 18, 19}));
  EXPECT_EQ(message_of([] { split_validation(numbers(3), 0.99); }), "a validation split of 0.99 leaves nothing of 3 samples on one side");
}

TEST(Normalize, MeasuresTheTrainingData) {
  const Tensor x = Tensor::of<float>({4, 2}, {1, 5, 3, 5, 1, 5, 3, 5});  // a constant column becomes zeros
  const DatasetRef data = array_dataset({.inputs = {x}});
  const Preprocessing found = measured({.standard = true}, data);
  EXPECT_EQ(found.mean, (std::vector<double>{2, 5}));
  EXPECT_EQ(found.deviation, (std::vector<double>{1, 1}));
  const DatasetRef normal = preprocessed(data, found);
  EXPECT_EQ(inputs_of(normal, {0, 1}), (std::vector<double>{-1, 0, 1, 0}));
  EXPECT_EQ(normal->inputs()[0].preprocessing, found);
  EXPECT_EQ(preprocessed(normal, {.scale = 2, .floats = true}), normal);  // once is enough
}

TEST(Normalize, DividesOrTakesGivenNumbers) {
  const DatasetRef data = array_dataset({.inputs = {Tensor::of<std::uint8_t>({1, 2}, {64, 192})}});
  const auto normalized = [&](const NormalizeConfig& config) { return preprocessed(data, measured(config, nullptr)); };
  EXPECT_EQ(inputs_of(normalized({.divide = 128}), {0}), (std::vector<double>{0.5, 1.5}));
  EXPECT_EQ(inputs_of(normalized({.mean = {64}, .deviation = {1, 2}}), {0}), (std::vector<double>{0, 64}));
  EXPECT_EQ(normalized({.divide = 255})->inputs()[0].type.dtype, DType::float32);
  EXPECT_EQ(normalized({}), data);
}

TEST(Normalize, OneWayAtATime) {
  const DatasetRef data = numbers(4);
  const std::string message = "'normalize': wanted one of 'standard', 'divide', and 'mean' with 'deviation'";
  EXPECT_EQ(message_of([&] { measured({.divide = 2, .mean = {1}}, data); }), message);
  EXPECT_EQ(message_of([&] { measured({.standard = true, .divide = 2}, data); }), message);
  EXPECT_EQ(message_of([&] { measured({.standard = true}, nullptr); }),
            "'data.normalize.standard' measures training data, but 'data.train' is missing");
  EXPECT_EQ(message_of([&] { preprocessed(data, measured({.mean = {1, 2, 3}}, nullptr)); }),
            "3 numbers to preprocess inputs of 2 channels\n  hint: one number, or one for each element of the last axis");
}

}  // namespace
}  // namespace nacre
