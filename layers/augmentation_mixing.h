// Layers that erase pieces of pictures or mix pictures of a batch, and with them their labels.
#pragma once

#include "layers/image_layer.h"

namespace nacre {

// A number for each element, or one for each of red, green and blue.
struct FillColour {
  std::vector<double> values{0};  // one or three
  bool operator==(const FillColour&) const = default;
};
template <>
struct FieldKind<FillColour> {
  static void read(const Tree& tree, FillColour& value);
  static Tree write(const FillColour& value, Style style);
  static Tree schema();
};

struct RandomErasingConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandomErasing";
  static constexpr std::string_view doc = "In training a box is erased from some pictures.";
  Factor<0, 1> factor = 1, scale{0.02, 0.33};
  std::optional<FillColour> fill_value;
  ValueRange value_range;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("factor", &RandomErasingConfig::factor, "share of the pictures: at most, or from … to");
    field("scale", &RandomErasingConfig::scale,
          "square of the box's share of width and of height: at most, or from … to");
    field("fill_value", &RandomErasingConfig::fill_value, "put into the box: a number or three; null: noise");
    field("value_range", &RandomErasingConfig::value_range, "black and white: what is put in stays within it");
    field("seed", &RandomErasingConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct CutMixConfig : ImageConfig {
  static constexpr std::string_view class_name = "CutMix";
  static constexpr std::string_view doc =
      "In training a box of another picture of the batch is put into each. Inputs: the pictures, or they and their "
      "labels (batch, classes), which are mixed in proportion.";
  Factor<0, 1> factor = 1;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("factor", &CutMixConfig::factor,
          "parameter of the beta distribution of the share that stays: at most, or from … to");
    field("seed", &CutMixConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct MixUpConfig : ImageConfig {
  static constexpr std::string_view class_name = "MixUp";
  static constexpr std::string_view doc =
      "In training each picture is blended with another of the batch. Inputs: the pictures, or they and their labels "
      "(batch, classes), which are blended alike.";
  double alpha = 0.2;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("alpha", &MixUpConfig::alpha, "parameter of the beta distribution of the weights", above(0));
    field("seed", &MixUpConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

LayerRef RandomErasing(RandomErasingConfig config = {}, LayerOptions options = {});
LayerRef CutMix(CutMixConfig config = {}, LayerOptions options = {});
LayerRef MixUp(MixUpConfig config = {}, LayerOptions options = {});

// What layers are that take labels as a second input and change them too: CutMix, MixUp, and a Pipeline of such.
class LabelMixing {
 public:
  virtual ~LabelMixing() = default;
  virtual bool mixes_labels() const { return true; }
};
bool mixes_labels(const Layer& layer);

std::vector<ClassInfo<Layer>> mixing_layers();

}  // namespace nacre
