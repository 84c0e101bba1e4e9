// Joining and splitting tensors, and tensors made from a few numbers.
#include <cmath>

#include "layers/operations/functions.h"
#include "layers/operations/operation.h"

namespace nacre::operations {

namespace {

constexpr Family numpy("keras.src.ops.numpy"), core("keras.src.ops.core");

struct AxisField {
  std::int64_t axis = 0;
  static void describe(auto&& field) { field("axis", &AxisField::axis, "along which"); }
};
struct AppendFields {
  std::optional<std::int64_t> axis;
  static void describe(auto&& field) { field("axis", &AppendFields::axis, "that grows; null: all elements in a row"); }
};
struct SectionsField {
  Tree indices_or_sections;
  static void describe(auto&& field) {
    field("indices_or_sections", &SectionsField::indices_or_sections, "how many equal parts, or where they begin",
          required());
  }
};
struct SplitFields {
  Tree indices_or_sections;
  std::int64_t axis = 0;
  static void describe(auto&& field) {
    field("indices_or_sections", &SplitFields::indices_or_sections, "how many equal parts, or where they begin",
          required());
    field("axis", &SplitFields::axis, "that is cut");
  }
};
struct UnstackFields {
  std::optional<std::int64_t> num;
  std::int64_t axis = 0;
  static void describe(auto&& field) {
    field("num", &UnstackFields::num, "size of the axis; null: as x has it");
    field("axis", &UnstackFields::axis, "that is taken apart");
  }
};
struct IndexingField {
  std::string indexing = "xy";
  static void describe(auto&& field) {
    field("indexing", &IndexingField::indexing, "whether the first goes along columns or rows", one_of({"xy", "ij"}));
  }
};
struct LinspaceFields {
  std::int64_t num = 50;
  bool endpoint = true, retstep = false;
  std::optional<DType> dtype;
  std::int64_t axis = 0;
  static void describe(auto&& field) {
    field("num", &LinspaceFields::num, "how many", at_least(1));
    field("endpoint", &LinspaceFields::endpoint, "whether the last is stop");
    field("retstep", &LinspaceFields::retstep, "also give the step");
    field("dtype", &LinspaceFields::dtype, "of the result; null: floating");
    field("axis", &LinspaceFields::axis, "the new one");
  }
};
struct LogspaceFields {
  std::int64_t num = 50;
  bool endpoint = true;
  double base = 10;
  std::optional<DType> dtype;
  std::int64_t axis = 0;
  static void describe(auto&& field) {
    field("num", &LogspaceFields::num, "how many", at_least(1));
    field("endpoint", &LogspaceFields::endpoint, "whether the last is base^stop");
    field("base", &LogspaceFields::base, "of the powers");
    field("dtype", &LogspaceFields::dtype, "of the result; null: floating");
    field("axis", &LogspaceFields::axis, "the new one");
  }
};
struct GeomspaceFields {
  std::int64_t num = 50;
  bool endpoint = true;
  std::optional<DType> dtype;
  std::int64_t axis = 0;
  static void describe(auto&& field) {
    field("num", &GeomspaceFields::num, "how many", at_least(1));
    field("endpoint", &GeomspaceFields::endpoint, "whether the last is stop");
    field("dtype", &GeomspaceFields::dtype, "of the result; null: floating");
    field("axis", &GeomspaceFields::axis, "the new one");
  }
};
struct VanderFields {
  std::optional<std::int64_t> columns;
  bool increasing = false;
  static void describe(auto&& field) {
    field("N", &VanderFields::columns, "how many powers; null: as many as elements");
    field("increasing", &VanderFields::increasing, "from the 0th power on");
  }
};

Value stack(const Values& values, int axis) {
  Values wide;
  for (const Value& value : values) wide.push_back(ops::expand_dims(value, axis));
  return ops::concat(std::move(wide), wide[0].shape().checked(axis));
}

Values at_least_rank(Values values, int rank) {
  for (Value& value : values) {
    if (value.shape().rank() == 0) value = ops::expand_dims(value, 0);
    if (rank >= 2 && value.shape().rank() == 1) value = ops::expand_dims(value, 0);
    if (rank >= 3 && value.shape().rank() == 2) value = ops::expand_dims(value, 2);
  }
  return values;
}

Values split(Value x, const Tree& sections, int axis, bool even = true) {
  axis = x.shape().checked(axis);
  const std::int64_t size = x.shape()[axis];
  std::vector<std::int64_t> cuts{0};
  const Tree& places = unwrapped(sections);
  if (places.is_sequence()) {
    for (const Tree& place : places.items()) cuts.push_back(place.as_integer());
  } else {
    const std::int64_t count = count_of_parts(places.as_integer());
    if (count < 1) throw Error("got {} parts, wanted at least 1", count).at(places.mark());
    if (size == unknown) return Values(static_cast<std::size_t>(count), emit::zeros(x.graph(), x.type()));
    need(!even || size % count == 0, "cannot cut {} into {} equal parts along axis {}", x.shape(), count, axis);
    for (std::int64_t part = 1; part < count; ++part)
      cuts.push_back(part * (size / count) + std::min(part, size % count));
  }
  cuts.push_back(whole_axis);
  Values parts;
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) parts.push_back(ops::slice_axis(x, axis, cuts[i], cuts[i + 1]));
  return parts;
}

Values unstack(const UnstackFields& f, const Operands& in) {
  const int axis = in[0].shape().checked(static_cast<int>(f.axis));
  const std::int64_t size = f.num.value_or(in[0].shape()[axis]);
  need(same(size, in[0].shape()[axis]), "got num {} for axis {} of {}", size, axis, in[0].shape());
  need(size != unknown, "needs a known size in axis {} of {}", axis, in[0].shape());
  Values parts;
  for (std::int64_t i = 0; i < count_of_parts(size); ++i)
    parts.push_back(ops::squeeze(ops::slice_axis(in[0], axis, i, i + 1), axis));
  return parts;
}

Values meshgrid(const IndexingField& f, const Operands& in) {
  Values values = in.list(0);
  const std::size_t rank = values.size();
  const bool swapped = f.indexing == "xy" && rank >= 2;
  Shape shape;
  for (Value& value : values) value = emit::reshape(value, {unknown}), shape.append(value.shape()[0]);
  if (swapped) {
    const std::int64_t first = shape[0];
    shape.set(0, shape[1]);
    shape.set(1, first);
  }
  for (std::size_t i = 0; i < rank; ++i) {
    std::vector<std::int64_t> sizes(rank, 1);
    sizes[swapped && i < 2 ? 1 - i : i] = unknown;
    values[i] = emit::broadcast(emit::reshape(values[i], Shape(std::move(sizes))), shape);
  }
  return values;
}

// num numbers from start to stop on a new axis; the step.
struct Spaced {
  Value values, step;
};
Spaced spaced(Value start, Value stop, std::int64_t num, bool endpoint, int axis) {
  const std::int64_t steps = endpoint ? num - 1 : num;
  const Value step = (stop - start) / static_cast<double>(std::max<std::int64_t>(steps, 1));
  const Shape shape = broadcast(start.shape(), stop.shape());
  const int place = axis < 0 ? axis + shape.rank() + 1 : axis;
  need(place >= 0 && place <= shape.rank(), "got axis {} for {}, which has no such place", axis, shape);
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(shape.rank()) + 1, 1);
  sizes[static_cast<std::size_t>(place)] = num;
  const Value index = ops::reshape(ops::iota(start.graph(), {start.dtype(), {num}}, 0), Shape(std::move(sizes)));
  return {ops::expand_dims(emit::broadcast(start, shape), place) + index * ops::expand_dims(step, place), step};
}

