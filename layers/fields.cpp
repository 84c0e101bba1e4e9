#include "layers/fields.h"

#include <algorithm>

namespace nacre {

void refuse_value(const Tree& tree, const Tree& only) {
  throw Error("got {}, only {} is supported", tree.text(), only.text()).at(tree.mark()).usage();
}

std::vector<std::int64_t> Axes::in(const Shape& shape) const {
  std::vector<std::int64_t> counted;
  for (std::int64_t axis : axes) {
    if (axis < -shape.rank() || axis >= shape.rank())
      throw Error("got {}, which has no axis {}", shape, axis).hint("axes count from 0, and from the end from -1");
    counted.push_back(axis < 0 ? axis + shape.rank() : axis);
  }
  std::sort(counted.begin(), counted.end());
  return counted;
}

void FieldKind<Axes>::read(const Tree& tree, Axes& value) {
  value.axes.clear();
  if (!tree.is_sequence()) return value.axes.push_back(tree.as_integer());
  for (const Tree& axis : tree.items()) value.axes.push_back(axis.as_integer());
}

Tree FieldKind<Axes>::write(const Axes& value, Style) {
  if (value.axes.size() == 1) return value.axes.front();
  Tree tree = Tree::sequence();
  for (std::int64_t axis : value.axes) tree.push(axis);
  return tree;
}

Tree FieldKind<Axes>::schema() {
  Tree list = schema_type("array"), schema;
  list.set("items", schema_type("integer"));
  schema.set("anyOf", Tree::Sequence{schema_type("integer"), std::move(list)});
  return schema;
}

namespace {

std::array<std::int64_t, 2> read_sides(const Tree& tree) {
  if (!tree.is_sequence()) return {tree.as_integer(), tree.as_integer()};
  if (tree.items().size() != 2) throw Error("wanted [before, after], got {}", tree.text()).at(tree.mark()).usage();
  return {tree.items()[0].as_integer(), tree.items()[1].as_integer()};
}

}  // namespace

void read_margins(const Tree& tree, std::span<std::array<std::int64_t, 2>> sides) {
  if (!tree.is_sequence() || sides.size() == 1) return std::fill(sides.begin(), sides.end(), read_sides(tree));
  if (tree.items().size() != sides.size())
    throw Error("wanted {} axes, got {}", sides.size(), tree.text()).at(tree.mark()).usage();
  std::transform(tree.items().begin(), tree.items().end(), sides.begin(), read_sides);
}

Tree write_margins(std::span<const std::array<std::int64_t, 2>> sides, Style style) {
  const auto same = [&](const auto& side) { return side == std::array{sides[0][0], sides[0][0]}; };
  if (style != Style::keras && std::all_of(sides.begin(), sides.end(), same)) return sides[0][0];
  Tree tree = Tree::sequence();
  for (const auto& [before, after] : sides) tree.push(Tree::Sequence{before, after});
  return sides.size() == 1 ? Tree(tree.items()[0]) : tree;
}

Tree margins_schema() {
  Tree schema;
  schema.set("anyOf", Tree::Sequence{schema_type("integer"), schema_type("array")});
  return schema;
}

}  // namespace nacre
