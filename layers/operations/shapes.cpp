// What changes shapes and the places of elements.
#include <algorithm>
#include <limits>
#include <numeric>

#include "backend/graph/ops/reduce.h"
#include "layers/operations/functions.h"
#include "layers/operations/operation.h"

namespace nacre::operations {

namespace {

constexpr Family numpy("keras.src.ops.numpy");

struct NewShapeFields {
  Tree newshape;
  static void describe(auto&& field) {
    field("newshape", &NewShapeFields::newshape, "sizes; -1 takes what is left", required());
  }
};
struct ShapeField {
  Shape shape;
  static void describe(auto&& field) { field("shape", &ShapeField::shape, "of the result", required()); }
};
struct AxesField {
  std::optional<std::vector<std::int64_t>> axes;
  static void describe(auto&& field) {
    field("axes", &AxesField::axes, "axis i of the result is axis axes[i] of x; null: reversed");
  }
};
struct AxisField {
  std::optional<Axes> axis;
  static void describe(auto&& field) { field("axis", &AxisField::axis, "one or several; null: all that qualify"); }
};
struct NewAxisField {
  Axes axis = 0;
  static void describe(auto&& field) {
    field("axis", &NewAxisField::axis, "where it stands in the result", required());
  }
};
struct MoveFields {
  Axes source, destination;
  static void describe(auto&& field) {
    field("source", &MoveFields::source, "axes of x", required());
    field("destination", &MoveFields::destination, "their places in the result", required());
  }
};
struct SwapFields {
  std::int64_t axis1 = 0, axis2 = 0;
  static void describe(auto&& field) {
    field("axis1", &SwapFields::axis1, "changes places", required());
    field("axis2", &SwapFields::axis2, "with this one", required());
  }
};
struct RotateFields {
  std::int64_t k = 1;
  std::vector<std::int64_t> axes{0, 1};
  static void describe(auto&& field) {
    field("k", &RotateFields::k, "by how many quarter turns");
    field("axes", &RotateFields::axes, "the plane, turned from the first towards the second");
  }
};
struct RollFields {
  Axes shift = 0;
  std::optional<Axes> axis;
  static void describe(auto&& field) {
    field("shift", &RollFields::shift, "by how many places, of each axis", required());
    field("axis", &RollFields::axis, "rolled; null: all elements in a row");
  }
};
struct TileFields {
  Axes repeats = 1;
  static void describe(auto&& field) { field("repeats", &TileFields::repeats, "how often, for each axis", required()); }
};
struct RepeatFields {
  Tree repeats;
  std::optional<std::int64_t> axis;
  static void describe(auto&& field) {
    field("repeats", &RepeatFields::repeats, "how often each element stands in a row, or as many numbers as elements",
          required());
    field("axis", &RepeatFields::axis, "that grows; null: all elements in a row");
  }
};
struct PadFields {
  Tree pad_width;
  std::string mode = "constant";
  static void describe(auto&& field) {
    field("pad_width", &PadFields::pad_width, "[[before, after], …] of each axis, one pair for all, or one number",
          required());
    field("mode", &PadFields::mode, "what stands there", one_of({"constant", "reflect", "symmetric"}));
  }
};
struct DiagonalFields {
  std::int64_t k = 0;
  static void describe(auto&& field) { field("k", &DiagonalFields::k, "number of the diagonal, counted to the right"); }
};
struct DiagonalAxesFields {
  std::int64_t offset = 0, axis1 = 0, axis2 = 1;
  static void describe(auto&& field) {
    field("offset", &DiagonalAxesFields::offset, "number of the diagonal, counted to the right");
    field("axis1", &DiagonalAxesFields::axis1, "its rows");
    field("axis2", &DiagonalAxesFields::axis2, "its columns");
  }
};

std::vector<std::int64_t> reversed_axes(int rank) {
  std::vector<std::int64_t> axes(static_cast<std::size_t>(rank));
  std::iota(axes.rbegin(), axes.rend(), std::int64_t{0});
  return axes;
}

Shape shape_of(const Tree& tree) {
  if (tree.is_number()) return {tree.as_integer()};
  Shape shape;
  for (const Tree& size : tree.items()) {
    if (!size.is_null() && !size.is_number()) throw Error("got {}, wanted a size", size.text()).at(size.mark());
    shape.append(size.is_null() ? unknown : size.as_integer());
  }
  return shape;
}

Value squeeze(Value x, const std::optional<Axes>& wanted) {
  Shape shape;
  const std::vector<std::int64_t> axes = wanted ? wanted->in(x.shape()) : std::vector<std::int64_t>{};
  for (int axis = 0; axis < x.shape().rank(); ++axis) {
    const bool chosen = wanted ? std::find(axes.begin(), axes.end(), axis) != axes.end() : x.shape()[axis] == 1;
    if (!chosen) shape.append(x.shape()[axis]);
    else need(same(x.shape()[axis], 1), "cannot take axis {} out of {}, whose size is not 1", axis, x.shape());
  }
  return emit::reshape(x, shape);
}

Value expand(Value x, const Axes& where) {
  std::vector<std::int64_t> axes = where.axes;
  const auto rank = static_cast<std::int64_t>(x.shape().rank()) + static_cast<std::int64_t>(axes.size());
  for (std::int64_t& axis : axes) axis = axis < 0 ? axis + rank : axis;
  std::sort(axes.begin(), axes.end());
  for (std::int64_t axis : axes) x = ops::expand_dims(x, static_cast<int>(axis));
  return x;
}

Value move_axes(Value x, const MoveFields& f) {
  need(f.source.axes.size() == f.destination.axes.size(), "got {} axes and {} places for them", f.source.axes.size(),
       f.destination.axes.size());
  const int rank = x.shape().rank();
  std::vector<std::int64_t> order(static_cast<std::size_t>(rank), -1);
  std::vector<bool> moved(static_cast<std::size_t>(rank), false);
  for (std::size_t i = 0; i < f.source.axes.size(); ++i) {
    const int from = x.shape().checked(static_cast<int>(f.source.axes[i])),
              to = x.shape().checked(static_cast<int>(f.destination.axes[i]));
    need(order[static_cast<std::size_t>(to)] < 0 && !moved[static_cast<std::size_t>(from)],
         "got an axis twice, wanted each of {} once at most", x.shape());
    order[static_cast<std::size_t>(to)] = from;
    moved[static_cast<std::size_t>(from)] = true;
  }
  std::size_t next = 0;
  for (std::int64_t& axis : order) {
    if (axis >= 0) continue;
    while (moved[next]) ++next;
    axis = static_cast<std::int64_t>(next++);
  }
  return ops::transpose(x, std::move(order));
}

Value swap_axes(Value x, const SwapFields& f) {
  const Shape& shape = x.shape();
  std::vector<std::int64_t> order(static_cast<std::size_t>(shape.rank()));
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[static_cast<std::size_t>(shape.checked(static_cast<int>(f.axis1)))],
            order[static_cast<std::size_t>(shape.checked(static_cast<int>(f.axis2)))]);
  return ops::transpose(x, std::move(order));
}

Value flip(Value x, const std::optional<Axes>& axes) { return ops::reverse(x, axes_of(axes, x)); }

Value roll(Value x, const RollFields& f) {
  if (!f.axis) {
    const Value flat = emit::reshape(x, {unknown});
    if (flat.shape()[0] == unknown) return x;
    return ops::reshape_like(roll(flat, {.shift = f.shift, .axis = Axes(0)}), x);
  }
  const std::vector<std::int64_t>& axes = f.axis->axes;
  need(f.shift.axes.size() == axes.size() || f.shift.axes.size() == 1, "got {} shifts for {} axes", f.shift.axes.size(),
       axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const int axis = x.shape().checked(static_cast<int>(axes[i]));
    const std::int64_t size = x.shape()[axis], shift = f.shift.axes[f.shift.axes.size() == 1 ? 0 : i];
    if (size == unknown || size == 0) continue;
    const std::int64_t first = ((-shift) % size + size) % size;
    if (first != 0) x = ops::concat({ops::slice_axis(x, axis, first, size), ops::slice_axis(x, axis, 0, first)}, axis);
  }
  return x;
}

Value rotate(Value x, const RotateFields& f) {
  need(f.axes.size() == 2, "got {} axes, wanted two", f.axes.size());
  const int a = x.shape().checked(static_cast<int>(f.axes[0])), b = x.shape().checked(static_cast<int>(f.axes[1]));
  std::vector<std::int64_t> swap(static_cast<std::size_t>(x.shape().rank()));
  std::iota(swap.begin(), swap.end(), std::int64_t{0});
  std::swap(swap[static_cast<std::size_t>(a)], swap[static_cast<std::size_t>(b)]);
  for (std::int64_t turn = 0; turn < ((f.k % 4) + 4) % 4; ++turn) x = ops::transpose(ops::reverse(x, {b}), swap);
  return x;
}

void want_repeats(std::int64_t times) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  need(times >= 1 && times <= most, "got {} repeats, wanted 1 to {}", times, most);
}

