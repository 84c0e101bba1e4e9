// Orientation of pictures: EXIF 2.32, TIFF 6.0.
#include "formats/image_decoders.h"

namespace nacre::images {

int exif_orientation(std::string_view exif) {
  using namespace std::string_view_literals;
  if (exif.starts_with("Exif\0"sv)) exif.remove_prefix(std::min<std::size_t>(6, exif.size()));
  const bool little = exif.starts_with("II*\0"sv);
  if (!little && !exif.starts_with("MM\0*"sv)) return 1;
  const auto number = [&](std::size_t at, std::size_t bytes) -> std::uint32_t {  // 0 outside
    if (at > exif.size() || exif.size() - at < bytes) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<unsigned char>(exif[little ? at + bytes - 1 - i : at + i]);
    return value;
  };
  constexpr std::uint32_t tag = 0x0112, short_type = 3;
  const std::size_t directory = number(4, 4), entries = number(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + 12 * i;
    if (entry + 12 > exif.size()) break;
    if (number(entry, 2) != tag) continue;
    const std::uint32_t value = number(entry + 8, 2);
    return number(entry + 2, 2) == short_type && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Tensor upright(const Tensor& image, int orientation) {
  if (orientation == 1) return image;
  const bool transposed = orientation >= 5;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const auto height = static_cast<std::size_t>(image.shape()[0]), width = static_cast<std::size_t>(image.shape()[1]),
             channels = static_cast<std::size_t>(image.shape()[2]);
  Tensor result = Tensor::uninitialised({DType::uint8, transposed ? Shape{image.shape()[1], image.shape()[0], image.shape()[2]} : image.shape()});
  const std::uint8_t* from = image.data<std::uint8_t>().data();
  std::uint8_t* to = result.writable<std::uint8_t>().data();
  const std::size_t rows = transposed ? width : height, columns = transposed ? height : width;
  for (std::size_t y = 0; y < rows; ++y)
    for (std::size_t x = 0; x < columns; ++x) {
      std::size_t row = transposed ? x : y, column = transposed ? y : x;
      if (from_below) row = height - 1 - row;
      if (from_right) column = width - 1 - column;
      std::memcpy(to, from + (row * width + column) * channels, channels);
      to += channels;
    }
  return result;
}

}  // namespace nacre::images
