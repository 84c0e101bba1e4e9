// Changing the size of pictures.
#include <algorithm>
#include <cmath>

#include "formats/image.h"
#include "formats/image_decoders.h"

namespace nacre {

namespace {

// What a target pixel takes from the source along one axis: a run of pixels with weights whose sum is 1.
struct Run {
  std::int64_t first = 0;
  std::vector<float> weights;
};

// A triangle around the target pixel's centre, as wide as two source pixels or, against aliasing, two target pixels.
std::vector<Run> runs(std::int64_t from, std::int64_t to, bool antialias) {
  const float scale = static_cast<float>(from) / static_cast<float>(to), radius = antialias ? std::max(scale, 1.0f) : 1.0f;
  std::vector<Run> result(static_cast<std::size_t>(to));
  for (std::int64_t i = 0; i < to; ++i) {
    const float centre = (static_cast<float>(i) + 0.5f) * scale - 0.5f;
    Run& run = result[static_cast<std::size_t>(i)];
    if (radius == 1.0f) {  // the edge's pixel stands for those outside
      const float low = std::floor(centre);
      run.first = std::clamp<std::int64_t>(static_cast<std::int64_t>(low), 0, from - 1);
      const std::int64_t high = std::clamp<std::int64_t>(static_cast<std::int64_t>(low) + 1, 0, from - 1);
      if (high == run.first) run.weights = {1};
      else run.weights = {1 - (centre - low), centre - low};
      continue;
    }
    run.first = std::max<std::int64_t>(static_cast<std::int64_t>(std::ceil(centre - radius)), 0);
    const std::int64_t last = std::min<std::int64_t>(static_cast<std::int64_t>(std::floor(centre + radius)), from - 1);
    float sum = 0;
    for (std::int64_t k = run.first; k <= last; ++k) {
      run.weights.push_back(std::max(0.0f, 1 - std::abs(static_cast<float>(k) - centre) / radius));
      sum += run.weights.back();
    }
    for (float& weight : run.weights) weight /= sum;
  }
  return result;
}

// Rows first, into floats: of each source row only what target columns need, once.
template <class T>
void resize(const Tensor& image, Tensor& result, bool antialias) {
  const std::int64_t width = image.shape()[1], channels = image.shape()[2], target_width = result.shape()[1];
  const auto rows = runs(image.shape()[0], result.shape()[0], antialias), columns = runs(width, target_width, antialias);
  const T* from = image.data<T>().data();
  T* to = result.writable<T>().data();
  std::vector<float> mixed(static_cast<std::size_t>(width * channels));
  for (const Run& row : rows) {
    for (std::size_t k = 0; k < row.weights.size(); ++k) {
      const T* source = from + (row.first + static_cast<std::int64_t>(k)) * width * channels;
      const float weight = row.weights[k];
      if (k == 0)
        for (std::size_t i = 0; i < mixed.size(); ++i) mixed[i] = weight * static_cast<float>(source[i]);
      else
        for (std::size_t i = 0; i < mixed.size(); ++i) mixed[i] += weight * static_cast<float>(source[i]);
    }
    for (const Run& column : columns)
      for (std::int64_t c = 0; c < channels; ++c) {
        const float* source = mixed.data() + column.first * channels + c;
        float value = 0;
        for (std::size_t k = 0; k < column.weights.size(); ++k) value += column.weights[k] * source[static_cast<std::int64_t>(k) * channels];
        if constexpr (std::is_same_v<T, std::uint8_t>) *to++ = static_cast<std::uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f));
        else *to++ = value;
      }
  }
}

}  // namespace

Tensor resize_bilinear(const Tensor& image, std::int64_t height, std::int64_t width, bool antialias) {
  need(image.shape().rank() == 3 && (image.dtype() == DType::uint8 || image.dtype() == DType::float32),
       "a picture to resize is uint8 or float32 (height, width, channels), not {}", image.type());
  need(height > 0 && width > 0 && height <= images::longest_side && width <= images::longest_side && image.size() > 0, "a picture {} cannot be resized to {}×{}", image.shape(), height, width);
  if (image.shape()[0] == height && image.shape()[1] == width) return image;
  Tensor result = Tensor::uninitialised({image.dtype(), {height, width, image.shape()[2]}});
  if (image.dtype() == DType::uint8) resize<std::uint8_t>(image, result, antialias);
  else resize<float>(image, result, antialias);
  return result;
}

namespace {

// A part of `from` at (y, x), as large as `to` or as `from`, put into `to` at (target_y, target_x).
void copy_window(const Tensor& from, std::int64_t y, std::int64_t x, Tensor& to, std::int64_t target_y, std::int64_t target_x) {
  const std::int64_t channels = from.shape()[2], height = std::min(from.shape()[0], to.shape()[0]), width = std::min(from.shape()[1], to.shape()[1]);
  for (std::int64_t row = 0; row < height; ++row)
    copy_elements(from, ((y + row) * from.shape()[1] + x) * channels, width * channels, to,
                  ((target_y + row) * to.shape()[1] + target_x) * channels);
}

}  // namespace

Tensor fit_image(const Tensor& image, std::int64_t height, std::int64_t width, Fit fit, bool antialias) {
  const Shape& shape = image.shape();
  if (fit == Fit::stretch || shape.rank() != 3 || shape[0] * width == shape[1] * height || height < 1 || width < 1)
    return resize_bilinear(image, height, width, antialias);
  const std::int64_t channels = shape[2];
  if (fit == Fit::crop) {
    const std::int64_t rows = std::clamp<std::int64_t>(shape[1] * height / width, 1, shape[0]),
                       columns = std::clamp<std::int64_t>(shape[0] * width / height, 1, shape[1]);
    Tensor middle = Tensor::uninitialised({image.dtype(), {rows, columns, channels}});
    copy_window(image, (shape[0] - rows) / 2, (shape[1] - columns) / 2, middle, 0, 0);
    return resize_bilinear(middle, height, width, antialias);
  }
  const std::int64_t rows = std::clamp<std::int64_t>((2 * shape[0] * width + shape[1]) / (2 * shape[1]), 1, height),
                     columns = std::clamp<std::int64_t>((2 * shape[1] * height + shape[0]) / (2 * shape[0]), 1, width);
  const Tensor whole = resize_bilinear(image, rows, columns, antialias);
  Tensor padded(image.dtype(), {height, width, channels});
  copy_window(whole, 0, 0, padded, (height - rows) / 2, (width - columns) / 2);
  return padded;
}

Tensor read_fitted(const std::filesystem::path& path, int channels, ImageSize size, Fitting fitting) {
  const Tensor image = read_image(path, channels, fitting.antialias ? size : ImageSize{});
  return fit_image(image, size.height, size.width, fitting.fit, fitting.antialias);
}

}  // namespace nacre
