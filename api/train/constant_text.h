#pragma once

#include <cstddef>
#include <string_view>

namespace nacre {

// A text that is a template argument.
template <std::size_t n>
struct ConstantText {
  char text[n]{};
  constexpr ConstantText(const char (&characters)[n]) {
    for (std::size_t i = 0; i < n; ++i) text[i] = characters[i];
  }
  constexpr operator std::string_view() const { return {text, n - 1}; }
};

}  // namespace nacre
