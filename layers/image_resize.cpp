#include "layers/image_resize.h"

#include <limits>
#include <numbers>

#include "backend/core/memory.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"

namespace nacre {

namespace {

// --- weights ---------------------------------------------------------------------------------------------------------

// Row `to` of the (to, from) matrix holds the weights of the elements that make up element `to` of the result. Places
// are computed in float32, as TensorFlow does: which elements count may depend on their last bit.
class WeightMatrix {
 public:
  WeightMatrix(std::int64_t from, std::int64_t to) : from_(from), to_(to), weights_(Type{DType::float64, {to, from}}) {}

  std::int64_t from() const { return from_; }
  std::int64_t to() const { return to_; }
  float scale() const { return static_cast<float>(from_) / static_cast<float>(to_); }
  // Where the centre of element `index` of the result lies among the elements of the operand.
  float place(std::int64_t index) const { return (static_cast<float>(index) + 0.5F) * scale() - 0.5F; }
  // Adds a weight for an element that is cut to the range.
  void add(std::int64_t row, std::int64_t element, double weight) {
    element = std::clamp<std::int64_t>(element, 0, from_ - 1);
    weights_.writable<double>()[static_cast<std::size_t>(row * from_ + element)] += weight;
  }
  bool holds(std::int64_t element) const { return element >= 0 && element < from_; }
  // Makes the weights of a row sum up to 1.
  void normalize(std::int64_t row) {
    const auto values =
        weights_.writable<double>().subspan(static_cast<std::size_t>(row * from_), static_cast<std::size_t>(from_));
    double sum = 0;
    for (double value : values) sum += value;
    if (std::abs(sum) >= 1000 * double{std::numeric_limits<float>::min()})
      for (double& value : values) value /= sum;
  }
  const Tensor& tensor() const { return weights_; }

