// Numbers of eight bits: Micikevicius et al., "FP8 formats for deep learning" (2022).
#pragma once

#include <cstdint>
#include <string_view>

#include "backend/core/describe.h"

namespace nacre {

enum class Float8Format : std::uint8_t {
  e4m3fn,  // four bits of exponent, three of mantissa; no infinities; of values and weights
  e5m2,    // of gradients
};
template <>
struct EnumNames<Float8Format> {
  static constexpr std::string_view names[] = {"e4m3fn", "e5m2"};
};

// Bits of the mantissa, what is taken off an exponent, and the largest number.
constexpr int mantissa(Float8Format format) { return format == Float8Format::e4m3fn ? 3 : 2; }
constexpr int bias(Float8Format format) { return format == Float8Format::e4m3fn ? 7 : 15; }
constexpr double largest(Float8Format format) { return format == Float8Format::e4m3fn ? 448 : 57344; }

}  // namespace nacre
