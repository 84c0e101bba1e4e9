// IDX files, the format of MNIST, gzipped or not.
//
// Two zero bytes, the element type, the number of axes, then the sizes and the values, all big-endian.
// Unsigned bytes become uint8; signed bytes, int16 and int32 become int32; float and double stay.
// Source: yann.lecun.com/exdb/mnist.
#pragma once

#include <filesystem>

#include "backend/core/tensor.h"

namespace nacre {

Tensor read_idx(const std::filesystem::path& path);
void write_idx(const std::filesystem::path& path, const Tensor& tensor);  // uint8, int32, float32 or float64

}  // namespace nacre
