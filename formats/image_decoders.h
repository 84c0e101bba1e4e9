// What the decoders of single formats share: each gives a picture as it is stored, with 1 to 4 channels (2: grey with alpha).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "backend/core/tensor.h"

namespace nacre::images {

constexpr std::uint64_t most_pixels = std::uint64_t{1} << 26;
constexpr std::uint32_t longest_side = 1 << 16;
constexpr std::string_view damaged_hint = "the file is damaged: copy or download it again";

struct Extent {
  std::uint32_t width = 0, height = 0;
  int channels = 0;
};

// Throws an Error for sizes that are refused before anything is allocated. `pixels_per_byte`: more than so many for each
// byte of the file are no picture in its format.
void check_size(const Extent& extent, std::uint64_t file_size, const std::string& name, std::uint64_t pixels_per_byte = 8 * 1032);

// uint8, not initialised.
Tensor make_picture(const Extent& extent);

// "x.gif: the GIF picture cannot be read: …"
Error damaged(std::string_view format, std::string_view reason, const std::string& name);

// As it would be seen the right way round: 1 as stored, 2 … 8 as EXIF numbers the turns and reflections.
Tensor upright(const Tensor& image, int orientation);
// The orientation that EXIF data (a TIFF file in small, with or without "Exif\0\0" before it) tells; 1 when it tells none.
int exif_orientation(std::string_view exif);

Tensor decode_png(std::string_view bytes, const std::string& name);
// JPEGs are decoded smaller, by halves, where that keeps at least so many pixels; 0 × 0: at their own size.
Tensor decode_jpeg(std::string_view bytes, const std::string& name, std::uint32_t least_height, std::uint32_t least_width);
Tensor decode_webp(std::string_view bytes, const std::string& name);
Tensor decode_bmp(std::string_view bytes, const std::string& name);
Tensor decode_gif(std::string_view bytes, const std::string& name);

}  // namespace nacre::images
