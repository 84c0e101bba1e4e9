// The rules by which files of Keras 1 and 2 are read, each on a model that is written out here.
#include "api/vintage/vintage.h"

#include "api/keras/file.h"
#include "formats/json.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

using Layers = std::vector<LayerWeights>;

Tensor floats(Shape shape, std::initializer_list<float> values) { return Tensor::of<float>(std::move(shape), values); }

// Distinct numbers of both signs.
Tensor ramp(Shape shape, int start = 0) {
  Tensor tensor(DType::float32, std::move(shape));
  int i = start;
  for (float& value : tensor.writable<float>()) value = static_cast<float>((i++ * 37) % 19 - 9) / 10;
  return tensor;
}

struct Opened {
  Model model;
  std::vector<std::string> notes;
};
Opened open(std::string_view config, std::string_view version, std::string_view backend = "", Layers layers = {}) {
  register_models();
  const KerasFile file{.model_config = parse_json(config),
                       .layers = std::move(layers),
                       .keras_version = std::string(version),
                       .backend = std::string(backend)};
  std::vector<std::string> notes;
  const LoadOptions options{.notes = &notes};
  return {Model(file.layers.empty() ? read_architecture(file, options) : read_model(file, options)), notes};
}

std::vector<Tensor> predict(const Opened& opened, std::vector<Tensor> inputs) {
  return opened.model.trainer().predict(array_dataset({.inputs = std::move(inputs)}), {});
}

std::string refusal(std::string_view config, std::string_view version = "2.2.4") {
  return message_of([&] { open(config, version); });
}

// --- configs -----------------------------------------------------------------------------------------------------------

TEST(Vintage, IsReadFromVersionsAndElseFromWhatFilesHold) {
  EXPECT_EQ(vintage_of(KerasFile{.keras_version = "1.2.2", .backend = ""}).major, 1);
  EXPECT_EQ(vintage_of(KerasFile{.keras_version = "2.2.4-tf"}).major, 2);
  EXPECT_EQ(vintage_of(KerasFile{}).major, 3);
  EXPECT_EQ(vintage_of(parse_json(R"({"class_name": "Sequential", "config": [{"class_name": "Convolution2D", "config": {"nb_filter": 3}}]})")).major, 1);
  EXPECT_EQ(vintage_of(parse_json(R"({"class_name": "Model", "config": {}})")).major, 2);
  EXPECT_EQ(vintage_of(parse_json(R"({"module": "keras", "class_name": "Functional", "config": {}})")).major, 3);
  const auto backend = [](std::string weight) {
    return vintage_of(KerasFile{.layers = {{"d", {{std::move(weight), Tensor()}}}}, .keras_version = "", .backend = ""}).backend;
  };
  EXPECT_EQ(backend("d_W:0"), "tensorflow");
  EXPECT_EQ(backend("d_W"), "theano");
}

TEST(Vintage, NamesAndFieldsOfKeras1) {
  const Opened opened = open(R"({"class_name": "Sequential", "config": [
    {"class_name": "Convolution2D", "config": {"name": "c", "trainable": true, "batch_input_shape": [null, 3, 9, 8], "input_dtype": "float32",
      "nb_filter": 4, "nb_row": 3, "nb_col": 2, "border_mode": "same", "subsample": [2, 1], "dim_ordering": "th", "init": "glorot_uniform",
      "activation": "relu", "bias": true, "W_regularizer": {"name": "WeightRegularizer", "l1": 0.0, "l2": 0.5}, "b_regularizer": null,
      "activity_regularizer": null, "W_constraint": {"name": "MaxNorm", "m": 2, "axis": 0}, "b_constraint": null}},
    {"class_name": "MaxPooling2D", "config": {"name": "p", "trainable": true, "pool_size": [2, 2], "strides": null, "border_mode": "valid", "dim_ordering": "th"}},
    {"class_name": "Dropout", "config": {"name": "drop", "trainable": true, "p": 0.25}},
    {"class_name": "Flatten", "config": {"name": "f", "trainable": true}},
    {"class_name": "Dense", "config": {"name": "d", "trainable": true, "output_dim": 5, "input_dim": 32, "init": "uniform", "activation": "hard_sigmoid", "bias": false}}]})",
                             "1.2.2");
  const Tree conv = opened.model.layers()[0]->config_tree(Style::full);
  EXPECT_EQ(conv["kernel_size"], Tree(Tree::Sequence{3, 2}));
  EXPECT_EQ(conv["strides"], Tree(Tree::Sequence{2, 1}));
  EXPECT_EQ(conv["padding"], Tree("same"));
  EXPECT_EQ(conv["data_format"], Tree("channels_first"));
  EXPECT_EQ(conv["kernel_regularizer"]["L1L2"]["l2"], Tree(0.5));
  EXPECT_EQ(conv["kernel_constraint"]["MaxNorm"]["max_value"], Tree(2.0));
  EXPECT_EQ(opened.model.layers()[2]->config_tree(Style::full)["rate"], Tree(0.25));
  EXPECT_EQ(opened.model.graph().inputs()[0].shape(), (Shape{unknown, 3, 9, 8}));
  EXPECT_EQ(opened.model.graph().outputs()[0].shape(), (Shape{unknown, 5}));
  const Tree dense = opened.model.layers()[4]->config_tree(Style::full);
  EXPECT_EQ(dense["use_bias"], Tree(false));
  EXPECT_EQ(dense["activation"], Tree("hard_sigmoid_keras2"));
  EXPECT_TRUE(opened.notes.empty());
}

// A Sequential of one layer on an input of this shape.
std::string one_layer(std::string_view class_name, std::string_view shape, std::string_view fields) {
  return fmt::format(R"({{"class_name": "Sequential", "config": {{"name": "m", "layers": [
    {{"class_name": "{}", "config": {{"name": "layer", "batch_input_shape": {}{}{}}}}}]}}}})", class_name, shape, fields.empty() ? "" : ", ", fields);
}

TEST(Vintage, HardSigmoidMeansWhatItMeantThen) {
  const Tensor x = floats({1, 4}, {-3, 1, 2, 3});
  const auto activation = [&](std::string_view version) {
    return predict(open(one_layer("Activation", "[null, 4]", R"("activation": "hard_sigmoid")"), version), {x}).at(0);
  };
  expect_near(activation("2.3.1"), floats({1, 4}, {0, 0.7f, 0.9f, 1}), 1e-6);
  expect_near(activation("1.0.0"), floats({1, 4}, {0, 0.7f, 0.9f, 1}), 1e-6);
}

