// What ConvNeXt, Inception-ResNet and their kin put on the branches of residual blocks.
#pragma once

#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

struct LayerScaleConfig {
  static constexpr std::string_view class_name = "LayerScale";
  static constexpr std::string_view doc = "Multiplies each feature by a learned factor, which starts small.";
  double init_values = 0;
  std::int64_t projection_dim = 0;
  static void describe(auto&& field) {
    field("init_values", &LayerScaleConfig::init_values, "initial factors", required());
    field("projection_dim", &LayerScaleConfig::projection_dim, "number of features", at_least(1), required());
  }
};

struct StochasticDepthConfig {
  static constexpr std::string_view class_name = "StochasticDepth";
  static constexpr std::string_view doc =
      "In training a share of the samples becomes 0 as a whole and the others grow accordingly, so that residual blocks "
      "are skipped at random.";
  double drop_path_rate = 0;
  static void describe(auto&& field) {
    field("drop_path_rate", &StochasticDepthConfig::drop_path_rate, "share of the samples", from_below(0, 1),
          required());
  }
};

struct CustomScaleLayerConfig {
  static constexpr std::string_view class_name = "CustomScaleLayer";
  static constexpr std::string_view doc = "The first of two inputs plus a multiple of the second: a scaled residual.";
  double scale = 0;
  static void describe(auto&& field) { field("scale", &CustomScaleLayerConfig::scale, "factor of the second input", required()); }
};

LayerRef LayerScale(LayerScaleConfig config, LayerOptions options = {});
LayerRef StochasticDepth(StochasticDepthConfig config, LayerOptions options = {});
LayerRef CustomScaleLayer(CustomScaleLayerConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> residual_layers();

}  // namespace nacre
