// The battery that every layer goes through: configs there and back, unknown keys, names of weights, and that the
// shapes that are inferred without a batch are those of real results.
#include <gtest/gtest.h>

#include <set>

#include "backend/executable.h"
#include "backend/graph/passes/pipeline.h"
#include "formats/json.h"
#include "formats/yaml.h"
#include "layers/symbol.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

struct Row {
  const char* yaml;                       // the layer
  std::vector<Type> inputs;               // with the batch
  std::vector<std::string> weights = {};  // their paths
};

std::ostream& operator<<(std::ostream& out, const Row& row) { return out << row.yaml; }

Type real(Shape shape) { return {DType::float32, std::move(shape)}; }
Type index(Shape shape) { return {DType::int32, std::move(shape)}; }

const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      {"InputLayer: {shape: [4], name: x}", {real({2, 4})}},
      {"Dense: {units: 3, activation: relu, name: fc}", {real({2, 5})}, {"fc/kernel", "fc/bias"}},
      {"Dense: {units: 3, use_bias: false}", {real({2, 4, 5})}, {"dense/kernel"}},
      {"Embedding: {input_dim: 7, output_dim: 3, mask_zero: true}", {index({2, 4})}, {"embedding/embeddings"}},
      {"Masking: {mask_value: 2.0}", {real({2, 3, 4})}},
      {"Identity", {real({2, 3})}},
      {"NotEqual", {real({2, 3}), real({2, 3})}},
      {"LogicalOr", {real({2, 3, 1}), real({2, 3, 4})}},
      {"Any: {axis: -1}", {real({2, 3, 4})}},
      {"ExpandDims: {axis: -1}", {real({2, 3})}},
      {"ZerosLike: {dtype: bool}", {real({2, 3})}},
      {"OnesLike", {real({2, 3})}},
      {"Activation: {activation: gelu}", {real({2, 3})}},
      {"ReLU: {max_value: 6.0, negative_slope: 0.1, threshold: 0.5}", {real({2, 3})}},
      {"LeakyReLU: {negative_slope: 0.1}", {real({2, 3})}},
      {"PReLU: {shared_axes: [1]}", {real({2, 3, 4})}, {"p_re_lu/alpha"}},
      {"ELU: {alpha: 0.5}", {real({2, 3})}},
      {"Softmax: {axis: [1, 2]}", {real({2, 3, 4})}},
      {"Conv1D: {filters: 4, kernel_size: 3, padding: causal, dilation_rate: 2}",
       {real({2, 9, 3})},
       {"conv1d/kernel", "conv1d/bias"}},
      {"Conv2D: {filters: 4, kernel_size: [3, 2], strides: 2, padding: same, groups: 2}",
       {real({2, 7, 6, 4})},
       {"conv2d/kernel", "conv2d/bias"}},
      {"Conv2D: {filters: 4, kernel_size: 3, data_format: channels_first}",
       {real({2, 3, 6, 5})},
       {"conv2d/kernel", "conv2d/bias"}},
      {"Conv3D: {filters: 2, kernel_size: 2}", {real({2, 4, 4, 3, 2})}, {"conv3d/kernel", "conv3d/bias"}},
      {"Conv1DTranspose: {filters: 2, kernel_size: 3, strides: 2}",
       {real({2, 5, 3})},
       {"conv1d_transpose/kernel", "conv1d_transpose/bias"}},
      {"Conv2DTranspose: {filters: 2, kernel_size: 3, strides: 2, padding: same, output_padding: 1}",
       {real({2, 4, 5, 3})},
       {"conv2d_transpose/kernel", "conv2d_transpose/bias"}},
      {"Conv3DTranspose: {filters: 2, kernel_size: 2, use_bias: false}",
       {real({1, 3, 3, 3, 2})},
       {"conv3d_transpose/kernel"}},
      {"DepthwiseConv1D: {kernel_size: 3, depth_multiplier: 2}",
       {real({2, 6, 3})},
       {"depthwise_conv1d/kernel", "depthwise_conv1d/bias"}},
      {"DepthwiseConv2D: {kernel_size: 3, padding: same}",
       {real({2, 6, 5, 3})},
       {"depthwise_conv2d/kernel", "depthwise_conv2d/bias"}},
      {"SeparableConv1D: {filters: 4, kernel_size: 3}",
       {real({2, 6, 3})},
       {"separable_conv1d/depthwise_kernel", "separable_conv1d/pointwise_kernel", "separable_conv1d/bias"}},
      {"SeparableConv2D: {filters: 4, kernel_size: 3, strides: 2}",
       {real({2, 6, 7, 3})},
       {"separable_conv2d/depthwise_kernel", "separable_conv2d/pointwise_kernel", "separable_conv2d/bias"}},
      {"MaxPooling1D: {pool_size: 2}", {real({2, 7, 3})}},
      {"MaxPooling2D: {pool_size: 3, strides: 2, padding: same}", {real({2, 7, 6, 3})}},
      {"MaxPooling3D", {real({2, 4, 5, 6, 2})}},
      {"AveragePooling1D: {pool_size: 3, strides: 1}", {real({2, 7, 3})}},
      {"AveragePooling2D: {data_format: channels_first}", {real({2, 3, 7, 6})}},
      {"AveragePooling3D: {padding: same}", {real({2, 4, 5, 6, 2})}},
      {"GlobalMaxPooling1D", {real({2, 7, 3})}},
      {"GlobalMaxPooling2D: {keepdims: true}", {real({2, 7, 6, 3})}},
      {"GlobalMaxPooling3D", {real({2, 3, 4, 5, 2})}},
      {"GlobalAveragePooling1D", {real({2, 7, 3})}},
      {"GlobalAveragePooling2D: {data_format: channels_first}", {real({2, 3, 7, 6})}},
      {"GlobalAveragePooling3D", {real({2, 3, 4, 5, 2})}},
      {"BatchNormalization: {axis: 1, momentum: 0.9}",
       {real({2, 3, 4})},
       {"batch_normalization/gamma", "batch_normalization/beta", "batch_normalization/moving_mean",
        "batch_normalization/moving_variance"}},
      {"LayerNormalization: {axis: [1, 2]}",
       {real({2, 3, 4})},
       {"layer_normalization/gamma", "layer_normalization/beta"}},
      {"GroupNormalization: {groups: 2}",
       {real({2, 3, 5, 4})},
       {"group_normalization/gamma", "group_normalization/beta"}},
      {"RMSNormalization", {real({2, 3})}, {"rms_normalization/scale"}},
      {"UnitNormalization: {axis: 1}", {real({2, 3, 4})}},
      {"Dropout: {rate: 0.5, noise_shape: [null, 1]}", {real({2, 3})}},
      {"SpatialDropout1D: {rate: 0.5}", {real({2, 3, 4})}},
      {"SpatialDropout2D: {rate: 0.5}", {real({2, 3, 4, 2})}},
      {"SpatialDropout3D: {rate: 0.5, data_format: channels_first}", {real({2, 3, 4, 2, 2})}},
      {"GaussianNoise: {stddev: 0.1}", {real({2, 3})}},
      {"GaussianDropout: {rate: 0.1}", {real({2, 3})}},
      {"AlphaDropout: {rate: 0.1}", {real({2, 3})}},
      {"ActivityRegularization: {l1: 0.1}", {real({2, 3})}},
      {"Flatten", {real({2, 3, 4})}},
      {"Reshape: {target_shape: [2, -1]}", {real({2, 3, 4})}},
      {"Permute: {dims: [2, 1]}", {real({2, 3, 4})}},
      {"RepeatVector: {n: 3}", {real({2, 4})}},
      {"ZeroPadding1D: {padding: [1, 2]}", {real({2, 3, 4})}},
      {"ZeroPadding2D: {padding: [[1, 0], [2, 3]]}", {real({2, 3, 4, 2})}},
      {"ZeroPadding3D", {real({2, 3, 4, 2, 1})}},
      {"Cropping1D: {cropping: [1, 0]}", {real({2, 4, 3})}},
      {"Cropping2D: {cropping: [1, 2]}", {real({2, 4, 6, 3})}},
      {"Cropping3D", {real({2, 3, 4, 5, 2})}},
      {"UpSampling1D: {size: 3}", {real({2, 3, 4})}},
      {"UpSampling2D: {size: [2, 3], interpolation: bilinear}", {real({2, 3, 4, 2})}},
      {"UpSampling3D", {real({2, 2, 3, 2, 1})}},
      {"Add", {real({2, 3}), real({2, 3}), real({2, 3})}},
      {"Subtract", {real({2, 3}), real({2, 3})}},
      {"Multiply", {real({2, 3, 4}), real({2, 4})}},
      {"Average", {real({2, 3}), real({2, 3})}},
      {"Maximum", {real({2, 3}), real({2, 1})}},
      {"Minimum", {real({2, 3}), real({2, 3})}},
      {"Concatenate: {axis: 1}", {real({2, 3, 4}), real({2, 5, 4})}},
      {"Dot: {axes: [2, 1], normalize: true}", {real({2, 3, 4}), real({2, 4, 5})}},
      {"SimpleRNNCell: {units: 3}",
       {real({2, 4})},
       {"simple_rnn_cell/kernel", "simple_rnn_cell/recurrent_kernel", "simple_rnn_cell/bias"}},
      {"LSTMCell: {units: 3}", {real({2, 4})}, {"lstm_cell/kernel", "lstm_cell/recurrent_kernel", "lstm_cell/bias"}},
      {"GRUCell: {units: 3, use_bias: false}", {real({2, 4})}, {"gru_cell/kernel", "gru_cell/recurrent_kernel"}},
      {"StackedRNNCells: {cells: [{GRUCell: {units: 3}}, {SimpleRNNCell: {units: 2, use_bias: false}}]}",
       {real({2, 4})},
       {"stacked_rnn_cells/gru_cell/kernel", "stacked_rnn_cells/gru_cell/recurrent_kernel",
        "stacked_rnn_cells/gru_cell/bias", "stacked_rnn_cells/simple_rnn_cell/kernel",
        "stacked_rnn_cells/simple_rnn_cell/recurrent_kernel"}},
      {"SimpleRNN: {units: 3, return_state: true}",
       {real({2, 5, 4})},
       {"simple_rnn/simple_rnn_cell/kernel", "simple_rnn/simple_rnn_cell/recurrent_kernel",
        "simple_rnn/simple_rnn_cell/bias"}},
      {"LSTM: {units: 3, return_sequences: true, return_state: true}",
       {real({2, 5, 4})},
       {"lstm/lstm_cell/kernel", "lstm/lstm_cell/recurrent_kernel", "lstm/lstm_cell/bias"}},
      {"GRU: {units: 3, recurrent_activation: hard_sigmoid, reset_after: false, name: g}",
       {real({2, 5, 4})},
       {"g/gru_cell/kernel", "g/gru_cell/recurrent_kernel", "g/gru_cell/bias"}},
      {"RNN: {cell: {StackedRNNCells: {cells: [{LSTMCell: {units: 3}}, {LSTMCell: {units: 2}}]}}, return_state: true}",
       {real({2, 5, 4})},
       {"rnn/stacked_rnn_cells/lstm_cell/kernel", "rnn/stacked_rnn_cells/lstm_cell/recurrent_kernel",
        "rnn/stacked_rnn_cells/lstm_cell/bias", "rnn/stacked_rnn_cells/lstm_cell_1/kernel",
        "rnn/stacked_rnn_cells/lstm_cell_1/recurrent_kernel", "rnn/stacked_rnn_cells/lstm_cell_1/bias"}},
      {"Bidirectional: {layer: {GRU: {units: 3, return_sequences: true, return_state: true}}, merge_mode: null}",
       {real({2, 5, 4})},
       {"bidirectional/forward_gru/gru_cell/kernel", "bidirectional/forward_gru/gru_cell/recurrent_kernel",
        "bidirectional/forward_gru/gru_cell/bias", "bidirectional/backward_gru/gru_cell/kernel",
        "bidirectional/backward_gru/gru_cell/recurrent_kernel", "bidirectional/backward_gru/gru_cell/bias"}},
      {"TimeDistributed: {layer: {Dense: {units: 3}}}",
       {real({2, 5, 4})},
       {"time_distributed/dense/kernel", "time_distributed/dense/bias"}},
      {"Rescaling: {scale: 0.5, offset: [1.0, 2.0, 3.0]}", {real({2, 4, 3})}},
      {"Resizing: {height: 4, width: 7, interpolation: lanczos3, crop_to_aspect_ratio: true}", {real({2, 6, 5, 3})}},
      {"Resizing: {height: 4, width: 7, interpolation: area, pad_to_aspect_ratio: true, data_format: channels_first}",
       {index({2, 3, 6, 5})}},
      {"CenterCrop: {height: 4, width: 7}", {real({2, 6, 5, 3})}},
      {"RandomCrop: {height: 4, width: 3, seed: 5}", {real({2, 6, 5, 3})}},
      {"RandomFlip: {mode: vertical}", {real({2, 6, 5, 3})}},
      {"RandomRotation: {factor: 0.2, fill_mode: wrap, interpolation: nearest}", {real({2, 6, 5, 3})}},
      {"RandomZoom: {height_factor: [-0.1, 0.3], width_factor: 0.2}", {real({2, 6, 5, 3})}},
      {"RandomTranslation: {height_factor: 0.1, width_factor: [0.1, 0.2], fill_mode: constant, fill_value: 3.0}",
       {real({2, 6, 5, 3})}},
      {"RandomShear: {x_factor: 0.2, y_factor: [0.1, 0.2]}", {real({2, 6, 5, 3})}},
      {"RandomPerspective: {factor: 0.5, scale: 0.3}", {real({2, 6, 5, 3})}},
      {"RandomElasticTransform: {scale: [0.1, 0.9], fill_mode: mirror}", {real({2, 6, 5, 3})}},
      {"RandomBrightness: {factor: 0.2, value_range: [0.0, 1.0]}", {index({2, 6, 5, 3})}},
      {"RandomContrast: {factor: [0.5, 1.5], bounding_box_format: rel_xyxy}", {real({2, 6, 5, 3})}},
      {"RandomHue: {factor: 0.2}", {real({2, 6, 5, 3})}},
      {"RandomSaturation: {factor: [0.3, 0.6], data_format: channels_first}", {real({2, 3, 6, 5})}},
      {"RandomColorDegeneration: {factor: 0.5}", {real({2, 6, 5, 3})}},
      {"RandomGrayscale: {factor: 0.3, seed: 1}", {index({2, 6, 5, 3})}},
      {"RandomInvert: {factor: [0.1, 0.2]}", {real({2, 6, 5, 3})}},
      {"RandomColorJitter: {brightness_factor: 0.1, hue_factor: [0.1, 0.3]}", {real({2, 6, 5, 3})}},
      {"RandomSharpness: {factor: 0.5}", {real({2, 6, 5, 3})}},
      {"RandomGaussianBlur: {kernel_size: [3, 5], sigma: [0.2, 0.9]}", {real({2, 6, 5, 3})}},
      {"RandomErasing: {fill_value: [1.0, 2.0, 3.0], scale: [0.1, 0.2]}", {real({2, 6, 5, 3})}},
      {"AutoContrast: {value_range: [0.0, 5.0]}", {real({2, 6, 5, 3})}},
      {"Equalization: {bins: 16}", {real({2, 6, 5, 3})}},
      {"ContrastLimitedAdaptiveHistogramEqualization: {tile_grid_size: [2, 3], clip_limit: 2.0}", {real({2, 6, 5, 3})}},
      {"Solarization: {addition_factor: 0.2, threshold_factor: [0.1, 0.3]}", {real({2, 6, 5, 3})}},
      {"RandomPosterization: {factor: [2, 5]}", {real({2, 6, 5, 3})}},
      {"CutMix: {factor: 0.5}", {real({2, 6, 5, 3})}},
      {"MixUp: {alpha: 0.4}", {real({2, 6, 5, 3}), real({2, 4})}},
      {"RandAugment: {num_ops: 3, factor: 0.4}", {real({2, 6, 5, 3})}},
      {"AugMix: {num_chains: 2, all_ops: false}", {real({2, 6, 5, 3})}},
      {"Pipeline: {layers: [{RandomFlip: {}}, {CutMix: {}}]}", {real({2, 6, 5, 3}), real({2, 4})}},
      {"MaxNumBoundingBoxes: {max_number: 5}", {real({2, 3, 4}), index({2, 3})}},
  };
  return all;
}

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
  std::vector<Tensor> data;
  for (std::size_t i = 0; i < row.inputs.size(); ++i) {
    const Type& type = row.inputs[i];
    Shape sample = type.shape.from(1);
    symbols.push_back(Input(sample, fmt::format("input{}", i), type.dtype));
    arguments.inputs.push_back(graph.input(fmt::format("input{}", i), type));
    Tensor values = Tensor::uninitialised({DType::float32, type.shape});
    RandomStream random(RandomKey::of(7, "data", static_cast<std::uint32_t>(i)));
    for (float& value : values.writable<float>()) value = static_cast<float>(random.uniform(0, 5));
    data.push_back(values.cast(type.dtype));
  }
  const Symbols inferred = call_layer(layer, symbols);
  layer->initialize(3);

  const CallResult result = (*layer)(context, arguments);
  for (std::size_t i = 0; i < result.outputs.size(); ++i) graph.output(fmt::format("output{}", i), result.outputs[i]);
  ASSERT_EQ(inferred.size(), result.outputs.size());
  ASSERT_EQ(result.masks.size(), result.outputs.size());
  const std::vector<Tensor> outputs =
      Executable(*decompose_missing(graph, reference_backend()), reference_backend()).run(data);
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
  return fmt::format("{}_{}", row.index, object_spelling(parse_yaml(row.param.yaml), "layer").name);
});

TEST(LayerBattery, HasEveryLayer) {
  std::set<std::string_view> known;
  for (const Row& row : rows())
    known.insert(registry<Layer>().get(object_spelling(parse_yaml(row.yaml), "layer").name).class_name);
  for (const auto& info : registry<Layer>().classes()) EXPECT_TRUE(known.contains(info.class_name)) << info.class_name;
}

}  // namespace
}  // namespace nacre
