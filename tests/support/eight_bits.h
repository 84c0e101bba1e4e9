// What the bits of numbers of eight bits stand for, written down apart from the kernels that make them.
#pragma once

#include <algorithm>
#include <cmath>

#include "backend/core/float8_format.h"

namespace nacre::test {

inline double decoded(std::uint8_t bits, Float8Format format) {
  const int exponent = bits % 128 >> mantissa(format), fraction = bits & ((1 << mantissa(format)) - 1);
  const double whole = exponent > 0 ? 1 << mantissa(format) : 0;
  return std::ldexp(whole + fraction, std::max(exponent, 1) - bias(format) - mantissa(format)) * (bits < 128 ? 1 : -1);
}

}  // namespace nacre::test
