// Pictures: PNG and JPEG as uint8 tensors (height, width, channels).
//
// Channels: 1 grey, 3 red-green-blue, 4 with alpha. Grey from colour is 0.299 R + 0.587 G + 0.114 B; alpha is dropped,
// not blended, where it is not asked for, as PIL and Keras do. Samples of 16 bits keep their upper half.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "backend/core/tensor.h"

namespace nacre {

// `channels`: 1, 3 or 4, or 0 for those of the file (grey with alpha gives 4). `name` is for messages.
Tensor decode_image(std::string_view bytes, const std::string& name, int channels = 0);
Tensor read_image(const std::filesystem::path& path, int channels = 0);
bool is_image_name(const std::filesystem::path& path);  // .png, .jpg, .jpeg in any case

// uint8 (height, width) or (height, width, 1 | 3 | 4).
std::string encode_png(const Tensor& image);
void write_png(const std::filesystem::path& path, const Tensor& image);

// Bilinear, with half-pixel centres and without smoothing when shrinking, as tf.image.resize does it.
// uint8 (rounded) or float32, (height, width, channels).
Tensor resize_bilinear(const Tensor& image, std::int64_t height, std::int64_t width);

}  // namespace nacre
