// Configs with absurd numbers, as broken or hostile files hold them, and calls with inputs of the wrong rank: the answer
// is an Error, never a crash, a memory error, endless work or a defect of nacre's.
#include <gtest/gtest.h>

#include "formats/yaml.h"
#include "layers/symbol.h"

namespace nacre {
namespace {

struct Hostile {
  const char* yaml;
  std::vector<Shape> samples;  // of the inputs, without the batch
};
std::ostream& operator<<(std::ostream& out, const Hostile& hostile) { return out << hostile.yaml; }

class HostileConfig : public testing::TestWithParam<Hostile> {};

TEST_P(HostileConfig, IsAnError) {
  EXPECT_THROW(
      {
        const auto layer = read_object<Layer>(parse_yaml(GetParam().yaml));
        Symbols inputs;
        for (const Shape& sample : GetParam().samples) inputs.push_back(Input(sample));
        call_layer(layer, inputs);
      },
      Error);
}

INSTANTIATE_TEST_SUITE_P(
    Layers, HostileConfig,
    testing::Values(
        Hostile{"InputLayer: {shape: [9223372036854775807]}", {}},
        Hostile{"LSTMCell: {units: 9223372036854775807}", {{4}}},
        Hostile{"ConvLSTM1D: {filters: 9223372036854775807, kernel_size: 3}", {{5, 7, 4}}},
        Hostile{"SimpleRNN: {units: 4611686018427387904}", {{5, 4}}},
        Hostile{"LSTM: {units: 4611686018427387904}", {{5, 4}}},
        Hostile{"GRU: {units: 6148914691236517206}", {{5, 4}}},  // three times as many wrap to 2
        Hostile{"ConvLSTM1D: {filters: 4611686018427387905, kernel_size: 3}", {{5, 7, 4}}},
        Hostile{"DepthwiseConv1D: {kernel_size: 3, depth_multiplier: 4611686018427387905}", {{9, 4}}},
        Hostile{"ContrastLimitedAdaptiveHistogramEqualization: {tile_grid_size: 9223372036854775807}", {{6, 5, 3}}},
        Hostile{"ContrastLimitedAdaptiveHistogramEqualization: {tile_grid_size: [8, 11]}", {{6, 5, 3}}},
        Hostile{"Conv1D: {filters: 2, kernel_size: 2, dilation_rate: 9223372036854775807}", {{9, 3}}},
        Hostile{"AdaptiveMaxPooling1D: {output_size: 9223372036854775807}", {{7, 3}}},
        Hostile{"LocallyConnected2D: {filters: 4294967296, kernel_size: 3, implementation: 3}", {{4, 5, 3}}},
        Hostile{"Resizing: {height: 4, width: 9223372036854775807, crop_to_aspect_ratio: true}", {{6, 5, 3}}},
        Hostile{"CenterCrop: {height: 4, width: 9223372036854775807}", {{6, 5, 3}}},
        Hostile{"SpectralNormalization: {layer: {Dense: {units: 3}}, power_iterations: 4294967296}", {{5}}},
        Hostile{"RandAugment: {num_ops: 4294967296}", {{6, 5, 3}}},
        Hostile{"AugMix: {num_chains: 4294967296}", {{6, 5, 3}}},
        Hostile{"StackedRNNCells: {cells: [{LSTMCell: {units: 3}}]}", {}}));

INSTANTIATE_TEST_SUITE_P(
    Operations, HostileConfig,
    testing::Values(
        Hostile{"ops.Conv", {{4}, {4}}},
        Hostile{"ops.MaxPool: {pool_size: 2}", {{4}}},
        Hostile{"ops.DepthToSpace: {block_size: 4294967296}", {{6, 7, 4}}},
        Hostile{"ops.DotProductAttention", {{4}, {4}, {4}}},
        Hostile{"ops.ExtractPatches: {size: 9223372036854775807}", {{6, 7, 4}}},
        Hostile{"ops.ExtractPatches: {size: 2, strides: 0}", {{6, 7, 4}}},
        Hostile{"ops.CropImages: {top_cropping: -1, bottom_cropping: 0, left_cropping: 0, right_cropping: 0}", {{6, 7, 4}}},
        Hostile{"ops.Linspace: {axis: 100}", {{3}, {3}}},
        Hostile{"ops.Moveaxis: {source: [0, 1], destination: [0, 0]}", {{3}}},
        Hostile{"ops.Diagonal: {axis1: 1, axis2: 1}", {{3}}},
        Hostile{"ops.Tril", {{}}},
        Hostile{"ops.Tile: {repeats: [1, 4611686018427387904]}", {{3}}},
        Hostile{"ops.Repeat: {repeats: -1, axis: 1}", {{3}}},
        Hostile{"ops.Repeat: {repeats: [1, 4611686018427387904, 1], axis: 1}", {{3}}},
        Hostile{"ops.Pad: {pad_width: [[0, 0], [0, 9223372036854775807]]}", {{3}}},
        Hostile{"ops.ArraySplit: {indices_or_sections: 4294967296, axis: 1}", {{3}}},
        Hostile{"ops.Unstack: {num: 4294967296, axis: 1}", {{3}}},
        Hostile{"ops.UnravelIndex: {shape: [2, null]}", {{3}}},
        Hostile{"ops.Diff: {n: 4294967296}", {{3}}},
        Hostile{"ops.Tensordot: {axes: 4294967296}", {{3}, {3}}}));

}  // namespace
}  // namespace nacre
