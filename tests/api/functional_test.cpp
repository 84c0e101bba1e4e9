#include "api/functional.h"

#include <numeric>

#include "api/keras/file.h"
#include "formats/json.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

std::vector<std::string> names(const Model& model) {
  std::vector<std::string> all;
  for (const auto& layer : model.layers()) all.push_back(layer->name());
  return all;
}

std::vector<std::string> paths(const Model& model) {
  std::vector<std::string> all;
  for (const Weight& weight : model.weights()) all.push_back(weight.variable->path());
  return all;
}

TEST(Functional, LayersWithoutNamesGetKerasNames) {
  const Symbol x = Input({4});
  const Model model({x}, {Dense({.units = 2})(Dense({.units = 3})(x))});
  EXPECT_EQ(names(model), (std::vector<std::string>{"input_layer", "dense", "dense_1"}));
  EXPECT_EQ(paths(model), (std::vector<std::string>{"dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"}));
}

TEST(Functional, PredictionsHaveARowForEachSample) {
  const Symbol x = Input({4}, "x");
  Model model({x}, {LayerRef(read_object<Layer>(parse_json(R"({"ops.Any": {"axis": 0, "name": "any"}})")))(x)});
  EXPECT_EQ(message_of([&] { model.predict(Tensor(DType::float32, {3, 4})); }),
            "the output 'any' is (4,) for 3 samples, wanted a row for each\n  while predicting with model 'functional'");
}

// What Keras 3.15 gives for the same graph.
TEST(Functional, LayersStandByDepthAsInKeras) {
  const Symbol a = Input({4}, "a"), b = Input({4}, "b");
  const LayerRef shared = Dense({.units = 4}, {.name = "shared"});
  const Symbol left = Dense({.units = 4}, {.name = "left"})(shared(a));
  const Symbol right = shared(b);
  const Symbol sum = Add({.name = "sum"})({left, right});
  const Model model({a, b}, {Dense({.units = 1}, {.name = "head"})(sum), left});
  EXPECT_EQ(names(model), (std::vector<std::string>{"a", "shared", "b", "left", "sum", "head"}));
  EXPECT_EQ(model.graph().output_names(), (std::vector<std::string>{"head", "left"}));

  const Symbol x = Input({4}, "x"), y = Input({4}, "y"), unused = Input({4}, "z");
  const LayerRef d1 = Dense({.units = 4}, {.name = "d1"}), d2 = Dense({.units = 4}, {.name = "d2"}), d3 = Dense({.units = 4}, {.name = "d3"});
  const Symbol p = d1(x), q = d2(d1(y));
  const Symbol joined = Concatenate({}, {.name = "c"})({q, p, d3(d2(p))});
  const Model tangled({x, unused, y}, {Dense({.units = 1}, {.name = "o2"})(q), Dense({.units = 1}, {.name = "o1"})(joined), p});
  EXPECT_EQ(names(tangled), (std::vector<std::string>{"y", "x", "d1", "d2", "d3", "c", "z", "o2", "o1"}));
}

TEST(Functional, SharedLayersHaveOneSetOfWeights) {
  const Symbol a = Input({3}), b = Input({3});
  const LayerRef shared = Dense({.units = 2});
  Model model({a, b}, {Subtract()({shared(a), shared(b)})});
  EXPECT_EQ(model.weights().size(), 2u);
  const Tensor x = Tensor::of<float>({1, 3}, {1, 2, 3});
  const std::vector<Tensor> same = model.predict(array_dataset({.inputs = {x, x}}));
  expect_near(same[0], Tensor(DType::float32, {1, 2}), 0);
}

TEST(Functional, NestedModelsHavePathsOfTheirOwn) {
  const Sequential first({Input({3}), Dense({.units = 3})}, {.name = "tower"});
  const Sequential second({Input({3}), Dense({.units = 3})});
  const Symbol x = Input({3});
  Model model({x}, {Add()({first(x), second(x)})});
  EXPECT_EQ(paths(model), (std::vector<std::string>{"tower/dense/kernel", "tower/dense/bias", "sequential/dense/kernel", "sequential/dense/bias"}));
  model.initialize(1);
  EXPECT_FALSE(model.weights()[0].variable->value().identical(model.weights()[2].variable->value()));
  EXPECT_EQ(model.layer("tower/dense")->label(), "layer 'dense' (Dense)");
}

