// Reading and replacing elements by their places.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/reduce.h"
#include "layers/operations/functions.h"
#include "layers/operations/operation.h"

namespace nacre::operations {

namespace {

constexpr Family numpy("keras.src.ops.numpy"), core("keras.src.ops.core"), neural("keras.src.ops.nn"),
    math("keras.src.ops.math");

struct AxisField {
  std::optional<std::int64_t> axis;
  static void describe(auto&& field) { field("axis", &AxisField::axis, "indexed; null: all elements in a row"); }
};
struct SliceFields {
  Shape shape;
  static void describe(auto&& field) { field("shape", &SliceFields::shape, "sizes of the result", required()); }
};
struct ScatterFields {
  Shape shape;
  static void describe(auto&& field) { field("shape", &ScatterFields::shape, "of the result", required()); }
};
struct ScatterUpdateFields {
  std::optional<std::string> reduction;
  static void describe(auto&& field) {
    field("reduction", &ScatterUpdateFields::reduction, "how an update joins what is there; null: takes its place",
          one_of({"add"}));
  }
};
struct HotFields {
  std::int64_t num_classes = 0, axis = -1;
  std::optional<DType> dtype;
  Only<false> sparse;
  static void describe(auto&& field) {
    field("num_classes", &HotFields::num_classes, "size of the new axis", at_least(1), required());
    field("axis", &HotFields::axis, "where the new axis stands");
    field("dtype", &HotFields::dtype, "of the result; null: float32");
    field("sparse", &HotFields::sparse, "sparse tensors are not supported");
  }
};
struct SegmentFields {
  std::optional<std::int64_t> num_segments;
  bool sorted = false;
  static void describe(auto&& field) {
    field("num_segments", &SegmentFields::num_segments, "how many; needed here", at_least(1));
    field("sorted", &SegmentFields::sorted, "whether the ids ascend; changes nothing in the result");
  }
};
struct UnravelFields {
  Shape shape;
  static void describe(auto&& field) {
    field("shape", &UnravelFields::shape, "in which the elements are counted", required());
  }
};

// --- x[…] ---------------------------------------------------------------------------------------------------------

struct Range {
  std::optional<std::int64_t> start, stop, step;
};

std::optional<std::int64_t> optional_integer(const Tree* tree) {
  if (!tree || tree->is_null()) return std::nullopt;
  return tree->as_integer();
}

// "1:3", "::2", ":"
Range parse_range(const Tree& tree) {
  std::string_view rest = tree.as_string();
  Range range;
  std::optional<std::int64_t>* const parts[] = {&range.start, &range.stop, &range.step};
  std::size_t part = 0;
  for (;; ++part) {
    const std::string_view word = rest.substr(0, rest.find(':'));
    std::int64_t value = 0;
    const auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (part >= 3 || (!word.empty() && (code != std::errc{} || end != word.data() + word.size())))
      throw Error("cannot read '{}' as a slice", tree.as_string())
          .at(tree.mark())
          .hint("write start:stop:step, as in Python")
          .usage();
    if (!word.empty()) *parts[part] = value;
    if (word.size() == rest.size()) break;
    rest.remove_prefix(word.size() + 1);
  }
  if (part == 0) throw Error("cannot read '{}' as a slice", tree.as_string()).at(tree.mark()).usage();
  return range;
}

bool is_class(const Tree& tree, std::string_view name) {
  const Tree* class_name = tree.find("class_name");
  return class_name && *class_name == Tree(name);
}
bool is_ellipsis(const Tree& tree) { return tree == Tree("...") || is_class(tree, "__ellipsis__"); }

Value sliced(Value x, int axis, const Range& range) {
  const std::int64_t step = range.step.value_or(1), size = x.shape()[axis];
  if (step == 0) throw Error("got a slice of step 0").usage();
  const auto cut = [&](Value value, std::int64_t begin, std::int64_t end, std::int64_t stride) {
    const auto rank = static_cast<std::size_t>(value.shape().rank());
    std::vector<std::int64_t> begins(rank, 0), ends(rank, whole_axis), strides(rank, 1);
    const auto at = static_cast<std::size_t>(axis);
    begins[at] = begin, ends[at] = end, strides[at] = stride;
    return ops::slice(value, std::move(begins), std::move(ends), std::move(strides));
  };
  if (step > 0) return cut(x, range.start.value_or(0), range.stop.value_or(whole_axis), step);
  // Backwards: the same elements are counted from the other end.
  if (size == unknown) return emit::zeros(x.graph(), x.type());
  const auto place = [&](std::int64_t index) {
    return std::clamp(index < 0 ? index + size : index, std::int64_t{-1}, size - 1);
  };
  const std::int64_t first = range.start ? place(*range.start) : size - 1, last = range.stop ? place(*range.stop) : -1;
  return cut(ops::reverse(x, {axis}), size - 1 - first, std::max(size - 1 - first, size - 1 - last), -step);
}

Value get_item(const Operands& in) {
  Value x = in[0];
  const Tree& key = in.constant(1);
  // A list of indices as Keras writes a tuple; anything else stands alone.
  const Tree::Sequence items = key.is_sequence() ? key.items() : Tree::Sequence{key};
  const auto consumed =
      std::count_if(items.begin(), items.end(), [](const Tree& item) { return !item.is_null() && !is_ellipsis(item); });
  need(consumed <= x.shape().rank(), "got {} indices for {}", consumed, x.shape());
  int axis = 0;
  for (const Tree& item : items) {
    if (is_ellipsis(item)) {
      axis += x.shape().rank() - axis;
      // What is left to the right of it takes the last axes.
      axis -= static_cast<int>(std::count_if(&item + 1, items.data() + items.size(), [](const Tree& later) {
        return !later.is_null() && !is_ellipsis(later);
      }));
    } else if (item.is_null()) {
      x = ops::expand_dims(x, axis++);
    } else if (item.is_integer()) {
      const std::int64_t index = item.as_integer(), size = x.shape()[axis];
      if (size != unknown && (index >= size || index < -size))
        throw Error("the index {} is out of range for axis {} of {}", index, axis, x.shape()).at(item.mark());
      const Value part = ops::slice_axis(x, axis, index, index == -1 ? whole_axis : index + 1);
      x = emit::reshape(part, x.shape().first(axis) + x.shape().from(axis + 1));
    } else if (is_class(item, "__slice__")) {
      const Tree& config = item["config"];
      x = sliced(x, axis++,
                 {optional_integer(config.find("start")), optional_integer(config.find("stop")),
                  optional_integer(config.find("step"))});
    } else if (item.is_string()) {
      x = sliced(x, axis++, parse_range(item));
    } else {
      throw Error("got the index {}, wanted integers and slices", item.text())
          .at(item.mark())
          .hint("ops.Take picks elements by a list of places");
    }
  }
  return x;
}

// --- by tensors ---------------------------------------------------------------------------------------------------

Value from_the_front(Value indices, std::int64_t size) {
  if (indices.dtype() != DType::int64) indices = ops::cast(indices, DType::int32);
  if (size == unknown) return indices;
  return where(is_below(indices, 0), indices + static_cast<double>(size), indices);
}

std::vector<std::int64_t> integers(const Tree& tree) {
  std::vector<std::int64_t> values;
  for (const Tree& item : unwrapped(tree).items()) values.push_back(item.as_integer());
  return values;
}

Value slice(const SliceFields& f, const Operands& in) {
  const std::vector<std::int64_t> begin = integers(in.constant(1));
  need(begin.size() == static_cast<std::size_t>(f.shape.rank()), "got {} start indices for the shape {}", begin.size(),
       f.shape);
  std::vector<std::int64_t> end;
  for (int axis = 0; axis < f.shape.rank(); ++axis)
    end.push_back(f.shape[axis] == unknown ? whole_axis : begin[static_cast<std::size_t>(axis)] + f.shape[axis]);
  return ops::slice(in[0], begin, end);
}

// The places that indices (…, n) mean among all elements of the first n axes of a shape.
Value flat_places(Value indices, const Shape& shape) {
  const std::int64_t depth = emit::known_size(indices.shape(), -1);
  Value flat;
  for (std::int64_t i = 0; i < depth; ++i) {
    const std::int64_t size = emit::known_size(shape, static_cast<int>(i));
    const Value part = from_the_front(ops::squeeze(ops::slice_axis(indices, -1, i, i + 1), -1), size);
    flat = flat ? flat * ops::scalar_like(flat, static_cast<double>(size)) + part : part;
  }
  return flat;
}

// Zeros of a shape with the values added at indices (…, n), which count its first n axes.
Value scatter(Value indices, Value values, const Shape& shape) {
  const int depth = static_cast<int>(emit::known_size(indices.shape(), -1));
  const Value places = flat_places(indices, shape);
  const Value rows =
      places.graph().add(op::scatter_add, RowsAttrs{shape.first(depth).elements()}, {places, values}).out();
  return emit::reshape(rows, shape);
}

Value scatter_update(const ScatterUpdateFields& f, const Operands& in) {
  const Value x = in[0], indices = in[1], updates = ops::cast(in[2], x.dtype());
  if (!x.shape().known()) return x;
  const Value added = scatter(indices, updates, x.shape());
  if (f.reduction) return x + added;
  const Value hits = scatter(indices, ops::fill_like(ops::cast(updates, DType::float32), 1), x.shape());
  return where(truth(hits), added, x);
}

// Of a start that is known.
Value slice_update(const Operands& in) {
  const Value x = in[0], updates = ops::cast(in[2], x.dtype());
  if (!x.shape().known() || !updates.shape().known()) return x;
  std::vector<std::int64_t> before = integers(in.constant(1)), after;
  need(std::ssize(before) == x.shape().rank() && updates.shape().rank() == x.shape().rank(),
       "got {} start indices and updates {} for {}, wanted one for each axis", before.size(), updates.shape(),
       x.shape());
  for (int axis = 0; axis < x.shape().rank(); ++axis)
    after.push_back(x.shape()[axis] - before[static_cast<std::size_t>(axis)] - updates.shape()[axis]);
  const Value inside = ops::pad(truth(ops::fill_like(updates, 1)), before, after);
  return where(inside, ops::pad(updates, before, after), x);
}

Value one_hot(Value indices, const HotFields& f) {
  if (is_floating(indices.dtype()) || indices.dtype() == DType::boolean) indices = ops::cast(indices, DType::int32);
  const Value hot = ops::one_hot(indices, f.num_classes, f.dtype.value_or(DType::float32));
  return f.axis == -1 ? hot : emit::move_axis(hot, -1, static_cast<int>(f.axis));
}

// What stands for nothing among numbers of the dtype: where there is no infinity, the last number.
double neutral(double start, DType dtype) {
  if (!std::isinf(start) || is_floating(dtype)) return start;
  double last = 0;
  visit(dtype, [&]<class T>(T*) {
    using Limits = std::numeric_limits<T>;
    if constexpr (std::is_integral_v<T>) last = static_cast<double>(start < 0 ? Limits::lowest() : Limits::max());
  });
  return dtype == DType::int64 ? std::nextafter(last, 0.0) : last;
}

// The rows of data by the number of their segment, joined along the first axis.
Row segments(std::string_view name, std::string_view doc, double start,
             Value (*join)(Value, std::vector<std::int64_t>, bool)) {
  return math.operation<SegmentFields>(name, "data, segment_ids", doc, [=](const SegmentFields& f, const Operands& in) {
    const Value data = in[0];
    if (!f.num_segments)
      throw Error("wanted num_segments").hint("the size of the result must be known when the model is built");
    const Value ids = ops::one_hot(in[1], *f.num_segments, DType::boolean);  // (rows, segments)
    Value member = emit::move_axis(ids, 1, 0);
    for (int axis = 1; axis < data.shape().rank(); ++axis) member = ops::expand_dims(member, -1);
    return join(where(member, ops::expand_dims(data, 0), ops::scalar_like(data, neutral(start, data.dtype()))), {1},
                false);
  });
}

Tree spelled(std::string_view class_name, Tree config) {
  Tree tree;
  tree.set("class_name", class_name);
  tree.set("config", std::move(config));
  return tree;
}

}  // namespace

Value take(Value x, Value indices, int axis) {
  axis = x.shape().checked(axis);
  const Value places = from_the_front(indices, x.shape()[axis]);
  const Value y = ops::gather(emit::move_axis(x, axis, 0), places);  // places, then the other axes
  const int rank = places.shape().rank();
  std::vector<std::int64_t> order(static_cast<std::size_t>(y.shape().rank()));
  for (int i = 0; i < y.shape().rank(); ++i)
    order[static_cast<std::size_t>(i)] = i < axis ? rank + i : i < axis + rank ? i - axis : i;
  return ops::transpose(y, std::move(order));
}

Value take_along_axis(Value x, Value indices, int axis) {
  axis = x.shape().checked(axis);
  need(indices.shape().rank() == x.shape().rank(), "got indices {} for {}, wanted the same rank", indices.shape(),
       x.shape());
  const Shape result = indices.shape();
  Value rows = emit::move_axis(x, axis, -1),
        places = emit::move_axis(from_the_front(indices, x.shape()[axis]), axis, -1);
  const int last = x.shape().rank() - 1;
  const Shape outer = broadcast(rows.shape().first(last), places.shape().first(last));
  Shape shape = outer;
  shape.append(result[axis]);
  if (!outer.known() || !rows.shape().known() || !places.shape().known())
    return emit::move_axis(emit::zeros(x.graph(), {x.dtype(), shape}), -1, axis);
  const std::int64_t size = rows.shape()[last], count = outer.elements();
  rows = ops::reshape(emit::broadcast(rows, outer + Shape{size}), {count * size});
  places = ops::reshape(emit::broadcast(places, shape), {count, result[axis]});
  const Value first =
      ops::iota(x.graph(), {places.dtype(), {count, 1}}, 0) * ops::scalar_like(places, static_cast<double>(size));
  return emit::move_axis(ops::reshape(ops::gather(rows, first + places), shape), -1, axis);
}

Rows indexing() {
  return {
      numpy.plain("GetItem", "x, :key",
                  "x[key]: integers, slices ('1:3', '::2'), '...' for all axes between, null for a new one.", get_item),
      numpy.operation<AxisField>("Take", "x, indices", "Elements along an axis by their places.",
                                 [](const AxisField& f, const Operands& in) {
                                   const Value x = f.axis ? in[0] : emit::reshape(in[0], {unknown});
                                   return take(x, in[1], static_cast<int>(f.axis.value_or(0)));
                                 }),
      numpy.operation<AxisField>(
          "TakeAlongAxis", "x, indices", "Elements along an axis, by places for each of the others.",
          [](const AxisField& f, const Operands& in) {
            if (f.axis) return take_along_axis(in[0], in[1], static_cast<int>(*f.axis));
            return take_along_axis(emit::reshape(in[0], {unknown}), emit::reshape(in[1], {unknown}), 0);
          }),
      core.operation<SliceFields>("Slice", "inputs, start_indices", "A block of x.", slice),
      core.plain("SliceUpdate", "inputs, start_indices, updates", "x with a block replaced.", slice_update),
      core.operation<ScatterFields>(
          "Scatter", "indices, values", "Zeros with values added at places.",
          [](const ScatterFields& f, const Operands& in) { return scatter(in[0], number(in[1]), f.shape); }),
      core.operation<ScatterUpdateFields>("ScatterUpdate", "inputs, indices, updates", "x with elements replaced.",
                                          scatter_update),
      neural.operation<HotFields>("OneHot", "x", "1 at the place that x says along a new axis, else 0.",
                                  [](const HotFields& f, const Operands& in) { return one_hot(in[0], f); }),
      neural.operation<HotFields>("MultiHot", "inputs", "1 at all places that the last axis of x says, else 0.",
                                  [](const HotFields& f, const Operands& in) {
                                    const Value hot = one_hot(
                                        in[0],
                                        {.num_classes = f.num_classes, .axis = -1, .dtype = f.dtype, .sparse = {}});
                                    return in[0].shape().rank() == 0 ? hot : ops::max(hot, {-2});
                                  }),
      numpy.operation<UnravelFields>("UnravelIndex", "indices", "Places among all elements as places along each axis.",
                                     [](const UnravelFields& f, const Operands& in) {
                                       need(f.shape.known(), "got the shape {}, wanted known sizes", f.shape);
                                       Value rest = from_the_front(in[0], f.shape.elements());
                                       Values parts;
                                       for (int axis = f.shape.rank(); axis-- > 0;) {
                                         const Value size = ops::scalar_like(rest, static_cast<double>(f.shape[axis]));
                                         const Value part = ops::modulo(rest, size);
                                         parts.insert(parts.begin(), part);
                                         rest =
                                             ops::cast(ops::floor(real(rest - part) / real(size) + 0.5), rest.dtype());
                                       }
                                       return parts;
                                     }),
      segments("SegmentSum", "The sum of the rows of each segment.", 0, ops::sum),
      segments("SegmentMax", "The largest of the rows of each segment.", -std::numeric_limits<double>::infinity(),
               ops::max),
      segments("SegmentMin", "The smallest of the rows of each segment.", std::numeric_limits<double>::infinity(),
               ops::min),
      segments("SegmentProd", "The product of the rows of each segment.", 1, ops::product),
  };
}

}  // namespace nacre::operations

namespace nacre {

Tree keras_key(const Tree& key, int rank) {
  using namespace operations;
  if (key.is_sequence() || is_ellipsis(key)) {
    const Tree::Sequence items = key.is_sequence() ? key.items() : Tree::Sequence{key};
    const auto consumed = std::count_if(items.begin(), items.end(),
                                        [](const Tree& item) { return !item.is_null() && !is_ellipsis(item); });
    Tree list = Tree::sequence();
    for (const Tree& item : items) {
      if (!is_ellipsis(item)) list.push(keras_key(item, rank));
      else
        for (auto axis = consumed; axis < rank; ++axis) list.push(keras_key(":", rank));
    }
    return list;
  }
  if (!key.is_string()) return key;
  const Range range = parse_range(key);
  Tree config;
  const auto set = [&](std::string_view name, std::optional<std::int64_t> value) {
    config.set(name, value ? Tree(*value) : Tree());
  };
  set("start", range.start);
  set("stop", range.stop);
  set("step", range.step);
  return spelled("__slice__", std::move(config));
}

}  // namespace nacre