// As NumPy does: axes of size 1 are put before the shorter of shape and repeats.
Value tile(Value x, std::vector<std::int64_t> repeats) {
  while (x.shape().rank() < static_cast<int>(repeats.size())) x = ops::expand_dims(x, 0);
  repeats.insert(repeats.begin(), static_cast<std::size_t>(x.shape().rank()) - repeats.size(), 1);
  for (int axis = 0; axis < x.shape().rank(); ++axis) {
    const std::int64_t times = repeats[static_cast<std::size_t>(axis)];
    want_repeats(times);
    if (times == 1) continue;
    Shape shape = x.shape();
    const Shape wide = shape.first(axis) + Shape{times} + shape.from(axis);
    if (shape[axis] != unknown) shape.set(axis, shape[axis] * times);
    x = emit::reshape(emit::broadcast(ops::expand_dims(x, axis), wide), shape);
  }
  return x;
}

Value repeat(Value x, const RepeatFields& f) {
  if (!f.axis) x = emit::reshape(x, {unknown});
  const int axis = x.shape().checked(static_cast<int>(f.axis.value_or(0)));
  const Tree& list = f.repeats.is_mapping() ? f.repeats["config"]["value"] : f.repeats;  // an array of Keras's
  const Tree& all = list.is_sequence() && list.items().size() == 1 ? list.items()[0] : list;
  if (all.is_number()) {
    want_repeats(all.as_integer());
    return emit::repeat(x, axis, all.as_integer());
  }
  std::vector<std::int32_t> places;
  for (std::size_t i = 0; i < list.items().size(); ++i)
    places.insert(places.end(), static_cast<std::size_t>(count_of_parts(list.items()[i].as_integer())),
                  static_cast<std::int32_t>(i));
  const Tensor rows =
      Tensor::of<std::int32_t>({static_cast<std::int64_t>(places.size())}, std::span<const std::int32_t>(places));
  return take(x, x.graph().constant(rows), axis);
}

