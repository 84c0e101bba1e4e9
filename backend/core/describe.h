// Config fields, written once: a config struct lists its members in a static `describe` function, and readers of
// YAML, JSON and Lua, schema, generated reference, graph printer and error messages are visitors of that list.
//
//   struct PoolingConfig {
//     std::int64_t pool_size = 2;
//     static void describe(auto&& field) {
//       field("pool_size", &PoolingConfig::pool_size, "size of the window", at_least(1));
//     }
//   };
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "backend/core/shape.h"

namespace nacre {

// What a value of a field must fulfil.
struct Constraint {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false, high_open = false;  // the bound itself is excluded
  bool required = false;                     // has no default: must be given
  std::vector<std::string_view> choices{};   // when not empty: one of these words

  bool accepts(double value) const {
    return !std::isnan(value) && (low_open ? value > low : value >= low) && (high_open ? value < high : value <= high);
  }
};

inline Constraint at_least(double low) { return {.low = low}; }
inline Constraint above(double low) { return {.low = low, .low_open = true}; }
inline Constraint between(double low, double high) { return {.low = low, .high = high}; }
inline Constraint from_below(double low, double high) { return {.low = low, .high = high, .high_open = true}; }  // [low, high)
inline Constraint one_of(std::vector<std::string_view> words) { return {.choices = std::move(words)}; }
inline Constraint required() { return {.required = true}; }

// The conjunction of constraints.
inline Constraint all_of() { return {}; }
template <class... Rest>
Constraint all_of(Constraint first, const Rest&... rest) {
  const Constraint other = all_of(rest...);
  if (other.low > first.low) first.low = other.low, first.low_open = other.low_open;
  if (other.high < first.high) first.high = other.high, first.high_open = other.high_open;
  first.required = first.required || other.required;
  if (first.choices.empty()) first.choices = other.choices;
  return first;
}

template <class Config>
concept Described = requires { Config::describe([](std::string_view, auto, std::string_view, auto&&...) {}); };

// An enumeration that is written as words specialises this with `static constexpr std::string_view names[]`,
// in the order of its values 0, 1, 2, ….
template <class Enum>
struct EnumNames;

// One-line text of values in attributes, for the graph printer and for hashing: equal values give equal texts.
inline std::string text_of(bool value) { return value ? "true" : "false"; }
template <class Number>
  requires(std::is_arithmetic_v<Number> && !std::is_same_v<Number, bool>)
std::string text_of(Number value) { return fmt::format("{}", value); }
inline std::string text_of(const std::string& value) { return value; }
inline std::string text_of(const Shape& value) { return value.text(); }
inline std::string text_of(DType value) { return std::string(name_of(value)); }
template <class Enum>
  requires std::is_enum_v<Enum>
std::string text_of(Enum value) { return std::string(EnumNames<Enum>::names[static_cast<std::size_t>(value)]); }
template <Described Config>
std::string text_of(const Config& config);
template <class Item>
std::string text_of(const std::vector<Item>& items) {
  std::string text = "[";
  for (const auto& item : items) text += (text.size() > 1 ? ", " : "") + text_of(static_cast<const Item&>(item));
  return text + "]";
}
// "{pool_size=2, padding=same}"
template <Described Config>
std::string text_of(const Config& config) {
  std::string text = "{";
  Config::describe([&](std::string_view key, auto member, std::string_view, auto&&...) {
    text += fmt::format("{}{}={}", text.size() > 1 ? ", " : "", key, text_of(config.*member));
  });
  return text + "}";
}

}  // namespace nacre
