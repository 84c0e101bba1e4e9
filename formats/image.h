// Pictures: JPEG, PNG, WebP, BMP and the first picture of a GIF, told by their contents, as uint8 tensors (height, width,
// channels), turned as their EXIF orientation says.
//
// Channels: 1 grey, 3 red-green-blue, 4 with alpha. Grey from colour is 0.299 R + 0.587 G + 0.114 B; alpha is dropped,
// not blended, where it is not asked for, as Pillow and Keras do. Samples of 16 bits keep their upper half; inks (CMYK)
// become light. Sizes are checked before anything is allocated.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "backend/core/describe.h"
#include "backend/core/tensor.h"

namespace nacre {

struct ImageSize {
  std::int64_t height = 0, width = 0;
};

// `channels`: 1, 3 or 4, or 0 for those of the file (grey with alpha gives 4). `name` is for messages. A JPEG of at least
// twice the size `least` is decoded at a half, quarter or eighth of its own, never below `least`: much faster, and each
// pixel is then about the mean of those that it stands for.
Tensor decode_image(std::string_view bytes, const std::string& name, int channels = 0, ImageSize least = {});
Tensor read_image(const std::filesystem::path& path, int channels = 0, ImageSize least = {});
bool is_image_name(const std::filesystem::path& path);  // .jpg, .jpeg, .png, .webp, .bmp, .gif in any case
bool is_image_file(const std::filesystem::path& path);  // by its first bytes; false where it cannot be read

// uint8 (height, width) or (height, width, 1 | 3 | 4).
std::string encode_png(const Tensor& image);
void write_png(const std::filesystem::path& path, const Tensor& image);

// Bilinear, with half-pixel centres, as tf.image.resize does it: `antialias` takes all pixels that a smaller picture's
// pixel covers into account, without it the nearest four. uint8 (rounded) or float32, (height, width, channels).
Tensor resize_bilinear(const Tensor& image, std::int64_t height, std::int64_t width, bool antialias = false);

// How a picture of another shape comes to a size: stretch: whatever its sides; crop: as much of its middle as has the
// right shape (Keras's crop_to_aspect_ratio); pad: the whole picture, with black at two sides (pad_to_aspect_ratio).
enum class Fit : std::uint8_t { stretch, crop, pad };
template <>
struct EnumNames<Fit> {
  static constexpr std::string_view names[] = {"stretch", "crop", "pad"};
};
Tensor fit_image(const Tensor& image, std::int64_t height, std::int64_t width, Fit fit, bool antialias = false);

// The picture of a file brought to a size: in one way for data and for predictions.
struct Fitting {
  Fit fit = Fit::stretch;
  bool antialias = false;
  bool operator==(const Fitting&) const = default;
};
Tensor read_fitted(const std::filesystem::path& path, int channels, ImageSize size, Fitting fitting);

}  // namespace nacre