struct Width {
  std::int64_t before, after;
};
std::vector<Width> widths(const Tree& tree, int rank) {
  const auto pair = [](const Tree& item) -> Width {
    if (item.is_number()) return {item.as_integer(), item.as_integer()};
    if (item.items().size() == 1) return {item.items()[0].as_integer(), item.items()[0].as_integer()};
    if (item.items().size() != 2) throw Error("got {}, wanted [before, after]", item.text()).at(item.mark());
    return {item.items()[0].as_integer(), item.items()[1].as_integer()};
  };
  if (tree.is_number() || (!tree.items().empty() && tree.items()[0].is_number()))
    return std::vector<Width>(static_cast<std::size_t>(rank), pair(tree));
  std::vector<Width> all;
  for (const Tree& item : tree.items()) all.push_back(pair(item));
  if (all.size() == 1) all.resize(static_cast<std::size_t>(rank), all[0]);
  if (static_cast<int>(all.size()) != rank) throw Error("got {} pairs for {} axes", all.size(), rank).at(tree.mark());
  return all;
}

// The elements beside the edge, backwards; `skip` leaves out the edge itself.
Value mirrored(Value x, int axis, Width width, std::int64_t skip) {
  Values parts;
  const auto part = [&](std::int64_t begin, std::int64_t end) {
    return ops::reverse(ops::slice_axis(x, axis, begin, end), {axis});
  };
  const std::int64_t size = x.shape()[axis];
  if (size != unknown)
    need(std::max(width.before, width.after) + skip <= size, "cannot mirror {} elements of {} in axis {}",
         std::max(width.before, width.after), x.shape(), axis);
  if (width.before > 0) parts.push_back(part(skip, width.before + skip));
  parts.push_back(x);
  if (width.after > 0)
    parts.push_back(size == unknown ? part(0, width.after) : part(size - width.after - skip, size - skip));
  return ops::concat(std::move(parts), axis);
}

Value pad(const PadFields& f, const Operands& in) {
  Value x = in[0];
  const std::vector<Width> sides = widths(f.pad_width, x.shape().rank());
  if (f.mode != "constant") {
    for (int axis = 0; axis < x.shape().rank(); ++axis)
      if (const Width side = sides[static_cast<std::size_t>(axis)]; side.before > 0 || side.after > 0)
        x = mirrored(x, axis, side, f.mode == "reflect" ? 1 : 0);
    return x;
  }
  std::vector<std::int64_t> before, after;
  for (const Width& side : sides) before.push_back(side.before), after.push_back(side.after);
  const Tree value = in.given(1) ? in.constant(1) : Tree(0);
  return ops::pad(x, std::move(before), std::move(after), unwrapped(value).as_number());
}

