#include "formats/base64.h"

namespace nacre {

namespace {

constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::string to_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t k) {
      return i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U;
    };
    const unsigned three = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (std::size_t k = 0; k < 4; ++k) text += i + k > bytes.size() ? '=' : digits[three >> (18 - 6 * k) & 63U];
  }
  return text;
}

std::string from_base64(std::string_view text) {
  std::string bytes;
  unsigned buffer = 0;
  int bits = 0;
  for (char c : text) {
    const std::size_t digit = digits.find(c);
    if (digit == std::string_view::npos) break;
    buffer = (buffer << 6 | static_cast<unsigned>(digit)) & 0xFFFFu;
    if ((bits += 6) < 8) continue;
    bits -= 8;
    bytes += static_cast<char>(buffer >> bits & 0xFFu);
  }
  return bytes;
}

}  // namespace nacre
