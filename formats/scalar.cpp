#include "formats/scalar.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace nacre {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::size_t digits_from(std::string_view text, std::size_t position) {
  while (position < text.size() && is_digit(text[position])) ++position;
  return position;
}

// The real that digits spell; from_chars knows no sign '+' and reports overflow and underflow alike.
double real_of(std::string_view text) {
  if (text.front() == '+') text.remove_prefix(1);
  double value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc::result_out_of_range) return value;
  // With so many digits before the exponent that they outweigh it, the value is still far out on the side that the
  // exponent or, without one, the number of digits says.
  const std::size_t exponent = text.find_first_of("eE");
  const bool small = exponent != std::string_view::npos ? text[exponent + 1] == '-' : text.find_first_of("123456789") > text.find('.');
  const double size = small ? 0.0 : std::numeric_limits<double>::infinity();
  return text.front() == '-' ? -size : size;
}

Tree integer_or_real(std::string_view text) {
  std::string_view digits = text;
  if (digits.front() == '+') digits.remove_prefix(1);
  std::int64_t value = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec == std::errc{}) return value;
  return real_of(text);
}

Tree integer_of_base(std::string_view digits, int base) {
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (digits.empty() || end != digits.data() + digits.size()) return {};
  if (problem == std::errc{} && value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return static_cast<std::int64_t>(value);
  double real = 0;
  for (const char c : digits)
    real = real * base + (is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
  return real;
}

}  // namespace

Tree decimal_number(std::string_view text) {
  const std::size_t begin = !text.empty() && text[0] == '-' ? 1 : 0;
  std::size_t end = digits_from(text, begin);
  if (end == begin) return {};
  if (end == text.size()) return integer_or_real(text);
  if (text[end] == '.') {
    const std::size_t fraction = end + 1;
    end = digits_from(text, fraction);
    if (end == fraction) return {};
  }
  if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    std::size_t exponent = end + 1;
    if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
    end = digits_from(text, exponent);
    if (end == exponent) return {};
  }
  return end == text.size() ? Tree(real_of(text)) : Tree();
}

Tree plain_scalar(std::string_view text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return {};
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const auto is_text = [&] { return Tree(text); };
  if (text == ".nan" || text == ".NaN" || text == ".NAN") return std::numeric_limits<double>::quiet_NaN();
  if (text.starts_with("0x") || text.starts_with("0o")) {
    const Tree number = integer_of_base(text.substr(2), text[1] == 'x' ? 16 : 8);
    return number.is_null() ? is_text() : number;
  }

  std::size_t position = text[0] == '+' || text[0] == '-' ? 1 : 0;
  const std::string_view magnitude = text.substr(position);
  if (magnitude == ".inf" || magnitude == ".Inf" || magnitude == ".INF")
    return text[0] == '-' ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  const std::size_t whole = digits_from(text, position) - position;
  position += whole;
  if (whole > 0 && position == text.size()) return integer_or_real(text);
  std::size_t fraction = 0;
  if (position < text.size() && text[position] == '.') {
    fraction = digits_from(text, position + 1) - position - 1;
    position += 1 + fraction;
  }
  if (whole + fraction == 0) return is_text();
  if (position < text.size() && (text[position] == 'e' || text[position] == 'E')) {
    ++position;
    if (position < text.size() && (text[position] == '+' || text[position] == '-')) ++position;
    const std::size_t exponent = digits_from(text, position) - position;
    if (exponent == 0) return is_text();
    position += exponent;
  }
  return position == text.size() ? Tree(real_of(text)) : is_text();
}

std::string real_text(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

}  // namespace nacre
