// Layers that prepare data.
#pragma once

#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

// A number, or one per channel: 0.5 or [0.5, 0.4, 0.3].
struct PerChannel {
  std::vector<double> values;
  PerChannel(double value = 0) : values{value} {}
  PerChannel(std::vector<double> each) : values(std::move(each)) {}
  bool operator==(const PerChannel&) const = default;
};
template <>
struct FieldKind<PerChannel> {
  static void read(const Tree& tree, PerChannel& value);
  static Tree write(const PerChannel& value, Style style);
  static Tree schema();
};

struct RescalingConfig {
  static constexpr std::string_view class_name = "Rescaling";
  static constexpr std::string_view doc = "x · scale + offset";
  PerChannel scale = 1, offset = 0;
  static void describe(auto&& field) {
    field("scale", &RescalingConfig::scale, "factor", required());
    field("offset", &RescalingConfig::offset, "added afterwards");
  }
};

LayerRef Rescaling(RescalingConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> preprocessing_layers();

}  // namespace nacre
