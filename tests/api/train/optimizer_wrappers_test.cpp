// Loss scaling and several optimizers. Expected weights are those of Keras 3.15.
#include "api/train/optimizer_wrappers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "api/nacre.h"
#include "backend/executable.h"
#include "formats/json.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using optimizers::LossScaleOptimizer;
using optimizers::MultiOptimizer;
using test::message_of;

struct Weights {
  VariableRef a = std::make_shared<Variable>("a", Type{DType::float32, {2, 2}}, true);
  VariableRef b = std::make_shared<Variable>("b", Type{DType::float32, {2}}, true);

  Weights() {
    a->assign(Tensor::of<float>({2, 2}, {0.5f, -1, 0.25f, 2}));
    b->assign(Tensor::of<float>({2}, {1, -0.5f}));
  }
};

// Four steps, of gradients times the scale of the loss; those of one step overflow.
void train(Optimizer& optimizer, const Weights& weights, const Backend& backend, int overflow = -1) {
  optimizer.build({weights.a, weights.b});
  Graph graph;
  const Value a = graph.input("a", weights.a->type()), b = graph.input("b", weights.b->type());
  const Value scale = optimizer.scale_loss(graph.scalar(1));
  const Optimizer::Gradient gradients[] = {{weights.a, a * scale}, {weights.b, b * scale}};
  optimizer.apply(graph, gradients);
  Executable executable(graph, backend);
  for (int t = 0; t < 4; ++t) {
    std::vector<float> da, db;
    for (int i = 0; i < 4; ++i) da.push_back(static_cast<float>(std::sin(1 + i + 2 * t)));
    for (int i = 0; i < 2; ++i) db.push_back(static_cast<float>(std::cos(i + t) * 2));
    if (t == overflow) db[1] = std::numeric_limits<float>::infinity();
    executable.run(std::vector{Tensor::of<float>({2, 2}, da), Tensor::of<float>({2}, db)});
  }
}

void expect_values(const Tensor& got, const std::vector<double>& want) {
  for (std::size_t i = 0; i < want.size(); ++i)
    EXPECT_NEAR(got.at(static_cast<std::int64_t>(i)), want[i], 2e-6) << "element " << i;
}

TEST(LossScale, LeavesOutStepsThatOverflow) {
  for (const Backend* backend : backends()) {
    SCOPED_TRACE(backend->name());
    const Weights weights;
    LossScaleOptimizer optimizer({.inner_optimizer = optimizers::SGD({.learning_rate = 0.1, .momentum = 0.9}),
                                  .initial_scale = 8,
                                  .dynamic_growth_steps = 2});
    train(optimizer, weights, *backend, 2);
    expect_values(weights.a->value(), {0.17944989, -1.2015630, 0.35274026, 2.3125846});
    expect_values(weights.b->value(), {0.45068365, -0.50397933});
    EXPECT_EQ(optimizer.iterations(), 3);
    EXPECT_EQ(optimizer.scale(), 8);  // doubled after two steps, halved by the overflow
  }
}

TEST(LossScale, AnOverflowAtTheStartHalvesTheScale) {
  const Weights weights;
  LossScaleOptimizer optimizer({.inner_optimizer = optimizers::Adam({.learning_rate = 0.1}),
                                .initial_scale = 4,
                                .dynamic_growth_steps = 1});
  train(optimizer, weights, reference_backend(), 0);
  expect_values(weights.a->value(), {0.46887907, -0.81761402, 0.35144380, 2.0399892});
  EXPECT_EQ(optimizer.scale(), 16);
}

TEST(LossScale, ConfigIsKeras) {
  LossScaleOptimizer optimizer({.inner_optimizer = optimizers::SGD({}, {.loss_scale_factor = 4})});
  const Tree config = optimizer.config_tree(Style::keras);
  EXPECT_EQ(config["name"], Tree("loss_scale_optimizer"));
  EXPECT_EQ(config["initial_scale"], Tree(32768.0));
  EXPECT_EQ(config["dynamic_growth_steps"], Tree(2000));
  EXPECT_EQ(config["inner_optimizer"]["class_name"], Tree("SGD"));
  EXPECT_TRUE(config["inner_optimizer"]["config"]["loss_scale_factor"].is_null());
  const auto again = read_object<Optimizer>(write_object<Optimizer>(optimizer, Style::keras));
  EXPECT_EQ(again->config_tree(Style::keras), config);
  std::string paths;
  for (const VariableRef& variable : again->variables()) paths += variable->path() + " ";
  EXPECT_EQ(paths, "loss_scale_optimizer/iteration loss_scale_optimizer/learning_rate loss_scale_optimizer/step_counter "
                   "loss_scale_optimizer/dynamic_scale sgd/iteration sgd/learning_rate ");
}