TEST(Vintage, ClassesOfOtherNames) {
  const auto class_of = [](std::string_view name, std::string_view shape, std::string_view fields) {
    const Opened opened = open(one_layer(name, shape, fields), "2.2.4-tf");
    return std::string(opened.model.layers()[0]->class_name());
  };
  EXPECT_EQ(class_of("CuDNNLSTM", "[null, 4, 3]", R"("units": 2, "unit_forget_bias": true, "return_sequences": true)"), "LSTM");
  EXPECT_EQ(class_of("CuDNNGRU", "[null, 4, 3]", R"("units": 2)"), "GRU");
  EXPECT_EQ(class_of("LSTMV2", "[null, 4, 3]", R"("units": 2, "time_major": false, "implementation": 2)"), "LSTM");
  EXPECT_EQ(class_of("BatchNormalizationV1", "[null, 4]", R"("axis": [1], "fused": null, "renorm": false)"), "BatchNormalization");
  EXPECT_EQ(class_of("SyncBatchNormalization", "[null, 4]", ""), "BatchNormalization");
  EXPECT_EQ(class_of("AtrousConvolution1D", "[null, 9, 3]", R"("nb_filter": 2, "filter_length": 2, "atrous_rate": 3, "subsample_length": 1)"), "Conv1D");
  EXPECT_EQ(class_of("Deconvolution2D", "[null, 4, 4, 3]", R"("nb_filter": 2, "nb_row": 2, "nb_col": 2, "output_shape": [null, 8, 8, 2], "subsample": [2, 2])"), "Conv2DTranspose");
  EXPECT_EQ(class_of("DepthwiseConv2D", "[null, 4, 4, 3]", R"("kernel_size": [2, 2], "groups": 1, "kernel_initializer": {"class_name": "Zeros", "config": {"dtype": "float32"}})"), "DepthwiseConv2D");
  EXPECT_EQ(class_of("SpatialDropout2D", "[null, 4, 4, 3]", R"("rate": 0.5, "noise_shape": null, "seed": null)"), "SpatialDropout2D");
  EXPECT_EQ(class_of("ZeroPadding2D", "[null, 4, 4, 3]", R"("padding": {"top_pad": 1, "bottom_pad": 0, "left_pad": 2, "right_pad": 3})"), "ZeroPadding2D");
  EXPECT_EQ(class_of("LeakyReLU", "[null, 4]", R"("alpha": 0.1)"), "LeakyReLU");
  EXPECT_EQ(class_of("UpSampling1D", "[null, 4, 3]", R"("length": 2)"), "UpSampling1D");
  EXPECT_EQ(class_of("GaussianNoise", "[null, 4]", R"("sigma": 0.1)"), "GaussianNoise");
}

TEST(Vintage, ActivationsOfOtherPackages) {
  const auto activation_of = [](std::string_view spelling) {
    return open(one_layer("Activation", "[null, 4]", fmt::format(R"("activation": {})", spelling)), "2.8.0").model.layers()[0]->config_tree(Style::full)["activation"];
  };
  EXPECT_EQ(activation_of(R"("tf.nn.relu6")"), Tree("relu6"));
  EXPECT_EQ(activation_of(R"("swish")"), Tree("silu"));
  EXPECT_EQ(activation_of(R"("hsigmoid")"), Tree("hard_sigmoid"));
  EXPECT_EQ(activation_of(R"("softmax_v2")"), Tree("softmax"));
  EXPECT_EQ(activation_of(R"({"class_name": "function", "config": "gelu", "registered_name": "gelu"})"), Tree("gelu"));
  EXPECT_EQ(activation_of(R"({"class_name": "LeakyReLU", "config": {"name": "l", "alpha": 0.5}})")["LeakyReLU"]["negative_slope"], Tree(0.5));
  EXPECT_NE(refusal(one_layer("Activation", "[null, 4]", R"("activation": "<lambda>")")).find("layer 'layer'"), std::string::npos);
}

TEST(Vintage, WhatMattersInTrainingAloneIsNotedAndLeftOut) {
  const Opened opened = open(one_layer("Dense", "[null, 4]", R"("units": 2, "kernel_regularizer": {"class_name": "MyOwn", "config": {}},
    "kernel_initializer": {"class_name": "EfficientConv2DKernelInitializer", "config": {}})"), "2.2.4");
  ASSERT_EQ(opened.notes.size(), 2u);
  EXPECT_EQ(opened.notes[0], "layer 'layer' (Dense): the kernel_regularizer 'MyOwn' is unknown and left out; it matters in training alone");
}

TEST(Vintage, ModesThatHaveNoCounterpartAreRefusedWithTheirLayer) {
  EXPECT_NE(refusal(one_layer("BatchNormalization", "[null, 4]", R"("mode": 3)"), "1.2.2").find("layer 'layer' (BatchNormalization): unknown mode 3"), std::string::npos);
  EXPECT_NE(refusal(one_layer("Swish", "[null, 4]", R"("beta": 2.0)")).find("layer 'layer' (Swish): it is a class of somebody's Python program with a 'beta'"), std::string::npos);
  EXPECT_NE(refusal(one_layer("Nonsense", "[null, 4]", "")).find("unknown layer 'Nonsense'"), std::string::npos);
}

// --- topology ----------------------------------------------------------------------------------------------------------

std::string merge(std::string_view mode, std::string_view more = "") {
  return fmt::format(R"({{"class_name": "Model", "config": {{"name": "m", "layers": [
    {{"class_name": "InputLayer", "name": "a", "config": {{"batch_input_shape": [null, 3], "input_dtype": "float32", "name": "a"}}, "inbound_nodes": []}},
    {{"class_name": "InputLayer", "name": "b", "config": {{"batch_input_shape": [null, 3], "input_dtype": "float32", "name": "b"}}, "inbound_nodes": []}},
    {{"class_name": "Merge", "name": "merged", "config": {{"name": "merged", "mode": "{}", "mode_type": "raw", "concat_axis": -1, "dot_axes": -1,
      "output_shape": null, "output_shape_type": "raw", "output_mask": null, "output_mask_type": "raw", "arguments": {{}}{}}},
      "inbound_nodes": [[["a", 0, 0], ["b", 0, 0]]]}}],
    "input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": [["merged", 0, 0]]}}}})", mode, more);
}

TEST(Vintage, ModesOfMergeAreLayers) {
  const Tensor a = floats({1, 3}, {1, 2, 3}), b = floats({1, 3}, {4, -5, 6});
  const auto merged = [&](std::string_view mode) { return predict(open(merge(mode), "1.2.2"), {a, b}).at(0); };
  expect_near(merged("sum"), floats({1, 3}, {5, -3, 9}), 1e-6);
  expect_near(merged("mul"), floats({1, 3}, {4, -10, 18}), 1e-6);
  expect_near(merged("ave"), floats({1, 3}, {2.5f, -1.5f, 4.5f}), 1e-6);
  expect_near(merged("max"), floats({1, 3}, {4, 2, 6}), 1e-6);
  expect_near(merged("concat"), floats({1, 6}, {1, 2, 3, 4, -5, 6}), 1e-6);
  expect_near(merged("dot"), floats({1, 1}, {12}), 1e-5);
  expect_near(merged("cos"), floats({1, 1, 1}, {12 / std::sqrt(14.0f * 77.0f)}), 1e-5);
  std::string code = merge("sum");
  code.replace(code.find(R"("mode_type": "raw")"), 18, R"("mode_type": "lambda")");
  EXPECT_NE(refusal(code, "1.2.2").find("layer 'merged' (Merge): its mode is Python code"), std::string::npos);
}

TEST(Vintage, BranchesUnderAMergeAreOneFunctionalModel) {
  const auto branch = [](std::string_view name) {
    return fmt::format(R"({{"class_name": "Sequential", "config": [{{"class_name": "Dense", "config": {{"name": "{}", "output_dim": 2, "input_dim": 3, "batch_input_shape": [null, 3]}}}}]}})", name);
  };
  const Opened opened = open(fmt::format(R"({{"class_name": "Sequential", "config": [
    {{"class_name": "Merge", "config": {{"name": "merge_1", "mode": "concat", "mode_type": "raw", "concat_axis": -1, "dot_axes": -1, "layers": [{}, {}]}}}},
    {{"class_name": "Dense", "config": {{"name": "top", "output_dim": 1}}}}]}})", branch("left"), branch("right")), "1.2.2", "",
    {{"left", {{"left_W", ramp({3, 2})}, {"left_b", ramp({2})}}}, {"right", {{"right_W", ramp({3, 2}, 7)}, {"right_b", ramp({2})}}},
     {"merge_1", {}}, {"top", {{"top_W", floats({4, 1}, {1, 1, 1, 1})}, {"top_b", floats({1}, {0})}}}});
  EXPECT_EQ(opened.model.graph().input_names(), (std::vector<std::string>{"left_input", "right_input"}));
  const Tensor one = floats({1, 3}, {1, 0, 0}), none = floats({1, 3}, {0, 0, 0});
  const double biases = 2 * (ramp({2}).at(0) + ramp({2}).at(1));
  expect_near(predict(opened, {none, none})[0], floats({1, 1}, {static_cast<float>(biases)}), 1e-6);
  expect_near(predict(opened, {one, none})[0], floats({1, 1}, {static_cast<float>(biases + ramp({3, 2}).at(0) + ramp({3, 2}).at(1))}), 1e-6);
}

