// Reductions over axes, and running sums and products.
#include <algorithm>
#include <numeric>

#include "backend/graph/ops/linear_algebra.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/scan.h"
#include "layers/operations/functions.h"
#include "layers/operations/operation.h"

namespace nacre::operations {

namespace {

constexpr Family numpy("keras.src.ops.numpy"), math("keras.src.ops.math"), linalg("keras.src.ops.linalg"),
    neural("keras.src.ops.nn");
constexpr double infinity = std::numeric_limits<double>::infinity();

struct ReduceFields {
  std::optional<Axes> axis;
  bool keepdims = false;
  static void describe(auto&& field) {
    field("axis", &ReduceFields::axis, "reduced; null: all");
    field("keepdims", &ReduceFields::keepdims, "reduced axes stay with size 1");
  }
};
struct ExtremeFields {
  std::optional<Axes> axis;
  bool keepdims = false;
  std::optional<double> initial;
  static void describe(auto&& field) {
    field("axis", &ExtremeFields::axis, "reduced; null: all");
    field("keepdims", &ExtremeFields::keepdims, "reduced axes stay with size 1");
    field("initial", &ExtremeFields::initial, "takes part as if it were an element");
  }
};
struct ProductFields {
  std::optional<Axes> axis;
  bool keepdims = false;
  std::optional<DType> dtype;
  static void describe(auto&& field) {
    field("axis", &ProductFields::axis, "reduced; null: all");
    field("keepdims", &ProductFields::keepdims, "reduced axes stay with size 1");
    field("dtype", &ProductFields::dtype, "of the result; null: x's");
  }
};
struct AxisField {
  std::optional<Axes> axis;
  static void describe(auto&& field) { field("axis", &AxisField::axis, "reduced; null: all"); }
};
struct RunningFields {
  std::optional<std::int64_t> axis;
  std::optional<DType> dtype;
  static void describe(auto&& field) {
    field("axis", &RunningFields::axis, "along which it runs; null: all elements in a row");
    field("dtype", &RunningFields::dtype, "of the result; null: x's");
  }
};
struct PlaceFields {
  std::optional<std::int64_t> axis;
  bool keepdims = false;
  static void describe(auto&& field) {
    field("axis", &PlaceFields::axis, "searched; null: all elements in a row");
    field("keepdims", &PlaceFields::keepdims, "the axis stays with size 1");
  }
};
struct NormFields {
  Tree ord;
  std::optional<Axes> axis;
  bool keepdims = false;
  static void describe(auto&& field) {
    field("ord", &NormFields::ord, "kind of the norm: null (2), a number, 'inf', '-inf', 'fro', 'nuc'");
    field("axis", &NormFields::axis, "of the vectors, or both of the matrices; null: all");
    field("keepdims", &NormFields::keepdims, "reduced axes stay with size 1");
  }
};
struct MomentsFields {
  Axes axes;
  bool keepdims = false;
  Only<false> synchronized;
  static void describe(auto&& field) {
    field("axes", &MomentsFields::axes, "reduced", required());
    field("keepdims", &MomentsFields::keepdims, "reduced axes stay with size 1");
    field("synchronized", &MomentsFields::synchronized, "statistics over several devices are not supported");
  }
};

using Reduction = Value (*)(Value, std::vector<std::int64_t>, bool);

Value any(Value x, std::vector<std::int64_t> axes, bool keepdims) {
  return emit::any(truth(x), std::move(axes), keepdims);
}
Value all(Value x, std::vector<std::int64_t> axes, bool keepdims) {
  return ops::logical_not(emit::any(ops::logical_not(truth(x)), std::move(axes), keepdims));
}
Value sum(Value x, std::vector<std::int64_t> axes, bool keepdims) {
  return ops::sum(summand(x), std::move(axes), keepdims);
}
Value product(Value x, std::vector<std::int64_t> axes, bool keepdims) {
  return ops::product(summand(x), std::move(axes), keepdims);
}
Value mean(Value x, std::vector<std::int64_t> axes, bool keepdims) {
  return ops::mean(real(x), std::move(axes), keepdims);
}
Value variance(Value x, std::vector<std::int64_t> axes, bool keepdims) {
  x = real(x);
  return ops::mean(ops::square(x - ops::mean(x, axes, true)), axes, keepdims);
}
Value deviation(Value x, std::vector<std::int64_t> axes, bool keepdims) {
  return ops::sqrt(variance(x, std::move(axes), keepdims));
}
Value span(Value x, std::vector<std::int64_t> axes, bool keepdims) {
  return ops::max(x, axes, keepdims) - ops::min(x, axes, keepdims);
}
// log Σ exp(x), less the largest before.
Value logsumexp(Value x, std::vector<std::int64_t> axes, bool keepdims) {
  x = real(x);
  const Value top = ops::stop_gradient(ops::max(x, axes, true));
  const Value most = where(ops::is_finite(top), top, ops::scalar_like(top, 0));
  const Value y = ops::log(ops::sum(ops::exp(x - most), axes, keepdims));
  return y + (keepdims ? most : ops::reshape_like(most, y));
}

// Where x is NaN the neutral element of the reduction stands.
Value filled(Value x, double neutral) {
  return is_floating(x.dtype()) ? where(is_nan(x), ops::scalar_like(x, neutral), x) : x;
}
template <Reduction reduction, int neutral>
Value of_numbers(Value x, std::vector<std::int64_t> axes, bool keepdims) {
  const Value y = reduction(filled(x, neutral < 0 ? -infinity : neutral > 1 ? infinity : neutral), axes, keepdims);
  if (!is_floating(x.dtype()) || neutral == 0 || neutral == 1) return y;
  return where(all(is_nan(x), axes, keepdims), ops::scalar_like(y, std::numeric_limits<double>::quiet_NaN()), y);
}
Value nan_mean(Value x, std::vector<std::int64_t> axes, bool keepdims) {
  x = real(x);
  return ops::sum(filled(x, 0), axes, keepdims) / ops::sum(ops::cast(ops::equal(x, x), x.dtype()), axes, keepdims);
}
Value nan_variance(Value x, std::vector<std::int64_t> axes, bool keepdims) {
  x = real(x);
  const Value present = ops::equal(x, x), zero = ops::scalar_like(x, 0);
  const Value apart = where(present, filled(x, 0) - nan_mean(x, axes, true), zero);  // no NaN, for the gradient's sake
  return ops::sum(ops::square(apart), axes, keepdims) / ops::sum(ops::cast(present, x.dtype()), axes, keepdims);
}
Value nan_deviation(Value x, std::vector<std::int64_t> axes, bool keepdims) {
  return ops::sqrt(nan_variance(x, std::move(axes), keepdims));
}

Row reduction(Family family, std::string_view name, std::string_view doc, Reduction function) {
  return family.operation<ReduceFields>(name, "x", doc, [=](const ReduceFields& f, const Operands& in) {
    const Value x = in[0];
    return x.shape().rank() == 0 ? function(ops::expand_dims(x, 0), {0}, false)
                                 : function(x, axes_of(f.axis, x), f.keepdims);
  });
}

Row extreme(std::string_view name, std::string_view doc, Reduction function, Value (*other)(Value, Value)) {
  return numpy.operation<ExtremeFields>(name, "x", doc, [=](const ExtremeFields& f, const Operands& in) {
    const Value y = function(in[0], axes_of(f.axis, in[0]), f.keepdims);
    return f.initial ? other(y, ops::scalar_like(y, *f.initial)) : y;
  });
}

// The index of the first largest element, after `prepare`.
Row place(std::string_view name, std::string_view doc, Value (*prepare)(Value)) {
  return numpy.operation<PlaceFields>(name, "x", doc, [=](const PlaceFields& f, const Operands& in) {
    const Value x = prepare(number(in[0]));
    if (f.axis) return ops::argmax(x, static_cast<int>(*f.axis), f.keepdims);
    const Value y = ops::argmax(emit::reshape(x, {unknown}), 0);
    return f.keepdims ? ops::reshape(y, Shape(std::vector<std::int64_t>(static_cast<std::size_t>(x.shape().rank()), 1)))
                      : y;
  });
}
Value as_it_is(Value x) { return x; }
Value negated(Value x) { return ops::negate(x.dtype() == DType::uint8 ? ops::cast(x, DType::int32) : x); }
Value numbers_only(Value x) { return filled(x, -infinity); }
Value negated_numbers(Value x) { return filled(negated(x), -infinity); }

Row running(std::string_view name, std::string_view doc, Value (*join)(Value, Value), double start, bool passes_nan) {
  return numpy.operation<RunningFields>(name, "x", doc, [=](const RunningFields& f, const Operands& in) {
    Value x = ops::cast(summand(in[0]), f.dtype.value_or(summand(in[0]).dtype()));
    if (passes_nan) x = filled(x, start);
    if (!f.axis) x = emit::reshape(x, {unknown});
    const int axis = x.shape().checked(static_cast<int>(f.axis.value_or(0)));
    if (!x.shape().known()) return emit::zeros(in.graph(), x.type());
    const Value steps = emit::move_axis(x, axis, 0);
    const Value first = ops::broadcast_to(ops::scalar_like(x, start), steps.shape().from(1));
    const ops::Scanned scanned =
        ops::scan({first}, {steps}, {}, false, [&](Graph&, const Values& carries, const Values& items, const Values&) {
          const Value next = join(carries[0], items[0]);
          return ops::ScanStep{{next}, {next}};
        });
    return emit::move_axis(scanned.items[0], 0, axis);
  });
}

// The largest (order 2) or smallest (-2) singular value, or the sum of all.
Value singular_norm(Value x, const std::vector<std::int64_t>& axes, double order, bool keepdims) {
  const int rows = x.shape().checked(static_cast<int>(axes[0])), columns = x.shape().checked(static_cast<int>(axes[1]));
  need(rows != columns, "got the axis {} twice", rows);
  // The first leaves its place, and those behind it move up.
  const Value matrices = emit::move_axis(emit::move_axis(x, rows, -1), columns - (columns > rows), -1);
  const Value s = ops::svd(matrices)[1];
  const Value y = order == 2 ? ops::max(s, {-1}) : order == -2 ? ops::min(s, {-1}) : ops::sum(s, {-1});
  if (!keepdims) return y;
  return ops::expand_dims(ops::expand_dims(y, std::min(rows, columns)), std::max(rows, columns));
}

// Of vectors, with any number as order; of matrices.
Value norm(const NormFields& f, Value x) {
  x = real(x);
  const std::vector<std::int64_t> axes = f.axis ? f.axis->axes : axes_of({}, x);
  const std::string word = f.ord.is_string() ? f.ord.as_string() : "";
  const bool frobenius = f.ord.is_null() || word == "fro";
  if (frobenius || (axes.size() == 1 && f.ord.is_number() && f.ord.as_number() == 2))
    return ops::sqrt(ops::sum(ops::square(x), axes, f.keepdims));
  if (axes.size() > 2) throw Error("got {} axes for a norm of order {}, wanted one or two", axes.size(), f.ord.text());
  const double order = word == "inf" ? infinity : word == "-inf" ? -infinity : word.empty() ? f.ord.as_number() : 0;
  const Value a = ops::abs(x);
  if (axes.size() == 2) {
    // The largest or smallest sum of a column (order ±1) or a row (order ±∞).
    if (word == "nuc" || (word.empty() && std::abs(order) == 2)) return singular_norm(x, axes, order, f.keepdims);
    if ((!word.empty() && std::abs(order) != infinity) || (std::abs(order) != 1 && std::abs(order) != infinity))
      throw Error("norms of matrices of order {} do not exist", f.ord.text()).at(f.ord.mark());
    const bool columns = std::abs(order) == 1;
    const Value sums = ops::sum(a, {columns ? axes[0] : axes[1]}, true);
    const Value y = (order > 0 ? ops::max : ops::min)(sums, axes, f.keepdims);
    return y;
  }
  if (!word.empty() && std::abs(order) != infinity)
    throw Error("norms of vectors of order '{}' do not exist", word).at(f.ord.mark());
  if (order == infinity) return ops::max(a, axes, f.keepdims);
  if (order == -infinity) return ops::min(a, axes, f.keepdims);
  if (order == 0) return ops::sum(ops::cast(ops::not_equal(x, ops::scalar_like(x, 0)), x.dtype()), axes, f.keepdims);
  if (order == 1) return ops::sum(a, axes, f.keepdims);
  const Value powers = ops::sum(ops::power(a, ops::scalar_like(a, order)), axes, f.keepdims);
  return ops::power(powers, ops::scalar_like(powers, 1 / order));
}

Value average(const AxisField& f, const Operands& in) {
  if (!in.given(1)) return mean(in[0], axes_of(f.axis, in[0]), false);
  auto [x, weights] = in.real_pair();
  const std::vector<std::int64_t> axes = axes_of(f.axis, x);
  if (weights.shape().rank() != x.shape().rank()) {
    need(axes.size() == 1 && weights.shape().rank() == 1,
         "got weights {} for {}, wanted one for each element of an axis", weights.shape(), x.shape());
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(x.shape().rank()), 1);
    sizes[static_cast<std::size_t>(axes[0])] = weights.shape()[0];
    weights = ops::reshape(weights, Shape(std::move(sizes)));
  }
  return ops::sum(x * weights, axes) / ops::sum(emit::broadcast(weights, broadcast(x.shape(), weights.shape())), axes);
}

}  // namespace

