// Scalars as text, shared by the text formats.
#pragma once

#include <string>
#include <string_view>

#include "formats/tree.h"

namespace nacre {

// What an unquoted YAML scalar means by the core schema of YAML 1.2: null, true or false, an integer (decimal, 0x…,
// 0o…), a real (also .inf and .nan) or else a text: `yes`, `no`, `on` and `off` are texts. Integers beyond 64 bits
// become reals.
Tree plain_scalar(std::string_view text);

// A number in decimal digits, [-]d+[.d+][e±d+], as a Tree; null when the text is none. Integers beyond 64 bits
// become reals, reals beyond the largest become infinite.
Tree decimal_number(std::string_view text);

// The shortest text that reads back as the same real; always recognisable as a real: "0.1", "16.0", "1e-07".
// Infinite values and NaN are the caller's.
std::string real_text(double value);

}  // namespace nacre
