// Layers that change the colours of pictures in training, at random.
#pragma once

#include "layers/image_layer.h"

namespace nacre {

struct RandomBrightnessConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomBrightness";
  static constexpr std::string_view doc = "In training pictures become lighter or darker.";
  Factor<-1, 1> factor;
  ValueRange value_range;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("factor", &RandomBrightnessConfig::factor, "share of the value range that is added: at most, or from … to",
          required());
    field("value_range", &RandomBrightnessConfig::value_range, "black and white");
    field("seed", &RandomBrightnessConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct RandomContrastConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomContrast";
  static constexpr std::string_view doc =
      "In training the distance of elements from their channel's mean is multiplied by a number from 1 - low to 1 + "
      "high.";
  Factor<0, 1> factor;
  ValueRange value_range;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("factor", &RandomContrastConfig::factor, "[low, high]; one number is high, and low is 0", required());
    field("value_range", &RandomContrastConfig::value_range, "black and white");
    field("seed", &RandomContrastConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct RandomHueConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomHue";
  static constexpr std::string_view doc = "In training colours move on the colour wheel.";
  Factor<0, 1> factor;
  ValueRange value_range;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("factor", &RandomHueConfig::factor, "half turns in either direction: at most, or from … to", required());
    field("value_range", &RandomHueConfig::value_range, "black and white");
    field("seed", &RandomHueConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct RandomSaturationConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomSaturation";
  static constexpr std::string_view doc =
      "In training the saturation of colours is multiplied by f / (1 - f): 0.5 changes nothing, 0 gives grey.";
  Factor<-1, 1> factor;
  ValueRange value_range;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("factor", &RandomSaturationConfig::factor, "f: at most, or from … to", required());
    field("value_range", &RandomSaturationConfig::value_range, "black and white; the saturation is cut to it too");
    field("seed", &RandomSaturationConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct RandomColorDegenerationConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomColorDegeneration";
  static constexpr std::string_view doc = "In training colours fade towards grey.";
  Factor<-1, 1> factor;
  ValueRange value_range;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("factor", &RandomColorDegenerationConfig::factor, "0: unchanged, 1: grey; at most, or from … to", required());
    field("value_range", &RandomColorDegenerationConfig::value_range, "black and white");
    field("seed", &RandomColorDegenerationConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct RandomGrayscaleConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomGrayscale";
  static constexpr std::string_view doc = "In training some pictures lose their colours.";
  double factor = 0.5;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("factor", &RandomGrayscaleConfig::factor, "share of the pictures", between(0, 1));
    field("seed", &RandomGrayscaleConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct RandomInvertConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomInvert";
  static constexpr std::string_view doc = "In training some pictures become negatives.";
  Factor<0, 1> factor = 1;
  ValueRange value_range;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("factor", &RandomInvertConfig::factor, "share of the pictures: at most, or from … to");
    field("value_range", &RandomInvertConfig::value_range, "black and white");
    field("seed", &RandomInvertConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct RandomColorJitterConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomColorJitter";
  static constexpr std::string_view doc = "In training brightness, contrast, saturation and hue change, in this order.";
  ValueRange value_range;
  std::optional<Factor<-1, 1>> brightness_factor;
  std::optional<Factor<0, 1>> contrast_factor;
  std::optional<Factor<-1, 1>> saturation_factor;
  std::optional<Factor<0, 1>> hue_factor;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("value_range", &RandomColorJitterConfig::value_range, "black and white");
    field("brightness_factor", &RandomColorJitterConfig::brightness_factor, "as in RandomBrightness; null: unchanged");
    field("contrast_factor", &RandomColorJitterConfig::contrast_factor, "as in RandomContrast; null: unchanged");
    field("saturation_factor", &RandomColorJitterConfig::saturation_factor, "as in RandomSaturation; null: unchanged");
    field("hue_factor", &RandomColorJitterConfig::hue_factor, "as in RandomHue; null: unchanged");
    field("seed", &RandomColorJitterConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

LayerRef RandomBrightness(RandomBrightnessConfig config, LayerOptions options = {});
LayerRef RandomContrast(RandomContrastConfig config, LayerOptions options = {});
LayerRef RandomHue(RandomHueConfig config, LayerOptions options = {});
LayerRef RandomSaturation(RandomSaturationConfig config, LayerOptions options = {});
LayerRef RandomColorDegeneration(RandomColorDegenerationConfig config, LayerOptions options = {});
LayerRef RandomGrayscale(RandomGrayscaleConfig config = {}, LayerOptions options = {});
LayerRef RandomInvert(RandomInvertConfig config = {}, LayerOptions options = {});
LayerRef RandomColorJitter(RandomColorJitterConfig config = {}, LayerOptions options = {});

std::vector<ClassInfo<Layer>> colour_layers();

}  // namespace nacre
