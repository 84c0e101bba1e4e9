// The battery that every layer goes through: configs there and back, unknown keys, names of weights, and that the
// shapes that are inferred without a batch are those of real results.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "backend/host_part.h"
#include "backend/graph/passes/pipeline.h"
#include "formats/json.h"
#include "formats/yaml.h"
#include "layers/symbol.h"
#include "tests/support/layer_samples.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using Row = test::LayerSample;
const std::vector<Row>& rows() { return test::layer_samples(); }

class LayerBattery : public testing::TestWithParam<Row> {
 protected:
  std::shared_ptr<Layer> make() const { return read_object<Layer>(parse_yaml(GetParam().yaml)); }
};

TEST_P(LayerBattery, ConfigsReadBackAsTheyWereWritten) {
  const auto layer = make();
  for (const Style style : {Style::yaml, Style::full, Style::keras}) {
    const Tree written = write_object<Layer>(*layer, style);
    const std::string text = style == Style::keras ? write_json(written) : write_yaml(written);
    const auto again = read_object<Layer>(style == Style::keras ? parse_json(text) : parse_yaml(text));
    EXPECT_EQ(write_object<Layer>(*again, style), written) << text;
  }
}

TEST_P(LayerBattery, UnknownKeysAreErrorsWithTheirPlace) {
  Tree tree = parse_yaml(GetParam().yaml);
  const ObjectSpelling spelling = object_spelling(tree, "layer");
  const std::string text = spelling.name + ": {\n  unknwon: 1}";
  const std::string message = test::message_of([&] { read_object<Layer>(parse_yaml(text, "model.yaml")); });
  EXPECT_TRUE(message.starts_with("model.yaml:2:3: unknown key 'unknwon'")) << message;
}

TEST_P(LayerBattery, InfersTheTypesOfRealResults) {
  const Row& row = GetParam();
  const auto layer = make();
  Symbols symbols;
  Graph graph;
  Context context(graph, false);
  CallArguments arguments;
  for (std::size_t i = 0; i < row.inputs.size(); ++i) {
    const Type& type = row.inputs[i];
    Shape sample = type.shape.from(1);
    symbols.push_back(Input(sample, fmt::format("input{}", i), type.dtype));
    arguments.inputs.push_back(graph.input(fmt::format("input{}", i), type));
  }
  const Symbols inferred = call_layer(layer, symbols);
  layer->initialize(3);

  const CallResult result = (*layer)(context, arguments);
  for (std::size_t i = 0; i < result.outputs.size(); ++i) graph.output(fmt::format("output{}", i), result.outputs[i]);
  ASSERT_EQ(inferred.size(), result.outputs.size());
  ASSERT_EQ(result.masks.size(), result.outputs.size());
  std::vector<Tensor> data = test::sample_data(row), outputs;
  for (Tensor& hosted : HostPart(graph).run(data)) data.push_back(std::move(hosted));
  HostedExecutable(graph, reference_backend(), std::make_shared<Workspace>(reference_backend())).run(data, outputs);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    EXPECT_EQ(inferred[i].type().dtype, outputs[i].dtype());
    EXPECT_TRUE(same(inferred[i].shape(), outputs[i].shape()))
        << inferred[i].shape().text() << " and " << outputs[i].shape().text();
    EXPECT_EQ(inferred[i].shape()[0], unknown);
    EXPECT_TRUE(inferred[i].shape().from(1).known()) << inferred[i].shape().text();
  }

  std::vector<std::string> paths;
  for (const Weight& weight : layer->weights()) paths.push_back(weight.variable->path());
  EXPECT_EQ(paths, row.weights);
  EXPECT_EQ(layer->trainable_weights().size() + layer->non_trainable_weights().size(), paths.size());
  layer->set_trainable(false);
  EXPECT_TRUE(layer->trainable_weights().empty());
}

// Sizes beyond the batch may be open too, where the layer's own weights do not need them.
TEST_P(LayerBattery, AcceptsUnknownSteps) {
  const Row& row = GetParam();
  const auto layer = make();
  Symbols symbols;
  for (const Type& type : row.inputs) {
    Shape sample = type.shape.from(1);
    if (sample.rank() > 1 && row.weights.empty()) sample.set(0, unknown);
    symbols.push_back(Input(sample, "", type.dtype));
  }
  EXPECT_NO_THROW(call_layer(layer, symbols));
}

INSTANTIATE_TEST_SUITE_P(Layers, LayerBattery, testing::ValuesIn(rows()), [](const auto& row) {
  std::string name = object_spelling(parse_yaml(row.param.yaml), "layer").name;
  std::replace(name.begin(), name.end(), '.', '_');
  return fmt::format("{}_{}", row.index, name);
});

TEST(LayerBattery, HasEveryLayer) {
  std::set<std::string_view> known;
  for (const Row& row : rows())
    known.insert(registry<Layer>().get(object_spelling(parse_yaml(row.yaml), "layer").name).class_name);
  for (const auto& info : registry<Layer>().classes()) {
    const bool found = info.qualified || known.contains(info.class_name);  // operations: tests/golden
    EXPECT_TRUE(found) << info.class_name;
  }
}

}  // namespace
}  // namespace nacre
