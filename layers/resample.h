// Axes of pictures stretched and shrunk.
#pragma once

#include "backend/graph/graph.h"
#include "formats/config.h"

namespace nacre {

// How the elements of a resized axis follow from those of the old one. The centres of the outermost elements' places
// stay where they are relative to the ends; what lies outside has no weight.
enum class Interpolation : std::uint8_t { nearest, bilinear, bicubic, lanczos3, lanczos5 };
template <>
struct EnumNames<Interpolation> {
  static constexpr std::string_view names[] = {"nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"};
};

// x with `size` elements along the axis; floating x only, but for `nearest`. With antialias, shrinking takes the mean
// over all elements that a new one covers. Sizes may be unknown. As TensorFlow's tf.image.resize, along one axis.
Value resampled(Value x, int axis, std::int64_t size, Interpolation interpolation, bool antialias = false);

}  // namespace nacre