// `calls`: the inbound nodes of a nested model; `ends`: what an Add takes.
std::string nested(std::string_view inner_class, std::string_view calls, std::string_view ends) {
  const std::string_view inner = inner_class == "Sequential"
      ? R"({"name": "inner", "layers": [{"class_name": "Dense", "config": {"name": "d", "units": 2, "batch_input_shape": [null, 2]}}]})"
      : R"({"name": "inner", "layers": [{"class_name": "InputLayer", "name": "i", "config": {"batch_input_shape": [null, 2], "name": "i"}, "inbound_nodes": []},
           {"class_name": "Dense", "name": "d", "config": {"name": "d", "units": 2}, "inbound_nodes": [[["i", 0, 0, {}]]]}],
           "input_layers": [["i", 0, 0]], "output_layers": [["d", 0, 0]]})";
  return fmt::format(R"({{"class_name": "Model", "config": {{"name": "m", "layers": [
    {{"class_name": "InputLayer", "name": "a", "config": {{"batch_input_shape": [null, 2], "name": "a"}}, "inbound_nodes": []}},
    {{"class_name": "InputLayer", "name": "b", "config": {{"batch_input_shape": [null, 2], "name": "b"}}, "inbound_nodes": []}},
    {{"class_name": "{}", "name": "inner", "config": {}, "inbound_nodes": {}}},
    {{"class_name": "Subtract", "name": "s", "config": {{"name": "s"}}, "inbound_nodes": {}}}],
    "input_layers": [["a", 0, 0], ["b", 0, 0]], "output_layers": [["s", 0, 0]]}}}})", inner_class, inner, calls, ends);
}

TEST(Vintage, CallsOfNestedModelsCountFromOne) {
  const Layers weights{{"inner", {{"d/kernel:0", floats({2, 2}, {1, 0, 0, 2})}, {"d/bias:0", floats({2}, {5, 7})}}}};
  for (std::string_view kind : {"Sequential", "Model"}) {
    const Opened opened = open(nested(kind, R"([[["a", 0, 0, {}]], [["b", 0, 0, {}]]])", R"([[["inner", 1, 0, {}], ["inner", 2, 0, {}]]])"), "2.2.4", "", weights);
    expect_near(predict(opened, {floats({1, 2}, {3, 4}), floats({1, 2}, {1, 1})})[0], floats({1, 2}, {2, 6}), 1e-6);
  }
}

TEST(Vintage, LorasOfKeras3AreMerged) {
  const Opened opened = open(R"({"module": "keras", "class_name": "Sequential", "config": {"name": "m", "layers": [{"module": "keras.layers", "class_name": "Dense",
    "config": {"name": "d", "units": 2, "lora_rank": 4, "lora_alpha": 8, "quantization_config": null}}]}})", "3.15.1");
  EXPECT_EQ(opened.notes, (std::vector<std::string>{"layer 'd' (Dense): its LoRA of rank 4 is merged into its weights, which train as a whole from here on"}));
}

// --- weights -----------------------------------------------------------------------------------------------------------

// What the layer of the model computes with these weights in the present form.
Tensor with_present_weights(const Opened& opened, std::vector<Tensor> weights, const Tensor& x) {
  std::vector<Weight> own = opened.model.weights();
  EXPECT_EQ(own.size(), weights.size());
  for (std::size_t i = 0; i < own.size(); ++i) own[i].variable->assign(weights[i]);
  return predict(opened, {x})[0];
}

Tensor beside(const Tensor& a, const Tensor& b) {
  const std::int64_t rows = a.shape().rank() == 1 ? 1 : a.shape()[0], left = a.shape()[-1], right = b.shape()[-1];
  Shape shape = a.shape();
  shape.set(-1, left + right);
  Tensor both(DType::float32, shape);
  for (std::int64_t row = 0, k = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < left; ++i) both.writable<float>()[static_cast<std::size_t>(k++)] = static_cast<float>(a.at(row * left + i));
    for (std::int64_t i = 0; i < right; ++i) both.writable<float>()[static_cast<std::size_t>(k++)] = static_cast<float>(b.at(row * right + i));
  }
  return both;
}

TEST(VintageWeights, GatesOfKeras1AreArraysOfTheirOwn) {
  const std::string lstm = R"("output_dim": 2, "activation": "tanh", "inner_activation": "hard_sigmoid", "inner_init": "orthogonal",
    "forget_bias_init": "one", "consume_less": "cpu", "dropout_W": 0.0, "dropout_U": 0.0, "U_regularizer": null, "input_length": 4)";
  std::vector<NamedTensor> saved;
  std::vector<Tensor> W, U, b;
  for (std::string_view gate : {"i", "c", "f", "o"}) {
    const int start = static_cast<int>(saved.size());
    W.push_back(ramp({3, 2}, start)), U.push_back(ramp({2, 2}, start + 3)), b.push_back(ramp({2}, start + 5));
    saved.push_back({fmt::format("layer_W_{}", gate), W.back()}), saved.push_back({fmt::format("layer_U_{}", gate), U.back()}), saved.push_back({fmt::format("layer_b_{}", gate), b.back()});
  }
  const auto joined = [](const std::vector<Tensor>& g) { return beside(beside(g[0], g[2]), beside(g[1], g[3])); };  // i, f, c, o
  const Tensor x = ramp({2, 4, 3}, 2);
  const Tensor got = predict(open(one_layer("LSTM", "[null, 4, 3]", lstm), "1.2.2", "", {{"layer", saved}}), {x})[0];
  expect_near(got, with_present_weights(open(one_layer("LSTM", "[null, 4, 3]", lstm), "1.2.2"), {joined(W), joined(U), joined(b)}, x), 1e-6);

  saved.resize(9);  // a GRU: z, r, h
  const auto gru = R"("output_dim": 2, "activation": "tanh", "inner_activation": "sigmoid")";
  expect_near(predict(open(one_layer("GRU", "[null, 4, 3]", gru), "1.2.2", "", {{"layer", saved}}), {x})[0],
              with_present_weights(open(one_layer("GRU", "[null, 4, 3]", gru), "1.2.2"),
                                   {beside(beside(W[0], W[1]), W[2]), beside(beside(U[0], U[1]), U[2]), beside(beside(b[0], b[1]), b[2])}, x), 1e-6);
}

// A gate of one unit: cuDNN's order of the kernel is then the present one, and what remains are the two biases.
TEST(VintageWeights, BiasesOfCuDnnAreTwo) {
  const Tensor kernel = ramp({3, 4}), recurrent = ramp({1, 4}, 4), x = ramp({2, 4, 3}, 2);
  const Tensor halves = ramp({8});
  Tensor sum(DType::float32, {4});
  for (std::int64_t i = 0; i < 4; ++i) sum.writable<float>()[static_cast<std::size_t>(i)] = static_cast<float>(halves.at(i) + halves.at(i + 4));
  const std::string config = one_layer("CuDNNLSTM", "[null, 4, 3]", R"("units": 1)");
  expect_near(predict(open(config, "2.1.5", "tensorflow", {{"layer", {{"layer/kernel:0", kernel}, {"layer/recurrent_kernel:0", recurrent}, {"layer/bias:0", halves}}}}), {x})[0],
              with_present_weights(open(config, "2.1.5"), {kernel, recurrent, sum}, x), 1e-6);
}