// Element (i, j) of the last two axes where `keep(i, j)`, else 0.
Value triangle(Value x, std::int64_t k, Value (*keep)(Value, Value)) {
  emit::want_rank_at_least(x.shape(), 2);
  const Shape plane = x.shape().from(x.shape().rank() - 2);
  if (!plane.known()) return x;
  const Type places{DType::int32, plane};
  const Value row = ops::iota(x.graph(), places, 0), column = ops::iota(x.graph(), places, 1);
  const Value kept = keep(column, row + static_cast<double>(k));
  if (x.dtype() == DType::boolean) return ops::logical_and(x, kept);
  return where(kept, x, ops::scalar_like(x, 0));
}

// The diagonal of two axes, as a new last one.
Value diagonal(Value x, const DiagonalAxesFields& f) {
  const int a = x.shape().checked(static_cast<int>(f.axis1)), b = x.shape().checked(static_cast<int>(f.axis2));
  need(a != b, "got axis {} twice, wanted two axes", a);
  const Value y = emit::move_axis(emit::move_axis(x, a, x.shape().rank() - 1), b > a ? b - 1 : b,
                                  x.shape().rank() - 1);  // …, rows, columns
  const std::int64_t rows = y.shape()[-2], columns = y.shape()[-1];
  need(rows != unknown && columns != unknown, "needs known sizes in axes {} and {} of {}", a, b, x.shape());
  const std::int64_t row = std::max<std::int64_t>(0, -f.offset), column = std::max<std::int64_t>(0, f.offset);
  const std::int64_t length = std::max<std::int64_t>(0, std::min(rows - row, columns - column));
  std::vector<std::int32_t> places;
  for (std::int64_t i = 0; i < length; ++i)
    places.push_back(static_cast<std::int32_t>((row + i) * columns + column + i));
  const Value flat = emit::reshape(y, y.shape().first(y.shape().rank() - 2) + Shape{rows * columns});
  return take(flat, x.graph().constant(Tensor::of<std::int32_t>({length}, std::span<const std::int32_t>(places))),
              flat.shape().rank() - 1);
}

// A square matrix with the vector x on a diagonal.
Value on_diagonal(Value x, std::int64_t k) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  need(k >= -most && k <= most, "got diagonal {}, wanted {} at most", k, most);
  const std::int64_t size = x.shape()[0], shift = k < 0 ? -k : k;
  if (size == unknown) return emit::zeros(x.graph(), {x.dtype(), {unknown, unknown}});
  const std::int64_t side = size + shift;
  const Value padded = ops::pad(x, {k < 0 ? shift : 0}, {k < 0 ? 0 : shift});  // by row
  const Type places{DType::int32, {side, side}};
  const Value row = ops::iota(x.graph(), places, 0), column = ops::iota(x.graph(), places, 1);
  const Value wide = ops::broadcast_to(ops::expand_dims(padded, 1), {side, side});
  return where(ops::equal(column, row + static_cast<double>(k)), wide, ops::scalar_like(x, 0));
}

}  // namespace

Value axes_to_end(Value x, const std::vector<std::int64_t>& axes) {
  Shape shape;
  std::vector<std::int64_t> order;
  for (int axis = 0; axis < x.shape().rank(); ++axis)
    if (std::find(axes.begin(), axes.end(), axis) == axes.end()) order.push_back(axis), shape.append(x.shape()[axis]);
  std::int64_t merged = 1;
  for (std::int64_t axis : axes) {
    order.push_back(axis);
    const std::int64_t size = x.shape()[static_cast<int>(axis)];
    merged = size == unknown || merged == unknown ? unknown : merged * size;
  }
  shape.append(merged);
  return emit::reshape(ops::transpose(x, std::move(order)), shape);
}

