// Small models and data that tests of the api share.
#pragma once

#include <gtest/gtest.h>

#include <cmath>

#include "api/nacre.h"
#include "tests/support/paths.h"

namespace nacre::test {

// A table of random features, and what a test derives from them.
struct Blobs {
  Tensor features, labels, one_hot;
};

// Points around as many centres as there are classes: a small network separates them within a few epochs.
inline Blobs blobs(std::int64_t count, std::int64_t classes = 3, std::int64_t width = 4, std::uint64_t seed = 1) {
  RandomStream random(RandomKey::of(seed, "blobs"));
  Blobs data{Tensor(DType::float32, {count, width}), Tensor(DType::int32, {count}), Tensor(DType::float32, {count, classes})};
  for (std::int64_t i = 0; i < count; ++i) {
    const auto label = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(classes)));
    data.labels.writable<std::int32_t>()[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(label);
    data.one_hot.writable<float>()[static_cast<std::size_t>(i * classes + label)] = 1;
    for (std::int64_t k = 0; k < width; ++k)
      data.features.writable<float>()[static_cast<std::size_t>(i * width + k)] =
          static_cast<float>(2 * std::cos(1.7 * static_cast<double>(label * width + k)) + 0.5 * random.normal());
  }
  return data;
}

inline DatasetRef labelled(const Blobs& data) { return array_dataset({.inputs = {data.features}, .targets = {data.labels}}); }

inline Sequential classifier(std::int64_t classes = 3, double dropout = 0) {
  Sequential model({Input({4}), Dense({.units = 8, .activation = "relu"})}, {.name = "classifier"});
  if (dropout > 0) model.add(Dropout({.rate = dropout}));
  model.add(Dense({.units = classes, .activation = "softmax"}));
  return model;
}

inline std::vector<Tensor> values(const Model& model) {
  std::vector<Tensor> all;
  for (const Weight& weight : model.weights()) all.push_back(weight.variable->value());
  return all;
}

// NaN, which equals nothing, when there is no such number.
inline double number(const Logs& logs, std::string_view name) {
  const double* value = logs.find(name);
  return value ? *value : std::nan("");
}

inline void expect_identical(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(a[i].identical(b[i])) << "tensor " << i;
}

inline void expect_near(const Tensor& got, const Tensor& want, double absolute, double relative = 0) {
  ASSERT_EQ(got.shape(), want.shape());
  for (std::int64_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got.at(i), want.at(i), absolute + relative * std::abs(want.at(i))) << "element " << i;
}

// Test bodies that run on every backend: TEST_P(Suite, …) with a suite derived from this one, and
// INSTANTIATE_TEST_SUITE_P(Backends, Suite, every_backend, parameter_name).
class OnBackend : public testing::TestWithParam<std::string> {};
inline const auto every_backend = testing::Values("cpu", "reference");
inline std::string parameter_name(const testing::TestParamInfo<std::string>& info) { return info.param; }

}  // namespace nacre::test
