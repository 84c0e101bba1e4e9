// Pictures and other tensors read at places between their elements.
#include <numbers>

#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/linear_algebra.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "layers/operations/functions.h"
#include "layers/operations/operation.h"
#include "layers/projection.h"

namespace nacre::operations {

namespace {

constexpr Family pictures("keras.src.ops.image");

struct AffineFields {
  Sampling interpolation = Sampling::bilinear;
  FillMode fill_mode = FillMode::constant;
  double fill_value = 0;
  std::optional<DataFormat> data_format;
  static void describe(auto&& field) {
    field("interpolation", &AffineFields::interpolation, "how elements between others are computed");
    field("fill_mode", &AffineFields::fill_mode, "what lies beyond the edges",
          one_of({"constant", "nearest", "wrap", "reflect"}));
    field("fill_value", &AffineFields::fill_value, "beyond the edges when fill_mode is constant");
    field("data_format", &AffineFields::data_format, "where the channels are; null: last");
  }
};
struct PerspectiveFields {
  Sampling interpolation = Sampling::bilinear;
  double fill_value = 0;
  std::optional<DataFormat> data_format;
  static void describe(auto&& field) {
    field("interpolation", &PerspectiveFields::interpolation, "how elements between others are computed");
    field("fill_value", &PerspectiveFields::fill_value, "beyond the edges");
    field("data_format", &PerspectiveFields::data_format, "where the channels are; null: last");
  }
};
struct CoordinateFields {
  std::int64_t order = 1;
  FillMode fill_mode = FillMode::constant;
  double fill_value = 0;
  static void describe(auto&& field) {
    field("order", &CoordinateFields::order, "0: the nearest element, 1: linear between the elements around",
          between(0, 1), required());
    field("fill_mode", &CoordinateFields::fill_mode, "what lies beyond the edges");
    field("fill_value", &CoordinateFields::fill_value, "beyond the edges when fill_mode is constant");
  }
};
struct ScaleFields {
  std::vector<std::int64_t> spatial_dims;
  std::string method;
  bool antialias = true;
  static void describe(auto&& field) {
    field("spatial_dims", &ScaleFields::spatial_dims, "the axes that change", required());
    field("method", &ScaleFields::method, "the kernel between elements",
          one_of({"linear", "bilinear", "trilinear", "triangle", "cubic", "bicubic", "tricubic", "lanczos3", "lanczos5"}),
          required());
    field("antialias", &ScaleFields::antialias, "widen the kernel when the picture shrinks");
  }
};

// --- projections --------------------------------------------------------------------------------------------------

// The pictures (batch, height, width, channels) by eight numbers a picture, (batch or 1, 8).
Value projected_by(Value x, Value numbers, const ResampleAttrs& attrs) {
  need(numbers.shape().rank() == 2 && same(numbers.shape()[1], 8), "got transforms {}, wanted eight numbers each",
       numbers.shape());
  numbers = ops::expand_dims(ops::expand_dims(ops::cast(numbers, DType::float32), -1), -1);
  const auto number = [&](int i) { return ops::slice_axis(numbers, 1, i, i + 1); };
  const Value one = x.graph().scalar(1);
  return projected(x, {number(0), number(1), number(2), number(3), number(4), number(5), number(6), number(7), one}, attrs);
}

// A picture or a batch of them, in any format; `transforms` has one, or one for each.
Value warped(Value images, const std::optional<DataFormat>& format, Value transforms, const ResampleAttrs& attrs) {
  const Value x = real(images);
  const int rank = x.shape().rank();
  const bool first = format == DataFormat::channels_first, single = rank == 3;
  need(single || rank == 4, "got {}, wanted a picture or a batch of them", x.shape());
  if (!x.shape().from(single ? 0 : 1).known()) return emit::zeros(images.graph(), images.type());
  Value y = single ? ops::expand_dims(x, 0) : x;
  y = projected_by(first ? emit::channels_last(y) : y, transforms, attrs);
  if (first) y = emit::channels_first(y);
  if (single) y = ops::squeeze(y, 0);
  return ops::cast(y, images.dtype());
}

Value affine(const AffineFields& f, const Operands& in) {
  const Value transforms = in[1].shape().rank() == 1 ? ops::expand_dims(in[1], 0) : in[1];
  return warped(in[0], f.data_format, transforms, {f.interpolation, f.fill_mode, f.fill_value});
}

// The eight numbers of the projection that takes four end points to the start points, (batch, 4, 2) each: two linear
// equations a point.
Value homography(Value from, Value to) {
  Values rows, results;
  for (int point = 0; point < 4; ++point) {
    const auto coordinate = [&](Value points, int axis) {
      return ops::squeeze(ops::slice_axis(ops::slice_axis(points, 1, point, point + 1), 2, axis, axis + 1), 2);
    };
    const Value x = coordinate(to, 0), y = coordinate(to, 1), zero = ops::fill_like(x, 0), one = ops::fill_like(x, 1);
    for (int axis = 0; axis < 2; ++axis) {
      const Value start = coordinate(from, axis);
      const Values here{x, y, one}, there{zero, zero, zero};
      Values row = axis == 0 ? here : there;
      for (Value each : axis == 0 ? there : here) row.push_back(each);
      row.push_back(-start * x), row.push_back(-start * y);
      rows.push_back(ops::expand_dims(ops::concat(std::move(row), 1), 1));
      results.push_back(start);
    }
  }
  const Value right = ops::expand_dims(ops::concat(std::move(results), 1), -1);
  return ops::squeeze(ops::solve(ops::concat(std::move(rows), 1), right), -1);
}

Value perspective(const PerspectiveFields& f, const Operands& in) {
  const auto points = [&](std::size_t argument) {
    const Value x = ops::cast(in[argument], DType::float32);
    const Value batch = x.shape().rank() == 2 ? ops::expand_dims(x, 0) : x;
    need(batch.shape().rank() == 3 && same(batch.shape().from(1), Shape{4, 2}), "got points {}, wanted four of two numbers",
         x.shape());
    return batch;
  };
  return warped(in[0], f.data_format, homography(points(1), points(2)), {f.interpolation, FillMode::constant, f.fill_value});
}

// --- places of any number of axes ---------------------------------------------------------------------------------

// An index (whole, floating) within an axis of that size; for FillMode::constant what lies beyond is no matter.
Value folded(Value index, double size, FillMode mode) {
  const auto of = [&](double number) { return ops::scalar_like(index, number); };
  switch (mode) {
    case FillMode::wrap: return ops::modulo(index, of(size));
    case FillMode::reflect: {
      const Value inside = ops::modulo(index, of(2 * size));
      return ops::minimum(inside, 2 * size - 1 - inside);
    }
    case FillMode::mirror: {
      if (size == 1) return ops::fill_like(index, 0);
      const Value inside = ops::modulo(index, of(2 * size - 2));
      return ops::minimum(inside, 2 * size - 2 - inside);
    }
    default: return ops::clip(index, 0, size - 1);
  }
}

Value map_coordinates(const CoordinateFields& f, const Operands& in) {
  const Value x = in[0], places = real(in[1]);
  const Shape& shape = x.shape();
  emit::want_rank_at_least(places.shape(), 2);
  emit::want_size(places.shape(), 0, shape.rank());
  const Shape result = places.shape().from(1);
  if (!shape.known()) return emit::zeros(x.graph(), {x.dtype(), result});
  const std::vector<std::int64_t> strides = row_major_strides(shape);
  need(shape.elements() > 0 && shape.elements() < (std::int64_t{1} << 31), "got {}, wanted 1 to 2^31 elements", shape);

  // The places along each axis that an element is a mean of, with their weights.
  struct Tap {
    Value index, inside, weight;
  };
  std::vector<std::vector<Tap>> axes;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const Value place = ops::squeeze(ops::slice_axis(places, 0, axis, axis + 1), 0);
    const double size = static_cast<double>(shape[axis]);
    const auto tap = [&](Value index, Value weight) {
      const Value last = ops::scalar_like(index, size - 1), zero = ops::scalar_like(index, 0);
      const Value inside = ops::logical_and(ops::greater_equal(index, zero), ops::less_equal(index, last));
      const Value step = x.graph().scalar(static_cast<double>(strides[static_cast<std::size_t>(axis)]), DType::int32);
      return Tap{ops::cast(folded(index, size, f.fill_mode), DType::int32) * step, inside, weight};
    };
    const Value whole = ops::stop_gradient(f.order == 0 ? ops::round(place) : ops::floor(place));
    if (f.order == 0) {
      axes.push_back({tap(whole, {})});
    } else {
      const Value upper = place - whole;
      axes.push_back({tap(whole, 1.0 - upper), tap(whole + 1.0, upper)});
    }
  }
  need(f.order == 0 || shape.rank() <= 8, "got {}, wanted at most 8 axes", shape);
  const std::int64_t corners = f.order == 0 ? 1 : std::int64_t{1} << shape.rank();
  const Value flat = emit::reshape(x, {unknown});
  Value sum;
  for (std::int64_t corner = 0; corner < corners; ++corner) {
    Value index, inside, weight;
    for (std::size_t axis = 0; axis < axes.size(); ++axis) {
      const Tap& tap = axes[axis][f.order == 0 ? 0 : static_cast<std::size_t>(corner >> axis & 1)];
      index = index ? index + tap.index : tap.index;
      inside = inside ? ops::logical_and(inside, tap.inside) : tap.inside;
      if (tap.weight) weight = weight ? weight * tap.weight : tap.weight;
    }
    Value value = ops::cast(ops::gather(flat, index), places.dtype());
    if (f.fill_mode == FillMode::constant) value = where(inside, value, ops::scalar_like(value, f.fill_value));
    if (weight) value = value * weight;
    sum = sum ? sum + value : value;
  }
  return ops::cast(is_floating(x.dtype()) ? sum : ops::round(sum), x.dtype());
}

// --- scales -------------------------------------------------------------------------------------------------------

// The kernels at distances x >= 0; cubic: Keys, "Cubic convolution interpolation for digital image processing" (1981).
Value kernel_at(std::string_view method, Value x) {
  const auto of = [&](double number) { return ops::scalar_like(x, number); };
  if (method.ends_with("cubic")) {
    const Value near = ((1.5 * x - 2.5) * x) * x + 1.0, far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0;
    return where(ops::greater_equal(x, of(2)), of(0), where(ops::greater_equal(x, of(1)), far, near));
  }
  if (method.starts_with("lanczos")) {
    const double radius = method == "lanczos3" ? 3 : 5, pi = std::numbers::pi;
    const Value apart = ops::greater(x, of(1e-3)), safe = where(apart, x, of(1));
    const Value y = radius * ops::sin(safe * pi) * ops::sin(safe * (pi / radius)) / (ops::square(safe) * (pi * pi));
    return where(ops::greater(x, of(radius)), of(0), where(apart, y, of(1)));
  }
  return ops::relu(1.0 - x);
}

// How much each of m elements counts for each of n, (m, n).
Value weights(const ScaleFields& f, std::int64_t m, std::int64_t n, Value scale, Value translation) {
  Graph& graph = scale.graph();
  const DType dtype = scale.dtype();
  const Value inverse = ops::reciprocal(scale);
  const Value width = f.antialias ? ops::maximum(inverse, ops::scalar_like(inverse, 1)) : ops::scalar_like(inverse, 1);
  const Value place = (ops::iota(graph, {dtype, {1, n}}, 1) + 0.5) * inverse - translation * inverse - 0.5;
  const Value distance = ops::abs(place - ops::iota(graph, {dtype, {m, 1}}, 0)) / width;
  const Value all = kernel_at(f.method, distance), sum = ops::sum(all, {0}, true);
  constexpr double least = 1000 * 0x1p-23;
  const Value counts = ops::greater(ops::abs(sum), ops::scalar_like(sum, least));
  const Value inside = ops::logical_and(ops::greater_equal(place, ops::scalar_like(place, -0.5)),
                                        ops::less_equal(place, ops::scalar_like(place, static_cast<double>(m) - 0.5)));
  return where(ops::logical_and(counts, inside), all / where(counts, sum, ops::scalar_like(sum, 1)), ops::scalar_like(all, 0));
}

Value scale_and_translate(const ScaleFields& f, const Operands& in) {
  const Value x = in[0];
  const Tree::Sequence& sizes = in.constant(1).items();
  need(static_cast<int>(sizes.size()) == x.shape().rank(), "got {} sizes for {}", sizes.size(), x.shape());
  const auto [scales, translations] = [&] {
    const std::array<Value, 2> both = in.pair(2, 3);
    return std::array{real(both[0]), real(both[1])};
  }();
  for (Value each : {scales, translations}) {
    emit::want_rank(each.shape(), 1);
    emit::want_size(each.shape(), 0, static_cast<std::int64_t>(f.spatial_dims.size()));
  }
  Value y = real(x);
  for (std::size_t i = 0; i < f.spatial_dims.size(); ++i) {
    const int axis = x.shape().checked(static_cast<int>(f.spatial_dims[i]));
    constexpr std::int64_t most = 1 << 13;  // a matrix of both sizes is computed
    const std::int64_t m = emit::known_size(x.shape(), axis), n = sizes[static_cast<std::size_t>(axis)].as_integer();
    need(n >= 1 && n <= most && m <= most, "got sizes {} and {}, wanted 1 to {}", m, n, most);
    const auto number = [&](Value all) {
      return ops::slice_axis(all, 0, static_cast<std::int64_t>(i), static_cast<std::int64_t>(i) + 1);
    };
    const Value w = ops::cast(weights(f, m, n, number(scales), number(translations)), y.dtype());
    y = emit::move_axis(ops::dense(emit::move_axis(y, axis, -1), w), -1, axis);
  }
  if (is_floating(x.dtype())) return y;
  const auto bound = [&](Value number) { return ops::cast(number, y.dtype()); };
  return ops::cast(ops::maximum(ops::minimum(ops::round(y), bound(ops::max(x))), bound(ops::min(x))), x.dtype());
}

}  // namespace

Rows warps() {
  return {
      pictures.operation<AffineFields>("AffineTransform", "images, transform",
                                       "Pictures by eight numbers each, a0, a1, a2, b0, b1, b2, c0, c1: the element at "
                                       "column x, row y comes from column (a0 x + a1 y + a2) / (c0 x + c1 y + 1), row "
                                       "likewise with b. No gradient flows to the numbers.",
                                       affine),
      pictures.operation<PerspectiveFields>("PerspectiveTransform", "images, start_points, end_points",
                                            "Pictures by the projection that takes four points [x, y] to four others. No "
                                            "gradient flows to the points.",
                                            perspective),
      pictures.operation<CoordinateFields>("MapCoordinates", "inputs, coordinates",
                                           "The elements at places, whose numbers for each axis stand along the first axis "
                                           "of the coordinates.",
                                           map_coordinates),
      pictures.operation<ScaleFields>("ScaleAndTranslate", "images, output_shape, scale, translation",
                                      "Some axes larger or smaller by factors, then shifted.", scale_and_translate),
  };
}

}  // namespace nacre::operations