// Two units: a gate's (inputs, units) holds (units, inputs) row by row.
TEST(VintageWeights, KernelsOfCuDnnAreTransposedGateByGate) {
  const Tensor x = ramp({2, 4, 3}, 2), bias = Tensor(DType::float32, {12});
  Tensor stored = ramp({3, 6}), present(DType::float32, {3, 6}), stored_state = ramp({2, 6}, 4), present_state(DType::float32, {2, 6});
  for (std::int64_t gate = 0; gate < 3; ++gate)
    for (std::int64_t unit = 0; unit < 2; ++unit) {
      for (std::int64_t in = 0; in < 3; ++in) {
        const std::int64_t flat = unit * 3 + in;  // its place in the gate's own memory, two to a row
        present.writable<float>()[static_cast<std::size_t>(in * 6 + gate * 2 + unit)] = static_cast<float>(stored.at(flat / 2 * 6 + gate * 2 + flat % 2));
      }
      for (std::int64_t in = 0; in < 2; ++in)
        present_state.writable<float>()[static_cast<std::size_t>(in * 6 + gate * 2 + unit)] = static_cast<float>(stored_state.at(unit * 6 + gate * 2 + in));
    }
  const std::string config = one_layer("CuDNNGRU", "[null, 4, 3]", R"("units": 2)");
  expect_near(predict(open(config, "2.2.0", "tensorflow", {{"layer", {{"k", stored}, {"r", stored_state}, {"b", bias}}}}), {x})[0],
              with_present_weights(open(config, "2.2.0"), {present, present_state, bias.reshaped({2, 6})}, x), 1e-6);
}

TEST(VintageWeights, TheanoConvolves) {
  const std::string config = one_layer("Conv2D", "[null, 2, 2, 1]", R"("filters": 1, "kernel_size": [2, 2], "use_bias": false)");
  const Tensor x = floats({1, 2, 2, 1}, {1, 2, 3, 4}), kernel = floats({2, 2, 1, 1}, {1, 10, 100, 1000});
  const auto result = [&](std::string_view backend) { return predict(open(config, "2.1.3", backend, {{"layer", {{"layer/kernel:0", kernel}}}}), {x})[0].at(0); };
  EXPECT_EQ(result("tensorflow"), 4321);
  EXPECT_EQ(result("theano"), 1234);
}

TEST(VintageWeights, KernelsOfKeras1StandInTheOrderOfTheirData) {
  const Tensor x = floats({1, 1, 2, 2}, {1, 2, 3, 4});
  const std::string config = one_layer("Convolution2D", "[null, 1, 2, 2]", R"("nb_filter": 2, "nb_row": 2, "nb_col": 2, "dim_ordering": "th", "bias": false)");
  const Tensor kernel = floats({2, 1, 2, 2}, {1, 10, 100, 1000, 0, 0, 0, 1});  // (filters, channels, rows, columns)
  expect_near(predict(open(config, "1.2.2", "", {{"layer", {{"layer_W:0", kernel}}}}), {x})[0], floats({1, 2, 1, 1}, {4321, 4}), 0);
  expect_near(predict(open(config, "1.2.2", "", {{"layer", {{"layer_W", kernel}}}}), {x})[0], floats({1, 2, 1, 1}, {1234, 1}), 0);
  const std::string line = one_layer("Convolution1D", "[null, 2, 1]", R"("nb_filter": 1, "filter_length": 2, "bias": false)");
  for (const Shape& shape : {Shape{2, 1, 1, 1}, Shape{1, 1, 2, 1}})
    EXPECT_EQ(predict(open(line, "1.1.0", "", {{"layer", {{"layer_W:0", floats(shape, {1, 10})}}}}), {floats({1, 2, 1}, {3, 4})})[0].at(0), 43);
}

TEST(VintageWeights, WrappedLayersOfKeras1) {
  const Tensor x = ramp({2, 4, 3}, 2);
  const Opened dense = open(one_layer("TimeDistributedDense", "[null, 4, 3]", R"("output_dim": 1, "init": "glorot_uniform", "activation": "linear", "bias": true, "input_dim": null)"), "1.1.0", "",
                            {{"layer", {{"layer_W:0", floats({3, 1}, {1, 2, 3})}, {"layer_b:0", floats({1}, {5})}}}});
  EXPECT_NEAR(predict(dense, {x})[0].at(0), x.at(0) + 2 * x.at(1) + 3 * x.at(2) + 5, 1e-6);

  std::vector<NamedTensor> saved;
  for (std::string_view way : {"forward", "backward"})
    for (std::string_view part : {"W", "U", "b"})
      saved.push_back({fmt::format("{}_rnn_{}", way, part), ramp(part == "W" ? Shape{3, 2} : part == "U" ? Shape{2, 2} : Shape{2}, static_cast<int>(saved.size()))});
  const std::string config = one_layer("Bidirectional", "[null, 4, 3]", R"("merge_mode": "concat", "layer": {"class_name": "SimpleRNN", "config": {"name": "rnn", "output_dim": 2, "activation": "tanh"}})");
  std::vector<Tensor> present;
  for (const NamedTensor& each : saved) present.push_back(each.tensor);
  expect_near(predict(open(config, "1.2.2", "", {{"layer", saved}}), {x})[0], with_present_weights(open(config, "1.2.2"), present, x), 1e-6);
}

TEST(VintageWeights, LayersThatOnlyKeras1Has) {
  const Tensor x = floats({1, 2}, {1, 2});
  const Opened maxout = open(one_layer("MaxoutDense", "[null, 2]", R"("output_dim": 2, "nb_feature": 2, "init": "glorot_uniform", "bias": true, "input_dim": 2)"), "1.2.2", "",
                             {{"layer", {{"layer_W:0", floats({2, 2, 2}, {1, 0, 0, 1, -1, 5, 0, 0})}, {"layer_b:0", floats({2, 2}, {0, 0, 3, 0})}}}});
  expect_near(predict(maxout, {x})[0], floats({1, 2}, {2, 5}), 1e-6);  // of (1, 2) and (2, 5)
  const Opened highway = open(one_layer("Highway", "[null, 2]", R"("init": "glorot_uniform", "transform_bias": -2, "activation": "relu", "bias": true, "input_dim": 2)"), "1.2.2", "",
                              {{"layer", {{"layer_W:0", floats({2, 2}, {1, 0, 0, -1})}, {"layer_W_carry:0", floats({2, 2}, {0, 0, 0, 0})},
                                          {"layer_b:0", floats({2}, {4, 0})}, {"layer_b_carry:0", floats({2}, {0, 0})}}}});
  expect_near(predict(highway, {x})[0], floats({1, 2}, {0.5f * 5 + 0.5f * 1, 0.5f * 2}), 1e-6);
}

// A model of two normalised layers within a model: its list of weights is in one of several orders.
TEST(VintageWeights, NestedModelsAreMatchedByNameAndElseByOrder) {
  const std::string config = R"({"class_name": "Sequential", "config": {"name": "m", "layers": [{"class_name": "Sequential", "config": {"name": "inner", "layers": [
    {"class_name": "BatchNormalization", "config": {"name": "n1", "batch_input_shape": [null, 2]}}, {"class_name": "BatchNormalization", "config": {"name": "n2"}}]}}]}})";
  std::vector<NamedTensor> by_layer;
  for (std::string_view layer : {"n1", "n2"})
    for (std::string_view part : {"gamma", "beta", "moving_mean", "moving_variance"})
      by_layer.push_back({fmt::format("{}/{}:0", layer, part), floats({2}, {static_cast<float>(by_layer.size() + 1), 1})});
  const std::vector<std::size_t> trainable_first{0, 1, 4, 5, 2, 3, 6, 7};
  std::vector<NamedTensor> mixed, nameless;
  for (std::size_t i : trainable_first) mixed.push_back(by_layer[i]), nameless.push_back({fmt::format("Variable_{}:0", i), by_layer[i].tensor});
  const Tensor x = floats({1, 2}, {3, 4});
  const Tensor want = predict(open(config, "2.4.0", "tensorflow", {{"inner", by_layer}}), {x})[0];
  for (const auto& order : {mixed, nameless}) expect_near(predict(open(config, "2.4.0", "tensorflow", {{"inner", order}}), {x})[0], want, 0);
}

