// Layers that act in training alone: dropout and noise; and penalties on activations.
#pragma once

#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

struct DropoutConfig {
  static constexpr std::string_view class_name = "Dropout";
  static constexpr std::string_view doc =
      "In training a share of the elements becomes 0 and the others grow accordingly.";
  double rate = 0.5;
  std::optional<std::int64_t> seed;
  std::optional<Shape> noise_shape;
  static void describe(auto&& field) {
    field("rate", &DropoutConfig::rate, "share that is dropped", between(0, 1), required());
    field("seed", &DropoutConfig::seed, "own seed; null: that of the experiment");
    field("noise_shape", &DropoutConfig::noise_shape, "shape of the random choice: 1 where an axis shares it");
  }
};

struct SpatialDropout1DConfig {
  static constexpr std::string_view class_name = "SpatialDropout1D";
  static constexpr std::string_view doc = "In training whole channels become 0 and the others grow accordingly.";
  double rate = 0.5;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("rate", &SpatialDropout1DConfig::rate, "share of the channels that is dropped", between(0, 1), required());
    field("seed", &SpatialDropout1DConfig::seed, "own seed; null: that of the experiment");
  }
};

template <std::size_t rank>
struct SpatialDropoutConfig {
  static constexpr std::string_view class_name = rank == 2 ? "SpatialDropout2D" : "SpatialDropout3D";
  static constexpr std::string_view doc = "In training whole channels become 0 and the others grow accordingly.";
  double rate = 0.5;
  std::optional<std::int64_t> seed;
  DataFormat data_format = DataFormat::channels_last;
  static void describe(auto&& field) {
    field("rate", &SpatialDropoutConfig::rate, "share of the channels that is dropped", between(0, 1), required());
    field("seed", &SpatialDropoutConfig::seed, "own seed; null: that of the experiment");
    field("data_format", &SpatialDropoutConfig::data_format, "where the channels are");
  }
};

struct GaussianNoiseConfig {
  static constexpr std::string_view class_name = "GaussianNoise";
  static constexpr std::string_view doc = "In training adds normally distributed noise.";
  double stddev = 0;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("stddev", &GaussianNoiseConfig::stddev, "standard deviation of the noise", between(0, 1), required());
    field("seed", &GaussianNoiseConfig::seed, "own seed; null: that of the experiment");
  }
};

struct GaussianDropoutConfig {
  static constexpr std::string_view class_name = "GaussianDropout";
  static constexpr std::string_view doc =
      "In training multiplies by normal noise of mean 1 and variance rate / (1 - rate).";
  double rate = 0.5;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("rate", &GaussianDropoutConfig::rate, "as of Dropout", from_below(0, 1), required());
    field("seed", &GaussianDropoutConfig::seed, "own seed; null: that of the experiment");
  }
};

struct AlphaDropoutConfig {
  static constexpr std::string_view class_name = "AlphaDropout";
  static constexpr std::string_view doc = "Dropout that keeps mean and variance, for networks of selu.";
  double rate = 0.5;
  std::optional<std::int64_t> seed;
  std::optional<Shape> noise_shape;
  static void describe(auto&& field) {
    field("rate", &AlphaDropoutConfig::rate, "share that is dropped", from_below(0, 1), required());
    field("seed", &AlphaDropoutConfig::seed, "own seed; null: that of the experiment");
    field("noise_shape", &AlphaDropoutConfig::noise_shape, "shape of the random choice: 1 where an axis shares it");
  }
};

struct ActivityRegularizationConfig {
  static constexpr std::string_view class_name = "ActivityRegularization";
  static constexpr std::string_view doc = "Passes its input on and adds l1·Σ|x| + l2·Σx² per sample to the loss.";
  double l1 = 0, l2 = 0;
  static void describe(auto&& field) {
    field("l1", &ActivityRegularizationConfig::l1, "factor of the absolute values", at_least(0));
    field("l2", &ActivityRegularizationConfig::l2, "factor of the squares", at_least(0));
  }
};

// x with a share `rate` of its elements set to 0 and the others divided by 1 - rate; the choice is made for `like`,
// whose axes are those of x or 1.
Value dropped(Context& context, Value x, Value like, double rate, const std::string& path,
              std::optional<std::int64_t> seed);

LayerRef Dropout(DropoutConfig config, LayerOptions options = {});
LayerRef SpatialDropout1D(SpatialDropout1DConfig config, LayerOptions options = {});
LayerRef SpatialDropout2D(SpatialDropoutConfig<2> config, LayerOptions options = {});
LayerRef SpatialDropout3D(SpatialDropoutConfig<3> config, LayerOptions options = {});
LayerRef GaussianNoise(GaussianNoiseConfig config, LayerOptions options = {});
LayerRef GaussianDropout(GaussianDropoutConfig config, LayerOptions options = {});
LayerRef AlphaDropout(AlphaDropoutConfig config, LayerOptions options = {});
LayerRef ActivityRegularization(ActivityRegularizationConfig config = {}, LayerOptions options = {});

std::vector<ClassInfo<Layer>> regularization_layers();

}  // namespace nacre
