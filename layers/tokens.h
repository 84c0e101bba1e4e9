// Words of texts, by the rules of TensorFlow's string functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nacre {

using Tokens = std::vector<std::string>;

bool is_space(char c);  // of ASCII
// Bytes of the Unicode character that the text begins with; 1 where that is no UTF-8.
std::size_t character_length(std::string_view text);

std::string lower_ascii(std::string text);
std::string without_punctuation(std::string text);
// Between runs of white space (of ASCII).
Tokens words_of(std::string_view text);
// Unicode characters; what is no UTF-8 becomes U+FFFD.
Tokens characters_of(std::string_view text);
// Neighbours joined by a space: all groups of the first length, then those of the next.
Tokens ngrams_of(std::span<const std::string> tokens, std::span<const std::int64_t> lengths);

}  // namespace nacre
