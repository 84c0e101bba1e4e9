// The exact messages that mistakes with layers get.
#include <gtest/gtest.h>

#include "formats/yaml.h"
#include "layers/layers.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::message_of;

std::string calling(const LayerRef& layer, const Symbols& inputs) {
  return message_of([&] { layer(inputs); });
}
std::string reading(const char* yaml) {
  return message_of([&] { read_object<Layer>(parse_yaml(yaml, "model.yaml")); });
}

TEST(LayerMessages, Shapes) {
  EXPECT_EQ(calling(Conv2D({.filters = 2, .kernel_size = 3}, {.name = "conv1"}), {Input({784})}),
            "layer 'conv1' (Conv2D): got input (None, 784), wanted rank 4\n"
            "  hint: put a Reshape layer before it that adds the missing axes");
  EXPECT_EQ(calling(RepeatVector({.n = 3}), {Input({4, 5})}),
            "layer 'repeat_vector' (RepeatVector): got input (None, 4, 5), wanted rank 2\n"
            "  hint: put a Flatten layer before it");
  EXPECT_EQ(calling(Dense({.units = 2}), {Input({unknown, unknown})}),
            "layer 'dense' (Dense): got input (None, None, None), wanted a known size in axis -1");
  EXPECT_EQ(calling(Conv2D({.filters = 3, .kernel_size = 1, .groups = 2}), {Input({4, 4, 6})}),
            "layer 'conv2d' (Conv2D): got 6 input channels and 3 filters, wanted both to be divisible by groups = 2");
  EXPECT_EQ(calling(Conv2D({.filters = 3, .kernel_size = 5}), {Input({3, 3, 1})}),
            "layer 'conv2d' (Conv2D): a window over 5 elements does not fit into 3\n"
            "  hint: choose a smaller window or padding: same");
  EXPECT_EQ(
      calling(Reshape({.target_shape = {5, 5}}), {Input({24})}),
      "layer 'reshape' (Reshape): got input (None, 24) with 24 elements per sample, which do not fit into (5, 5)");
  EXPECT_EQ(calling(Concatenate(), {Input({2, 3}), Input({4, 3})}),
            "layer 'concatenate' (Concatenate): got inputs (None, 2, 3) and (None, 4, 3), wanted the same sizes but in "
            "axis 2");
  EXPECT_EQ(calling(Subtract(), {Input({2})}), "layer 'subtract' (Subtract): got 1 inputs, wanted 2");
  EXPECT_EQ(calling(LSTM({.units = 2, .stateful = true}), {Input({3, 2})}),
            "layer 'lstm' (LSTM): got input (None, 3, 2), wanted a known batch size, as the layer is stateful\n"
            "  hint: give the Input layer a batch_shape");
  const LayerRef dense = Dense({.units = 2}, {.name = "fc"});
  dense(Input({4}));
  EXPECT_EQ(calling(dense, {Input({5})}),
            "layer 'fc' (Dense): got input (None, 5), wanted 4 in axis -1, as when the layer was built");
}

TEST(LayerMessages, Configs) {
  EXPECT_EQ(reading("Conv2D: {filter: 3, kernel_size: 3}"),
            "model.yaml:1:10: unknown key 'filter'\n  hint: did you mean 'filters'?");
  EXPECT_EQ(reading("Dense: {activation: relu}"), "model.yaml:1:8: the key 'units' is missing (size of the last axis)");
  EXPECT_EQ(reading("Dense: {units: 3, activation: reluu}"),
            "model.yaml:1:31: 'activation': unknown activation 'reluu'\n  hint: did you mean 'relu'?");
  EXPECT_EQ(reading("Dropout: {rate: 1.5}"), "model.yaml:1:17: 'rate': got 1.5, wanted at least 0 and at most 1");
  EXPECT_EQ(reading("InputLayer: {sparse: true}"),
            "model.yaml:1:22: 'sparse': got true, only false is supported");
  EXPECT_EQ(reading("Conv2D: {filters: 3, kernel_size: 3, padding: causal}"),
            "model.yaml:1:1: 'padding': got padding 'causal', which Conv1D alone has");
  EXPECT_EQ(reading("Conv1D: {filters: 3, kernel_size: 3, strides: 2, dilation_rate: 2}"),
            "model.yaml:1:1: 'dilation_rate': got strides and a dilation_rate above 1, wanted one of them to be 1");
  EXPECT_EQ(reading("Bidirectional: {layer: {Dense: {units: 3}}}"),
            "model.yaml:1:1: 'layer': got Dense, wanted a recurrent layer");
  EXPECT_EQ(reading("RNN: {cell: {LSTM: {units: 3}}}"),
            "model.yaml:1:1: 'cell': got LSTM, wanted a cell such as LSTMCell");
  EXPECT_EQ(reading("Permute: {dims: [1, 3]}"), "model.yaml:1:1: 'dims': got [1, 3], wanted a permutation of 1 … 2");
  EXPECT_EQ(reading("Dense: {units: 3, dtype: mixed_float15}"),
            "model.yaml:1:26: 'dtype': unknown value 'mixed_float15'\n  hint: did you mean 'mixed_float16'?");
  EXPECT_EQ(reading("Cov2D: {filters: 3}"), "model.yaml:1:1: unknown layer 'Cov2D'\n  hint: did you mean 'Conv2D'?");
}

}  // namespace
}  // namespace nacre