Rows reductions() {
  return {
      reduction(numpy, "Sum", "Σ x over the axes", sum),
      reduction(numpy, "Mean", "The mean over the axes.", mean),
      reduction(numpy, "Var", "The variance over the axes, by the number of elements.", variance),
      reduction(numpy, "Std", "The standard deviation over the axes.", deviation),
      reduction(numpy, "Any", "Whether any element along the axes is true.", any),
      reduction(numpy, "All", "Whether all elements along the axes are true.", all),
      reduction(numpy, "Amax", "The largest element along the axes.", ops::max),
      reduction(numpy, "Amin", "The smallest element along the axes.", ops::min),
      reduction(numpy, "Ptp", "The largest element less the smallest.", span),
      reduction(numpy, "Nansum", "Σ x over the axes, passing NaN over.", of_numbers<sum, 0>),
      reduction(numpy, "Nanprod", "Π x over the axes, passing NaN over.", of_numbers<product, 1>),
      reduction(numpy, "Nanmax", "The largest element, passing NaN over.", of_numbers<ops::max, -1>),
      reduction(numpy, "Nanmin", "The smallest element, passing NaN over.", of_numbers<ops::min, 2>),
      reduction(numpy, "Nanmean", "The mean, passing NaN over.", nan_mean),
      reduction(numpy, "Nanvar", "The variance, passing NaN over.", nan_variance),
      reduction(numpy, "Nanstd", "The standard deviation, passing NaN over.", nan_deviation),
      reduction(math, "Logsumexp", "log Σ exp(x) over the axes", logsumexp),
      extreme("Max", "The largest element along the axes.", ops::max, ops::maximum),
      extreme("Min", "The smallest element along the axes.", ops::min, ops::minimum),
      numpy.operation<ProductFields>("Prod", "x", "Π x over the axes",
                                     [](const ProductFields& f, const Operands& in) {
                                       const Value x =
                                           ops::cast(number(in[0]), f.dtype.value_or(number(in[0]).dtype()));
                                       return ops::product(x, axes_of(f.axis, x), f.keepdims);
                                     }),
      numpy.operation<AxisField>("CountNonzero", "x", "How many elements along the axes are not 0.",
                                 [](const AxisField& f, const Operands& in) {
                                   return ops::sum(ops::cast(truth(in[0]), DType::int32), axes_of(f.axis, in[0]));
                                 }),
      numpy.operation<AxisField>("Average", "x, weights", "The mean over the axes, weighted.", average),
      place("Argmax", "The place of the first largest element.", as_it_is),
      place("Argmin", "The place of the first smallest element.", negated),
      place("Nanargmax", "The place of the first largest element, passing NaN over.", numbers_only),
      place("Nanargmin", "The place of the first smallest element, passing NaN over.", negated_numbers),
      running("Cumsum", "The running sum along an axis.", ops::add, 0, false),
      running("Cumprod", "The running product along an axis.", ops::multiply, 1, false),
      running("Nancumsum", "The running sum along an axis, passing NaN over.", ops::add, 0, true),
      running("Nancumprod", "The running product along an axis, passing NaN over.", ops::multiply, 1, true),
      linalg.operation<NormFields>("Norm", "x", "The norm of vectors or matrices.",
                                   [](const NormFields& f, const Operands& in) { return norm(f, in[0]); }),
      neural.operation<MomentsFields>("Moments", "x", "Mean and variance over the axes.",
                                      [](const MomentsFields& f, const Operands& in) {
                                        const std::vector<std::int64_t> axes = f.axes.in(in[0].shape());
                                        return Values{mean(in[0], axes, f.keepdims), variance(in[0], axes, f.keepdims)};
                                      }),
  };
}

}  // namespace nacre::operations
