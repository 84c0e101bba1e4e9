// Boxes around things in pictures.
#pragma once

#include "layers/image_layer.h"

namespace nacre {

struct MaxNumBoundingBoxesConfig : ImageConfig {
  static constexpr std::string_view class_name = "MaxNumBoundingBoxes";
  static constexpr std::string_view doc =
      "As many boxes for each picture: more are left out, missing ones filled in. Inputs: pictures, which stay as they "
      "are; or boxes (batch, boxes, 4) and their labels (batch, boxes); or all three.";
  std::int64_t max_number = 1, fill_value = -1;
  static void describe(auto&& field) {
    field("max_number", &MaxNumBoundingBoxesConfig::max_number, "boxes of a picture", at_least(1), required());
    field("fill_value", &MaxNumBoundingBoxesConfig::fill_value, "of the numbers and labels of missing boxes");
    ImageConfig::describe(field);
  }
};

LayerRef MaxNumBoundingBoxes(MaxNumBoundingBoxesConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> box_layers();

}  // namespace nacre
