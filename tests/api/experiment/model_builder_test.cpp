#include "api/experiment/model_builder.h"

#include <gtest/gtest.h>

#include "api/experiment/experiment.h"
#include "api/inspect/summary.h"
#include "api/save.h"
#include "formats/yaml.h"
#include "tests/api/models.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

const std::filesystem::path tutorials = std::filesystem::path(NACRE_SOURCE_DIR) / "tutorials";

std::shared_ptr<FunctionalLayer> built(const std::string& yaml, const Variables& variables = {}) {
  return build_model(parse_yaml(yaml, "m.yaml"), variables, "", "net");
}

// "name Class shape" of every layer.
std::string layers_of(const FunctionalLayer& model) {
  std::string text;
  for (const auto& layer : model.layers()) text += fmt::format("{} {}\n", layer->name(), layer->class_name());
  return text;
}

std::string error_of(const std::string& yaml) { return test::message_of([&] { built(yaml); }); }

std::int64_t parameters(const std::shared_ptr<FunctionalLayer>& model) {
  const ModelSummary summary = summarize(Model(model), {.measure_memory = false});
  return summary.trainable + summary.non_trainable;
}

TEST(ModelBuilder, AStackIsSequential) {
  const auto model = built("sequential:\n- Input: {shape: [4]}\n- Dense: {units: 3}\n- dense: {units: 2, name: last}\n");
  EXPECT_EQ(model->class_name(), "Sequential");
  EXPECT_EQ(model->name(), "net");
  EXPECT_EQ(layers_of(*model), "dense Dense\nlast Dense\n");
  EXPECT_EQ(model->outputs().at(0).shape(), (Shape{unknown, 2}));
}

TEST(ModelBuilder, AStackTakesArgumentsOfOperations) {
  const auto model = built("sequential:\n- Input: {shape: [48, 3]}\n- ops.GetItem: {key: [\":\", -1]}\n- ops.Multiply: {x2: 2}\n- Dense: {units: 1}\n");
  EXPECT_EQ(layers_of(*model), "input InputLayer\nget_item GetItem\nmultiply Multiply\ndense Dense\n");
  EXPECT_EQ(model->outputs().at(0).shape(), (Shape{unknown, 1}));
}

TEST(ModelBuilder, AGraphWithSeveralInputsAndOutputs) {
  const auto model = built(R"(
inputs: {left: {shape: [4]}, right: {shape: [6], dtype: float32}}
layers:
  - Dense: {units: 5, name: a, from: left}
  - Dense: {units: 5, name: b, from: right}
  - Add: {from: [a, b], name: sum}
  - Dense: {units: 1, name: out}
outputs: [sum, out]
)");
  EXPECT_EQ(model->class_name(), "Functional");
  EXPECT_EQ(model->input_names(), (std::vector<std::string>{"left", "right"}));
  ASSERT_EQ(model->outputs().size(), 2u);
  EXPECT_EQ(model->outputs()[0].shape(), (Shape{unknown, 5}));
  EXPECT_EQ(model->outputs()[1].shape(), (Shape{unknown, 1}));
}

TEST(ModelBuilder, SharedLayersAndNestedModels) {
  const auto model = built(R"(
inputs: {x: {shape: [4]}, y: {shape: [4]}}
layers:
  - Dense: {units: 3, name: tower, from: x}
  - share: {layer: tower, from: y, name: again}
  - model:
      name: head
      sequential: [{Input: {shape: [3]}}, {Dense: {units: "${width}"}}]
      from: again
  - Concatenate: {from: [tower, again, head]}
)",
                           {{"width", Tree(2)}});
  EXPECT_EQ(model->outputs().at(0).shape(), (Shape{unknown, 8}));
  EXPECT_EQ(parameters(model), (4 * 3 + 3) + (3 * 2 + 2));
  EXPECT_EQ(model->layer("head")->class_name(), "Sequential");
}

TEST(ModelBuilder, ConstantArgumentsOfCalls) {
  const auto model = built(R"(
inputs: {words: {shape: [4], dtype: int32}}
layers:
  - ReversibleEmbedding: {input_dim: 9, output_dim: 6, name: table, from: words}
  - share: {layer: table, from: table, reverse: true, name: logits}
)");
  EXPECT_EQ(model->outputs().at(0).shape(), (Shape{unknown, 4, 9}));
}

TEST(ModelBuilder, ConstantArgumentsInAStack) {
  Model positions(built("sequential: [Input: {shape: [4, 6]}, SinePositionEncoding: {start_index: 3}]"));
  EXPECT_NEAR(positions.predict(Tensor(Type{DType::float32, {1, 4, 6}})).data<float>()[0], std::sin(3.0), 1e-5);
  for (const bool training : {true, false}) {  // normalised by its own statistics a constant is 0
    Model model(built(fmt::format("sequential: [Input: {{shape: [2]}}, BatchNormalization: {{training: {}}}]", training)));
    model.compile({.optimizer = "sgd", .loss = "mean_squared_error"});
    const Tensor threes = Tensor::of<float>({4, 2}, std::vector<float>(8, 3));
    const double loss = test::number(model.train_on_batch({.inputs = {threes}, .targets = {threes}, .size = 4}), "loss");
    EXPECT_NEAR(loss, training ? 9 : 0, 1e-3);
  }
}

