// Layers that move the elements of pictures in training: flips, turns, zooms, shifts and warps, at random.
#pragma once

#include "backend/graph/ops/resample.h"
#include "layers/image_layer.h"

namespace nacre {

// Beyond the edges, for all but elastic transforms.
inline Constraint plain_fill_modes() { return one_of({"reflect", "constant", "wrap", "nearest"}); }

enum class FlipMode : std::uint8_t { horizontal, vertical, horizontal_and_vertical };
template <>
struct EnumNames<FlipMode> {
  static constexpr std::string_view names[] = {"horizontal", "vertical", "horizontal_and_vertical"};
};

struct RandomFlipConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomFlip";
  static constexpr std::string_view doc = "In training half of the pictures are mirrored.";
  FlipMode mode = FlipMode::horizontal_and_vertical;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("mode", &RandomFlipConfig::mode, "left and right, top and bottom, or both at once");
    field("seed", &RandomFlipConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct RandomRotationConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomRotation";
  static constexpr std::string_view doc = "In training pictures are turned about their middle.";
  Factor<-1, 1> factor;
  FillMode fill_mode = FillMode::reflect;
  Sampling interpolation = Sampling::bilinear;
  std::optional<std::int64_t> seed;
  double fill_value = 0;
  static void describe(auto&& field) {
    field("factor", &RandomRotationConfig::factor, "angle in full turns: at most so far, or from … to", required());
    field("fill_mode", &RandomRotationConfig::fill_mode, "what lies beyond the edges", plain_fill_modes());
    field("interpolation", &RandomRotationConfig::interpolation, "how elements between others are computed");
    field("seed", &RandomRotationConfig::seed, "own seed; null: that of the experiment");
    field("fill_value", &RandomRotationConfig::fill_value, "beyond the edges when fill_mode is constant");
    ImageConfig::describe(field);
  }
};

struct RandomZoomConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomZoom";
  static constexpr std::string_view doc = "In training pictures shrink and grow about their middle.";
  Factor<-1, 1> height_factor;
  std::optional<Factor<-1, 1>> width_factor;
  FillMode fill_mode = FillMode::reflect;
  Sampling interpolation = Sampling::bilinear;
  std::optional<std::int64_t> seed;
  double fill_value = 0;
  static void describe(auto&& field) {
    field("height_factor", &RandomZoomConfig::height_factor,
          "share by which more (negative: less) is seen: at most, or from … to", required());
    field("width_factor", &RandomZoomConfig::width_factor, "the same for the width; null: proportions stay");
    field("fill_mode", &RandomZoomConfig::fill_mode, "what lies beyond the edges", plain_fill_modes());
    field("interpolation", &RandomZoomConfig::interpolation, "how elements between others are computed");
    field("seed", &RandomZoomConfig::seed, "own seed; null: that of the experiment");
    field("fill_value", &RandomZoomConfig::fill_value, "beyond the edges when fill_mode is constant");
    ImageConfig::describe(field);
  }
};

struct RandomTranslationConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomTranslation";
  static constexpr std::string_view doc = "In training pictures are shifted.";
  Factor<-1, 1> height_factor, width_factor;
  FillMode fill_mode = FillMode::reflect;
  Sampling interpolation = Sampling::bilinear;
  std::optional<std::int64_t> seed;
  double fill_value = 0;
  static void describe(auto&& field) {
    field("height_factor", &RandomTranslationConfig::height_factor,
          "share of the height (positive: down): at most, or from … to", required());
    field("width_factor", &RandomTranslationConfig::width_factor,
          "share of the width (positive: to the right): at most, or from … to", required());
    field("fill_mode", &RandomTranslationConfig::fill_mode, "what lies beyond the edges", plain_fill_modes());
    field("interpolation", &RandomTranslationConfig::interpolation, "how elements between others are computed");
    field("seed", &RandomTranslationConfig::seed, "own seed; null: that of the experiment");
    field("fill_value", &RandomTranslationConfig::fill_value, "beyond the edges when fill_mode is constant");
    ImageConfig::describe(field);
  }
};

