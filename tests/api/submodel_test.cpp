// Models that begin or end inside of others, and arithmetic on symbols.
#include <gtest/gtest.h>

#include "api/experiment/model_builder.h"
#include "api/model.h"
#include "formats/yaml.h"
#include "layers/layers.h"
#include "tests/api/base_model.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

Tensor ramp(Shape shape) {
  Tensor x(DType::float32, std::move(shape));
  for (std::int64_t i = 0; i < x.size(); ++i) x.writable<float>()[static_cast<std::size_t>(i)] = static_cast<float>(i) * 0.1f;
  return x;
}

// What (x * 2 + 1, 3 - x, …) gives for x.
Tensor result(const Tensor& x, const std::function<Symbol(Symbol)>& function) {
  const Symbol input = Input(x.shape().from(1));
  Model model({input}, {function(input)});
  return model.predict(x);
}

TEST(SymbolicOps, ComputeWhatTheySay) {
  const Tensor x = ramp({2, 3});
  const auto expect = [&](const std::function<Symbol(Symbol)>& function, const std::function<double(double)>& number) {
    const Tensor y = result(x, function);
    for (std::int64_t i = 0; i < x.size(); ++i) EXPECT_NEAR(y.at(i), number(x.at(i)), 1e-6);
  };
  expect([](Symbol s) { return s * 2 + 1; }, [](double v) { return v * 2 + 1; });
  expect([](Symbol s) { return 3 - s / 2; }, [](double v) { return 3 - v / 2; });
  expect([](Symbol s) { return abs(-s) - s * s; }, [](double v) { return v - v * v; });
  expect([](Symbol s) { return pow(s, 2) % 0.1; }, [](double v) { return std::fmod(v * v, 0.1); });
  expect([](Symbol s) { return (s > 0.15) & ~(s >= 0.4); }, [](double v) { return v > 0.15 && v < 0.399 ? 1 : 0; });
  expect([](Symbol s) { return apply_operation("Where", {s < 0.25, s, s + 1}).front(); }, [](double v) { return v < 0.25 ? v : v + 1; });
}

TEST(SymbolicOps, SlicesAreThoseOfPython) {
  const Tensor x = ramp({2, 4, 3});
  EXPECT_EQ(result(x, [](Symbol s) { return at(s, {":", "1:3"}); }).shape(), (Shape{2, 2, 3}));
  EXPECT_EQ(result(x, [](Symbol s) { return at(s, {"...", -1}); }).shape(), (Shape{2, 4}));
  EXPECT_EQ(result(x, [](Symbol s) { return at(s, {":", Tree(), 0}); }).shape(), (Shape{2, 1, 3}));
  const Tensor backwards = result(x, [](Symbol s) { return at(s, {":", "::-2", 0}); });
  EXPECT_EQ(backwards.shape(), (Shape{2, 2}));
  EXPECT_NEAR(backwards.at(0), 0.9, 1e-6);
  EXPECT_NEAR(backwards.at(1), 0.3, 1e-6);
  EXPECT_NE(test::message_of([&] { result(x, [](Symbol s) { return at(s, {"...", 7}); }); }).find("out of range"), std::string::npos);
}

TEST(SubModels, EndAtAnInnerLayer) {
  Model model = test::base_model();
  Model features(model.inputs(), {model.layer("hidden").output()});
  Model head({model.layer("head").input()}, model.outputs());
  const Tensor x = ramp({5, 6});
  EXPECT_TRUE(head.predict(features.predict(x)).identical(model.predict(x)));
  EXPECT_EQ(features.weights().front().variable, model.weights().front().variable);  // shared, not copied
}

TEST(SubModels, InputsOfNestedModelsAreWhatTheyAreCalledWith) {
  const Symbol a = Input({2}, "a"), b = Input({2}, "b"), x = Input({2}, "x"), y = Input({2}, "y");
  const Model inner({a, b}, {Subtract()({a, b})}, {.name = "inner"});
  const Model outer({x, y}, {inner({x, y})});
  EXPECT_EQ(outer.layer("inner/a").output(), x);
  EXPECT_EQ(outer.layer("inner/b").output(), y);
}

// They were the first output of the layer that feeds them, whichever they are fed with.
TEST(SubModels, InputsOfNestedModelsMayBeLaterOutputsOfALayer) {
  const Symbol a = Input({4}, "a"), b = Input({4}, "b"), x = Input({3, 2}, "x");
  const Model inner({a, b}, {Subtract()({a, b})}, {.name = "inner"});
  const Symbol c = Input({4}, "c"), d = Input({4}, "d");
  const Model middle({c, d}, {inner({d, c})}, {.name = "middle"});
  const Symbols states = LSTM({.units = 4, .return_sequences = true, .return_state = true}).all({x});
  const Model outer({x}, {middle({states[1], states[2]})});
  EXPECT_EQ(outer.layer("middle/c").output(), states[1]);
  EXPECT_EQ(outer.layer("middle/d").output(), states[2]);
  EXPECT_EQ(outer.layer("middle/d").input(), states[2]);
  EXPECT_EQ(outer.layer("middle/inner/a").output(), states[2]);
  EXPECT_EQ(outer.layer("middle/inner/b").output(), states[1]);
}