TEST(ModelBuilder, AResidualNetworkOfAnyDepth) {
  const auto built_with = [](const std::string& override) {
    return Experiment::load(tutorials / "resnet.yaml", std::vector<std::string>{override}).build_model();
  };
  EXPECT_EQ(parameters(built_with("variables.n=3")), 274'826);  // ResNet-20 with projections
  EXPECT_EQ(built_with("variables.n=9")->outputs().at(0).shape(), (Shape{unknown, 10}));
  EXPECT_EQ(built_with("model.blocks.unit.kernel=5")->outputs().at(0).shape(), (Shape{unknown, 10}));
}

TEST(ModelBuilder, RenderingGivesTheSameModel) {
  for (const char* file : {"digits.yaml", "mnist.yaml", "resnet.yaml"}) {
    const Experiment written = Experiment::load(tutorials / file);
    const Tree rendered = written.render();
    const Experiment again(parse_config(write_yaml(rendered), file, ""), "");
    EXPECT_EQ(again.render(), rendered) << file;
    EXPECT_EQ(layers_of(*again.build_model()), layers_of(*written.build_model())) << file;
    EXPECT_EQ(again.build_model()->config_tree(Style::keras), written.build_model()->config_tree(Style::keras)) << file;
  }
}

TEST(ModelBuilder, ASavedModelGoesOn) {
  const test::TemporaryFolder folder;
  Model model(built("sequential:\n- Input: {shape: [4]}\n- Dense: {units: 3, name: d}\n"));
  model.initialize(1);
  model.save(folder / "m.h5");
  const auto again = build_model(parse_yaml("file: m.h5\n", "m.yaml"), {}, folder.path());
  EXPECT_EQ(layers_of(*again), "d Dense\n");
  EXPECT_EQ(again->weights().at(0).variable->value().to_doubles(), model.weights().at(0).variable->value().to_doubles());
}

TEST(ModelBuilder, WhatIsNoModel) {
  EXPECT_EQ(error_of("{}"), "m.yaml:1:1: 'model': wanted one of 'sequential', 'layers', 'file', 'zoo', got 0 of them");
  EXPECT_EQ(error_of("sequential: []\nfile: x.h5\n"),
            "m.yaml:1:1: 'model': wanted one of 'sequential', 'layers', 'file', 'zoo', got 2 of them");
  EXPECT_EQ(error_of("sequential: []\n"), "m.yaml:1:13: 'model': the list of layers is empty");
  EXPECT_EQ(error_of("sequental: []\n"), "m.yaml:1:1: unknown key 'sequental'\n  hint: did you mean 'sequential'?");
  EXPECT_EQ(error_of("zoo: resnet50\n"), "'resnet50': this program has no model zoo\n  while opening the model of m.yaml:1:1\n  hint: enable_zoo() of models_zoo/zoo.h adds it");
}

TEST(ModelBuilder, ArgumentsThatNoCallTakes) {
  EXPECT_NE(error_of("sequential: [Input: {shape: [4]}, Dense: {units: 3, use_causal_mask: true}]")
                .find("layer 'dense' (Dense): the call has no argument 'use_causal_mask'"), std::string::npos);
  EXPECT_NE(error_of("inputs: {x: {shape: [4, 2]}}\nlayers: [Dense: {units: 3, from: x, initial_state: x}]")
                .find("the call has no argument 'initial_state'"), std::string::npos);
}

TEST(ModelBuilder, LayersThatDoNotFit) {
  const std::string while_building = "\n  while building model 'net'";
  EXPECT_EQ(error_of("sequential:\n- Input: {shape: [4]}\n- Dens: {units: 3}\n"),
            "m.yaml:3:3: unknown layer 'Dens'" + while_building + "\n  hint: did you mean 'Dense'?");
  EXPECT_EQ(error_of("sequential:\n- Input: {shape: [4]}\n- Dense\n"),
            "m.yaml:3:3: layer 'dense' (Dense): the key 'units' is missing (size of the last axis)" + while_building);
  EXPECT_EQ(error_of("inputs: {a: {shape: [3]}, b: {shape: [4]}}\nlayers:\n- Add: {from: [a, b], name: sum}\n"),
            "m.yaml:3:3: layer 'sum' (Add): shapes (None, 3) and (None, 4) cannot be broadcast together" + while_building);
  EXPECT_EQ(error_of("inputs: {a: {shape: [3]}}\nlayers:\n- Flatten: {name: f}\noutputs: [g]\n").substr(0, 34),
            "m.yaml:4:11: there is no layer 'g'");
  EXPECT_EQ(error_of("inputs: {a: {shap: [3]}}\nlayers: [Flatten]\n"),
            "m.yaml:1:14: input 'a': unknown key 'shap'" + while_building + "\n  hint: did you mean 'shape'?");
  EXPECT_EQ(error_of("layers: [Flatten]\n"),
            "m.yaml:1:10: nothing comes before this layer" + while_building + "\n  hint: begin with an Input, or say `from`");
}

}  // namespace
}  // namespace nacre
