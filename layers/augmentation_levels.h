// Layers that look grey levels up: contrast from histograms, solarization, posterization.
#pragma once

#include "layers/image_layer.h"

namespace nacre {

struct AutoContrastConfig : ImageConfig {
  static constexpr std::string_view class_name = "AutoContrast";
  static constexpr std::string_view doc =
      "Each channel of each picture stretched over the whole value range; in inference too.";
  ValueRange value_range;
  static void describe(auto&& field) {
    field("value_range", &AutoContrastConfig::value_range, "black and white");
    ImageConfig::describe(field);
  }
};

struct EqualizationConfig : ImageConfig {
  static constexpr std::string_view class_name = "Equalization";
  static constexpr std::string_view doc =
      "In training the levels of each channel, over the whole batch, become about equally frequent.";
  ValueRange value_range;
  std::int64_t bins = 256;
  static void describe(auto&& field) {
    field("value_range", &EqualizationConfig::value_range, "black and white");
    field("bins", &EqualizationConfig::bins, "levels that are told apart", at_least(1));
    ImageConfig::describe(field);
  }
};

struct ContrastLimitedAdaptiveHistogramEqualizationConfig : ImageConfig {
  static constexpr std::string_view class_name = "ContrastLimitedAdaptiveHistogramEqualization";
  static constexpr std::string_view doc =
      "Levels equalized by the histograms of the tiles around, whose peaks are cut; in inference too.";
  ValueRange value_range;
  double clip_limit = 4;
  Extent<2> tile_grid_size = 8;
  static void describe(auto&& field) {
    using Config = ContrastLimitedAdaptiveHistogramEqualizationConfig;
    field("value_range", &Config::value_range, "black and white");
    field("clip_limit", &Config::clip_limit, "peaks are cut at this multiple of the mean; 0: not at all");
    field("tile_grid_size", &Config::tile_grid_size, "number of tiles, down and across", at_least(1));
    ImageConfig::describe(field);
  }
};

struct SolarizationConfig : ImageConfig {
  static constexpr std::string_view class_name = "Solarization";
  static constexpr std::string_view doc =
      "In training a number is added to the levels, and those that reach a threshold are inverted.";
  Factor<0, 1> addition_factor, threshold_factor;
  ValueRange value_range;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("addition_factor", &SolarizationConfig::addition_factor,
          "[low, high]: the number is drawn from low to 255 · high; one number is high");
    field("threshold_factor", &SolarizationConfig::threshold_factor, "likewise the threshold");
    field("value_range", &SolarizationConfig::value_range, "black and white");
    field("seed", &SolarizationConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct RandomPosterizationConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomPosterization";
  static constexpr std::string_view doc = "In training levels keep only their leading bits of 8.";
  Factor<1, 8> factor;
  ValueRange value_range;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("factor", &RandomPosterizationConfig::factor,
          "bits: [low, high) or, if they are the same, that number; one number is high, and low is 1", required());
    field("value_range", &RandomPosterizationConfig::value_range, "black and white");
    field("seed", &RandomPosterizationConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

LayerRef AutoContrast(AutoContrastConfig config = {}, LayerOptions options = {});
LayerRef Equalization(EqualizationConfig config = {}, LayerOptions options = {});
LayerRef ContrastLimitedAdaptiveHistogramEqualization(ContrastLimitedAdaptiveHistogramEqualizationConfig config = {},
                                                      LayerOptions options = {});
LayerRef Solarization(SolarizationConfig config = {}, LayerOptions options = {});
LayerRef RandomPosterization(RandomPosterizationConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> level_layers();

}  // namespace nacre
