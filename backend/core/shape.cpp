#include "backend/core/shape.h"

#include <algorithm>

namespace nacre {

int Shape::checked(int axis) const {
  const int index = axis < 0 ? axis + rank() : axis;
  need(index >= 0 && index < rank(), "axis {} is out of range for shape {}", axis, text());
  return index;
}

bool Shape::known() const {
  return std::none_of(sizes_.begin(), sizes_.end(), [](std::int64_t size) { return size == unknown; });
}

std::int64_t Shape::elements() const {
  constexpr std::int64_t most = std::int64_t{1} << 56;  // so that no number of bytes overflows
  std::int64_t product = 1;
  for (std::int64_t size : sizes_) {
    ensure(size != unknown, "the number of elements of {} is not known", text());
    if (__builtin_mul_overflow(product, size, &product) || product > most) throw Error("shape {} has too many elements", text());
  }
  return product;
}

Shape Shape::first(int count) const { return Shape(std::span(sizes_).first(static_cast<std::size_t>(count))); }

Shape Shape::from(int axis) const { return Shape(std::span(sizes_).subspan(static_cast<std::size_t>(axis))); }

std::string Shape::text() const {
  std::string text = "(";
  for (std::size_t i = 0; i < sizes_.size(); ++i) {
    if (i) text += ", ";
    text += sizes_[i] == unknown ? "None" : std::to_string(sizes_[i]);
  }
  return text + (sizes_.size() == 1 ? ",)" : ")");
}

Shape operator+(const Shape& a, const Shape& b) {
  std::vector<std::int64_t> sizes = a.sizes();
  sizes.insert(sizes.end(), b.begin(), b.end());
  return Shape(std::move(sizes));
}

bool same(const Shape& a, const Shape& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](std::int64_t x, std::int64_t y) { return same(x, y); });
}

Shape broadcast(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(rank));
  for (int i = 0; i < rank; ++i) {
    const std::int64_t x = i < rank - a.rank() ? 1 : a[i - (rank - a.rank())];
    const std::int64_t y = i < rank - b.rank() ? 1 : b[i - (rank - b.rank())];
    need(x == 1 || y == 1 || same(x, y), "shapes {} and {} cannot be broadcast together", a, b);
    sizes[static_cast<std::size_t>(i)] = x == 1 ? y : (y == 1 || y == unknown) ? x : y;
  }
  return Shape(std::move(sizes));
}

std::vector<std::int64_t> row_major_strides(const Shape& shape) {
  std::vector<std::int64_t> strides(static_cast<std::size_t>(shape.rank()), 1);
  for (int i = shape.rank() - 2; i >= 0; --i)
    strides[static_cast<std::size_t>(i)] = strides[static_cast<std::size_t>(i) + 1] * shape[i + 1];
  return strides;
}

std::string Type::text() const { return fmt::format("{}{}", name_of(dtype), shape.text()); }

}  // namespace nacre
