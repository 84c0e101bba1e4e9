#include "formats/hdf5_values.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace nacre::hdf5 {

namespace {

constexpr std::uint64_t suspicious_size = std::uint64_t{4} << 30;  // from here on the size declared is compared with
constexpr std::uint64_t most_inflation = 1000;                     // the size stored

// IEEE 754's half, which this version of the library has no name for.
Handle half_type() {
  Handle type(H5Tcopy(H5T_IEEE_F32LE), H5Tclose);
  H5Tset_fields(type.get(), 15, 10, 5, 0, 10);
  H5Tset_size(type.get(), 2);
  H5Tset_ebias(type.get(), 15);
  return type;
}

// h5py's booleans.
Handle boolean_type() {
  Handle type(H5Tenum_create(H5T_NATIVE_INT8), H5Tclose);
  for (const std::int8_t value : {std::int8_t{0}, std::int8_t{1}}) H5Tenum_insert(type.get(), value ? "TRUE" : "FALSE", &value);
  return type;
}

Handle opaque_type() {
  Handle type(H5Tcreate(H5T_OPAQUE, 2), H5Tclose);
  H5Tset_tag(type.get(), "");
  return type;
}

bool is_boolean(hid_t type) {
  if (H5Tget_nmembers(type) != 2 || H5Tget_size(type) != 1) return false;
  for (unsigned i = 0; i < 2; ++i) {
    char* name = H5Tget_member_name(type, i);
    std::int8_t value = -1;
    const bool fits = name && H5Tget_member_value(type, i, &value) >= 0 && value == static_cast<std::int8_t>(std::strcmp(name, "TRUE") == 0) &&
                      (value == 1 || std::strcmp(name, "FALSE") == 0);
    H5free_memory(name);
    if (!fits) return false;
  }
  return true;
}

}  // namespace

Handle memory_type(DType dtype) {
  const auto native = [](hid_t type) { return Handle(H5Tcopy(type), H5Tclose); };
  switch (dtype) {
    case DType::boolean: return boolean_type();
    case DType::uint8: return native(H5T_NATIVE_UINT8);
    case DType::int32: return native(H5T_NATIVE_INT32);
    case DType::int64: return native(H5T_NATIVE_INT64);
    case DType::float16: return half_type();
    case DType::bfloat16: return opaque_type();
    case DType::float32: return native(H5T_NATIVE_FLOAT);
    case DType::float64: return native(H5T_NATIVE_DOUBLE);
    case DType::string: refuse_texts();
  }
  return {};
}

namespace {

Reading integer_reading(hid_t type) {
  const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
  const std::size_t size = H5Tget_size(type);
  if (size == 1 && !is_signed) return {DType::uint8, memory_type(DType::uint8)};
  if (size < 4 || (size == 4 && is_signed)) return {DType::int32, memory_type(DType::int32)};
  if (size < 8 || is_signed) return {DType::int64, memory_type(DType::int64)};
  return {DType::int64, Handle(H5Tcopy(H5T_NATIVE_UINT64), H5Tclose), true};
}

}  // namespace

void finish_reading(const Reading& reading, Tensor& tensor) {
  if (reading.dtype == DType::boolean)
    for (unsigned char& byte : std::span(static_cast<unsigned char*>(tensor.raw_writable()), tensor.bytes())) byte = byte != 0;
  if (reading.saturate)
    for (std::int64_t& value : tensor.writable<std::int64_t>())
      if (value < 0) value = std::numeric_limits<std::int64_t>::max();
}

