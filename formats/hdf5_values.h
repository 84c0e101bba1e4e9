// Numbers and texts between the file and memory: types, sizes, and the checks before anything is allocated.
#pragma once

#include <functional>

#include "formats/hdf5_objects.h"

namespace nacre::hdf5 {

inline constexpr std::uint64_t most_text = std::uint64_t{1} << 28;  // bytes of all texts of one value

// How numbers of a dtype lie in memory for the library, and how they are written.
Handle memory_type(DType dtype);
Handle text_type(Encoding encoding, std::size_t fixed_size = 0);  // 0: of any length

// What numbers of a stored type become: a dtype and the type under which the library puts them into memory.
struct Reading {
  DType dtype = DType::float32;
  Handle memory;
  bool saturate = false;  // memory holds unsigned 64-bit integers, which are cut to the signed ones
};
Reading reading_of(const OpenFile& file, std::string_view path, hid_t type);
// Puts what the library has read into the form that a tensor has.
void finish_reading(const Reading& reading, Tensor& tensor);

Shape shape_of(const OpenFile& file, std::string_view path, hid_t space);
Handle space_of(const Shape& shape);
Handle list_space(std::size_t count);

void check_declared(const OpenFile& file, std::string_view path, std::uint64_t declared, std::uint64_t stored);
// Refuses layouts that reach outside the file or declare more than can be meant.
void check_layout(const OpenFile& file, std::string_view path, hid_t dataset, std::uint64_t declared);
// Runs a check of the heap; its errors gain the place.
void check_heap(const OpenFile& file, std::string_view path, const std::function<void(HeapChecker&)>& check);

// Reads `count` texts with `read`, which fills a buffer of the given memory type.
std::vector<std::string> read_texts(const OpenFile& file, std::string_view path, hid_t type, hid_t space,
                                    std::uint64_t count,
                                    const std::function<herr_t(hid_t memory, void* buffer)>& read);
// Variable texts end at the first zero byte, so none may lie within.
std::vector<const char*> pointers_of(const OpenFile& file, std::string_view path, const std::vector<std::string>& texts);

}  // namespace nacre::hdf5
