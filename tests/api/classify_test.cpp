#include "api/classify.h"

#include <gtest/gtest.h>

#include "api/model_card.h"
#include "backend/core/error.h"

namespace nacre {
namespace {

const std::vector<std::string> animals{"cat", "dog", "fox"};

TEST(Classify, TheLikeliestFirst) {
  const auto answers = classify(animals, Tensor::of<float>({2, 3}, {0.2f, 0.5f, 0.3f, 0.9f, 0.05f, 0.05f}), 2);
  ASSERT_EQ(answers.size(), 2u);
  ASSERT_EQ(answers[0].size(), 2u);
  EXPECT_EQ(answers[0][0].label, "dog");
  EXPECT_FLOAT_EQ(answers[0][0].probability, 0.5f);
  EXPECT_EQ(answers[0][1].label, "fox");
  EXPECT_EQ(answers[1][1].label, "dog");  // equal ones in their order
}

TEST(Classify, LogitsBecomeProbabilities) {
  const auto answers = classify(animals, Tensor::of<float>({1, 3}, {0.f, std::log(3.f), -100.f}));
  EXPECT_EQ(answers[0][0].label, "dog");
  EXPECT_NEAR(answers[0][0].probability, 0.75, 1e-6);
  EXPECT_NEAR(answers[0][2].probability, 0, 1e-6);
}

TEST(Classify, ASampleWithoutAnswersLeavesTheOthersAlone) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto answers = classify(animals, Tensor::of<float>({2, 3}, {0.1f, 0.8f, 0.1f, nan, nan, nan}));
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_FLOAT_EQ(answers[0][0].probability, 0.8f);
  EXPECT_TRUE(answers[1].empty());
}

TEST(Classify, OneNumberForTwoClasses) {
  const std::vector<std::string> pair{"no", "yes"};
  EXPECT_EQ(classify(pair, Tensor::of<float>({1, 1}, {0.7f}))[0][0].label, "yes");
  EXPECT_EQ(classify(pair, Tensor::of<float>({1, 1}, {0.2f}))[0][0].label, "no");
  EXPECT_NEAR(classify(pair, Tensor::of<float>({1, 1}, {-std::log(3.f)}))[0][0].probability, 0.75, 1e-6);
}

TEST(Classify, AsManyClassesAsLabels) {
  EXPECT_FALSE(are_classes(animals, {2, 4}));
  EXPECT_FALSE(are_classes({}, {2, 0}));
  EXPECT_FALSE(are_classes(animals, {2, 3, 3}));
  EXPECT_THROW(classify(animals, Tensor(DType::float32, {1, 4})), Error);
}

TEST(Preprocessing, AsKerasDoesIt) {
  const Tensor picture = Tensor::of<std::uint8_t>({1, 2, 3}, {0, 100, 255, 50, 60, 70});
  const auto near = [](const Tensor& found, std::vector<double> wanted) {
    const std::vector<double> values = found.to_doubles();
    ASSERT_EQ(values.size(), wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(values[i], wanted[i], 1e-5);
  };
  near(preprocessed({.scale = 1 / 127.5, .mean = {1}}, picture),
       {-1, 100 / 127.5 - 1, 1, 50 / 127.5 - 1, 60 / 127.5 - 1, 70 / 127.5 - 1});
  near(preprocessed({.scale = 1 / 255.0, .mean = {0.485, 0.456, 0.406}, .deviation = {0.229, 0.224, 0.225}}, picture),
       {(0 - 0.485) / 0.229, (100 / 255.0 - 0.456) / 0.224, (1 - 0.406) / 0.225, (50 / 255.0 - 0.485) / 0.229,
        (60 / 255.0 - 0.456) / 0.224, (70 / 255.0 - 0.406) / 0.225});
  near(preprocessed({.mean = {103.939, 116.779, 123.68}, .channel_order = ChannelOrder::bgr}, picture),
       {255 - 103.939, 100 - 116.779, 0 - 123.68, 70 - 103.939, 60 - 116.779, 50 - 123.68});
  EXPECT_TRUE(preprocessed({}, picture).identical(picture));
  EXPECT_THROW(channel_scaling({.mean = {1, 2, 3}, .deviation = {1, 2}}, 3), Error);
  const Tensor numbers = Tensor::of<float>({1, 3}, {0.5, 1, 2});
  EXPECT_TRUE(preprocessed({.scale = 2}, numbers).identical(numbers));  // are what the network takes
  near(preprocessed({.scale = 2, .floats = true}, numbers), {1, 2, 4});
  EXPECT_THROW(preprocessed({.mean = {1, 2, 3}}, Tensor(DType::uint8, {2, 2, 1})), Error);
}

}  // namespace
}  // namespace nacre
