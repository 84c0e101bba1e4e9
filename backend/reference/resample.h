// Which elements of a picture a sample is made of. Places are folded back over the edges as real numbers, before they
// are rounded, as TensorFlow's ImageProjectiveTransform does, whose results Keras's augmentation layers give.
#pragma once

#include <algorithm>
#include <cmath>

#include "backend/graph/ops/resample.h"

namespace nacre::reference {

// A place on an axis of `size` elements brought into [0, size - 1]; constant ones stay where they are.
inline float folded(float place, std::int64_t size, FillMode mode) {
  const auto last = static_cast<float>(size - 1), length = static_cast<float>(size);
  switch (mode) {
    case FillMode::constant: return place;
    case FillMode::nearest: break;
    case FillMode::reflect: {
      const float period = 2 * length;
      float within = std::fmod(place, period);  // has the sign of the place
      if (place < 0) within = within < -length ? within + period : -within - 1;
      else if (within >= length) within = period - within - 1;
      place = within;
      break;
    }
    case FillMode::mirror:
      if (size == 1) return 0;
      place = std::fmod(std::abs(place), 2 * last);
      if (place > last) place = 2 * last - place;
      break;
    case FillMode::wrap:
      if (size == 1) return 0;
      if (place < 0) place += length * (std::floor(-place / last) + 1);
      else if (place > last) place -= length * std::floor(place / last);
      break;
  }
  return std::clamp(place, 0.0F, last);
}

// Calls visit(element, weight) for each element of a height×width picture that counts at (y, x); the element is its
// row-major index, or -1 for the fill value.
template <class Visit>
void for_each_tap(const ResampleAttrs& attrs, std::int64_t height, std::int64_t width, float y, float x,
                  Visit&& visit) {
  constexpr float furthest = 1 << 24;  // up to which float32 counts whole numbers; also false for NaN
  if (!(std::abs(y) < furthest && std::abs(x) < furthest)) return visit(std::int64_t{-1}, 1.0F);
  y = folded(y, height, attrs.fill_mode);
  x = folded(x, width, attrs.fill_mode);
  const auto tap = [&](float row, float column, float weight) {
    const auto i = static_cast<std::int64_t>(row), j = static_cast<std::int64_t>(column);
    visit(i >= 0 && i < height && j >= 0 && j < width ? i * width + j : -1, weight);
  };
  if (attrs.sampling == Sampling::nearest) return tap(std::round(y), std::round(x), 1);
  const float top = std::floor(y), left = std::floor(x), down = y - top, right = x - left;
  tap(top, left, (1 - down) * (1 - right));
  tap(top, left + 1, (1 - down) * right);
  tap(top + 1, left, down * (1 - right));
  tap(top + 1, left + 1, down * right);
}

}  // namespace nacre::reference
