#include "api/inspect/report/samples.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "api/inspect/readable.h"
#include "api/inspect/report/charts.h"
#include "api/inspect/report/html.h"
#include "formats/base64.h"
#include "formats/image.h"

namespace nacre::html {

namespace {

constexpr std::int64_t largest_side = 160;  // of pictures as they are shown
constexpr std::size_t most_text = 600, most_numbers = 16, most_series = 1000;

// (height, width, channels) of what can be shown as a picture; none for anything else.
std::optional<Shape> picture_shape(const Type& type) {
  const Shape& shape = type.shape;
  if (shape.rank() == 3 && shape[0] > 1 && shape[1] > 1 && (shape[2] == 1 || shape[2] == 3 || shape[2] == 4))
    return shape;
  // Without channels it is a matrix: one whose sides are alike is a picture, a long one a series of several values.
  if (shape.rank() == 2 && shape[0] >= 8 && shape[1] >= 8) return shape + Shape{1};
  return std::nullopt;
}

// Bytes as they are; numbers of [0, 1] or [0, 255] as brightness, others from the smallest to the largest.
Tensor picture(const Tensor& values, const Shape& shape) {
  if (values.dtype() == DType::uint8) return values.reshaped(shape);
  const Tensor numbers = values.cast(DType::float32);
  double low = INFINITY, high = -INFINITY;
  for (float value : numbers.data<float>())
    if (std::isfinite(value)) low = std::min<double>(low, value), high = std::max<double>(high, value);
  if (low >= 0 && high <= 1) low = 0, high = 1;
  else if (low >= 0 && high <= 255) low = 0, high = 255;
  Tensor pixels(DType::uint8, shape);
  const std::span<std::uint8_t> bytes = pixels.writable<std::uint8_t>();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const double value = numbers.data<float>()[i];
    if (std::isfinite(value) && high > low)
      bytes[i] = static_cast<std::uint8_t>(std::lround(255 * std::clamp((value - low) / (high - low), 0.0, 1.0)));
  }
  return pixels;
}

std::string image(Tensor pixels, std::int64_t index) {
  const std::int64_t height = pixels.shape()[0], width = pixels.shape()[1], larger = std::max(height, width);
  if (larger > largest_side)
    pixels = resize_bilinear(pixels, std::max<std::int64_t>(1, height * largest_side / larger),
                             std::max<std::int64_t>(1, width * largest_side / larger));
  return fmt::format("<img{} width=\"{}\" height=\"{}\" alt=\"picture of sample {}\" src=\"data:image/png;base64,{}\">",
                     larger < 96 ? " class=\"small\"" : "", pixels.shape()[1], pixels.shape()[0], index,
                     to_base64(encode_png(pixels)));
}

std::string input(const Tensor& values, std::int64_t index, bool& wide) {
  const Shape& shape = values.shape();
  wide = true;
  if (values.dtype() == DType::string) {
    std::string words;
    for (const std::string& part : values.data<std::string>()) words += (words.empty() ? "" : " · ") + part;
    return fmt::format("<blockquote>{}</blockquote>", text(shortened(words, most_text)));
  }
  if (const auto as_picture = picture_shape(values.type())) {
    wide = false;
    return image(picture(values, *as_picture), index);
  }
  const std::vector<double> numbers = values.to_doubles();
  const bool is_series = is_floating(values.dtype()) && numbers.size() >= 24 &&
                         (shape.rank() == 1 || (shape.rank() == 2 && shape[1] == 1)) && numbers.size() <= most_series;
  if (is_series) return series(numbers);
  if (numbers.size() == 1) return fmt::format("<code>{}</code>", readable_numbers(numbers, 1));
  return fmt::format("<code>{}{}</code>", readable_numbers(numbers, most_numbers),
                     numbers.size() > most_numbers ? fmt::format(" ({} numbers)", numbers.size()) : "");
}

}  // namespace

ShownSample shown_sample(const Dataset& data, std::int64_t index) {
  Batch batch;
  data.read({&index, 1}, batch);
  ShownSample shown;
  for (std::size_t i = 0; i < batch.inputs.size(); ++i) {
    bool wide = false;
    const Tensor& rows = batch.inputs[i];
    const std::string& name = data.inputs()[i].name;
    if (batch.inputs.size() > 1 && !name.empty())
      shown.html += fmt::format("<span class=\"key\">{}</span>", text(name));
    shown.html += input(rows.reshaped(rows.shape().from(1)), index, wide);
    shown.wide = shown.wide || wide;
  }
  return shown;
}

}  // namespace nacre::html