TEST(VintageWeights, StatesOfRandomNumbersAreNone) {
  const std::string config = R"({"class_name": "Sequential", "config": {"name": "m", "layers": [{"class_name": "Dropout", "config": {"name": "drop", "rate": 0.5, "batch_input_shape": [null, 2]}},
    {"class_name": "Dense", "config": {"name": "d", "units": 1, "use_bias": false}}]}})";
  const Opened opened = open(config, "2.9.0", "tensorflow", {{"drop", {{"drop/StateVar:0", Tensor(DType::int64, {3})}}}, {"d", {{"d/kernel:0", floats({2, 1}, {1, 2})}}}});
  EXPECT_EQ(predict(opened, {floats({1, 2}, {3, 4})})[0].at(0), 11);
}

TEST(VintageWeights, ByNameAndSkippedWithTheReason) {
  Sequential model({Input({2}), Dense({.units = 2}, {.name = "a"}), Dense({.units = 3}, {.name = "b"}), Dense({.units = 1}, {.name = "c"})});
  model.initialize(0);
  const KerasFile file{.layers = {{"a", {{"a/kernel:0", ramp({2, 2})}, {"a/bias:0", ramp({2})}}}, {"b", {{"b/kernel:0", ramp({5, 3})}, {"b/bias:0", ramp({3})}}}}, .keras_version = "2.2.4"};
  std::vector<std::string> skipped;
  EXPECT_NE(message_of([&] { load_weights(model.graph(), file, {.by_name = true}); }).find("layer 'b' (Dense): the file's weight 'b/kernel:0' is (5, 3)"), std::string::npos);
  load_weights(model.graph(), file, {.by_name = true, .skip_mismatch = true, .skipped = &skipped});
  ASSERT_EQ(skipped.size(), 2u);
  EXPECT_NE(skipped[0].find("layer 'b' (Dense): the file's weight"), std::string::npos);
  EXPECT_EQ(skipped[1], "layer 'c' (Dense): the file has no weights for it");
  EXPECT_TRUE(model.weights()[0].variable->value().identical(ramp({2, 2})));
}

// The expected numbers of these are worked out by hand from keras/layers of Keras 1.2.2 (and 0.3.3 for ThresholdedLinear).
TEST(VintageLayers, OfKeras1Alone) {
  const auto result = [](std::string_view class_name, std::string_view fields, std::vector<NamedTensor> weights, const Tensor& x) {
    const std::string shape = x.shape().rank() == 2 ? fmt::format("[null, {}]", x.shape()[1]) : fmt::format("[null, {}, {}]", x.shape()[1], x.shape()[2]);
    Layers layers;
    if (!weights.empty()) layers.push_back({"layer", std::move(weights)});
    return predict(open(one_layer(class_name, shape, fields), "1.2.2", "tensorflow", std::move(layers)), {x}).at(0);
  };
  const Tensor x = floats({1, 3}, {-2, 0.5f, 3});
  // t_left = -1, |t_right| = 2: the middle reaches from -1 to 1
  const auto three = [](float value) { return floats({3}, {value, value, value}); };
  expect_near(result("SReLU", R"("t_left_init": "zero", "a_left_init": "glorot_uniform", "t_right_init": "glorot_uniform", "a_right_init": "one", "shared_axes": null)",
                     {{"t_left:0", three(-1)}, {"a_left:0", three(0.1f)}, {"t_right:0", three(-2)}, {"a_right:0", three(0.5f)}}, x),
              floats({1, 3}, {-1.1f, 0.5f, 2}), 1e-6);
  expect_near(result("ParametricSoftplus", R"("alpha_init": 0.2, "beta_init": 5.0)", {{"alpha:0", three(2)}, {"beta:0", three(0.5f)}}, x),
              floats({1, 3}, {2 * std::log(1 + std::exp(-1.0f)), 2 * std::log(1 + std::exp(0.25f)), 2 * std::log(1 + std::exp(1.5f))}), 1e-6);
  expect_near(result("ThresholdedLinear", R"("theta": 1.0)", {}, x), floats({1, 3}, {-2, 0, 3}), 0);
  expect_near(result("Swish", "", {}, floats({1, 1}, {0})), floats({1, 1}, {0}), 0);
  expect_near(result("Custom>ReLU6", "", {}, floats({1, 2}, {-1, 9})), floats({1, 2}, {0, 6}), 0);
}

TEST(VintageLayers, OfSomebodysOwnPackageAreNotKerass) {
  const std::string message = refusal(one_layer("MyPkg>Dense", "[null, 2]", R"("units": 3)"));
  EXPECT_NE(message.find("MyPkg>Dense"), std::string::npos) << message;
  EXPECT_NE(message.find("unknown"), std::string::npos) << message;
  for (const char* package : {"Custom", "Addons", "Vision", "keras_nlp"})
    EXPECT_EQ(open(one_layer(fmt::format("{}>Dense", package), "[null, 2]", R"("units": 3)"), "2.2.4").model.graph().count_params(), 9) << package;
}

TEST(VintageLayers, BatchNormalizationOfModes1And2) {
  const auto result = [](int mode, const Tensor& x) {
    const Layers weights{{"layer", {{"gamma:0", floats({2}, {2, 3})}, {"beta:0", floats({2}, {1, -1})}, {"running_mean:0", floats({2}, {7, 7})}, {"running_std:0", floats({2}, {5, 5})}}}};
    return predict(open(one_layer("BatchNormalization", "[null, 2]", fmt::format(R"("mode": {}, "axis": -1, "epsilon": 0.01, "momentum": 0.9, "gamma_init": "one", "beta_init": "zero")", mode)), "1.2.2", "tensorflow", weights), {x}).at(0);
  };
  const Tensor x = floats({2, 2}, {1, 5, 3, 4});
  // each row: mean and root of (variance + epsilon), to which epsilon is added once more
  const float first = std::sqrt(4.01f) + 0.01f, second = std::sqrt(0.26f) + 0.01f;
  expect_near(result(1, x), floats({2, 2}, {1 - 2 * 2 / first, -1 + 3 * 2 / first, 1 - 2 * 0.5f / second, -1 + 3 * 0.5f / second}), 1e-5);
  const float left = std::sqrt(1.01f), right = std::sqrt(0.26f);
  expect_near(result(2, x), floats({2, 2}, {1 - 2 / left, -1 + 1.5f / right, 1 + 2 / left, -1 - 1.5f / right}), 1e-5);
}

