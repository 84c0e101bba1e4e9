// Layers of several inputs.
#pragma once

#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

enum class Merge : std::uint8_t { add, subtract, multiply, average, maximum, minimum };

template <Merge kind>
struct MergeConfig {
  static constexpr std::string_view class_names[6] = {"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"};
  static constexpr std::string_view docs[6] = {"The sum of the inputs.",
                                              "The first input less the second.",
                                              "The product of the inputs.",
                                              "The mean of the inputs.",
                                              "The largest of the inputs, element by element.",
                                              "The smallest of the inputs, element by element."};
  static constexpr std::string_view class_name = class_names[static_cast<int>(kind)];
  static constexpr std::string_view doc = docs[static_cast<int>(kind)];
  static void describe(auto&&) {}
};

struct ConcatenateConfig {
  static constexpr std::string_view class_name = "Concatenate";
  static constexpr std::string_view doc = "The inputs one after another along an axis.";
  std::int64_t axis = -1;
  static void describe(auto&& field) { field("axis", &ConcatenateConfig::axis, "that grows"); }
};

struct DotConfig {
  static constexpr std::string_view class_name = "Dot";
  static constexpr std::string_view doc = "The scalar products of two inputs along an axis of each, sample by sample.";
  Axes axes = -1;
  bool normalize = false;
  static void describe(auto&& field) {
    field("axes", &DotConfig::axes, "summed over: one of both inputs, or one each", required());
    field("normalize", &DotConfig::normalize, "the vectors get length 1 before, so that the result is their cosine");
  }
};

LayerRef Add(LayerOptions options = {});
LayerRef Subtract(LayerOptions options = {});
LayerRef Multiply(LayerOptions options = {});
LayerRef Average(LayerOptions options = {});
LayerRef Maximum(LayerOptions options = {});
LayerRef Minimum(LayerOptions options = {});
LayerRef Concatenate(ConcatenateConfig config = {}, LayerOptions options = {});
LayerRef Dot(DotConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> merge_layers();

}  // namespace nacre