Value as_dtype(Value x, std::optional<DType> dtype) {
  if (!dtype) return x;
  return ops::cast(is_floating(*dtype) ? x : ops::floor(x), *dtype);
}

// Powers of x on a new last axis.
Value vander(const VanderFields& f, const Operands& in) {
  const Value x = number(in[0]);
  emit::want_rank(x.shape(), 1);
  const std::int64_t count = f.columns.value_or(x.shape()[0]);
  if (count != unknown) count_of_parts(count);
  if (count == unknown) return emit::zeros(in.graph(), {x.dtype(), {unknown, unknown}});
  Values columns{ops::fill_like(x, 1)};
  while (static_cast<std::int64_t>(columns.size()) < count) columns.push_back(columns.back() * x);
  if (!f.increasing) std::reverse(columns.begin(), columns.end());
  return stack(columns, 1);
}

Row splitting(std::string_view name, std::string_view doc, int axis) {
  return numpy.operation<SectionsField>(name, "x", doc, [axis](const SectionsField& f, const Operands& in) {
    return split(in[0], f.indices_or_sections, in[0].shape().rank() == 1 ? 0 : axis);
  });
}

}  // namespace

Rows joins() {
  return {
      numpy.operation<AxisField>(
          "Concatenate", "[xs]", "The tensors one after another along an axis.",
          [](const AxisField& f, const Operands& in) { return ops::concat(in.list(0), static_cast<int>(f.axis)); }),
      numpy.operation<AxisField>(
          "Stack", "[x]", "The tensors one after another along a new axis.",
          [](const AxisField& f, const Operands& in) { return stack(in.list(0), static_cast<int>(f.axis)); }),
      numpy.plain("Hstack", "[xs]", "The tensors beside each other.",
                  [](const Operands& in) {
                    const Values values = at_least_rank(in.list(0), 1);
                    return ops::concat(values, values[0].shape().rank() == 1 ? 0 : 1);
                  }),
      numpy.plain("Vstack", "[xs]", "The tensors below each other.",
                  [](const Operands& in) { return ops::concat(at_least_rank(in.list(0), 2), 0); }),
      numpy.plain("Dstack", "[xs]", "The tensors behind each other.",
                  [](const Operands& in) { return ops::concat(at_least_rank(in.list(0), 3), 2); }),
      numpy.operation<AppendFields>("Append", "x1, x2", "x2 after x1.",
                                    [](const AppendFields& f, const Operands& in) {
                                      auto [a, b] = in.pair();
                                      if (!f.axis) a = emit::reshape(a, {unknown}), b = emit::reshape(b, {unknown});
                                      return ops::concat({a, b}, static_cast<int>(f.axis.value_or(0)));
                                    }),
      numpy.operation<SplitFields>("Split", "x", "x cut along an axis.",
                                   [](const SplitFields& f, const Operands& in) {
                                     return split(in[0], f.indices_or_sections, static_cast<int>(f.axis));
                                   }),
      numpy.operation<SplitFields>("ArraySplit", "x",
                                   "x cut along an axis, the first parts longer when it does not come out even.",
                                   [](const SplitFields& f, const Operands& in) {
                                     return split(in[0], f.indices_or_sections, static_cast<int>(f.axis), false);
                                   }),
      splitting("Vsplit", "x cut along the first axis.", 0),
      splitting("Hsplit", "x cut along the second axis.", 1),
      splitting("Dsplit", "x cut along the third axis.", 2),
      core.operation<UnstackFields>("Unstack", "x", "The elements along an axis, each on its own.", unstack),
      numpy.operation<IndexingField>("Meshgrid", "*x", "Coordinates of all places of a grid.", meshgrid),
      numpy.operation<LinspaceFields>("Linspace", "start, stop", "Evenly spaced numbers from start to stop.",
                                      [](const LinspaceFields& f, const Operands& in) {
                                        const auto [start, stop] = in.real_pair();
                                        const Spaced found =
                                            spaced(start, stop, f.num, f.endpoint, static_cast<int>(f.axis));
                                        Values result{as_dtype(found.values, f.dtype)};
                                        if (f.retstep) result.push_back(found.step);
                                        return result;
                                      }),
      numpy.operation<LogspaceFields>(
          "Logspace", "start, stop", "Powers of a base, evenly spaced from base^start to base^stop.",
          [](const LogspaceFields& f, const Operands& in) {
            const auto [start, stop] = in.real_pair();
            const Value powers = spaced(start, stop, f.num, f.endpoint, static_cast<int>(f.axis)).values;
            return as_dtype(ops::exp(powers * std::log(f.base)), f.dtype);
          }),
      numpy.operation<GeomspaceFields>(
          "Geomspace", "start, stop", "Numbers from start to stop, each the same multiple of the one before.",
          [](const GeomspaceFields& f, const Operands& in) {
            const auto [start, stop] = in.real_pair();
            const Value logarithms =
                spaced(ops::log(ops::abs(start)), ops::log(ops::abs(stop)), f.num, f.endpoint, static_cast<int>(f.axis))
                    .values;
            const Value sign = ops::expand_dims(ops::sign(start), static_cast<int>(f.axis));
            return as_dtype(ops::exp(logarithms) * sign, f.dtype);
          }),
      numpy.operation<VanderFields>("Vander", "x", "The powers of the elements.", vander),
  };
}

}  // namespace nacre::operations
