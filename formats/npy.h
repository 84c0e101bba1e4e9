// NumPy's files: one array in .npy, named arrays in .npz (a zip archive of .npy).
//
// Arrays are read in row-major order whatever their order in the file; int8 and int16 become int32, uint16 int32,
// uint32 and uint64 int64 (beyond its range: an error). Texts, complex numbers and Python objects are refused.
// Source: numpy/lib/format.py, versions 1 to 3.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/core/tensor.h"

namespace nacre {

Tensor read_npy(const std::filesystem::path& path);  // gzipped or not
void write_npy(const std::filesystem::path& path, const Tensor& tensor);

// The same in memory; `name` is for messages.
Tensor parse_npy(std::string_view bytes, const std::string& name);
std::string format_npy(const Tensor& tensor);  // bfloat16 is written as float32, which holds it

using NamedArrays = std::vector<std::pair<std::string, Tensor>>;  // in the archive's order, without ".npy"

NamedArrays read_npz(const std::filesystem::path& path);
Tensor read_npz(const std::filesystem::path& path, std::string_view name);  // one array; lists the others if it is absent
std::vector<std::string> npz_names(const std::filesystem::path& path);
void write_npz(const std::filesystem::path& path, const NamedArrays& arrays);

}  // namespace nacre
