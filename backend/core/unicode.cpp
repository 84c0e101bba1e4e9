#include "backend/core/unicode.h"

#include <fmt/core.h>

namespace nacre {

char32_t next_utf8(std::string_view text, std::size_t& position) {
  const auto byte = [&](std::size_t offset) { return static_cast<unsigned char>(text[position + offset]); };
  const unsigned char first = byte(0);
  const int length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  char32_t code_point = length == 1 ? first : first & (0x7fu >> length);
  for (int i = 1; i < length; ++i) code_point = code_point << 6 | (byte(static_cast<std::size_t>(i)) & 0x3fu);
  position += static_cast<std::size_t>(length);
  return code_point;
}

std::size_t valid_utf8(std::string_view text) {
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t begin = position;
    const auto first = static_cast<unsigned char>(text[begin]);
    if (first < 0x80) {
      ++position;
      continue;
    }
    const std::size_t length = first >= 0xc2 && first < 0xe0   ? 2
                               : first >= 0xe0 && first < 0xf0 ? 3
                               : first >= 0xf0 && first < 0xf5 ? 4
                                                               : 0;
    if (length == 0 || text.size() - begin < length) return begin;
    for (std::size_t i = 1; i < length; ++i)
      if ((static_cast<unsigned char>(text[begin + i]) & 0xc0u) != 0x80u) return begin;
    const char32_t code_point = next_utf8(text, position);
    const bool surrogate = code_point >= 0xd800 && code_point < 0xe000;
    if (surrogate || code_point > 0x10ffff || (length == 3 && code_point < 0x800) ||
        (length == 4 && code_point < 0x10000))
      return begin;
  }
  return text.size();
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xc0 | code_point >> 6);
    put(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    put(0xe0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3f));
    put(0x80 | (code_point & 0x3f));
  } else {
    put(0xf0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3f));
    put(0x80 | (code_point >> 6 & 0x3f));
    put(0x80 | (code_point & 0x3f));
  }
}

bool printable(char32_t c) {
  const bool turns =
      c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
  return c >= 0x20 && (c < 0x7f || c > 0x9f) && c != 0x2028 && c != 0x2029 && c != 0xfeff && (c & 0xfffe) != 0xfffe &&
         !turns;
}

std::string escaped(std::string_view text) {
  std::string result;
  std::size_t valid = valid_utf8(text);
  for (std::size_t position = 0; position < text.size();) {
    if (position == valid) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[position++]));
      valid = position + valid_utf8(text.substr(position));
      continue;
    }
    const char32_t c = next_utf8(text, position);
    constexpr std::string_view values = "\n\r\t", names = "nrt";
    if (printable(c)) append_utf8(result, c);
    else if (const std::size_t index = c < 0x80 ? values.find(static_cast<char>(c)) : std::string_view::npos;
             index != std::string_view::npos)
      (result += '\\') += names[index];
    else if (c < 0x80) result += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    else result += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
  }
  return result;
}

}  // namespace nacre
