// Layers around other layers.
#pragma once

#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

enum class MergeMode : std::uint8_t { concat, sum, mul, ave };
template <>
struct EnumNames<MergeMode> {
  static constexpr std::string_view names[] = {"concat", "sum", "mul", "ave"};
};

struct BidirectionalConfig {
  static constexpr std::string_view class_name = "Bidirectional";
  static constexpr std::string_view doc =
      "A recurrent layer from the first step to the last, and one from the last to the first.";
  Ref<Layer> layer;
  std::optional<MergeMode> merge_mode = MergeMode::concat;
  Ref<Layer> backward_layer;
  Ref<Regularizer> activity_regularizer;
  static void describe(auto&& field) {
    field("layer", &BidirectionalConfig::layer, "the forward layer", required());
    field("merge_mode", &BidirectionalConfig::merge_mode, "how the two results become one; null: two outputs");
    field("backward_layer", &BidirectionalConfig::backward_layer,
          "null: a copy of the forward layer that goes backwards");
    field("activity_regularizer", &BidirectionalConfig::activity_regularizer, "penalty on the result");
  }
};

struct TimeDistributedConfig {
  static constexpr std::string_view class_name = "TimeDistributed";
  static constexpr std::string_view doc = "Applies a layer to each step of a sequence.";
  Ref<Layer> layer;
  Ref<Regularizer> activity_regularizer;
  static void describe(auto&& field) {
    field("layer", &TimeDistributedConfig::layer, "applied to each step", required());
    field("activity_regularizer", &TimeDistributedConfig::activity_regularizer, "penalty on the result");
  }
};

struct SpectralNormalizationConfig {
  static constexpr std::string_view class_name = "SpectralNormalization";
  static constexpr std::string_view doc =
      "A layer whose kernel (or embeddings) is divided by its largest singular value at each call in training.";
  Ref<Layer> layer;
  std::int64_t power_iterations = 1;
  static void describe(auto&& field) {
    field("layer", &SpectralNormalizationConfig::layer, "one with a kernel or embeddings", required());
    field("power_iterations", &SpectralNormalizationConfig::power_iterations,
          "steps of the power method per call; it goes on where the last call ended", at_least(1));
  }
};

LayerRef Bidirectional(BidirectionalConfig config, LayerOptions options = {});
LayerRef TimeDistributed(TimeDistributedConfig config, LayerOptions options = {});
LayerRef SpectralNormalization(SpectralNormalizationConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> wrapper_layers();

}  // namespace nacre