Reading reading_of(const OpenFile& file, std::string_view path, hid_t type) {
  const std::size_t size = H5Tget_size(type);
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      if (size > 8) break;
      return integer_reading(type);
    case H5T_ENUM: {
      // A boolean is read as the one-byte integer that it is: zero or not.
      if (is_boolean(type)) return {DType::boolean, Handle(H5Tcopy(type), H5Tclose)};
      const Handle base(H5Tget_super(type), H5Tclose);
      if (!base || H5Tget_size(base.get()) > 8) break;
      return integer_reading(base.get());
    }
    case H5T_FLOAT: {
      if (size > 16) break;
      std::size_t sign = 0, exponent = 0, exponent_size = 0, mantissa = 0, mantissa_size = 0;
      H5Tget_fields(type, &sign, &exponent, &exponent_size, &mantissa, &mantissa_size);
      if (size == 2 && exponent_size <= 5) return {DType::float16, half_type()};
      if (size <= 4) return {DType::float32, memory_type(DType::float32)};
      return {DType::float64, memory_type(DType::float64)};
    }
    case H5T_OPAQUE:  // h5py's form of bfloat16, with or without an attribute that says so
      if (size == 2) return {DType::bfloat16, Handle(H5Tcopy(type), H5Tclose)};
      break;
    case H5T_STRING: throw error_in(file, path, "it holds texts, numbers are wanted");
    default: break;
  }
  throw error_in(file, path, "its type is not supported").hint("numbers, booleans and texts can be read");
}

Shape shape_of(const OpenFile& file, std::string_view path, hid_t space) {
  const H5S_class_t kind = H5Sget_simple_extent_type(space);
  if (kind == H5S_SCALAR) return {};
  if (kind != H5S_SIMPLE) throw error_in(file, path, "it is declared empty: there is no value to read");
  std::array<hsize_t, H5S_MAX_RANK> sizes{};
  const int rank = H5Sget_simple_extent_ndims(space);
  if (rank < 0 || rank > H5S_MAX_RANK || H5Sget_simple_extent_dims(space, sizes.data(), nullptr) < 0) throw damaged(file, path, "read");
  Shape shape;
  std::uint64_t elements = 1;
  for (int axis = 0; axis < rank; ++axis) {
    const std::uint64_t size = sizes[static_cast<std::size_t>(axis)];
    // Zero elsewhere in the shape must not hide a size that does not fit.
    if (size > (std::uint64_t{1} << 48) || (size > 1 && elements > (std::uint64_t{1} << 48) / size))
      throw error_in(file, path, "its size is absurd").hint("the file is damaged or hostile");
    elements *= std::max<std::uint64_t>(size, 1);
    shape.append(static_cast<std::int64_t>(size));
  }
  return shape;
}

void check_declared(const OpenFile& file, std::string_view path, std::uint64_t declared, std::uint64_t stored) {
  if (declared > suspicious_size && declared / most_inflation > stored)
    throw error_in(file, path, fmt::format("it declares {} bytes, but {} are stored", declared, stored)).hint("the file is damaged or hostile");
}

void check_layout(const OpenFile& file, std::string_view path, hid_t dataset, std::uint64_t declared) {
  const Handle properties(H5Dget_create_plist(dataset), H5Pclose);
  if (!properties) throw damaged(file, path, "read");
  const H5D_layout_t layout = H5Pget_layout(properties.get());
  if (layout == H5D_VIRTUAL) throw error_in(file, path, "it is a virtual dataset, which is not followed").hint("store the values themselves");
  if (H5Pget_external_count(properties.get()) != 0)
    throw error_in(file, path, "its values lie in another file, which is not followed").hint("store the values themselves");
  if (layout == H5D_CHUNKED) {
    std::array<hsize_t, H5S_MAX_RANK> sizes{};
    const int rank = H5Pget_chunk(properties.get(), H5S_MAX_RANK, sizes.data());
    const Handle type(H5Dget_type(dataset), H5Tclose);
    std::uint64_t chunk = H5Tget_size(type.get());
    for (int axis = 0; axis < rank; ++axis) {
      const std::uint64_t size = std::max<std::uint64_t>(sizes[static_cast<std::size_t>(axis)], 1);
      if (chunk > (std::uint64_t{1} << 40) / size) throw error_in(file, path, "its size is absurd").hint("the file is damaged or hostile");
      chunk *= size;
    }
    // What LZF unpacks to is a parameter of its own; the library takes for granted that it is a whole chunk.
    unsigned flags = 0, settings[3] = {};
    std::size_t count = 3;
    if (H5Pget_filter_by_id2(properties.get(), lzf_filter, &flags, &count, settings, 0, nullptr, nullptr) >= 0 && (count < 3 || settings[2] != chunk))
      throw error_in(file, path, "its compression does not fit its size").hint("the file is damaged or hostile");
    // One chunk is unpacked into memory as a whole, whatever the dataset's own size.
    if (chunk > suspicious_size / 16 && chunk / most_inflation > file.size)
      throw error_in(file, path, fmt::format("one chunk declares {} bytes in a file of {}", chunk, file.size)).hint("the file is damaged or hostile");
  }
  check_declared(file, path, declared, std::min<std::uint64_t>(H5Dget_storage_size(dataset), file.size));
}

