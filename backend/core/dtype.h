// Element types and their conversions.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "backend/core/error.h"

namespace nacre {

// `string` is for texts (UTF-8, or any bytes): they live in tensors on the host, and no backend computes with them.
enum class DType : std::uint8_t { boolean, uint8, int32, int64, float16, bfloat16, float32, float64, string };

using Float16 = _Float16;

// The upper half of a float32, rounded to nearest even.
struct BFloat16 {
  std::uint16_t bits = 0;

  BFloat16() = default;
  explicit BFloat16(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    if ((word & 0x7fffffffu) > 0x7f800000u) bits = static_cast<std::uint16_t>((word >> 16) | 0x40u);  // quiet NaN
    else bits = static_cast<std::uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
};

// The dtype of a C++ element type.
template <class T>
constexpr DType dtype_of();
template <> constexpr DType dtype_of<bool>() { return DType::boolean; }
template <> constexpr DType dtype_of<std::uint8_t>() { return DType::uint8; }
template <> constexpr DType dtype_of<std::int32_t>() { return DType::int32; }
template <> constexpr DType dtype_of<std::int64_t>() { return DType::int64; }
template <> constexpr DType dtype_of<Float16>() { return DType::float16; }
template <> constexpr DType dtype_of<BFloat16>() { return DType::bfloat16; }
template <> constexpr DType dtype_of<float>() { return DType::float32; }
template <> constexpr DType dtype_of<double>() { return DType::float64; }
template <> constexpr DType dtype_of<std::string>() { return DType::string; }

constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::boolean:
    case DType::uint8: return 1;
    case DType::float16:
    case DType::bfloat16: return 2;
    case DType::int32:
    case DType::float32: return 4;
    case DType::int64:
    case DType::float64: return 8;
    case DType::string: return sizeof(std::string);  // of the object, without a long text's characters
  }
  return 0;
}

constexpr bool is_floating(DType dtype) { return dtype >= DType::float16 && dtype <= DType::float64; }

std::string_view name_of(DType dtype);        // Keras's names: "bool", "uint8", …, "float64", "string"
DType dtype_named(std::string_view name);     // throws Error for an unknown name

[[noreturn]] void refuse_texts();  // throws Error: texts came where numbers are wanted

// Calls `function` with a null pointer of the element type, a number's: visit(dtype, [&]<class T>(T*) { … }). Throws
// Error for texts.
template <class Function>
decltype(auto) visit(DType dtype, Function&& function) {
  switch (dtype) {
    case DType::boolean: return function(static_cast<bool*>(nullptr));
    case DType::uint8: return function(static_cast<std::uint8_t*>(nullptr));
    case DType::int32: return function(static_cast<std::int32_t*>(nullptr));
    case DType::int64: return function(static_cast<std::int64_t*>(nullptr));
    case DType::float16: return function(static_cast<Float16*>(nullptr));
    case DType::bfloat16: return function(static_cast<BFloat16*>(nullptr));
    case DType::float32: return function(static_cast<float*>(nullptr));
    case DType::float64: break;
    case DType::string: refuse_texts();
  }
  return function(static_cast<double*>(nullptr));
}

// Conversion between any two element types; to bool means "is not zero".
template <class To, class From>
To convert(From value) {
  if constexpr (std::is_same_v<From, BFloat16>) return convert<To>(static_cast<float>(value));
  else if constexpr (std::is_same_v<To, BFloat16>) return BFloat16(static_cast<float>(value));
  else if constexpr (std::is_same_v<To, bool>) return value != From(0);
  else return static_cast<To>(value);
}

}  // namespace nacre

template <>
struct fmt::formatter<nacre::DType> {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  auto format(nacre::DType dtype, fmt::format_context& context) const {
    return fmt::format_to(context.out(), "{}", nacre::name_of(dtype));
  }
};
