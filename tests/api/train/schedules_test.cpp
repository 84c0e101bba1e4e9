// Schedules beyond the golden vectors; expected rates are those of Keras 3.15.
#include "api/train/schedules.h"

#include <gtest/gtest.h>

#include "formats/json.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

TEST(Schedules, ComputeWhatKerasComputes) {
  struct Expected {
    const char* config;
    std::vector<double> rates;  // of steps 0, 1, 5, 10, 11, 25, 40
  };
  const Expected cases[] = {
      {R"({"ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}})",
       {0.1, 0.0933033, 0.0707107, 0.05, 0.0466517, 0.0176777, 0.00625}},
      {R"({"InverseTimeDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5, "staircase": true}})",
       {0.1, 0.1, 0.1, 0.0666667, 0.0666667, 0.05, 0.0333333}},
      {R"({"PolynomialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "end_learning_rate": 0.01, "power": 2.0, "cycle": true}})",
       {0.1, 0.0829, 0.0325, 0.01, 0.028225, 0.0125, 0.01}},
      {R"({"PiecewiseConstantDecay": {"boundaries": [5, 10], "values": [0.1, 0.05, 0.01]}})",
       {0.1, 0.1, 0.1, 0.05, 0.01, 0.01, 0.01}},
      {R"({"CosineDecay": {"initial_learning_rate": 0.1, "decay_steps": 20, "alpha": 0.1}})",
       {0.1, 0.099446, 0.0868198, 0.055, 0.0479604, 0.01, 0.01}},
      {R"({"CosineDecay": {"initial_learning_rate": 0.0, "decay_steps": 20, "warmup_target": 0.1, "warmup_steps": 5}})",
       {0.0, 0.02, 0.1, 0.0853553, 0.0793893, 0.0, 0.0}},
      {R"({"CosineDecayRestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 7, "t_mul": 1.0, "m_mul": 0.5}})",
       {0.1, 0.0950484, 0.0188255, 0.030563, 0.019437, 0.0048592, 0.0005883}},
      {R"({"CosineDecayRestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 5, "m_mul": 0.8, "alpha": 0.1}})",
       {0.1, 0.0914058, 0.082, 0.046, 0.0348754, 0.0388, 0.0543262}},
  };
  const std::int64_t steps[] = {0, 1, 5, 10, 11, 25, 40};
  for (const Expected& expected : cases) {
    const auto schedule = read_object<LearningRateSchedule>(parse_json(expected.config));
    for (std::size_t i = 0; i < std::size(steps); ++i)
      EXPECT_NEAR(schedule->at(steps[i]), expected.rates[i], 1e-6) << expected.config << " step " << steps[i];
  }
}

TEST(Schedules, SayWhatIsWrong) {
  const auto message = [](const char* text) {
    return test::message_of([&] { read_object<LearningRateSchedule>(parse_json(text, "s.json")); });
  };
  EXPECT_EQ(message(R"({"PiecewiseConstantDecay": {"boundaries": [1, 2], "values": [1]}})"),
            "s.json:1:2: 2 boundaries want 3 values, got 1");
  EXPECT_EQ(message(R"({"PiecewiseConstantDecay": {"boundaries": [2, 1], "values": [1, 2, 3]}})"),
            "s.json:1:2: the boundaries must grow");
  EXPECT_EQ(message(R"({"CosineDecay": {"decay_steps": 3}})"),
            "s.json:1:17: the key 'initial_learning_rate' is missing (rate of the first step)");
  EXPECT_EQ(message(R"({"CosineDecay": {"initial_learning_rate": 0.1, "decay_steps": 0}})"),
            "s.json:1:63: 'decay_steps': got 0, wanted at least 1");
}

}  // namespace
}  // namespace nacre