Handle space_of(const Shape& shape) {
  if (shape.rank() == 0) return Handle(H5Screate(H5S_SCALAR), H5Sclose);
  ensure(shape.rank() <= H5S_MAX_RANK, "HDF5 knows at most {} axes, not {}", H5S_MAX_RANK, shape.rank());
  const std::vector<hsize_t> sizes(shape.begin(), shape.end());
  return Handle(H5Screate_simple(shape.rank(), sizes.data(), nullptr), H5Sclose);
}

Handle list_space(std::size_t count) {
  const hsize_t size = count;
  return Handle(H5Screate_simple(1, &size, nullptr), H5Sclose);
}

void check_heap(const OpenFile& file, std::string_view path, const std::function<void(HeapChecker&)>& check) {
  if (!file.heap) return;
  try {
    check(*file.heap);
  } catch (Error& error) {
    error.at(Mark{file.path.string()}).about(fmt::format("'{}'", path));
    throw;
  }
}

// --- texts -------------------------------------------------------------------------------------------------------

Handle text_type(Encoding encoding, std::size_t fixed_size) {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), fixed_size ? fixed_size : H5T_VARIABLE);
  if (fixed_size) H5Tset_strpad(type.get(), H5T_STR_NULLPAD);
  H5Tset_cset(type.get(), encoding == Encoding::utf8 ? H5T_CSET_UTF8 : H5T_CSET_ASCII);
  return type;
}

namespace {

std::string fixed_text(const char* bytes, std::size_t size, H5T_str_t padding) {
  std::string text(bytes, size);
  if (padding == H5T_STR_SPACEPAD) text.erase(text.find_last_not_of(' ') + 1);
  else if (const std::size_t end = text.find('\0'); padding == H5T_STR_NULLTERM && end != std::string::npos) text.erase(end);
  else text.erase(text.find_last_not_of('\0') + 1);
  return text;
}

}  // namespace

std::vector<std::string> read_texts(const OpenFile& file, std::string_view path, hid_t type, hid_t space, std::uint64_t count,
                                    const std::function<herr_t(hid_t memory, void* buffer)>& read) {
  std::vector<std::string> texts;
  if (count == 0) return texts;
  if (H5Tis_variable_str(type) > 0) {
    const Handle memory(H5Tcopy(type), H5Tclose);
    std::vector<char*> pointers(count, nullptr);
    if (read(memory.get(), pointers.data()) < 0) throw damaged(file, path, "read");
    std::uint64_t total = 0;
    for (const char* pointer : pointers) {
      texts.emplace_back(pointer ? pointer : "");
      total += texts.back().size();
    }
    H5Dvlen_reclaim(memory.get(), space, H5P_DEFAULT, pointers.data());
    if (total > most_text) throw error_in(file, path, fmt::format("its texts are longer than {} MiB", most_text >> 20));
    return texts;
  }
  const std::size_t size = H5Tget_size(type);
  if (size == 0 || count > most_text / size) throw error_in(file, path, fmt::format("its texts are longer than {} MiB", most_text >> 20));
  std::vector<char> bytes(static_cast<std::size_t>(count) * size);
  const Handle memory(H5Tcopy(type), H5Tclose);
  if (read(memory.get(), bytes.data()) < 0) throw damaged(file, path, "read");
  for (std::size_t i = 0; i < count; ++i) texts.push_back(fixed_text(bytes.data() + i * size, size, H5Tget_strpad(type)));
  return texts;
}

std::vector<const char*> pointers_of(const OpenFile& file, std::string_view path, const std::vector<std::string>& texts) {
  std::vector<const char*> pointers;
  for (const std::string& text : texts) {
    if (text.find('\0') != std::string::npos) throw error_in(file, path, "a text that holds a zero byte cannot be written");
    pointers.push_back(text.c_str());
  }
  return pointers;
}

}  // namespace nacre::hdf5