TEST(VintageTopology, GraphsOfKeras0And1AreFunctional) {
  const std::string nodes = R"("input_config": [{"name": "a", "input_shape": [2], "dtype": "float"}, {"name": "b", "input_shape": [2], "dtype": "float"}],
    "node_config": [{"name": "twice", "inputs": ["a", "b"], "outputs": ["ta", "tb"], "merge_mode": null}, {"name": "both", "input": null, "inputs": ["ta", "tb"], "merge_mode": "sum", "concat_axis": -1, "dot_axes": -1, "create_output": false}],
    "output_config": [{"name": "out", "input": "both", "inputs": [], "merge_mode": "concat"}, {"name": "all", "input": "", "inputs": ["a", "both"], "merge_mode": "concat", "concat_axis": -1}])";
  const std::string of_keras0 = fmt::format(R"({{"name": "Graph", {}, "nodes": {{"twice": {{"name": "Dense", "custom_name": "dense", "output_dim": 2, "init": "uniform", "activation": "linear", "cache_enabled": true}},
    "both": {{"name": "Activation", "custom_name": "activation", "activation": "relu"}}}}}})", nodes);
  const std::string of_keras1 = fmt::format(R"({{"class_name": "Graph", "keras_version": "1.0.1", "config": {{"name": "graph_1", {}, "nodes": {{"twice": {{"class_name": "Dense", "config": {{"name": "dense_1", "output_dim": 2, "init": "uniform"}}}},
    "both": {{"class_name": "Activation", "config": {{"name": "activation_1", "activation": "relu"}}}}}}}}}})", nodes);
  for (const std::string& config : {of_keras0, of_keras1}) {
    const Opened opened = open(config, "");
    opened.model.weights()[0].variable->assign(floats({2, 2}, {1, 0, 0, -1}));
    opened.model.weights()[1].variable->assign(floats({2}, {10, 1}));
    const std::vector<Tensor> results = predict(opened, {floats({1, 2}, {1, 2}), floats({1, 2}, {3, 4})});
    expect_near(results.at(0), floats({1, 2}, {24, 0}), 1e-5);
    expect_near(results.at(1), floats({1, 4}, {1, 2, 24, 0}), 1e-5);
  }
}

TEST(VintageTopology, SequentialsBeforeKeras1) {
  const Opened opened = open(R"({"name": "Sequential", "class_mode": "categorical", "loss": "mse", "optimizer": {"name": "SGD"}, "layers": [
    {"name": "Dense", "custom_name": "first", "input_shape": [3], "input_dim": null, "output_dim": 2, "init": "uniform", "activation": "linear", "W_regularizer": null, "cache_enabled": true, "trainable": true},
    {"name": "Dropout", "custom_name": "dropout", "p": 0.5, "cache_enabled": true}, {"name": "ThresholdedLinear", "theta": 1.0}]})", "");
  EXPECT_EQ(opened.model.graph().inputs()[0].shape(), (Shape{unknown, 3}));
  EXPECT_EQ(opened.model.layers()[0]->name(), "first");
  EXPECT_EQ(opened.model.layers()[2]->class_name(), "ThresholdedLinear");
}

// --- training ----------------------------------------------------------------------------------------------------------

TEST(VintageTraining, OldOptimizersLossesAndMetrics) {
  const KerasFile file{.training_config = parse_json(R"({"optimizer_config": {"class_name": "SGD", "config": {"lr": 0.5, "decay": 0.25, "momentum": 0.0, "nesterov": false}},
    "loss": {"class_name": "CategoricalCrossentropy", "config": {"reduction": "auto", "name": "categorical_crossentropy", "from_logits": true}},
    "metrics": [[{"class_name": "MeanMetricWrapper", "config": {"name": "accuracy", "dtype": "float32", "fn": "categorical_accuracy"}}]],
    "sample_weight_mode": null, "loss_weights": null})"), .keras_version = "2.3.0"};
  const CompileOptions options = read_compile_options(file);
  const Tree rate = options.optimizer->config_tree(Style::full)["learning_rate"]["InverseTimeDecay"];
  EXPECT_EQ(rate["initial_learning_rate"], Tree(0.5));
  EXPECT_EQ(rate["decay_rate"], Tree(0.25));
  ASSERT_TRUE(options.loss.all);
  EXPECT_EQ(options.loss.all->object->class_name(), "CategoricalCrossentropy");
  ASSERT_TRUE(options.metrics.all);
  EXPECT_EQ(options.metrics.all->at(0).word, "accuracy");
}

TEST(VintageTraining, StatesOfOldOptimizersGoOn) {
  Sequential model({Input({2}), Dense({.units = 1})});
  model.compile({.optimizer = "adam", .loss = "mse"});
  std::vector<VariableRef> weights;
  for (const Weight& weight : model.weights()) weights.push_back(weight.variable);
  Optimizer& optimizer = model.trainer().optimizer();
  optimizer.build(weights);
  const Tensor m = floats({2, 1}, {1, 2}), mb = floats({1}, {3}), v = floats({2, 1}, {4, 5}), vb = floats({1}, {6});
  const auto slot = [&](std::string_view end) {
    for (const VariableRef& variable : optimizer.variables())
      if (variable->path().ends_with(end)) return variable->value();
    throw Error("no slot {}", end);
  };
  for (const bool interleaved : {false, true}) {
    KerasFile file{.keras_version = interleaved ? "2.12.0" : "2.2.4-tf"};
    const NamedTensor steps{"Adam/iter:0", Tensor::scalar<std::int64_t>(interleaved ? 9 : 7)};
    if (interleaved) file.optimizer_weights = {steps, {"learning_rate:0", Tensor::scalar(0.001f)}, {"Adam/m/d/kernel:0", m}, {"Adam/v/d/kernel:0", v}, {"Adam/m/d/bias:0", mb}, {"Adam/v/d/bias:0", vb}};
    else file.optimizer_weights = {steps, {"Adam/d/kernel/m:0", m}, {"Adam/d/bias/m:0", mb}, {"Adam/d/kernel/v:0", v}, {"Adam/d/bias/v:0", vb}};
    load_optimizer(optimizer, file);
    EXPECT_EQ(optimizer.iterations(), interleaved ? 9 : 7);
    EXPECT_TRUE(slot("kernel_momentum").identical(m));
    EXPECT_TRUE(slot("bias_momentum").identical(mb));
    EXPECT_TRUE(slot("kernel_velocity").identical(v));
    EXPECT_TRUE(slot("bias_velocity").identical(vb));
  }
}

// Early Keras 2 sorted the weights by their names.
TEST(VintageTraining, StatesInTheOrderOfNames) {
  Sequential model({Input({2}), Dense({.units = 1}, {.name = "d"})});
  model.compile({.optimizer = "adam", .loss = "mse"});
  std::vector<VariableRef> weights;
  for (const Weight& weight : model.weights()) weights.push_back(weight.variable);
  Optimizer& optimizer = model.trainer().optimizer();
  optimizer.build(weights);
  const KerasFile file{.layers = {{"d", {{"d/kernel:0", ramp({2, 1})}, {"d/bias:0", ramp({1})}}}},
                       .optimizer_weights = {{"iterations:0", Tensor::scalar(3.0f)}, {"Variable:0", floats({1}, {3})}, {"Variable_1:0", floats({2, 1}, {1, 2})},
                                             {"Variable_2:0", floats({1}, {6})}, {"Variable_3:0", floats({2, 1}, {4, 5})}},
                       .keras_version = "2.0.5"};
  load_optimizer(optimizer, file);
  EXPECT_EQ(optimizer.iterations(), 3);
  const auto slot = [&](std::string_view end) {
    for (const VariableRef& variable : optimizer.variables())
      if (variable->path().ends_with(end)) return variable->value();
    throw Error("no slot {}", end);
  };
  EXPECT_TRUE(slot("kernel_momentum").identical(floats({2, 1}, {1, 2})));
  EXPECT_TRUE(slot("bias_momentum").identical(floats({1}, {3})));
  EXPECT_TRUE(slot("kernel_velocity").identical(floats({2, 1}, {4, 5})));
  EXPECT_TRUE(slot("bias_velocity").identical(floats({1}, {6})));
}