TEST(Functional, ModelsMayStartAtAnySymbol) {
  const Symbol x = Input({3});
  const Symbol hidden = Dense({.units = 5, .activation = "relu"})(x);
  const LayerRef head = Dense({.units = 2});
  Model whole({x}, {head(hidden)}), features({x}, {hidden}), top({hidden}, {head(hidden)});
  const Tensor data = Tensor::of<float>({2, 3}, {1, 2, 3, -1, 0, 2});
  expect_near(top.predict(features.predict(data)), whole.predict(data), 1e-6);
}

TEST(Functional, DataIsCastAndSqueezedAsInKeras) {
  const Symbol picture = Input({2, 2, 1});
  Model model({picture}, {Flatten()(picture)});
  const Tensor bytes = Tensor::of<std::uint8_t>({1, 2, 2}, {1, 2, 3, 255});
  expect_near(model.predict(bytes), Tensor::of<float>({1, 4}, {1, 2, 3, 255}), 0);
}

TEST(Functional, MistakesAreExplained) {
  const Symbol a = Input({3}, "a"), b = Input({3}, "b");
  EXPECT_EQ(message_of([&] { Model({a}, {Add()({a, b})}); }),
            "the outputs depend on the input 'b' (None, 3), which is not among the model's inputs\n  while building model 'functional'");
  const Symbol twice = Dense({.units = 2}, {.name = "fc"})(Dense({.units = 2}, {.name = "fc"})(a));
  EXPECT_EQ(message_of([&] { Model({a}, {twice}, {.name = "m"}); }),
            "two layers are called 'fc'\n  while building model 'm'\n  hint: give one of them another name");
  Model model({a}, {Dense({.units = 2}, {.name = "first"})(a)}, {.name = "m"});
  EXPECT_EQ(message_of([&] { model.layer("frist"); }), "the model 'm' has no layer 'frist'\n  hint: did you mean 'first'?");
  EXPECT_EQ(message_of([&] { model.predict(Tensor(DType::float32, {2, 5})); }),
            "got data (2, 5) for the input 'a', wanted (None, 3)\n  while predicting with model 'm'\n"
            "  hint: check the shape of Input and that of the data; the first axis counts samples");
}

TEST(Functional, MoreAxesOfSamples) {
  const Symbol a = Input({2, 3}, "a");
  Model model({a}, {Dense({.units = 2})(Flatten()(a))}, {.name = "m"});
  model.initialize(1);
  std::vector<float> numbers(120);
  std::iota(numbers.begin(), numbers.end(), -60.0f);
  const Tensor data = Tensor::of<float>({4, 5, 2, 3}, numbers);
  const Tensor all = model.predict(data);
  EXPECT_EQ(all.shape(), (Shape{4, 5, 2}));
  EXPECT_EQ(all.to_doubles(), model.predict(data.reshaped({20, 2, 3})).to_doubles());
  EXPECT_NE(message_of([&] { model.predict(data.reshaped({4, 5, 3, 2})); }).find("got data (4, 5, 3, 2)"), std::string::npos);
}

// Written, read and written again a model is the same, and computes the same with the same weights.
void expect_round_trip(const Model& model, const std::vector<Tensor>& data) {
  const Tree written = write_object<Layer>(model.graph(), Style::keras);
  const auto layer = std::dynamic_pointer_cast<FunctionalLayer>(read_object<Layer>(parse_json(write_json(written))));
  ASSERT_TRUE(layer);
  EXPECT_EQ(write_json(write_object<Layer>(*layer, Style::keras), 1), write_json(written, 1));
  Model original = model, again(layer);
  original.initialize(3), again.initialize(3);
  expect_identical(original.predict(array_dataset({.inputs = data})), again.predict(array_dataset({.inputs = data})));
}

TEST(FunctionalConfig, RoundTrip) {
  const Symbol a = Input({3}, "a"), b = Input({3}, "b");
  const LayerRef shared = Dense({.units = 4, .activation = "tanh"});
  const Symbol inner_input = Input({4});
  const Model inner({inner_input}, {Dense({.units = 2})(inner_input), ReLU()(inner_input)}, {.name = "inner"});
  const Symbols first = inner.all({shared(a)}), second = inner.all({shared(b)});
  const Model model({a, b}, {Concatenate()({first[0], second[0]}), second[1]}, {.name = "outer"});
  expect_round_trip(model, {Tensor::of<float>({1, 3}, {1, 2, 3}), Tensor::of<float>({1, 3}, {3, 2, 1})});
}