TEST(LossScale, ModelsInFloat16HaveIt) {
  const auto optimizer_of = [](std::string policy, bool scale) {
    Sequential model({Input({3}), Dense({.units = 2}, {.dtype = {std::move(policy)}})});
    model.compile({.optimizer = "sgd", .loss = "mse", .auto_scale_loss = scale});
    return std::string(model.trainer().optimizer().class_name());
  };
  EXPECT_EQ(optimizer_of("mixed_float16", true), "LossScaleOptimizer");
  EXPECT_EQ(optimizer_of("mixed_float16", false), "SGD");
  EXPECT_EQ(optimizer_of("mixed_bfloat16", true), "SGD");
}

TEST(MultiOptimizers, EachWeightHasItsOwn) {
  for (const Backend* backend : backends()) {
    SCOPED_TRACE(backend->name());
    const Weights weights;
    MultiOptimizer optimizer({.optimizer_map = {.default_optimizer = optimizers::SGD({.learning_rate = 0.1}),
                                                .optimizer_map = {{"a", optimizers::Adam({.learning_rate = 0.1})}}},
                              .loss_scale_factor = 2});
    train(optimizer, weights, *backend);
    expect_values(weights.a->value(), {0.30805027, -1.1213216, 0.20343962, 2.2004755});
    expect_values(weights.b->value(), {0.97316742, -0.19610387});
    EXPECT_EQ(optimizer.iterations(), 4);
    EXPECT_EQ(optimizer.learning_rates().size(), 2u);
    EXPECT_EQ(optimizer.learning_rates().front().first, "learning_rate_adam");
    EXPECT_FLOAT_EQ(static_cast<float>(optimizer.learning_rates().front().second), 0.1f);
  }
}

TEST(MultiOptimizers, ConfigIsKeras) {
  const Tree yaml = parse_json(
      R"({"MultiOptimizer": {"optimizer_map": {"default_optimizer": "SGD", "optimizer_map": {"encoder/.*": "Adam"}}}})");
  const auto optimizer = read_object<Optimizer>(yaml);
  EXPECT_EQ(write_object<Optimizer>(*optimizer, Style::yaml), yaml);
  const Tree keras = write_object<Optimizer>(*optimizer, Style::keras);
  const Tree& map = keras["config"]["optimizer_map"];
  EXPECT_EQ(map["class_name"], Tree("OptimizerMap"));
  EXPECT_EQ(map["config"]["optimizer_map"]["encoder/.*"]["class_name"], Tree("Adam"));
  EXPECT_EQ(write_object<Optimizer>(*read_object<Optimizer>(keras), Style::keras), keras);
}

TEST(MultiOptimizers, SayWhatIsWrong) {
  const auto message = [](const std::string& text) {
    return message_of([&] { read_object<Optimizer>(parse_json(text)); });
  };
  EXPECT_EQ(message(R"({"MultiOptimizer": {"optimizer_map": {"default_optimizer": {"LossScaleOptimizer": {"inner_optimizer": "SGD"}}}}})"),
            "<text>:1:2: LossScaleOptimizer cannot be used inside a MultiOptimizer");
  EXPECT_EQ(
      message(R"({"MultiOptimizer": {"optimizer_map": {"default_optimizer": "SGD", "optimizer_map": {"(": "SGD"}}}})"),
      "<text>:1:2: '(' is no regular expression: missing closing parenthesis (character 2)");
  EXPECT_EQ(message(fmt::format(R"({{"MultiOptimizer": {{"optimizer_map": {{"default_optimizer": "SGD", "optimizer_map": {{"{}": "SGD"}}}}}}}})", std::string(100'000, '('))),
            "<text>:1:2: got a regular expression of 100000 characters, wanted at most 1000");
  MultiOptimizer optimizer({.optimizer_map = {.default_optimizer = "SGD", .optimizer_map = {{"a.*", "Adam"}, {".*b", "Adam"}}}});
  const auto both = std::make_shared<Variable>("ab", Type{DType::float32, {}}, true);
  EXPECT_EQ(message_of([&] { optimizer.build({both}); }), "several optimizers of the map match the weight 'ab'");
  EXPECT_EQ(message_of([&] { optimizer.set_learning_rate(1); }),
            "the learning rate of optimizer 'multi_optimizer' cannot be set\n  hint: give the optimizers of its map "
            "schedules in place of a callback that changes rates");
}

}  // namespace
}  // namespace nacre