Rows shapes() {
  return {
      numpy.operation<NewShapeFields>("Reshape", "x", "The elements in another shape.",
                                      [](const NewShapeFields& f, const Operands& in) {
                                        const Shape shape = shape_of(f.newshape);
                                        need(std::count(shape.begin(), shape.end(), unknown) <= 1, "got the shape {}, of which one size at most may be left open", shape);
                                        return emit::reshape(in[0], shape);
                                      }),
      numpy.plain("Ravel", "x", "All elements in a row.", [](const Operands& in) { return emit::reshape(in[0], {unknown}); }),
      numpy.operation<AxesField>("Transpose", "x", "The axes in another order.",
                                 [](const AxesField& f, const Operands& in) {
                                   std::vector<std::int64_t> axes =
                                       f.axes.value_or(reversed_axes(in[0].shape().rank()));
                                   for (std::int64_t& axis : axes) axis = in[0].shape().checked(static_cast<int>(axis));
                                   return ops::transpose(in[0], std::move(axes));
                                 }),
      numpy.operation<MoveFields>("Moveaxis", "x", "Axes put in other places.",
                                  [](const MoveFields& f, const Operands& in) { return move_axes(in[0], f); }),
      numpy.operation<SwapFields>("Swapaxes", "x", "Two axes exchanged.",
                                  [](const SwapFields& f, const Operands& in) { return swap_axes(in[0], f); }),
      numpy.operation<AxisField>("Squeeze", "x", "x without axes of size 1.",
                                 [](const AxisField& f, const Operands& in) { return squeeze(in[0], f.axis); }),
      numpy.operation<NewAxisField>("ExpandDims", "x", "A new axis of size 1.",
                                    [](const NewAxisField& f, const Operands& in) { return expand(in[0], f.axis); }),
      numpy.operation<ShapeField>(
          "BroadcastTo", "x", "x repeated to a shape.",
          [](const ShapeField& f, const Operands& in) { return emit::broadcast(in[0], f.shape); }),
      numpy.operation<AxisField>("Flip", "x", "The elements along the axes, backwards.",
                                 [](const AxisField& f, const Operands& in) { return flip(in[0], f.axis); }),
      numpy.plain("Flipud", "x", "The first axis, backwards.",
                  [](const Operands& in) { return ops::reverse(in[0], {0}); }),
      numpy.plain("Fliplr", "x", "The second axis, backwards.",
                  [](const Operands& in) { return ops::reverse(in[0], {1}); }),
      numpy.operation<RotateFields>("Rot90", "array", "A plane turned by quarter turns.",
                                    [](const RotateFields& f, const Operands& in) { return rotate(in[0], f); }),
      numpy.operation<RollFields>("Roll", "x", "Elements moved along axes; those that fall out come in again.",
                                  [](const RollFields& f, const Operands& in) { return roll(in[0], f); }),
      numpy.operation<TileFields>("Tile", "x", "x repeated as a whole.",
                                  [](const TileFields& f, const Operands& in) { return tile(in[0], f.repeats.axes); }),
      numpy.operation<RepeatFields>("Repeat", "x", "Each element repeated.",
                                    [](const RepeatFields& f, const Operands& in) { return repeat(in[0], f); }),
      numpy.operation<PadFields>("Pad", "x, constant_values", "Elements put around x.", pad),
      numpy.operation<DiagonalFields>(
          "Tril", "x", "The triangle up to a diagonal, 0 above it.",
          [](const DiagonalFields& f, const Operands& in) { return triangle(in[0], f.k, ops::less_equal); }),
      numpy.operation<DiagonalFields>(
          "Triu", "x", "The triangle from a diagonal on, 0 below it.",
          [](const DiagonalFields& f, const Operands& in) { return triangle(in[0], f.k, ops::greater_equal); }),
      numpy.operation<DiagonalFields>("Diag", "x", "A vector as the diagonal of a matrix, or the diagonal of a matrix.",
                                      [](const DiagonalFields& f, const Operands& in) {
                                        return in[0].shape().rank() == 1 ? on_diagonal(in[0], f.k)
                                                                         : diagonal(in[0], {.offset = f.k});
                                      }),
      numpy.operation<DiagonalFields>("Diagflat", "x", "All elements as the diagonal of a matrix.",
                                      [](const DiagonalFields& f, const Operands& in) {
                                        return on_diagonal(emit::reshape(in[0], {unknown}), f.k);
                                      }),
      numpy.operation<DiagonalAxesFields>(
          "Diagonal", "x", "The diagonal of two axes, as a new last one.",
          [](const DiagonalAxesFields& f, const Operands& in) { return diagonal(in[0], f); }),
      numpy.operation<DiagonalAxesFields>(
          "Trace", "x", "The sum of the diagonal of two axes.",
          [](const DiagonalAxesFields& f, const Operands& in) { return ops::sum(diagonal(summand(in[0]), f), {-1}); }),
      numpy.plain("Ndim", "x", "How many axes x has.",
                  [](const Operands& in) { return in.graph().scalar(in[0].shape().rank(), DType::int32); }),
      numpy.plain("Size", "x", "The number of elements.",
                  [](const Operands& in) {
                    const Shape& shape = in[0].shape();
                    return shape.known() ? in.graph().scalar(static_cast<double>(shape.elements()), DType::int32)
                                         : emit::zeros(in.graph(), {DType::int32, {}});
                  }),
  };
}

}  // namespace nacre::operations