 private:
  std::int64_t from_, to_;
  Tensor weights_;
};

void fill_linear(WeightMatrix& weights) {
  for (std::int64_t to = 0; to < weights.to(); ++to) {
    const float place = weights.place(to), low = std::floor(place);
    weights.add(to, static_cast<std::int64_t>(low), 1 - (place - low));
    weights.add(to, static_cast<std::int64_t>(low) + 1, place - low);
  }
}

// Keys, "Cubic convolution interpolation for digital image processing" (1981), a = -1/2.
double keys(double x) {
  x = std::abs(x);
  if (x >= 2) return 0;
  return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : ((-0.5 * x + 2.5) * x - 4) * x + 2;
}

// TensorFlow reads the cubic at 1024 places between two elements, and leaves out what lies beyond the edges.
void fill_cubic(WeightMatrix& weights) {
  for (std::int64_t to = 0; to < weights.to(); ++to) {
    const float place = weights.place(to), low = std::floor(place);
    const double fraction = std::nearbyint((place - low) * 1024) / 1024;
    for (int tap = -1; tap <= 2; ++tap)
      if (const std::int64_t element = static_cast<std::int64_t>(low) + tap; weights.holds(element))
        weights.add(to, element, keys(fraction - tap));
    weights.normalize(to);
  }
}

// The mean of the elements that an element of the result covers, in parts too.
void fill_area(WeightMatrix& weights) {
  for (std::int64_t to = 0; to < weights.to(); ++to) {
    const float begin = static_cast<float>(to) * weights.scale(), end = static_cast<float>(to + 1) * weights.scale();
    for (auto element = static_cast<std::int64_t>(begin); static_cast<float>(element) < end; ++element) {
      const auto low = static_cast<float>(element);
      weights.add(to, element, std::min(low + 1, end) - std::max(low, begin));
    }
    weights.normalize(to);
  }
}

struct Filter {
  double radius;
  double (*value)(double x, double radius);
};

double triangle(double x, double) { return std::max(0.0, 1 - std::abs(x)); }
double cubic(double x, double) { return keys(x); }
double lanczos(double x, double radius) {
  constexpr double pi = std::numbers::pi;
  x = std::abs(x);
  if (x > radius) return 0;
  return x <= 1e-3 ? 1 : radius * std::sin(pi * x) * std::sin(pi * x / radius) / (pi * pi * x * x);
}

// Mitchell and Netravali, "Reconstruction filters in computer graphics" (1988), B = C = 1/3.
double mitchell(double x, double) {
  x = std::abs(x);
  if (x >= 2) return 0;
  return x < 1 ? (7.0 / 6 * x - 2) * x * x + 8.0 / 9 : ((-7.0 / 18 * x + 2) * x - 10.0 / 3) * x + 16.0 / 9;
}
// A bell that ends at three standard deviations.
double gaussian(double x, double radius) {
  return std::abs(x) >= radius ? 0 : std::exp(-4.5 * x * x / (radius * radius));
}

// The filter laid over the operand, normalised over the elements that it meets.
void fill_filtered(WeightMatrix& weights, Filter filter, bool antialias) {
  const float inverse = 1.0F / (static_cast<float>(weights.to()) / static_cast<float>(weights.from()));
  const float width = antialias ? std::max(inverse, 1.0F) : 1.0F;
  const float reach = static_cast<float>(filter.radius) * width;
  for (std::int64_t to = 0; to < weights.to(); ++to) {
    const float place = (static_cast<float>(to) + 0.5F) * inverse;
    const auto last = weights.from() - 1;
    const auto begin = std::clamp<std::int64_t>(static_cast<std::int64_t>(std::ceil(place - reach - 0.5F)), 0, last);
    const auto end = std::clamp<std::int64_t>(static_cast<std::int64_t>(std::floor(place + reach - 0.5F)), 0, last);
    for (std::int64_t element = begin; element <= end; ++element)
      weights.add(to, element, filter.value((static_cast<float>(element) + 0.5F - place) / width, filter.radius));
    weights.normalize(to);
  }
}

Tensor interpolation_weights(std::int64_t from, std::int64_t to, Resampling interpolation, bool antialias) {
  WeightMatrix weights(from, to);
  switch (interpolation) {
    case Resampling::nearest: throw InternalError("the nearest elements are taken, not weighed");
    case Resampling::bilinear:
      if (antialias) fill_filtered(weights, {1, triangle}, true);
      else fill_linear(weights);
      break;
    case Resampling::bicubic:
      if (antialias) fill_filtered(weights, {2, cubic}, true);
      else fill_cubic(weights);
      break;
    case Resampling::lanczos3: fill_filtered(weights, {3, lanczos}, antialias); break;
    case Resampling::lanczos5: fill_filtered(weights, {5, lanczos}, antialias); break;
    case Resampling::area: fill_area(weights); break;
    case Resampling::gaussian: fill_filtered(weights, {1.5, gaussian}, antialias); break;
    case Resampling::mitchellcubic: fill_filtered(weights, {2, mitchell}, antialias); break;
  }
  return weights.tensor();
}

std::vector<std::int64_t> nearest_elements(std::int64_t from, std::int64_t to) {
  const float scale = static_cast<float>(from) / static_cast<float>(to);
  std::vector<std::int64_t> elements;
  for (std::int64_t i = 0; i < to; ++i)
    elements.push_back(std::min(static_cast<std::int64_t>((static_cast<float>(i) + 0.5F) * scale), from - 1));
  return elements;
}

// Pictures without elements cannot be resized, and products of sizes must be countable.
void want_sizes(std::int64_t from, std::int64_t to) {
  constexpr std::int64_t longest = 1 << 24;
  need(from != 0 && to >= 1, "got {} elements for {}, wanted at least 1", from, to);
  need(from <= longest && to <= longest, "got {} elements for {}, wanted at most {}", from, to, longest);
}

// width · height / other, as Keras rounds it.
std::int64_t proportional(std::int64_t width, std::int64_t height, std::int64_t other) {
  return static_cast<std::int64_t>(static_cast<float>(width * height) / static_cast<float>(other));
}

}  // namespace

namespace image {

Value resized_axis(Value x, int axis, std::int64_t size, Resampling interpolation, bool antialias) {
  const std::int64_t from = x.shape()[axis];
  if (from == size) return x;
  if (from != unknown) want_sizes(from, size);
  Shape shape = x.shape();
  shape.set(axis, size);
  if (!shape.known() || from == unknown) return emit::zeros(x.graph(), {x.dtype(), shape});
  if (interpolation == Resampling::nearest) return taken(x, axis, nearest_elements(from, size));
  // (to, from) · (…, from, inner): what comes before the axis are matrices of their own, what comes after it their
  // columns.
  const Shape before = x.shape().first(axis), after = x.shape().from(axis + 1);
  const Value weights = x.graph().constant(interpolation_weights(from, size, interpolation, antialias).cast(x.dtype()));
  const std::int64_t inner = after.known() ? after.elements() : unknown;
  const Value rows = emit::reshape(x, before + Shape{from, inner});
  return emit::reshape(ops::matmul(weights, rows), before + Shape{size} + after);
}

Value resized(Value pictures, std::int64_t height, std::int64_t width, Resampling interpolation, bool antialias) {
  Type result{pictures.dtype(), pictures.shape()};
  result.shape.set(1, height);
  result.shape.set(2, width);
  if (result.shape.known()) want_memory(result.bytes(), result.text());  // before weights are made
  return resized_axis(resized_axis(pictures, 1, height, interpolation, antialias), 2, width, interpolation, antialias);
}

Value piece(Value pictures, std::int64_t top, std::int64_t left, std::int64_t height, std::int64_t width) {
  return ops::slice_axis(ops::slice_axis(pictures, 1, top, top + height), 2, left, left + width);
}

Value smart_resized(Value pictures, std::int64_t height, std::int64_t width, Resampling interpolation, bool antialias) {
  const std::int64_t from_height = pictures.shape()[1], from_width = pictures.shape()[2];
  want_sizes(from_height, height), want_sizes(from_width, width);
  if (from_height != unknown && from_width != unknown) {
    const std::int64_t crop_height =
        std::max<std::int64_t>(std::min(from_height, proportional(from_width, height, width)), 1);
    const std::int64_t crop_width =
        std::max<std::int64_t>(std::min(from_width, proportional(from_height, width, height)), 1);
    pictures = piece(pictures, (from_height - crop_height) / 2, (from_width - crop_width) / 2, crop_height, crop_width);
  }
  return resized(pictures, height, width, interpolation, antialias);
}

namespace {

// Margins on either side, alike, that give the picture the proportions of height and width.
Value padded(Value pictures, std::int64_t height, std::int64_t width, double fill) {
  const std::int64_t from_height = pictures.shape()[1], from_width = pictures.shape()[2];
  if (from_height == unknown || from_width == unknown) return pictures;
  want_sizes(from_height, height), want_sizes(from_width, width);
  const std::int64_t top = (std::max(from_height, proportional(from_width, height, width)) - from_height) / 2;
  const std::int64_t left = (std::max(from_width, proportional(from_height, width, height)) - from_width) / 2;
  return ops::pad(pictures, {0, top, left, 0}, {0, top, left, 0}, fill);
}

}  // namespace

}  // namespace image

namespace {

// --- layers ----------------------------------------------------------------------------------------------------------

class ResizingLayer final : public ImageLayer<ResizingConfig, Active::always> {
 public:
  explicit ResizingLayer(ResizingConfig config = {}, LayerOptions options = {})
      : ImageLayer(std::move(config), std::move(options)) {
    if (config_.crop_to_aspect_ratio && config_.pad_to_aspect_ratio)
      throw Error("both 'crop_to_aspect_ratio' and 'pad_to_aspect_ratio' are set, wanted one of them").usage();
  }

