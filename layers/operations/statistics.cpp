// What rests on the order of elements: sorting, the largest ones, medians and quantiles; and histograms.
#include <algorithm>
#include <cmath>

#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "layers/operations/functions.h"
#include "layers/operations/operation.h"

namespace nacre::operations {

namespace {

constexpr Family numpy("keras.src.ops.numpy"), math("keras.src.ops.math");

struct SortFields {
  std::int64_t axis = -1;
  static void describe(auto&& field) { field("axis", &SortFields::axis, "sorted along"); }
};
struct PartitionFields {
  std::int64_t kth = 0, axis = -1;
  static void describe(auto&& field) {
    field("kth", &PartitionFields::kth, "that place gets what it would have if all were sorted", required());
    field("axis", &PartitionFields::axis, "sorted along");
  }
};
struct TopFields {
  std::int64_t k = 1;
  bool sorted = true;
  static void describe(auto&& field) {
    field("k", &TopFields::k, "how many", at_least(1), required());
    field("sorted", &TopFields::sorted, "whether the largest comes first; here it always does");
  }
};
struct InTopFields {
  std::int64_t k = 1;
  static void describe(auto&& field) { field("k", &InTopFields::k, "how many count", at_least(1), required()); }
};
struct QuantileFields {
  std::optional<Axes> axis;
  std::string method = "linear";
  bool keepdims = false;
  static void describe(auto&& field) {
    field("axis", &QuantileFields::axis, "reduced; null: all");
    field("method", &QuantileFields::method, "between two elements",
          one_of({"linear", "lower", "higher", "midpoint", "nearest"}));
    field("keepdims", &QuantileFields::keepdims, "reduced axes stay with size 1");
  }
};
struct MedianFields {
  std::optional<Axes> axis;
  bool keepdims = false;
  static void describe(auto&& field) {
    field("axis", &MedianFields::axis, "reduced; null: all");
    field("keepdims", &MedianFields::keepdims, "reduced axes stay with size 1");
  }
};
struct SideField {
  std::string side = "left";
  static void describe(auto&& field) {
    field("side", &SideField::side, "of equal elements on which it stands", one_of({"left", "right"}));
  }
};
struct BincountFields {
  Tree weights;
  std::int64_t minlength = 0;
  Only<false> sparse;
  static void describe(auto&& field) {
    field("weights", &BincountFields::weights, "what each element counts; null: 1");
    field("minlength", &BincountFields::minlength, "size of the result; larger elements are not counted", at_least(0));
    field("sparse", &BincountFields::sparse, "sparse tensors are not supported");
  }
};
struct HistogramFields {
  std::int64_t bins = 10;
  std::optional<std::vector<double>> range;
  static void describe(auto&& field) {
    field("bins", &HistogramFields::bins, "how many", between(1, 65536));
    field("range", &HistogramFields::range, "[lowest, highest] that count; null: of all elements");
  }
};
// The quantiles of x along its last axis as they stand in `levels`, on new leading axes when it is a list.
Value quantile_along(Value x, const Tree& levels, const std::string& method) {
  if (levels.is_sequence()) {
    Values each;
    for (const Tree& level : levels.items()) each.push_back(ops::expand_dims(quantile_along(x, level, method), 0));
    return ops::concat(std::move(each), 0);
  }
  const std::int64_t size = x.shape()[-1];
  if (size == unknown) return ops::max(x, {-1});
  const double place = levels.as_number() * static_cast<double>(size - 1);
  const auto at = [&](double index) {
    const auto i = std::clamp(static_cast<std::int64_t>(index), std::int64_t{0}, size - 1);
    return ops::squeeze(ops::slice_axis(x, -1, i, i + 1), -1);
  };
  if (method == "lower") return at(std::floor(place));
  if (method == "higher") return at(std::ceil(place));
  if (method == "nearest") return at(std::nearbyint(place));
  const Value low = at(std::floor(place)), high = at(std::ceil(place));
  if (method == "midpoint") return (low + high) * 0.5;
  const double part = place - std::floor(place);
  return part == 0 ? low : low * (1 - part) + high * part;
}

Value quantile(Value x, const Tree& levels, const QuantileFields& f) {
  x = real(x);
  const std::vector<std::int64_t> axes = axes_of(f.axis, x);
  const Tree& wanted = unwrapped(levels);
  Value y = quantile_along(sorted(axes_to_end(x, axes), -1), wanted, f.method);
  const Value spoiled = ops::stop_gradient(ops::sum(x, axes));  // NaN where any element is
  y = where(is_nan(spoiled), ops::scalar_like(y, std::numeric_limits<double>::quiet_NaN()), y);
  const int leading = wanted.is_sequence() ? 1 : 0;
  if (f.keepdims)
    for (std::int64_t axis : axes) y = ops::expand_dims(y, static_cast<int>(axis) + leading);
  return y;
}

// NaN counts as absent: the numbers come first in order, and the level is one of their count.
Value nan_quantile(Value x, double level, const QuantileFields& f) {
  x = real(x);
  const std::vector<std::int64_t> axes = axes_of(f.axis, x);
  const Value rows = sorted(axes_to_end(x, axes), -1);
  const Value present = ops::sum(ops::cast(ops::equal(rows, rows), DType::float32), {-1}, true);
  const Value place = ops::maximum((present - 1.0) * level, ops::scalar_like(present, 0));
  const auto at = [&](Value index) { return take_along_axis(rows, ops::cast(index, DType::int32), -1); };
  Value y;
  if (f.method == "lower") y = at(ops::floor(place));
  else if (f.method == "higher") y = at(ops::ceil(place));
  else if (f.method == "nearest") y = at(ops::round(place));
  else {
    const Value low = at(ops::floor(place)), high = at(ops::ceil(place));
    const Value part =
        f.method == "midpoint" ? ops::scalar_like(low, 0.5) : ops::cast(place - ops::floor(place), low.dtype());
    y = low * (1.0 - part) + high * part;
  }
  y = ops::squeeze(y, -1);
  if (f.keepdims)
    for (std::int64_t axis : axes) y = ops::expand_dims(y, static_cast<int>(axis));
  return y;
}

double single_level(const Operands& in, double scale) {
  const Tree& value = unwrapped(in.constant(1));
  if (!value.is_number()) throw Error("got {}, wanted one number", value.text()).at(value.mark());
  return value.as_number() * scale;
}

Tree scaled(const Tree& levels, double scale) {
  const Tree& value = unwrapped(levels);
  if (!value.is_sequence()) return value.as_number() * scale;
  Tree list = Tree::sequence();
  for (const Tree& level : value.items()) list.push(level.as_number() * scale);
  return list;
}

QuantileFields median_of(const MedianFields& f) { return {.axis = f.axis, .keepdims = f.keepdims}; }

// How many of the (ascending) bounds are below, or not above, each element of x.
Value places_among(Value bounds, Value x, bool right) {
  const Value each = ops::expand_dims(x, -1);
  return ops::sum(ops::cast(right ? ops::less_equal(bounds, each) : ops::less(bounds, each), DType::int32), {-1});
}

// Sums over the last axis by number, those that are out of range left out.
Value counted(Value numbers, Value weights, std::int64_t size) {
  const Value hot = ops::one_hot(numbers, size, is_floating(weights.dtype()) ? weights.dtype() : DType::int32);
  return ops::sum(hot * ops::expand_dims(ops::cast(weights, hot.dtype()), -1), {-2});
}

Value bincount(const BincountFields& f, const Operands& in) {
  const Value x = in[0];
  if (f.minlength == 0)
    throw Error("wanted minlength").hint("the size of the result must be known when the model is built");
  const Value weights = f.weights.is_null() ? ops::fill_like(ops::cast(x, DType::int32), 1)
                                            : constant_like(ops::cast(x, DType::float32), f.weights);
  return counted(x, ops::broadcast_like(weights, x), f.minlength);
}

// Counts in equal bins, and their edges; the last bin holds its upper edge too.
Values histogram(const HistogramFields& f, const Operands& in) {
  const Value x = emit::reshape(real(in[0]), {unknown});
  need(!f.range || f.range->size() == 2, "got {} numbers, wanted range: [lowest, highest]",
       f.range ? f.range->size() : 0);
  need(!f.range || f.range->front() <= f.range->back(), "got range [{}, {}], wanted the lower end first",
       f.range ? f.range->front() : 0, f.range ? f.range->back() : 0);
  const Value low = f.range ? ops::scalar_like(x, f.range->front()) : ops::min(x);
  const Value high = f.range ? ops::scalar_like(x, f.range->back()) : ops::max(x);
  const Value index = ops::iota(x.graph(), {x.dtype(), {f.bins + 1}}, 0);
  const Value edges = low + index * ((high - low) / static_cast<double>(f.bins));
  const Value inside = ops::logical_and(ops::greater_equal(x, low), ops::less_equal(x, high));
  const Value bin = f.bins == 1 ? ops::fill_like(ops::cast(x, DType::int32), 0)
                                : places_among(ops::slice_axis(edges, 0, 1, f.bins), x, true);
  return {ops::cast(counted(bin, ops::cast(inside, DType::float32), f.bins), in[0].dtype()),
          ops::cast(edges, in[0].dtype())};
}

}  // namespace

Value order(Value x, int axis, bool descending) {
  if (x.dtype() == DType::boolean || x.dtype() == DType::uint8) x = ops::cast(x, DType::int32);
  return ops::argsort(descending ? ops::negate(x) : x, axis);
}

Value sorted(Value x, int axis) { return take_along_axis(x, order(x, axis, false), axis); }

Rows statistics() {
  return {
      numpy.operation<SortFields>(
          "Sort", "x", "The elements in ascending order.",
          [](const SortFields& f, const Operands& in) { return sorted(in[0], static_cast<int>(f.axis)); }),
      numpy.operation<SortFields>(
          "Argsort", "x", "The places of the elements in ascending order.",
          [](const SortFields& f, const Operands& in) { return order(in[0], static_cast<int>(f.axis), false); }),
      numpy.operation<PartitionFields>(
          "Argpartition", "x", "The places of the elements, the smaller ones first; here all in order.",
          [](const PartitionFields& f, const Operands& in) { return order(in[0], static_cast<int>(f.axis), false); }),
      math.operation<TopFields>("TopK", "x", "The largest elements of the last axis, and their places.",
                                [](const TopFields& f, const Operands& in) {
                                  const Value places = ops::slice_axis(order(in[0], -1, true), -1, 0, f.k);
                                  return Values{take_along_axis(in[0], places, -1), places};
                                }),
      math.operation<InTopFields>(
          "InTopK", "targets, predictions", "Whether the target's prediction is among the k largest.",
          [](const InTopFields& f, const Operands& in) {
            const Value scores = in[1], target = ops::take_along(scores, in[0], -1);
            const Value larger = ops::greater(scores, ops::expand_dims(target, -1));
            const Value rank = ops::sum(ops::cast(larger, DType::int32), {-1});
            return ops::logical_and(ops::less(rank, ops::scalar_like(rank, static_cast<double>(f.k))),
                                    ops::is_finite(target));
          }),
      numpy.operation<QuantileFields>(
          "Quantile", "x, q", "What a share q of the elements is not above.",
          [](const QuantileFields& f, const Operands& in) { return quantile(in[0], in.constant(1), f); }),
      numpy.operation<QuantileFields>(
          "Percentile", "x, q", "What q hundredths of the elements are not above.",
          [](const QuantileFields& f, const Operands& in) { return quantile(in[0], scaled(in.constant(1), 0.01), f); }),
      numpy.operation<MedianFields>(
          "Median", "x", "The element in the middle.",
          [](const MedianFields& f, const Operands& in) { return quantile(in[0], 0.5, median_of(f)); }),
      numpy.operation<QuantileFields>(
          "Nanquantile", "x, q", "The quantile, passing NaN over.",
          [](const QuantileFields& f, const Operands& in) { return nan_quantile(in[0], single_level(in, 1), f); }),
      numpy.operation<QuantileFields>(
          "Nanpercentile", "x, q", "The percentile, passing NaN over.",
          [](const QuantileFields& f, const Operands& in) { return nan_quantile(in[0], single_level(in, 0.01), f); }),
      numpy.operation<MedianFields>(
          "Nanmedian", "x", "The element in the middle, passing NaN over.",
          [](const MedianFields& f, const Operands& in) { return nan_quantile(in[0], 0.5, median_of(f)); }),
      numpy.plain("Digitize", "x, bins", "The number of the bin that each element is in.",
                  [](const Operands& in) {
                    const auto [x, bins] = in.real_pair();
                    return places_among(bins, x, true);
                  }),
      numpy.operation<SideField>("SearchSorted", "sorted_sequence, values",
                                 "Where values stand in an ascending sequence.",
                                 [](const SideField& f, const Operands& in) {
                                   const auto [bounds, x] = in.pair();
                                   return places_among(bounds, x, f.side == "right");
                                 }),
      numpy.operation<BincountFields>("Bincount", "x", "How often each number occurs along the last axis.", bincount),
      numpy.operation<HistogramFields>("Histogram", "x", "How many elements lie in each of equal bins, and the edges.",
                                       histogram),
  };
}

}  // namespace nacre::operations
