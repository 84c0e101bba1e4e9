#include "layers/resample.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"

namespace nacre {

namespace {

// Weight of an element at distance x, 0 beyond the radius.
struct Kernel {
  double radius;
  double (*at)(double x);
};

double triangle(double x) { return std::max(0.0, 1 - std::abs(x)); }

// Keys, "Cubic convolution interpolation for digital image processing" (1981), with a = -1/2.
double cubic(double x) {
  x = std::abs(x);
  if (x <= 1) return (1.5 * x - 2.5) * x * x + 1;
  return x <= 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

template <int radius>
double lanczos(double x) {
  const double angle = std::numbers::pi * std::abs(x);
  if (std::abs(x) > radius) return 0;
  return std::abs(x) <= 1e-3 ? 1 : radius * std::sin(angle) * std::sin(angle / radius) / (angle * angle);
}

Kernel kernel_of(Interpolation interpolation) {
  switch (interpolation) {
    case Interpolation::bicubic: return {2, cubic};
    case Interpolation::lanczos3: return {3, lanczos<3>};
    case Interpolation::lanczos5: return {5, lanczos<5>};
    default: return {1, triangle};
  }
}

// (from, to): each column holds the weights of the old elements in a new one.
Tensor weights(std::int64_t from, std::int64_t to, Interpolation interpolation, bool antialias) {
  const Kernel kernel = kernel_of(interpolation);
  const double scale = static_cast<double>(from) / static_cast<double>(to),
               width = antialias ? std::max(scale, 1.0) : 1;
  Tensor matrix(Type{DType::float64, {from, to}});
  const std::span<double> values = matrix.writable<double>();
  for (std::int64_t i = 0; i < to; ++i) {
    double centre = (static_cast<double>(i) + 0.5) * scale - 0.5;  // counted in old elements
    // TensorFlow reads the cubic weights from a table of 1024 places between two elements.
    if (interpolation == Interpolation::bicubic && !antialias) {
      const double low = std::floor(centre);
      centre = low + std::nearbyint((centre - low) * 1024) / 1024;
    }
    // Linear interpolation repeats the outermost elements; for the others, weights outside are left out.
    if (interpolation == Interpolation::bilinear && !antialias)
      centre = std::clamp(centre, 0.0, static_cast<double>(from - 1));
    const auto begin = std::max(std::int64_t{0}, static_cast<std::int64_t>(std::ceil(centre - kernel.radius * width)));
    const auto end = std::min(from - 1, static_cast<std::int64_t>(std::floor(centre + kernel.radius * width)));
    double sum = 0;
    for (std::int64_t k = begin; k <= end; ++k) sum += kernel.at((static_cast<double>(k) - centre) / width);
    for (std::int64_t k = begin; k <= end; ++k)
      values[static_cast<std::size_t>(k * to + i)] = kernel.at((static_cast<double>(k) - centre) / width) / sum;
  }
  return matrix;
}

Value nearest(Value x, int axis, std::int64_t size) {
  const std::int64_t from = x.shape()[axis];
  if (size % from == 0) return emit::repeat(x, axis, size / from);
  std::vector<std::int64_t> places;
  for (std::int64_t i = 0; i < size; ++i) places.push_back((2 * i + 1) * from / (2 * size));
  const Value indices = x.graph().constant(Tensor::of<std::int64_t>({size}, places));
  return emit::move_axis(ops::gather(emit::move_axis(x, axis, 0), indices), 0, axis);
}

}  // namespace

Value resampled(Value x, int axis, std::int64_t size, Interpolation interpolation, bool antialias) {
  const std::int64_t from = x.shape()[axis];
  if (from == size && from != unknown) return x;
  if (from == unknown || size == unknown) {
    Shape shape = x.shape();
    shape.set(axis, size);
    return emit::zeros(x.graph(), {x.dtype(), std::move(shape)});
  }
  if (interpolation == Interpolation::nearest) return nearest(x, axis, size);
  const Value matrix = x.graph().constant(weights(from, size, interpolation, antialias).cast(x.dtype()));
  return emit::move_axis(ops::dense(emit::move_axis(x, axis, -1), matrix), -1, axis);
}

}  // namespace nacre