// --- operations of TensorFlow --------------------------------------------------------------------------------------------

std::string with_operations(std::string_view entries, std::string_view end) {
  return fmt::format(R"({{"class_name": "Functional", "config": {{"name": "m", "layers": [
    {{"class_name": "InputLayer", "name": "x", "config": {{"batch_input_shape": [null, 2, 3], "dtype": "float32", "name": "x"}}, "inbound_nodes": []}},
    {}], "input_layers": [["x", 0, 0]], "output_layers": [["{}", 0, 0]]}}}})", entries, end);
}

TEST(VintageOperations, FunctionsAreOperations) {
  const Tensor x = floats({1, 2, 3}, {1, 2, 3, 4, 5, 6});
  const auto result = [&](std::string_view function, std::string_view node) {
    return predict(open(with_operations(fmt::format(R"({{"class_name": "TFOpLambda", "name": "f", "config": {{"name": "f", "trainable": true, "dtype": "float32", "function": "{}"}}, "inbound_nodes": [{}]}})", function, node), "f"), "2.9.0"), {x})[0];
  };
  expect_near(result("math.multiply", R"(["x", 0, 0, {"y": 2.0, "name": null}])"), floats({1, 2, 3}, {2, 4, 6, 8, 10, 12}), 1e-6);
  expect_near(result("__operators__.add", R"(["x", 0, 0, {"y": ["x", 0, 0], "name": null}])"), floats({1, 2, 3}, {2, 4, 6, 8, 10, 12}), 1e-6);
  expect_near(result("__operators__.rsub", R"(["x", 0, 0, {"y": 1.0}])"), floats({1, 2, 3}, {0, -1, -2, -3, -4, -5}), 1e-6);
  expect_near(result("math.subtract", R"(["_CONSTANT_VALUE", -1, 1.0, {"y": ["x", 0, 0]}])"), floats({1, 2, 3}, {0, -1, -2, -3, -4, -5}), 1e-6);
  expect_near(result("math.reduce_mean", R"(["x", 0, 0, {"axis": -1, "keepdims": true}])"), floats({1, 2, 1}, {2, 5}), 1e-6);
  expect_near(result("concat", R"([["x", 0, 0, {"axis": 1}], ["x", 0, 0, {"axis": 1}]])"), floats({1, 4, 3}, {1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6}), 0);
  expect_near(result("reshape", R"(["x", 0, 0, {"shape": [-1, 3, 2]}])"), x.reshaped({1, 3, 2}), 0);
  expect_near(result("compat.v1.transpose", R"(["x", 0, 0, {"perm": [0, 2, 1]}])"), floats({1, 3, 2}, {1, 4, 2, 5, 3, 6}), 0);
  expect_near(result("nn.leaky_relu", R"(["x", 0, 0, {"alpha": 0.1}])"), x, 0);
  expect_near(result("clip_by_value", R"(["x", 0, 0, {"clip_value_min": 2.0, "clip_value_max": 5.0}])"), floats({1, 2, 3}, {2, 2, 3, 4, 5, 5}), 0);
  expect_near(result("math.squared_difference", R"(["x", 0, 0, {"y": 2.0}])"), floats({1, 2, 3}, {1, 0, 1, 4, 9, 16}), 1e-6);
  expect_near(result("expand_dims", R"(["x", 0, 0, {"axis": 1}])"), x.reshaped({1, 1, 2, 3}), 0);
  EXPECT_NE(message_of([&] { result("linalg.svd", R"(["x", 0, 0, {}])"); }).find("layer 'f' (TFOpLambda): the TensorFlow function 'linalg.svd' is not supported"), std::string::npos);
}

TEST(VintageOperations, FunctionsThatAreSeveralOperations) {
  const Tensor x = floats({1, 2, 3}, {1, 2, 3, 4, 5, 6});
  const auto result = [&](std::string_view function, std::string_view node) {
    return predict(open(with_operations(fmt::format(R"({{"class_name": "TFOpLambda", "name": "f", "config": {{"name": "f", "trainable": true, "dtype": "float32", "function": "{}"}}, "inbound_nodes": [{}]}})", function, node), "f"), "2.9.0"), {x})[0];
  };
  expect_near(result("linalg.matmul", R"(["x", 0, 0, {"b": ["x", 0, 0], "transpose_b": true}])"), floats({1, 2, 2}, {14, 32, 32, 77}), 1e-4);
  expect_near(result("math.l2_normalize", R"(["x", 0, 0, {"axis": -1}])"), floats({1, 2, 3}, {1 / std::sqrt(14.0f), 2 / std::sqrt(14.0f), 3 / std::sqrt(14.0f), 4 / std::sqrt(77.0f), 5 / std::sqrt(77.0f), 6 / std::sqrt(77.0f)}), 1e-5);
  expect_near(result("norm", R"(["x", 0, 0, {"ord": "euclidean", "axis": -1}])"), floats({1, 2}, {std::sqrt(14.0f), std::sqrt(77.0f)}), 1e-5);
  expect_near(result("math.add_n", R"([["x", 0, 0, {}], ["x", 0, 0, {}], ["x", 0, 0, {}]])"), floats({1, 2, 3}, {3, 6, 9, 12, 15, 18}), 1e-5);
  expect_near(result("compat.v1.pad", R"(["x", 0, 0, {"paddings": [[0, 0], [0, 0], [1, 0]], "mode": "CONSTANT", "constant_values": 7}])"), floats({1, 2, 4}, {7, 1, 2, 3, 7, 4, 5, 6}), 0);
  expect_near(result("slice", R"(["x", 0, 0, {"begin": [0, 0, 1], "size": [-1, 1, 2]}])"), floats({1, 1, 2}, {2, 3}), 0);
  const auto error_of_slice = [&](std::string_view begin, std::string_view size) {
    return message_of([&] { result("slice", fmt::format(R"(["x", 0, 0, {{"begin": [0, 0, {}], "size": [-1, 1, {}]}}])", begin, size)); });
  };
  EXPECT_NE(error_of_slice("9223372036854775807", "1").find("got a block of 1 places from 9223372036854775807 on"), std::string::npos);
  EXPECT_NE(error_of_slice("-1", "1").find("got a block of 1 places from -1 on"), std::string::npos);
  EXPECT_NE(error_of_slice("1", "-2").find("got a block of -2 places from 1 on"), std::string::npos);
  expect_near(result("linalg.band_part", R"(["x", 0, 0, {"num_lower": 0, "num_upper": -1}])"), floats({1, 2, 3}, {1, 2, 3, 0, 5, 6}), 0);
  expect_near(result("nn.crelu", R"(["x", 0, 0, {}])"), floats({1, 2, 6}, {1, 2, 3, 0, 0, 0, 4, 5, 6, 0, 0, 0}), 0);
  expect_near(result("nn.dropout", R"(["x", 0, 0, {"rate": 0.5}])"), x, 0);
  expect_near(result("math.squared_difference", R"(["x", 0, 0, {"y": 2.0}])"), floats({1, 2, 3}, {1, 0, 1, 4, 9, 16}), 1e-6);
}

