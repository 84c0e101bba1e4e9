// Windows of short-time Fourier transforms, by SciPy's names.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace nacre {

// "hann", "hamming", "blackman", …, and their short forms. `periodic`: as for a transform of repeated signals, the
// window of size + 1 places without its last one; else symmetric. Throws a usage Error when the name is unknown.
// Source: Harris, "On the Use of Windows for Harmonic Analysis with the Discrete Fourier Transform" (1978).
std::vector<double> window_function(std::string_view name, std::int64_t size, bool periodic);

}  // namespace nacre
