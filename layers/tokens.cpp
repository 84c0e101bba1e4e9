#include "layers/tokens.h"

#include <algorithm>

namespace nacre {

namespace {

bool is_punctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

// Bytes of the UTF-8 sequence that starts here, 0 when it is none: neither cut short, nor longer than need be, nor a
// surrogate, nor beyond U+10FFFF.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned lead = byte(0), second = byte(1);
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return 0;
    return follows(1) && follows(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return 0;
    return follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::size_t character_length(std::string_view text) { return std::max<std::size_t>(sequence_length(text), 1); }

std::string lower_ascii(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

std::string without_punctuation(std::string text) {
  std::erase_if(text, is_punctuation);
  return text;
}

Tokens words_of(std::string_view text) {
  Tokens words;
  for (std::size_t at = 0; at < text.size();) {
    if (is_space(text[at])) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < text.size() && !is_space(text[end])) ++end;
    words.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

Tokens characters_of(std::string_view text) {
  Tokens characters;
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    characters.emplace_back(length > 0 ? text.substr(0, length) : "\xEF\xBF\xBD");
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return characters;
}

Tokens ngrams_of(std::span<const std::string> tokens, std::span<const std::int64_t> lengths) {
  Tokens groups;
  for (std::int64_t length : lengths)
    for (std::size_t at = 0; at + static_cast<std::size_t>(length) <= tokens.size(); ++at) {
      std::string group = tokens[at];
      for (std::size_t i = 1; i < static_cast<std::size_t>(length); ++i) group += " " + tokens[at + i];
      groups.push_back(std::move(group));
    }
  return groups;
}

}  // namespace nacre