// f stands for tf.shape(x), which further entries use.
TEST(VintageOperations, ShapesOfTensorsMayShapeOthers) {
  const Tensor x = floats({2, 2, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  const auto entry = [](std::string_view name, std::string_view function, std::string_view node) {
    return fmt::format(R"({{"class_name": "{}", "name": "{}", "config": {{"name": "{}", "function": "{}"}}, "inbound_nodes": [{}]}})",
                       function == "__operators__.getitem" ? "SlicingOpLambda" : "TFOpLambda", name, name, function, node);
  };
  const std::string shape = entry("f", "compat.v1.shape", R"(["x", 0, 0, {"out_type": "int32"}])") + ", " + entry("batch", "__operators__.getitem", R"(["f", 0, 0, {"slice_spec": 0}])") +
                            ", " + entry("steps", "__operators__.getitem", R"(["f", 0, 0, {"slice_spec": 1}])");
  const auto reshaped = [&](std::string_view entries, std::string_view sizes) {
    return predict(open(with_operations(fmt::format("{}, {}{}", shape, entries, entry("y", "reshape", fmt::format(R"(["x", 0, 0, {{"shape": {}}}])", sizes))), "y"), "2.9.0"), {x})[0];
  };
  expect_near(reshaped("", R"([["batch", 0, 0], 6])"), x.reshaped({2, 6}), 0);
  expect_near(reshaped("", R"([["batch", 0, 0], -1, 2])"), x.reshaped({2, 3, 2}), 0);
  expect_near(reshaped("", R"([["batch", 0, 0], ["steps", 0, 0], 3, 1])"), x.reshaped({2, 2, 3, 1}), 0);
  expect_near(reshaped("", R"(["f", 0, 0])"), x, 0);
  expect_near(reshaped(entry("product", "math.multiply", R"(["steps", 0, 0, {"y": 3}])") + ", ", R"([-1, ["product", 0, 0]])"), x.reshaped({2, 6}), 0);
  // Halves are rounded down; a size that is below 0 is none, the least of all numbers too.
  const auto halved = [&](std::string_view size) {
    return reshaped(entry("half", "math.floordiv", fmt::format(R"(["{}", 0, 0, {{"y": 2}}])", size)) + ", ", R"([-1, ["half", 0, 0], 6])");
  };
  expect_near(halved("steps"), x.reshaped({2, 1, 6}), 0);
  const auto of_number = [&](std::string_view function, std::string_view number) {
    return message_of([&] { reshaped(entry("small", function, fmt::format(R"(["_CONSTANT_VALUE", -1, {}, {{"y": ["steps", 0, 0]}}])", number)) + ", ", R"([-1, ["small", 0, 0]])"); });
  };
  EXPECT_NE(of_number("math.floordiv", "-9223372036854775808").find("got the size -4611686018427387904"), std::string::npos) << of_number("math.floordiv", "-9223372036854775808");
  EXPECT_NE(of_number("math.floordiv", "-3").find("got the size -2"), std::string::npos) << of_number("math.floordiv", "-3");
  // The batch of another tensor, when both have the model's.
  const auto of_other = [&](std::string_view other) {
    return with_operations(fmt::format("{}, {}, {}, {}, {}", shape, other, entry("g", "compat.v1.shape", R"(["o", 0, 0, {}])"),
                                       entry("b", "__operators__.getitem", R"(["g", 0, 0, {"slice_spec": 0}])"),
                                       entry("y", "reshape", R"(["x", 0, 0, {"shape": [["b", 0, 0], -1, ["steps", 0, 0]]}])")), "y");
  };
  expect_near(predict(open(of_other(entry("o", "nn.relu", R"(["x", 0, 0, {}])")), "2.9.0"), {x})[0], x.reshaped({2, 3, 2}), 0);
  EXPECT_NE(message_of([&] { open(of_other(entry("o", "transpose", R"(["x", 0, 0, {"perm": [1, 0, 2]}])")), "2.9.0"); })
                .find("its shape begins with that of another tensor, which is not known to have the same batch"), std::string::npos);
  EXPECT_NE(message_of([&] { open(with_operations(shape + ", " + entry("y", "math.multiply", R"(["x", 0, 0, {"y": ["batch", 0, 0]}])"), "y"), "2.9.0"); })
                .find("layer 'y' (TFOpLambda): computing with the shape of a tensor as numbers is not supported"), std::string::npos);
}

TEST(VintageOperations, Slices) {
  const auto entry = R"({"class_name": "SlicingOpLambda", "name": "s", "config": {"name": "s", "trainable": true, "dtype": "float32", "function": "__operators__.getitem"},
    "inbound_nodes": [["x", 0, 0, {"slice_spec": [{"start": null, "stop": null, "step": null}, 1, {"start": null, "stop": 2, "step": null}]}]]})";
  expect_near(predict(open(with_operations(entry, "s"), "2.8.0"), {floats({1, 2, 3}, {1, 2, 3, 4, 5, 6})})[0], floats({1, 2}, {4, 5}), 0);
}

TEST(VintageOperations, NodesOfGraphs) {
  const auto entry = R"({"class_name": "TensorFlowOpLayer", "name": "mean", "config": {"name": "Mean", "trainable": true, "dtype": "float32",
    "node_def": "{\"name\": \"Mean\", \"op\": \"Mean\", \"input\": [\"x\", \"axes\"], \"attr\": {\"keep_dims\": {\"b\": false}, \"T\": {\"type\": \"DT_FLOAT\"}}}",
    "constants": {"1": [1]}}, "inbound_nodes": [[["x", 0, 0, {}]]]})";
  expect_near(predict(open(with_operations(entry, "mean"), "2.2.4-tf"), {floats({1, 2, 3}, {1, 2, 3, 4, 5, 6})})[0], floats({1, 3}, {2.5f, 3.5f, 4.5f}), 1e-6);
}

// Attributes that are texts stand in base 64.
TEST(VintageOperations, NodesOfGraphsWithAttributes) {
  const auto result = [](std::string_view op, std::string_view attributes, std::string_view constants) {
    std::string quoted;
    for (char c : attributes) quoted += c == '"' ? std::string("\\\"") : std::string(1, c);
    const std::string entry = fmt::format(R"({{"class_name": "TensorFlowOpLayer", "name": "n", "config": {{"name": "n", "trainable": true, "dtype": "float32",
      "node_def": "{{\"name\": \"n\", \"op\": \"{}\", \"input\": [\"x\"], \"attr\": {{{}}}}}", "constants": {{{}}}}}, "inbound_nodes": [[["x", 0, 0, {{}}]]]}})", op, quoted, constants);
    return predict(open(with_operations(entry, "n"), "2.2.4-tf"), {floats({1, 2, 3}, {1, 2, 3, 4, 5, 6})})[0];
  };
  expect_near(result("StridedSlice", R"("begin_mask": {"i": "3"}, "end_mask": {"i": "1"}, "shrink_axis_mask": {"i": "4"})", R"("1": [0, 0, 1], "2": [0, 1, 2], "3": [1, 1, 1])"), floats({1, 1}, {2}), 0);
  expect_near(result("StridedSlice", R"("ellipsis_mask": {"i": "1"}, "new_axis_mask": {"i": "4"}, "begin_mask": {"i": "2"}, "end_mask": {"i": "2"})", R"("1": [0, 0, 0], "2": [0, 0, 0], "3": [1, -1, 1])"),
              floats({1, 2, 3, 1}, {3, 2, 1, 6, 5, 4}), 0);
  expect_near(result("MirrorPad", R"("mode": {"s": "UkVGTEVDVA=="})", R"("1": [[0, 0], [0, 0], [1, 0]])"), floats({1, 2, 4}, {2, 1, 2, 3, 5, 4, 5, 6}), 0);
  expect_near(result("BatchMatMulV2", R"("adj_y": {"b": true})", R"("1": [[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]])"), floats({1, 2, 2}, {1, 6, 4, 12}), 1e-5);
  expect_near(result("ClipByValue", "", R"("1": 2.0, "2": 5.0)"), floats({1, 2, 3}, {2, 2, 3, 4, 5, 5}), 0);
  expect_near(result("AddN", "", ""), floats({1, 2, 3}, {1, 2, 3, 4, 5, 6}), 0);
}

}  // namespace
}  // namespace nacre::test
