// Layers that filter pictures in training, at random.
#pragma once

#include "layers/image_layer.h"

namespace nacre {

struct RandomGaussianBlurConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomGaussianBlur";
  static constexpr std::string_view doc = "In training some pictures are blurred by a Gaussian filter.";
  Factor<0, 1> factor = 1;
  Extent<2> kernel_size = 3;
  Factor<0, 1> sigma = 1;
  ValueRange value_range;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("factor", &RandomGaussianBlurConfig::factor, "share of the pictures: at most, or from … to");
    field("kernel_size", &RandomGaussianBlurConfig::kernel_size, "of the filter, odd", at_least(1));
    field("sigma", &RandomGaussianBlurConfig::sigma,
          "the bell's standard deviation in elements: at most, or from … to");
    field("value_range", &RandomGaussianBlurConfig::value_range, "black and white");
    field("seed", &RandomGaussianBlurConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct RandomSharpnessConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomSharpness";
  static constexpr std::string_view doc = "In training pictures become sharper or smoother.";
  Factor<0, 1> factor;
  ValueRange value_range;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("factor", &RandomSharpnessConfig::factor, "0: smooth, 0.5: unchanged, 1: sharp; at most, or from … to",
          required());
    field("value_range", &RandomSharpnessConfig::value_range, "black and white");
    field("seed", &RandomSharpnessConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

LayerRef RandomGaussianBlur(RandomGaussianBlurConfig config = {}, LayerOptions options = {});
LayerRef RandomSharpness(RandomSharpnessConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> filter_layers();

}  // namespace nacre
