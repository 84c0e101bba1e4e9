// Windows of short-time Fourier transforms, by SciPy's names.
#pragma once

#include "formats/config.h"

namespace nacre {

// "hann", "hamming", "blackman", …, and their short forms. `periodic`: as for a transform of repeated signals, the
// window of size + 1 places without its last one; else symmetric. Throws a usage Error when the name is unknown.
// Source: Harris, "On the Use of Windows for Harmonic Analysis with the Discrete Fourier Transform" (1978).
std::vector<double> window_function(std::string_view name, std::int64_t size, bool periodic);

// Weights of the samples of a frame in a config: the name of a window, its values, or neither.
struct SignalWindow {
  std::string name;
  std::vector<double> values{};
  bool given() const { return !name.empty() || !values.empty(); }
  // The window of that many places, ones where none is given. Throws Error when the values are not as many.
  std::vector<double> of_size(std::int64_t size, bool periodic) const;
};
template <>
struct FieldKind<SignalWindow> {
  static void read(const Tree& tree, SignalWindow& value);  // an unknown name is an error
  static Tree write(const SignalWindow& value, Style style);
  static Tree schema();
};

}  // namespace nacre