TEST(SubModels, ReachIntoNestedModels) {
  Model inner = test::base_model();
  const Symbol input = Input({6}, "outer_in");
  Model outer({input}, {Dense({.units = 1}, {.name = "last"})(inner(input))}, {.name = "outer"});
  outer.initialize(4);
  const Tensor x = ramp({5, 6});
  const Tensor wanted = Model(inner.inputs(), {inner.layer("hidden").output()}).predict(x);
  Model features(outer.inputs(), {outer.layer("base/hidden").output(), outer.layer("base/head").output()});
  const auto both = features.predict(array_dataset({.inputs = {x}}));
  EXPECT_TRUE(both.at(0).identical(wanted));
}

TEST(SubModels, LayersThatAreCalledSeveralTimesNeedTheNumberOfTheCall) {
  const LayerRef shared = Dense({.units = 6}, {.name = "shared"});
  const Symbol input = Input({6}, "in");
  Model model({input}, {shared(shared(input))});
  model.initialize(1);
  EXPECT_NE(test::message_of([&] { model.layer("shared").output(); }).find("is called 2 times"), std::string::npos);
  EXPECT_EQ(model.layer("shared").output(1), model.outputs().front());
  EXPECT_EQ(model.layer("shared").input(1), model.layer("shared").output(0));
  EXPECT_NE(test::message_of([&] { model.layer("shared").output(2); }).find("has no call 2"), std::string::npos);
}

class SubModelsOfFiles : public testing::Test {
 protected:
  void SetUp() override { test::base_model().save(folder_ / "base.h5"); }
  std::shared_ptr<FunctionalLayer> build(const std::string& yaml) { return build_model(parse_yaml(yaml), {}, folder_); }
  test::TemporaryFolder temporary_;
  std::filesystem::path folder_ = temporary_.path();
};

TEST_F(SubModelsOfFiles, EndWhereYamlSays) {
  const Tensor x = ramp({5, 6});
  Model model = test::base_model();
  const Tensor wanted = Model(model.inputs(), {model.layer("hidden").output()}).predict(x);
  EXPECT_TRUE(Model(build("{file: base.h5, outputs: hidden}")).predict(x).identical(wanted));
  const auto several = build("{file: base.h5, outputs: [hidden, head]}");
  EXPECT_EQ(several->output_names(), (std::vector<std::string>{"hidden", "head"}));
  const std::string message = test::message_of([&] { build("{file: base.h5,\n outputs: hiden}"); });
  EXPECT_NE(message.find("did you mean 'hidden'"), std::string::npos) << message;
}

TEST_F(SubModelsOfFiles, AreFrozenWholeOrInPart) {
  const std::string lines = "inputs: {x: {shape: [6]}}\nlayers:\n- model: {file: base.h5, outputs: hidden, trainable: %, name: features}\n- Dense: {units: 3}\n";
  const auto trainable = [&](const std::string& value) {
    std::string text = lines;
    const auto model = build(text.replace(text.find('%'), 1, value));
    std::vector<std::string> paths;
    for (const Weight& weight : model->trainable_weights()) paths.push_back(weight.variable->path());
    return paths.size();
  };
  EXPECT_EQ(trainable("false"), 2u);
  EXPECT_EQ(trainable("true"), 4u);
  EXPECT_EQ(trainable("[hidden]"), 4u);
}

TEST_F(SubModelsOfFiles, OperationsStandInYamlLikeLayers) {
  const auto model = build("inputs: {x: {shape: [6]}}\nlayers:\n- ops.Multiply: {x2: 2, name: double}\n- ops.Subtract: {x1: 3}\n"
                           "- ops.GetItem: {key: [\":\", \"1:3\"], name: part}\n- ops.Concatenate: {from: [part, double], axis: 1}\n");
  const Tensor x = ramp({1, 6});
  const Tensor y = Model(model).predict(x);
  ASSERT_EQ(y.shape(), (Shape{1, 8}));
  EXPECT_NEAR(y.at(0), 3 - 2 * x.at(1), 1e-6);
  EXPECT_NEAR(y.at(7), 2 * x.at(5), 1e-6);
}

}  // namespace
}  // namespace nacre
