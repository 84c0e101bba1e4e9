// The layers of texts, tables and categories against Keras: tables.json holds layers in Keras's JSON, what they were
// adapted to, inputs and Keras's outputs.
#include <gtest/gtest.h>

#include <fmt/ranges.h>

#include <limits>

#include "formats/file.h"
#include "formats/json.h"
#include "layers/layers.h"
#include "tests/support/hosted.h"
#include "tests/support/paths.h"
#include "tests/support/tensors.h"

namespace nacre {
namespace {

const Tree& cases() {
  static const Tree all = [] {
    const std::string path = std::string(NACRE_SOURCE_DIR) + "/tests/layers/tables.json";
    return parse_json(read_file(path), path);
  }();
  return all;
}

Tensor tensor_of(const Tree& tree) {
  const std::string& name = tree["dtype"].as_string();
  Shape shape;
  for (const Tree& size : tree["shape"].items()) shape.append(size.as_integer());
  if (name == "string") {
    std::vector<std::string> texts;
    for (const Tree& text : tree["values"].items()) texts.push_back(text.as_string());
    return Tensor::of<std::string>(shape, texts);
  }
  if (name.starts_with("int")) {
    std::vector<std::int64_t> numbers;
    for (const Tree& number : tree["values"].items()) numbers.push_back(number.as_integer());
    return Tensor::of<std::int64_t>(shape, numbers).cast(dtype_named(name));
  }
  std::vector<double> numbers;
  for (const Tree& number : tree["values"].items())
    numbers.push_back(number.is_string() ? std::numeric_limits<double>::quiet_NaN() : number.as_number());
  return Tensor::of<double>(shape, numbers).cast(dtype_named(name));
}

class Tables : public testing::TestWithParam<std::size_t> {
 protected:
  const Tree& golden() const { return cases().items()[GetParam()]; }
  std::shared_ptr<Layer> layer() const {
    auto layer = read_object<Layer>(golden()["layer"]);
    if (const Tree* data = golden().find("adapt")) {
      const auto adaptation = layer->adaptation();
      adaptation->add(tensor_of(*data));
      adaptation->finish();
    }
    return layer;
  }
  std::vector<Tensor> inputs() const {
    std::vector<Tensor> tensors;
    for (const Tree& input : golden()["inputs"].items()) tensors.push_back(tensor_of(input));
    return tensors;
  }
  // What a layer gives for the inputs.
  static Tensor result(const std::shared_ptr<Layer>& layer, const std::vector<Tensor>& data, const Backend& backend) {
    const auto emit = [&](const std::vector<Types>& types) {
      auto graph = std::make_unique<Graph>();
      Context context(*graph, false);
      context.set_host_types(types);
      CallArguments arguments;
      for (const Tensor& tensor : data)
        arguments.inputs.push_back(graph->input(std::to_string(arguments.inputs.size()), tensor.type()));
      graph->output("y", (*layer)(context, std::move(arguments)).outputs.at(0));
      return graph;
    };
    return test::run_hosted(emit, data, backend).front();
  }
  void expect_output(const Tensor& got) const {
    const Tensor want = tensor_of(golden()["output"]);
    if (want.dtype() == DType::string) {
      EXPECT_TRUE(got.identical(want));
      return;
    }
    // Rows of lookups are float32, as Keras's symbols say, where its tensors are int64.
    EXPECT_TRUE(got.dtype() == want.dtype() || (got.dtype() == DType::float32 && want.dtype() == DType::int64)) << got.type().text();
    EXPECT_TRUE(test::close(got.cast(DType::float64), want.cast(DType::float64), got.dtype() == DType::float16 ? 1e-3 : 2e-6));
  }
};

TEST_P(Tables, AgreeWithKeras) {
  const auto tested = layer();
  SCOPED_TRACE(write_json(golden()["layer"], 0));
  for (const Backend* backend : backends()) expect_output(result(tested, inputs(), *backend));
}

// A model file holds all that was learned: in the config, or among the assets.
TEST_P(Tables, AreTheSameWhenReadBack) {
  const auto tested = layer();
  const auto again = read_object<Layer>(write_object<Layer>(*tested, Style::keras));
  std::vector<Shape> shapes;
  for (const Tensor& input : inputs()) shapes.push_back(input.shape());
  again->ensure_built(tested->built() ? tested->built_shapes() : shapes);
  const std::vector<Weight> from = tested->weights(), to = again->weights();
  for (std::size_t i = 0; i < from.size(); ++i) to[i].variable->assign(from[i].variable->value());
  EXPECT_TRUE(again->adapted());
  expect_output(result(again, inputs(), reference_backend()));
}

// Keras's archives hold what was learned in vocabulary.txt, special tokens first.
class LearnedTables : public Tables {};
TEST_P(LearnedTables, ReadKerasAssets) {
  std::vector<std::string> tokens;
  for (const Tree& token : golden()["vocabulary"].items())
    tokens.push_back(token.is_string() ? token.as_string() : std::to_string(token.as_integer()));
  EXPECT_EQ(vocabulary_of(*layer()), tokens);
  const std::string lines = fmt::format("{}", fmt::join(tokens, "\n"));
  Assets assets{.files = {{"vocabulary.txt", lines}}, .tensors = layer()->assets().tensors};
  const auto tested = read_object<Layer>(golden()["layer"]);
  EXPECT_FALSE(tested->adapted());
  tested->load_assets(assets);
  EXPECT_TRUE(tested->adapted());
  expect_output(result(tested, inputs(), reference_backend()));
}

std::string name_of_case(const testing::TestParamInfo<std::size_t>& row) {
  return fmt::format("{}_{}", row.param, cases().items()[row.param]["layer"]["class_name"].as_string());
}

std::vector<std::size_t> learned_cases() {
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < cases().items().size(); ++i)
    if (cases().items()[i].find("vocabulary")) rows.push_back(i);
  return rows;
}

INSTANTIATE_TEST_SUITE_P(Keras, Tables, testing::Range(std::size_t{0}, cases().items().size()), name_of_case);
INSTANTIATE_TEST_SUITE_P(Keras, LearnedTables, testing::ValuesIn(learned_cases()), name_of_case);

}  // namespace
}  // namespace nacre
