// Layers that change the size of pictures.
#pragma once

#include "layers/image_layer.h"

namespace nacre {

// How a picture of another size is computed; each kind as TensorFlow's tf.image.resize has it. The last two are of
// Keras 2 alone.
enum class Resampling : std::uint8_t { nearest, bilinear, bicubic, lanczos3, lanczos5, area, gaussian, mitchellcubic };
template <>
struct EnumNames<Resampling> {
  static constexpr std::string_view names[] = {"nearest",  "bilinear", "bicubic",  "lanczos3",
                                               "lanczos5", "area",     "gaussian", "mitchellcubic"};
};

struct ResizingConfig : ImageConfig {
  static constexpr std::string_view class_name = "Resizing";
  static constexpr std::string_view doc = "Pictures of another size.";
  std::int64_t height = 1, width = 1;
  Resampling interpolation = Resampling::bilinear;
  bool crop_to_aspect_ratio = false, pad_to_aspect_ratio = false;
  std::string fill_mode = "constant";
  double fill_value = 0;
  bool antialias = false;
  static void describe(auto&& field) {
    field("height", &ResizingConfig::height, "of the result", at_least(1), required());
    field("width", &ResizingConfig::width, "of the result", at_least(1), required());
    field("interpolation", &ResizingConfig::interpolation, "how elements between others are computed");
    field("crop_to_aspect_ratio", &ResizingConfig::crop_to_aspect_ratio,
          "keep proportions: only the largest piece of the result's proportions, from the middle, is used");
    field("pad_to_aspect_ratio", &ResizingConfig::pad_to_aspect_ratio,
          "keep proportions: the picture gets margins first");
    field("fill_mode", &ResizingConfig::fill_mode, "what the margins are; Keras has this one way",
          one_of({"constant"}));
    field("fill_value", &ResizingConfig::fill_value, "of the margins");
    field("antialias", &ResizingConfig::antialias, "widen the filter when the picture shrinks");
    ImageConfig::describe(field);
  }
};

struct CenterCropConfig : ImageConfig {
  static constexpr std::string_view class_name = "CenterCrop";
  static constexpr std::string_view doc =
      "The middle of pictures; of smaller ones the largest piece of these proportions, enlarged.";
  std::int64_t height = 1, width = 1;
  static void describe(auto&& field) {
    field("height", &CenterCropConfig::height, "of the result", at_least(1), required());
    field("width", &CenterCropConfig::width, "of the result", at_least(1), required());
    ImageConfig::describe(field);
  }
};

enum class Side : std::uint8_t { height, width };

// Keras 2's RandomHeight and RandomWidth: the size of a compiled graph's pictures cannot change from batch to batch.
template <Side side>
struct RandomSideConfig : ImageConfig {
  static constexpr std::string_view class_name = side == Side::height ? "RandomHeight" : "RandomWidth";
  static constexpr std::string_view doc =
      "Of Keras 2: pictures of random size in training, which is refused; in inference they stay as they are.";
  Factor<-1, 1> factor;
  Resampling interpolation = Resampling::bilinear;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("factor", &RandomSideConfig::factor, "share by which it grows: at most, or from … to", required());
    field("interpolation", &RandomSideConfig::interpolation, "how elements between others are computed");
    field("seed", &RandomSideConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

namespace image {

// Pictures (batch, height, width, channels) of a floating type at another size; the elements of integers of any size
// only by `nearest`. antialias: the filter widens as the picture shrinks.
Value resized(Value pictures, std::int64_t height, std::int64_t width, Resampling interpolation,
              bool antialias = false);
// One axis of any tensor at another size.
Value resized_axis(Value x, int axis, std::int64_t size, Resampling interpolation, bool antialias = false);
// The largest piece in the middle that has the proportions of height and width, at that size (Keras's smart_resize).
Value smart_resized(Value pictures, std::int64_t height, std::int64_t width, Resampling interpolation,
                    bool antialias = false);
// A piece of that size.
Value piece(Value pictures, std::int64_t top, std::int64_t left, std::int64_t height, std::int64_t width);

}  // namespace image

LayerRef Resizing(ResizingConfig config, LayerOptions options = {});
LayerRef CenterCrop(CenterCropConfig config, LayerOptions options = {});
LayerRef RandomHeight(RandomSideConfig<Side::height> config, LayerOptions options = {});
LayerRef RandomWidth(RandomSideConfig<Side::width> config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> resize_layers();

}  // namespace nacre
