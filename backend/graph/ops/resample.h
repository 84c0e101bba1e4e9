// Reading pictures at real-valued places: the one op behind rotation, zoom, translation, shear, perspective and elastic
// transforms.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

enum class Sampling : std::uint8_t { nearest, bilinear };
template <>
struct EnumNames<Sampling> {
  static constexpr std::string_view names[] = {"nearest", "bilinear"};
};

// What lies beyond the edges of a row a b c d.
enum class FillMode : std::uint8_t {
  reflect,   // d c b a | a b c d | d c b a
  constant,  // k k k k | a b c d | k k k k
  wrap,      // a b c d | a b c d | a b c d
  nearest,   // a a a a | a b c d | d d d d
  mirror,    //   d c b | a b c d | c b a
};
template <>
struct EnumNames<FillMode> {
  static constexpr std::string_view names[] = {"reflect", "constant", "wrap", "nearest", "mirror"};
};

struct ResampleAttrs {
  Sampling sampling = Sampling::bilinear;
  FillMode fill_mode = FillMode::constant;
  double fill_value = 0;  // beyond the edges (constant), and where a coordinate is no number
  bool operator==(const ResampleAttrs&) const = default;
  static void describe(auto&& field) {
    field("sampling", &ResampleAttrs::sampling, "the nearest element, or a mean of the four around the place");
    field("fill_mode", &ResampleAttrs::fill_mode, "what lies beyond the edges");
    field("fill_value", &ResampleAttrs::fill_value, "beyond the edges when the mode is constant");
  }
};

struct ResampleBackwardAttrs {
  ResampleAttrs resample;
  Shape shape;  // of the pictures; an unknown batch is that of dy
  bool operator==(const ResampleBackwardAttrs&) const = default;
  static void describe(auto&& field) {
    field("resample", &ResampleBackwardAttrs::resample, "the forward op");
    field("shape", &ResampleBackwardAttrs::shape, "of the pictures");
  }
};

namespace op {
// (pictures (batch, height, width, channels), places (batch, rows, columns, 2) float32) → (batch, rows, columns,
// channels): each result is the picture at a place (y, x), in elements from the first one's centre. No gradient flows
// to the places.
extern const OpDef<ResampleAttrs> resample;
// (places, dy) → dx: each dy goes where resample read, with the weights it read with.
extern const OpDef<ResampleBackwardAttrs> resample_backward;
}  // namespace op

namespace ops {
Value resample(Value pictures, Value places, ResampleAttrs attrs);
}

}  // namespace nacre