struct RandomShearConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomShear";
  static constexpr std::string_view doc = "In training pictures are slanted.";
  Factor<-1, 1> x_factor, y_factor;
  Sampling interpolation = Sampling::bilinear;
  FillMode fill_mode = FillMode::reflect;
  double fill_value = 0;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("x_factor", &RandomShearConfig::x_factor,
          "shift to the side for each row: at most, or from … to; either sign");
    field("y_factor", &RandomShearConfig::y_factor, "shift up or down for each column, likewise");
    field("interpolation", &RandomShearConfig::interpolation, "how elements between others are computed");
    field("fill_mode", &RandomShearConfig::fill_mode, "what lies beyond the edges", plain_fill_modes());
    field("fill_value", &RandomShearConfig::fill_value, "beyond the edges when fill_mode is constant");
    field("seed", &RandomShearConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct RandomPerspectiveConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomPerspective";
  static constexpr std::string_view doc = "In training pictures are seen from aside: their corners move.";
  Factor<0, 1> factor = 1;
  double scale = 1;
  Sampling interpolation = Sampling::bilinear;
  double fill_value = 0;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("factor", &RandomPerspectiveConfig::factor, "share of the pictures: at most, or from … to");
    field("scale", &RandomPerspectiveConfig::scale, "how far corners move: 1 is half of their distance from the first",
          between(0, 1));
    field("interpolation", &RandomPerspectiveConfig::interpolation, "how elements between others are computed");
    field("fill_value", &RandomPerspectiveConfig::fill_value, "beyond the edges");
    field("seed", &RandomPerspectiveConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct RandomElasticTransformConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomElasticTransform";
  static constexpr std::string_view doc = "In training pictures are warped by a smooth random field.";
  Factor<0, 1> factor = 1, scale = 1;
  Sampling interpolation = Sampling::bilinear;
  FillMode fill_mode = FillMode::reflect;
  double fill_value = 0;
  ValueRange value_range;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("factor", &RandomElasticTransformConfig::factor, "share of the pictures: at most, or from … to");
    field("scale", &RandomElasticTransformConfig::scale, "strength of the warp: at most, or from … to");
    field("interpolation", &RandomElasticTransformConfig::interpolation, "how elements between others are computed");
    field("fill_mode", &RandomElasticTransformConfig::fill_mode, "what lies beyond the edges");
    field("fill_value", &RandomElasticTransformConfig::fill_value, "beyond the edges when fill_mode is constant");
    field("value_range", &RandomElasticTransformConfig::value_range, "of the pictures: results stay within it");
    field("seed", &RandomElasticTransformConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct RandomCropConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomCrop";
  static constexpr std::string_view doc =
      "In training a piece of the pictures, the same place for the whole batch; else, and of smaller pictures, the "
      "largest piece of these proportions from the middle, resized.";
  std::int64_t height = 1, width = 1;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("height", &RandomCropConfig::height, "of the result", at_least(1), required());
    field("width", &RandomCropConfig::width, "of the result", at_least(1), required());
    field("seed", &RandomCropConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

LayerRef RandomFlip(RandomFlipConfig config = {}, LayerOptions options = {});
LayerRef RandomRotation(RandomRotationConfig config, LayerOptions options = {});
LayerRef RandomZoom(RandomZoomConfig config, LayerOptions options = {});
LayerRef RandomTranslation(RandomTranslationConfig config, LayerOptions options = {});
LayerRef RandomShear(RandomShearConfig config = {}, LayerOptions options = {});
LayerRef RandomPerspective(RandomPerspectiveConfig config = {}, LayerOptions options = {});
LayerRef RandomElasticTransform(RandomElasticTransformConfig config = {}, LayerOptions options = {});
LayerRef RandomCrop(RandomCropConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> geometry_layers();

}  // namespace nacre