TEST(FunctionalConfig, SequentialRoundTrip) {
  const Tensor data = Tensor::of<float>({1, 4, 4, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
  expect_round_trip(Sequential({Input({4, 4, 1}), Conv2D({.filters = 2, .kernel_size = 3}), Flatten(), Dense({.units = 3})}), {data});
}

TEST(FunctionalConfig, ReadsTheListsOfKeras2) {
  register_models();
  const Tree config = parse_json(R"({"class_name": "Model", "config": {"name": "old", "layers": [
    {"name": "x", "class_name": "InputLayer", "config": {"batch_input_shape": [null, 3], "dtype": "float32", "sparse": false, "name": "x"}, "inbound_nodes": []},
    {"name": "inner", "class_name": "Sequential", "config": {"name": "inner", "layers": [
       {"class_name": "Dense", "config": {"name": "d", "trainable": true, "batch_input_shape": [null, 3], "units": 2}}]},
     "inbound_nodes": [[["x", 0, 0, {}]]]},
    {"name": "sum", "class_name": "Add", "config": {"name": "sum"}, "inbound_nodes": [[["inner", 1, 0, {}], ["inner", 1, 0, {}]]]}],
    "input_layers": [["x", 0, 0]], "output_layers": [["sum", 0, 0]]}})");
  const auto layer = read_architecture({.model_config = config, .keras_version = "2.1.3"});
  ASSERT_TRUE(layer);
  EXPECT_EQ(layer->outputs()[0].shape(), (Shape{unknown, 2}));
  EXPECT_EQ(layer->calls().size(), 3u);
}

TEST(FunctionalConfig, LoopsAndLooseEndsAreRefused) {
  register_models();
  const auto model = [](std::string_view inbound) {
    return parse_json(fmt::format(R"({{"class_name": "Functional", "config": {{"name": "m", "layers": [
      {{"name": "a", "class_name": "Dense", "config": {{"units": 2}}, "inbound_nodes": [[[{}]]]}}],
      "input_layers": [["a", 0, 0]], "output_layers": [["a", 0, 0]]}}}})", inbound));
  };
  EXPECT_NE(message_of([&] { read_object<Layer>(model(R"("a", 0, 0)")); }).find("the layer 'a' depends on itself"), std::string::npos);
  EXPECT_NE(message_of([&] { read_object<Layer>(model(R"("b", 0, 0)")); }).find("there is no layer 'b'"), std::string::npos);
  EXPECT_NE(message_of([&] { read_object<Layer>(model(R"("a", 7, 0)")); }).find("the layer 'a' has no call 7"), std::string::npos);
}

// What walks the calls recurses: longer chains ended in the stack's overflow.
TEST(FunctionalConfig, ChainsThatAreTooLongAreRefused) {
  register_models();
  const auto message = [](std::size_t layers) {
    std::string entries = R"({"name": "d0", "class_name": "InputLayer", "config": {"batch_shape": [null, 3], "name": "d0"}, "inbound_nodes": []})";
    for (std::size_t i = 1; i <= layers; ++i)
      entries += fmt::format(R"(, {{"name": "d{}", "class_name": "Dropout", "config": {{"rate": 0.5}}, "inbound_nodes": [[["d{}", 0, 0]]]}})", i, i - 1);
    const Tree config = parse_json(fmt::format(R"({{"class_name": "Functional", "config": {{"name": "m", "layers": [{}],
      "input_layers": [["d0", 0, 0]], "output_layers": [["d{}", 0, 0]]}}}})", entries, layers));
    return message_of([&] { read_object<Layer>(config); });
  };
  EXPECT_EQ(message(deepest_model), "");
  EXPECT_NE(message(deepest_model + 1).find("more than 4000 layers stand one behind the other"), std::string::npos);
  Sequential stack;
  for (std::size_t i = 0; i < deepest_model; ++i) stack.add(Flatten());
  EXPECT_EQ(message_of([&] { stack.add(Flatten()); }), "more than 4000 layers stand one behind the other");
}

}  // namespace
}  // namespace nacre::test
