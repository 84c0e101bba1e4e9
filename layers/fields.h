// Kinds of config fields that several families of layers share.
#pragma once

#include "formats/config.h"

namespace nacre {

// Order of the axes at the surface of a layer; inside everything is channels last.
enum class DataFormat : std::uint8_t { channels_last, channels_first };
template <>
struct EnumNames<DataFormat> {
  static constexpr std::string_view names[] = {"channels_last", "channels_first"};
};

template <std::size_t n>
std::vector<std::int64_t> sizes_of(const Extent<n>& extent) {
  return {extent.sizes.begin(), extent.sizes.end()};
}

// A field of Keras's that nacre has only in one form: the value is accepted and written, any other is refused.
template <auto value>
struct Only {
  bool operator==(const Only&) const = default;
};
[[noreturn]] void refuse_value(const Tree& tree, const Tree& only);
template <auto value>
struct FieldKind<Only<value>> {
  static void read(const Tree& tree, Only<value>&) {
    if (!(tree == write({}, Style::keras))) refuse_value(tree, write({}, Style::keras));
  }
  static Tree write(const Only<value>&, Style) {
    if constexpr (std::is_same_v<decltype(value), std::nullptr_t>) return Tree();
    else return Tree(value);
  }
  static Tree schema() {
    Tree schema;
    schema.set("enum", Tree::Sequence{write({}, Style::keras)});
    return schema;
  }
};

// One axis or several, written -1 or [1, 2]; negative ones count from the end.
struct Axes {
  std::vector<std::int64_t> axes;
  Axes() = default;
  Axes(std::int64_t axis) : axes{axis} {}
  Axes(std::vector<std::int64_t> several) : axes(std::move(several)) {}
  bool operator==(const Axes&) const = default;
  // Counted from the front and ascending.
  std::vector<std::int64_t> in(const Shape& shape) const;
};
template <>
struct FieldKind<Axes> {
  static void read(const Tree& tree, Axes& value);
  static Tree write(const Axes& value, Style style);
  static Tree schema();
};

// What is added before and after each of n axes: 1, [1, 2] (both sides of each axis alike) or [[0, 1], [2, 0]].
// For one axis: 1 or [before, after].
template <std::size_t n>
struct Margins {
  std::array<std::array<std::int64_t, 2>, n> sides{};
  Margins() = default;
  Margins(std::int64_t all) { sides.fill({all, all}); }
  Margins(std::array<std::array<std::int64_t, 2>, n> each) : sides(each) {}
  bool operator==(const Margins&) const = default;
};
void read_margins(const Tree& tree, std::span<std::array<std::int64_t, 2>> sides);
Tree write_margins(std::span<const std::array<std::int64_t, 2>> sides, Style style);
Tree margins_schema();
template <std::size_t n>
struct FieldKind<Margins<n>> {
  static void read(const Tree& tree, Margins<n>& value) { read_margins(tree, value.sides); }
  static Tree write(const Margins<n>& value, Style style) { return write_margins(value.sides, style); }
  static Tree schema() { return margins_schema(); }
};

}  // namespace nacre
