// Shapes: sizes of axes, some of which may be unknown.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "backend/core/dtype.h"

namespace nacre {

// An axis whose size is known only when data comes (Keras's None: batch, time, height).
inline constexpr std::int64_t unknown = -1;

// The sizes of a tensor's axes. Indices may be negative and then count from the end; an index out of range throws.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> sizes) : sizes_(sizes) {}
  explicit Shape(std::vector<std::int64_t> sizes) : sizes_(std::move(sizes)) {}
  explicit Shape(std::span<const std::int64_t> sizes) : sizes_(sizes.begin(), sizes.end()) {}

  int rank() const { return static_cast<int>(sizes_.size()); }
  std::int64_t operator[](int axis) const { return sizes_[static_cast<std::size_t>(checked(axis))]; }
  void set(int axis, std::int64_t size) { sizes_[static_cast<std::size_t>(checked(axis))] = size; }
  void append(std::int64_t size) { sizes_.push_back(size); }
  int checked(int axis) const;  // the same axis counted from the front
  bool known() const;           // no axis is unknown
  std::int64_t elements() const;  // product of the sizes; every axis must be known; throws Error on overflow
  Shape first(int count) const;   // the leading axes
  Shape from(int axis) const;     // the axes from `axis` on
  std::string text() const;       // "(None, 26, 26, 32)"

  auto begin() const { return sizes_.begin(); }
  auto end() const { return sizes_.end(); }
  const std::vector<std::int64_t>& sizes() const { return sizes_; }
  bool operator==(const Shape&) const = default;

 private:
  std::vector<std::int64_t> sizes_;
};

Shape operator+(const Shape& a, const Shape& b);  // axes of a, then of b

// Equal, or at least one of them unknown.
constexpr bool same(std::int64_t a, std::int64_t b) { return a == b || a == unknown || b == unknown; }
bool same(const Shape& a, const Shape& b);

// The shape of an element-wise operation on both (NumPy's rule); throws Error when they do not fit.
Shape broadcast(const Shape& a, const Shape& b);

// The element strides of a row-major tensor.
std::vector<std::int64_t> row_major_strides(const Shape& shape);

// What a value is: element type and shape.
struct Type {
  DType dtype = DType::float32;
  Shape shape;

  bool operator==(const Type&) const = default;
  std::size_t bytes() const { return static_cast<std::size_t>(shape.elements()) * size_of(dtype); }
  std::string text() const;  // "float32(None, 10)"
};
using Types = std::vector<Type>;

}  // namespace nacre

// Values with a text form are formatted by it: fmt::format("{}", shape).
namespace nacre {
template <class Value>
struct TextFormatter {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  auto format(const Value& value, fmt::format_context& context) const {
    return fmt::format_to(context.out(), "{}", std::string_view(value.text()));
  }
};
}  // namespace nacre
template <> struct fmt::formatter<nacre::Shape> : nacre::TextFormatter<nacre::Shape> {};
template <> struct fmt::formatter<nacre::Type> : nacre::TextFormatter<nacre::Type> {};