 protected:
  bool keeps_dtype() const override { return true; }
  Value transform(Context&, Value pictures) override {
    const auto& c = config_;
    if (c.crop_to_aspect_ratio) return image::smart_resized(pictures, c.height, c.width, c.interpolation, c.antialias);
    if (c.pad_to_aspect_ratio) pictures = image::padded(pictures, c.height, c.width, c.fill_value);
    return image::resized(pictures, c.height, c.width, c.interpolation, c.antialias);
  }
  // Integers are rounded and kept within their type; the nearest ones never change.
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0];
    if (is_floating(x.dtype())) return ImageLayer::call(context, arguments);
    const bool exact = config_.interpolation == Resampling::nearest;
    const Value y = transform(context, prepared(x, exact ? x.dtype() : DType::float32));
    if (exact) return {finished(y, x, x.dtype())};
    const auto [low, high] = limits(x.dtype());
    return {finished(ops::clip(ops::round(y), low, high), x, x.dtype())};
  }

 private:
  static std::pair<double, double> limits(DType dtype) {
    switch (dtype) {
      case DType::boolean: return {0, 1};
      case DType::uint8: return {0, 255};
      default: return {-2147483648.0, 2147483520.0};  // the float32 below 2³¹
    }
  }
};

class CenterCropLayer final : public ImageLayer<CenterCropConfig, Active::always> {
 public:
  using ImageLayer::ImageLayer;

 protected:
  Value transform(Context&, Value pictures) override {
    const std::int64_t height = pictures.shape()[1], width = pictures.shape()[2];
    if (height < config_.height || width < config_.width)  // also when it is unknown
      return image::smart_resized(pictures, config_.height, config_.width, Resampling::bilinear);
    return image::piece(pictures, (height - config_.height) / 2, (width - config_.width) / 2, config_.height,
                        config_.width);
  }
};

template <Side side>
class RandomSideLayer final : public ImageLayer<RandomSideConfig<side>> {
 public:
  using ImageLayer<RandomSideConfig<side>>::ImageLayer;

 protected:
  Value transform(Context&, Value) override {
    throw Error("pictures of random size cannot be trained with: the size is fixed when the graph is compiled")
        .hint("use RandomZoom, which keeps the size");
  }
};

}  // namespace

LayerRef Resizing(ResizingConfig config, LayerOptions options) {
  return std::make_shared<ResizingLayer>(std::move(config), std::move(options));
}
LayerRef CenterCrop(CenterCropConfig config, LayerOptions options) {
  return std::make_shared<CenterCropLayer>(std::move(config), std::move(options));
}

LayerRef RandomHeight(RandomSideConfig<Side::height> config, LayerOptions options) {
  return std::make_shared<RandomSideLayer<Side::height>>(std::move(config), std::move(options));
}
LayerRef RandomWidth(RandomSideConfig<Side::width> config, LayerOptions options) {
  return std::make_shared<RandomSideLayer<Side::width>>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> resize_layers() {
  return {layer_info<ResizingLayer>(), layer_info<CenterCropLayer>(), layer_info<RandomSideLayer<Side::height>>(""),
          layer_info<RandomSideLayer<Side::width>>("")};
}

}  // namespace nacre
