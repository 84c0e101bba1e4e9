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

TEST(LayerMessages, ParametersOfActivations) {
  const LayerRef sharing = SReLU({.shared_axes = std::vector<std::int64_t>{-1}}), slopes = PReLU({.shared_axes = std::vector<std::int64_t>{-1}});
  sharing(Input({2, 3})), slopes(Input({2, 3}));  // of (2, 3), without the batch, the one before the last
  EXPECT_EQ(sharing->weights().front().variable->shape(), (Shape{1, 3}));
  EXPECT_EQ(slopes->weights().front().variable->shape(), (Shape{1, 3}));
  for (const std::int64_t axis : {-2, 3, 9})
    EXPECT_EQ(calling(PReLU({.shared_axes = std::vector<std::int64_t>{axis}}), {Input({2, 3})}),
              fmt::format("layer 'p_re_lu' (PReLU): got input (None, 2, 3), which has no axis {} to share parameters along", axis));
  EXPECT_EQ(calling(SReLU(), {Input({unknown, 3})}),
            "layer 's_re_lu' (SReLU): got input (None, None, 3), wanted known sizes or shared axes");
}

TEST(LayerMessages, Transforms) {
  const auto refused = [](const char* yaml, const std::vector<Shape>& samples) {
    return message_of([&] {
      Symbols inputs;
      for (const Shape& sample : samples) inputs.push_back(Input(sample));
      call_layer(read_object<Layer>(parse_yaml(yaml)), inputs);
    });
  };
  EXPECT_EQ(refused("ops.FFT", {{4097}, {4097}}),
            "layer 'fft' (FFT): got 4097 elements, wanted 1 to 4096: the transform is a product with a matrix");
  EXPECT_EQ(refused("ops.FFT", {{4096}, {4096}}), "");
  EXPECT_EQ(refused("ops.FFT", {{8}}),
            "layer 'fft' (FFT): got 1 tensors, wanted the real and the imaginary parts");
  EXPECT_EQ(refused("ops.FFT2", {{3, 5000}, {3, 5000}}),
            "layer 'fft2' (FFT2): got 5000 elements, wanted 1 to 4096: the transform is a product with a matrix");
  EXPECT_EQ(refused("ops.FFT2", {{5000, 3}, {5000, 3}}),
            "layer 'fft2' (FFT2): got 5000 elements, wanted 1 to 4096: the transform is a product with a matrix");
  EXPECT_EQ(refused("ops.IFFT2", {{5000, 3}, {5000, 3}}),
            "layer 'ifft2' (IFFT2): got 5000 elements, wanted 1 to 4096: the transform is a product with a matrix");
  EXPECT_EQ(refused("ops.RFFT: {fft_length: 9223372036854775807}", {{8}}),
            "layer 'rfft' (RFFT): got 9223372036854775807 elements, wanted 1 to 4096: the transform is a product with a matrix");
  EXPECT_EQ(refused("ops.RFFT: {fft_length: -1}", {{8}}), "<text>:1:24: 'fft_length': got -1, wanted at least 1");
  EXPECT_EQ(refused("ops.IRFFT: {fft_length: 0}", {{8}, {8}}), "<text>:1:25: 'fft_length': got 0, wanted at least 1");
  EXPECT_EQ(refused("ops.IRFFT: {fft_length: 5000}", {{8}, {8}}),
            "layer 'irfft' (IRFFT): got 5000 elements, wanted 1 to 4096: the transform is a product with a matrix");
  EXPECT_EQ(refused("ops.IRFFT", {{1}, {1}}),
            "layer 'irfft' (IRFFT): got 0 elements, wanted 1 to 4096: the transform is a product with a matrix");
  EXPECT_EQ(refused("ops.IRFFT", {{9000}, {9000}}),
            "layer 'irfft' (IRFFT): got 17998 elements, wanted 1 to 4096: the transform is a product with a matrix");
  EXPECT_EQ(refused("ops.ExtractSequences: {sequence_length: 9, sequence_stride: 1}", {{8}}),
            "layer 'extract_sequences' (ExtractSequences): got 8 samples, wanted at least one sequence of 9");
  EXPECT_EQ(refused("ops.ExtractSequences: {sequence_length: 9223372036854775807, sequence_stride: 1}", {{8}}),
            "layer 'extract_sequences' (ExtractSequences): got 8 samples, wanted at least one sequence of 9223372036854775807");
  EXPECT_EQ(refused("ops.ExtractSequences: {sequence_length: 50000, sequence_stride: 1}", {{100000}}),
            "layer 'extract_sequences' (ExtractSequences): got 50001 sequences of 50000, wanted at most 16777216 elements");
  EXPECT_EQ(refused("ops.STFT: {sequence_length: 8, sequence_stride: 1, fft_length: 4}", {{8}}),
            "layer 'stft' (STFT): got fft_length 4, wanted at least sequence_length = 8");
  EXPECT_EQ(refused("ops.STFT: {sequence_length: 5000, sequence_stride: 1, fft_length: 5000}", {{8}}),
            "<text>:1:29: 'sequence_length': got 5000, wanted at least 1 and at most 4096");
  EXPECT_EQ(refused("ops.STFT: {sequence_length: 16, sequence_stride: 1, fft_length: 16}", {{8}}),
            "layer 'stft' (STFT): got 8 samples, wanted more than the 8 that are mirrored");
  EXPECT_EQ(refused("ops.STFT: {sequence_length: 16, sequence_stride: 20000000, fft_length: 16}", {{8}}),
            "<text>:1:50: 'sequence_stride': got 20000000, wanted at least 1 and at most 16777216");
  EXPECT_EQ(refused("ops.STFT: {sequence_length: 4096, sequence_stride: 1, fft_length: 4096}", {{100000}}),
            "layer 'stft' (STFT): got 100001 sequences of 4096, wanted at most 16777216 elements");
  EXPECT_EQ(refused("ops.STFT: {sequence_length: 4, sequence_stride: 1, fft_length: 4, window: [1, 2]}", {{8}}),
            "layer 'stft' (STFT): got a window of 2 values for a frame of 4");
  EXPECT_EQ(refused("ops.ISTFT: {sequence_length: 4, sequence_stride: 1, fft_length: 4, length: 20000000}", {{6, 3}, {6, 3}}),
            "layer 'istft' (ISTFT): got length 20000000, wanted up to 16777216");
  EXPECT_EQ(refused("ops.ISTFT: {sequence_length: 4, sequence_stride: 1, fft_length: 4, length: -1}", {{6, 3}, {6, 3}}),
            "layer 'istft' (ISTFT): got length -1, wanted up to 16777216");
  EXPECT_EQ(refused("ops.Fold: {output_size: 9223372036854775807, kernel_size: 2}", {{4, 9}}),
            "layer 'fold' (Fold): got output_size 9223372036854775807 and padding 0, wanted sizes up to 65536");
  EXPECT_EQ(refused("ops.Fold: {output_size: 4, kernel_size: 4294967296}", {{4, 9}}),
            "layer 'fold' (Fold): got a window of 4294967296, strides 1 and dilation 1, wanted numbers from 1 to 2147483647");
  EXPECT_EQ(refused("ops.Fold: {output_size: 4, kernel_size: 2, stride: 9223372036854775807}", {{4, 1}}),
            "layer 'fold' (Fold): got a window of 2, strides 9223372036854775807 and dilation 1, wanted numbers from 1 to 2147483647");
  EXPECT_EQ(refused("ops.Fold: {output_size: 4, kernel_size: 2, dilation: 9223372036854775807}", {{4, 9}}),
            "layer 'fold' (Fold): got a window of 2, strides 1 and dilation 9223372036854775807, wanted numbers from 1 to 2147483647");
  EXPECT_EQ(refused("ops.Fold: {output_size: 4, kernel_size: 2, padding: 9223372036854775807}", {{4, 9}}),
            "layer 'fold' (Fold): got output_size 4 and padding 9223372036854775807, wanted sizes up to 65536");
  EXPECT_EQ(refused("ops.Fold: {output_size: 4, kernel_size: 2}", {{5, 9}}),
            "layer 'fold' (Fold): got 5 rows, wanted a multiple of the 4 elements of a block");
  EXPECT_EQ(refused("ops.Fold: {output_size: 4, kernel_size: 2}", {{4, 8}}),
            "layer 'fold' (Fold): got input (None, 4, 8), wanted 9 in axis 2, as when the layer was built");
  EXPECT_EQ(refused("ops.GaussianBlur: {kernel_size: [3, 256]}", {{4, 9, 3}}),
            "layer 'gaussian_blur' (GaussianBlur): got kernel_size 256, wanted 1 to 255");
  EXPECT_EQ(refused("ops.GaussianBlur: {kernel_size: [3]}", {{4, 9, 3}}),
            "layer 'gaussian_blur' (GaussianBlur): got 1 sizes and 2 sigmas, wanted two");
  EXPECT_EQ(refused("ops.SSIM: {max_val: 1}", {{4, 9, 3}, {4, 9, 3}}),
            "layer 'ssim' (SSIM): a window over 11 elements does not fit into 4\n  hint: choose a smaller window or padding: same");
  EXPECT_EQ(refused("ops.SSIM: {max_val: 1, filter_size: 3}", {{4, 9, 3}, {4, 9}}),
            "layer 'ssim' (SSIM): got (None, 4, 9, 3) and (None, 4, 9), wanted two pictures or batches of them");
  EXPECT_EQ(refused("ops.SobelEdges", {{1, 9, 3}}),
            "layer 'sobel_edges' (SobelEdges): a window over 3 elements does not fit into 1\n  hint: choose a smaller window or padding: same");
  EXPECT_EQ(refused("ops.SobelEdges", {{4, 9}}),
            "layer 'sobel_edges' (SobelEdges): got input (None, 4, 9), wanted rank 4\n  hint: put a Reshape layer before it that adds the missing axes");
  EXPECT_EQ(refused("ops.Histogram: {bins: 65537}", {{9}}),
            "<text>:1:23: 'bins': got 65537, wanted at least 1 and at most 65536");
  EXPECT_EQ(refused("ops.Histogram: {range: [1]}", {{9}}),
            "layer 'histogram' (Histogram): got 1 numbers, wanted range: [lowest, highest]");
  EXPECT_EQ(refused("ops.Histogram: {range: [2, 1]}", {{9}}),
            "layer 'histogram' (Histogram): got range [2, 1], wanted the lower end first");
  EXPECT_EQ(refused("ops.Gcd", {{3}, {3}}),
            "layer 'gcd' (Gcd): got float32(None, 3) and float32(None, 3), wanted integers");
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
