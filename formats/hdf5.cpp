#define H5_USE_110_API  // newer libraries keep these names for it
#include "formats/hdf5.h"

#include <hdf5.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <iterator>
#include <limits>
#include <mutex>
#include <optional>
#include <set>

#include "formats/file.h"
#include "formats/hdf5_heap.h"

namespace nacre::hdf5 {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t suspicious_size = std::uint64_t{4} << 30;  // from here on the size declared is compared with
constexpr std::uint64_t most_inflation = 1000;                     // the size stored
constexpr std::uint64_t most_text = std::uint64_t{1} << 28;
constexpr std::size_t most_names = 1'000'000;
constexpr hsize_t most_text_chunks = 10'000;  // each is looked up in time that grows with their number
constexpr int deepest = 64;

// Held during every call of the library, which also makes it silent.
class Session {
 public:
  Session() : lock_(mutex()) {
    static const bool started = [] {
      // The library's own work at exit crashes when a file could not be closed because the disk was full.
      H5dont_atexit();
      H5open();
      H5PLset_loading_state(0);  // filters that a file names are never searched for on disk
      return true;
    }();
    (void)started;
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    H5Eclear2(H5E_DEFAULT);
  }

 private:
  static std::recursive_mutex& mutex() {
    static std::recursive_mutex instance;
    return instance;
  }
  std::lock_guard<std::recursive_mutex> lock_;
};

// The innermost reason of the last failure.
std::string library_reason() {
  std::string reason;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned n, const H5E_error2_t* error, void* text) -> herr_t {
        if (n == 0 && error->desc) *static_cast<std::string*>(text) = error->desc;
        return 0;
      },
      &reason);
  H5Eclear2(H5E_DEFAULT);
  return reason.empty() ? "no reason given" : reason;
}

// An identifier with the function that closes it. Lives within one Session.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Close close) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  explicit operator bool() const { return id_ >= 0; }
  hid_t get() const { return id_; }

 private:
  hid_t id_ = H5I_INVALID_HID;
  Close close_ = nullptr;
};

}  // namespace

struct OpenFile {
  fs::path path;
  std::optional<AtomicFile> output;  // when writing
  std::uint64_t size = 0;            // when reading: of the file
  std::unique_ptr<HeapChecker> heap; // when reading
  hid_t id = H5I_INVALID_HID;

  ~OpenFile() {
    const Session session;
    if (id >= 0) H5Fclose(id);
  }
};

namespace {

Error error_in(const OpenFile& file, std::string_view path, std::string message) {
  Error error(std::move(message));
  error.at(Mark{file.path.string()});
  if (!path.empty()) error.about(fmt::format("'{}'", path));
  return error;
}

Error damaged(const OpenFile& file, std::string_view path, std::string_view action) {
  return error_in(file, path, fmt::format("cannot be {}: {}", action, library_reason())).hint("the file is damaged: copy or download it again");
}

// The error of a failed write: full disks and the like are told apart by the error number in the library's text.
Error write_error(const OpenFile& file, std::string_view path) {
  const std::string reason = library_reason();
  constexpr std::string_view key = "errno = ";
  if (const std::size_t position = reason.find(key); position != std::string::npos) {
    int number = 0;
    std::from_chars(reason.data() + position + key.size(), reason.data() + reason.size(), number);
    if (number > 0) return file_error(file.path, "written", number);
  }
  return error_in(file, path, "cannot be written: " + reason);
}

// Splits "a/b" into its parts.
std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) parts.emplace_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string joined(std::string_view parent, std::string_view child) {
  std::string path(parent);
  for (const std::string& part : parts_of(child)) path += (path.ends_with('/') ? "" : "/") + part;
  return path;
}

Handle open_root(const OpenFile& file) {
  Handle root(H5Gopen2(file.id, "/", H5P_DEFAULT), H5Gclose);
  if (!root) throw damaged(file, "/", "opened");
  return root;
}

// The object at an absolute path, reached over hard links alone; an empty handle when there is none.
Handle find_object(const OpenFile& file, std::string_view path) {
  Handle object = open_root(file);
  std::string reached = "/";
  for (const std::string& part : parts_of(path)) {
    if (H5Iget_type(object.get()) != H5I_GROUP || part == ".") return {};
    const htri_t exists = H5Lexists(object.get(), part.c_str(), H5P_DEFAULT);
    if (exists < 0) throw damaged(file, reached, "read");
    if (exists == 0) return {};
    reached = joined(reached, part);
    H5L_info_t link{};
    if (H5Lget_info(object.get(), part.c_str(), &link, H5P_DEFAULT) < 0) throw damaged(file, reached, "read");
    if (link.type != H5L_TYPE_HARD)
      throw error_in(file, reached, fmt::format("it is {} link, which is not followed", link.type == H5L_TYPE_SOFT ? "a soft" : "an external"))
          .hint("store the object itself at this place");
    Handle next(H5Oopen(object.get(), part.c_str(), H5P_DEFAULT), H5Oclose);
    if (!next) throw damaged(file, reached, "opened");
    object = std::move(next);
  }
  return object;
}

struct Names {
  std::vector<std::string> names;
  bool failed = false;
};

std::vector<std::string> list_names(const OpenFile& file, hid_t group, std::string_view path) {
  Names found;
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* user) -> herr_t {
    auto& names = *static_cast<Names*>(user);
    try {
      if (names.names.size() < most_names) {
        names.names.emplace_back(name);
        return 0;
      }
    } catch (...) {  // may not pass through the library
    }
    names.failed = true;
    return -1;
  };
  hsize_t position = 0;
  if (H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, &position, add, &found) < 0) {
    if (found.failed) throw error_in(file, path, fmt::format("it holds more than {} names", most_names));
    throw damaged(file, path, "listed");
  }
  return std::move(found.names);
}

// Digits as numbers, the rest as bytes.
bool natural_less(const std::string& a, const std::string& b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      while (i + 1 < a.size() && a[i] == '0' && digit(a[i + 1])) ++i;
      while (j + 1 < b.size() && b[j] == '0' && digit(b[j + 1])) ++j;
      std::size_t m = i, n = j;
      while (m < a.size() && digit(a[m])) ++m;
      while (n < b.size() && digit(b[n])) ++n;
      if (m - i != n - j) return m - i < n - j;
      if (const int order = a.compare(i, m - i, b, j, n - j); order != 0) return order < 0;
      i = m, j = n;
    } else {
      if (a[i] != b[j]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
      ++i, ++j;
    }
  }
  if (a.size() - i != b.size() - j) return a.size() - i < b.size() - j;
  return a < b;
}

Handle require_object(const OpenFile& file, std::string_view path, H5I_type_t kind, std::string_view kind_name) {
  Handle object = find_object(file, path);
  if (object && H5Iget_type(object.get()) == kind) return object;
  if (object) throw error_in(file, path, fmt::format("it is no {}", kind_name));
  // The nearest group above that is there, to name what it holds.
  std::vector<std::string> parts = parts_of(path);
  std::string parent = "/";
  Handle above = open_root(file);
  std::string missing;
  for (const std::string& part : parts) {
    missing = part;
    Handle next = find_object(file, joined(parent, part));
    if (!next) break;
    parent = joined(parent, part);
    above = std::move(next);
  }
  Error error = error_in(file, "", fmt::format("there is no {} '{}'", kind_name, path));
  if (H5Iget_type(above.get()) == H5I_GROUP) {
    const std::vector<std::string> names = list_names(file, above.get(), parent);
    if (const std::vector<std::string_view> known(names.begin(), names.end()); !known.empty())
      error.hint(suggestion(missing, known));
  }
  throw error;
}

// --- types -------------------------------------------------------------------------------------------------------

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

// How numbers of a dtype lie in memory for the library, and how they are written.
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
  }
  return {};
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

// What numbers of a stored type become: a dtype and the type under which the library puts them into memory.
struct Reading {
  DType dtype = DType::float32;
  Handle memory;
  bool saturate = false;  // memory holds unsigned 64-bit integers, which are cut to the signed ones
};

Reading integer_reading(hid_t type) {
  const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
  const std::size_t size = H5Tget_size(type);
  if (size == 1 && !is_signed) return {DType::uint8, memory_type(DType::uint8)};
  if (size < 4 || (size == 4 && is_signed)) return {DType::int32, memory_type(DType::int32)};
  if (size < 8 || is_signed) return {DType::int64, memory_type(DType::int64)};
  return {DType::int64, Handle(H5Tcopy(H5T_NATIVE_UINT64), H5Tclose), true};
}

// Puts what the library has read into the form that a tensor has.
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

// Refuses layouts that reach outside the file or declare more than can be meant.
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
    // One chunk is unpacked into memory as a whole, whatever the dataset's own size.
    if (chunk > suspicious_size / 16 && chunk / most_inflation > file.size)
      throw error_in(file, path, fmt::format("one chunk declares {} bytes in a file of {}", chunk, file.size)).hint("the file is damaged or hostile");
  }
  check_declared(file, path, declared, std::min<std::uint64_t>(H5Dget_storage_size(dataset), file.size));
}

// --- texts -------------------------------------------------------------------------------------------------------

Handle text_type(Encoding encoding, std::size_t fixed_size = 0) {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), fixed_size ? fixed_size : H5T_VARIABLE);
  if (fixed_size) H5Tset_strpad(type.get(), H5T_STR_NULLPAD);
  H5Tset_cset(type.get(), encoding == Encoding::utf8 ? H5T_CSET_UTF8 : H5T_CSET_ASCII);
  return type;
}

std::string fixed_text(const char* bytes, std::size_t size, H5T_str_t padding) {
  std::string text(bytes, size);
  if (padding == H5T_STR_SPACEPAD) text.erase(text.find_last_not_of(' ') + 1);
  else if (const std::size_t end = text.find('\0'); padding == H5T_STR_NULLTERM && end != std::string::npos) text.erase(end);
  else text.erase(text.find_last_not_of('\0') + 1);
  return text;
}

// Reads `count` texts with `read`, which fills a buffer of the given memory type.
template <class Read>
std::vector<std::string> read_texts(const OpenFile& file, std::string_view path, hid_t type, hid_t space, std::uint64_t count, Read&& read) {
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

// --- attributes --------------------------------------------------------------------------------------------------

// Runs a check of the heap; its errors gain the place.
template <class Check>
void check_heap(const OpenFile& file, std::string_view path, Check&& check) {
  if (!file.heap) return;
  try {
    check(*file.heap);
  } catch (Error& error) {
    error.at(Mark{file.path.string()}).about(fmt::format("'{}'", path));
    throw;
  }
}

struct Attribute {
  Handle id, type, space;
};

std::optional<Attribute> find_attribute(const OpenFile& file, std::string_view path, hid_t object, std::string_view name) {
  const std::string text(name);
  const htri_t exists = H5Aexists(object, text.c_str());
  if (exists < 0) throw damaged(file, path, "read");
  if (exists == 0) return {};
  Attribute attribute;
  attribute.id = Handle(H5Aopen(object, text.c_str(), H5P_DEFAULT), H5Aclose);
  if (attribute.id) attribute.type = Handle(H5Aget_type(attribute.id.get()), H5Tclose);
  if (attribute.type) attribute.space = Handle(H5Aget_space(attribute.id.get()), H5Sclose);
  if (!attribute.space) throw damaged(file, fmt::format("{}@{}", path, name), "read");
  return attribute;
}

Handle require_any(const OpenFile& file, std::string_view path) {
  Handle object = find_object(file, path);
  if (!object) throw error_in(file, path, "it is gone");
  return object;
}

std::vector<std::string> attribute_texts(const OpenFile& file, std::string_view path, std::string_view name, bool list) {
  const Handle object = require_any(file, path);
  const auto attribute = find_attribute(file, path, object.get(), name);
  if (!attribute) throw error_in(file, path, fmt::format("there is no attribute '{}'", name));
  const std::string place = fmt::format("{}@{}", path, name);
  if (H5Sget_simple_extent_type(attribute->space.get()) == H5S_NULL) return list ? std::vector<std::string>{} : std::vector<std::string>{""};
  const Shape shape = shape_of(file, place, attribute->space.get());
  const std::int64_t count = shape.elements();
  if (H5Tget_class(attribute->type.get()) != H5T_STRING) {
    if (list && count == 0) return {};
    throw error_in(file, place, "it holds no text");
  }
  if (!list && count != 1) throw error_in(file, place, fmt::format("it holds {} texts, one is wanted", count));
  if (static_cast<std::uint64_t>(count) > most_names) throw error_in(file, place, fmt::format("it holds more than {} texts", most_names));
  if (count > 0 && H5Tis_variable_str(attribute->type.get()) > 0)
    check_heap(file, place, [&](HeapChecker& heap) {
      H5O_info_t info{};
      if (H5Oget_info(object.get(), &info) < 0) throw damaged(file, path, "read");
      heap.check_attribute(info.addr, name, static_cast<std::uint64_t>(count));
    });
  return read_texts(file, place, attribute->type.get(), attribute->space.get(), static_cast<std::uint64_t>(count),
                    [&](hid_t memory, void* buffer) { return H5Aread(attribute->id.get(), memory, buffer); });
}

void ensure_writing(const OpenFile& file) { ensure(file.output.has_value(), "'{}' is open for reading and written to", file.path.string()); }

void write_attribute(const OpenFile& file, std::string_view path, std::string_view name, hid_t type, hid_t space, const void* values) {
  ensure_writing(file);
  const Handle object = require_any(file, path);
  const std::string text(name);
  if (H5Aexists(object.get(), text.c_str()) > 0) H5Adelete(object.get(), text.c_str());
  const Handle attribute(H5Acreate2(object.get(), text.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  const char nothing = 0;  // an empty list has no values, and the library takes no null
  if (!attribute || H5Awrite(attribute.get(), type, values ? values : &nothing) < 0) throw write_error(file, fmt::format("{}@{}", path, name));
}

Handle list_space(std::size_t count) {
  const hsize_t size = count;
  return Handle(H5Screate_simple(1, &size, nullptr), H5Sclose);
}

Handle space_of(const Shape& shape) {
  if (shape.rank() == 0) return Handle(H5Screate(H5S_SCALAR), H5Sclose);
  ensure(shape.rank() <= H5S_MAX_RANK, "HDF5 knows at most {} axes, not {}", H5S_MAX_RANK, shape.rank());
  const std::vector<hsize_t> sizes(shape.begin(), shape.end());
  return Handle(H5Screate_simple(shape.rank(), sizes.data(), nullptr), H5Sclose);
}

// Variable texts end at the first zero byte, so none may lie within.
std::vector<const char*> pointers_of(const OpenFile& file, std::string_view path, const std::vector<std::string>& texts) {
  std::vector<const char*> pointers;
  for (const std::string& text : texts) {
    if (text.find('\0') != std::string::npos) throw error_in(file, path, "a text that holds a zero byte cannot be written");
    pointers.push_back(text.c_str());
  }
  return pointers;
}

}  // namespace

std::vector<std::string> Object::attribute_names() const {
  const Session session;
  const Handle object = require_any(*file_, path_);
  Names found;
  const auto add = [](hid_t, const char* name, const H5A_info_t*, void* user) -> herr_t {
    auto& names = *static_cast<Names*>(user);
    try {
      if (names.names.size() < most_names) {
        names.names.emplace_back(name);
        return 0;
      }
    } catch (...) {
    }
    names.failed = true;
    return -1;
  };
  hsize_t position = 0;
  if (H5Aiterate2(object.get(), H5_INDEX_NAME, H5_ITER_NATIVE, &position, add, &found) < 0) throw damaged(*file_, path_, "listed");
  std::sort(found.names.begin(), found.names.end(), natural_less);
  return std::move(found.names);
}

bool Object::has_attribute(std::string_view name) const {
  const Session session;
  const Handle object = require_any(*file_, path_);
  return H5Aexists(object.get(), std::string(name).c_str()) > 0;
}

std::string Object::text_attribute(std::string_view name) const {
  const Session session;
  return attribute_texts(*file_, path_, name, false).front();
}

std::vector<std::string> Object::texts_attribute(std::string_view name) const {
  const Session session;
  return attribute_texts(*file_, path_, name, true);
}

Tensor Object::tensor_attribute(std::string_view name) const {
  const Session session;
  const Handle object = require_any(*file_, path_);
  const auto attribute = find_attribute(*file_, path_, object.get(), name);
  if (!attribute) throw error_in(*file_, path_, fmt::format("there is no attribute '{}'", name));
  const std::string place = fmt::format("{}@{}", path_, name);
  const Reading reading = reading_of(*file_, place, attribute->type.get());
  const Type type{reading.dtype, shape_of(*file_, place, attribute->space.get())};
  if (H5Aget_storage_size(attribute->id.get()) > file_->size && !file_->output) throw damaged(*file_, place, "read");
  check_declared(*file_, place, type.bytes(), file_->size);
  Tensor tensor(type);
  if (tensor.size() > 0 && H5Aread(attribute->id.get(), reading.memory.get(), tensor.raw_writable()) < 0) throw damaged(*file_, place, "read");
  finish_reading(reading, tensor);
  return tensor;
}

void Object::set_attribute(std::string_view name, std::string_view text, Encoding encoding) {
  const Session session;
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const std::vector<std::string> texts{std::string(text)};
  const std::vector<const char*> pointers = pointers_of(*file_, path_, texts);
  write_attribute(*file_, path_, name, text_type(encoding).get(), space.get(), pointers.data());
}

void Object::set_attribute(std::string_view name, const std::vector<std::string>& texts, Encoding encoding) {
  const Session session;
  const std::vector<const char*> pointers = pointers_of(*file_, path_, texts);
  write_attribute(*file_, path_, name, text_type(encoding).get(), list_space(texts.size()).get(), pointers.data());
}

void Object::set_attribute_padded(std::string_view name, const std::vector<std::string>& texts, std::size_t size) {
  const Session session;
  size = std::max<std::size_t>(size, 1);
  for (const std::string& text : texts) size = std::max(size, text.size());
  std::string bytes;
  for (const std::string& text : texts) bytes.append(text).append(size - text.size(), '\0');
  write_attribute(*file_, path_, name, text_type(Encoding::ascii, size).get(), list_space(texts.size()).get(), bytes.data());
}

void Object::set_attribute(std::string_view name, const Tensor& values) {
  const Session session;
  write_attribute(*file_, path_, name, memory_type(values.dtype()).get(), space_of(values.shape()).get(), values.raw());
}

// --- datasets ----------------------------------------------------------------------------------------------------

namespace {

struct OpenDataset {
  Handle id, type, space;
  Shape shape;
};

OpenDataset open_dataset(const OpenFile& file, std::string_view path) {
  OpenDataset dataset;
  dataset.id = require_object(file, path, H5I_DATASET, "dataset");
  dataset.type = Handle(H5Dget_type(dataset.id.get()), H5Tclose);
  dataset.space = Handle(H5Dget_space(dataset.id.get()), H5Sclose);
  if (!dataset.type || !dataset.space) throw damaged(file, path, "read");
  dataset.shape = shape_of(file, path, dataset.space.get());
  return dataset;
}

Tensor read_tensor(const OpenFile& file, std::string_view path, std::int64_t begin, std::int64_t end, bool all) {
  const OpenDataset dataset = open_dataset(file, path);
  const Reading reading = reading_of(file, path, dataset.type.get());
  Type type{reading.dtype, dataset.shape};
  check_layout(file, path, dataset.id.get(), std::max<std::uint64_t>(type.bytes(), static_cast<std::uint64_t>(dataset.shape.elements()) * H5Tget_size(dataset.type.get())));
  Handle memory_space;
  if (!all) {
    ensure(type.shape.rank() > 0, "rows of the scalar '{}'", path);
    if (begin < 0 || end < begin || end > type.shape[0])
      throw error_in(file, path, fmt::format("rows {} to {} are wanted of {}", begin, end, type.shape[0]));
    std::vector<hsize_t> starts(static_cast<std::size_t>(type.shape.rank()), 0), counts(type.shape.begin(), type.shape.end());
    starts[0] = static_cast<hsize_t>(begin);
    counts[0] = static_cast<hsize_t>(end - begin);
    type.shape.set(0, end - begin);
    memory_space = space_of(type.shape);
    if (type.shape.elements() > 0 && H5Sselect_hyperslab(dataset.space.get(), H5S_SELECT_SET, starts.data(), nullptr, counts.data(), nullptr) < 0)
      throw damaged(file, path, "read");
  }
  Tensor tensor = Tensor::uninitialised(type);
  if (tensor.size() == 0) return tensor;
  const hid_t file_space = all ? H5S_ALL : dataset.space.get();
  if (H5Dread(dataset.id.get(), reading.memory.get(), all ? H5S_ALL : memory_space.get(), file_space, H5P_DEFAULT, tensor.raw_writable()) < 0)
    throw damaged(file, path, "read");
  finish_reading(reading, tensor);
  return tensor;
}

}  // namespace

namespace {

// The references of variable texts lie in one piece or in chunks; those of packed chunks cannot be looked up.
void check_text_heap(const OpenFile& file, std::string_view path, hid_t dataset, hid_t space, std::uint64_t count) {
  check_heap(file, path, [&](HeapChecker& heap) {
    const Handle properties(H5Dget_create_plist(dataset), H5Pclose);
    const H5D_layout_t layout = H5Pget_layout(properties.get());
    if (layout == H5D_CONTIGUOUS) {
      const haddr_t offset = H5Dget_offset(dataset);
      if (offset != HADDR_UNDEF) heap.check_references(offset, count);
      return;
    }
    hsize_t chunks = 0, size = 0;
    if (layout == H5D_CHUNKED && H5Pget_nfilters(properties.get()) == 0 && H5Dget_num_chunks(dataset, space, &chunks) >= 0 && chunks <= most_text_chunks) {
      std::array<hsize_t, H5S_MAX_RANK> offset{};
      unsigned mask = 0;
      haddr_t address = 0;
      for (hsize_t i = 0; i < chunks; ++i) {
        if (H5Dget_chunk_info(dataset, space, i, offset.data(), &mask, &address, &size) < 0) throw damaged(file, path, "read");
        heap.check_references(address, size / 16);
      }
      return;
    }
    throw Error("its texts are stored in a form that cannot be checked").hint("store them without compression, or with a fixed length");
  });
}

}  // namespace

bool Dataset::holds_text() const {
  const Session session;
  const OpenDataset dataset = open_dataset(*file_, path_);
  return H5Tget_class(dataset.type.get()) == H5T_STRING;
}

Shape Dataset::shape() const {
  const Session session;
  return open_dataset(*file_, path_).shape;
}

Type Dataset::type() const {
  const Session session;
  const OpenDataset dataset = open_dataset(*file_, path_);
  return {reading_of(*file_, path_, dataset.type.get()).dtype, dataset.shape};
}

Tensor Dataset::tensor() const {
  const Session session;
  return read_tensor(*file_, path_, 0, 0, true);
}

Tensor Dataset::rows(std::int64_t begin, std::int64_t end) const {
  const Session session;
  return read_tensor(*file_, path_, begin, end, false);
}

std::vector<std::string> Dataset::texts() const {
  const Session session;
  const OpenDataset dataset = open_dataset(*file_, path_);
  if (H5Tget_class(dataset.type.get()) != H5T_STRING) throw error_in(*file_, path_, "it holds no texts");
  const auto count = static_cast<std::uint64_t>(dataset.shape.elements());
  const std::uint64_t declared = count * std::max<std::uint64_t>(H5Tget_size(dataset.type.get()), sizeof(char*));
  check_layout(*file_, path_, dataset.id.get(), declared);
  if (declared > most_text) throw error_in(*file_, path_, fmt::format("its texts are longer than {} MiB", most_text >> 20));
  if (H5Tis_variable_str(dataset.type.get()) > 0) check_text_heap(*file_, path_, dataset.id.get(), dataset.space.get(), count);
  // Many variable texts may lie at one place of the file, so they are read by parts and their sum is watched. None
  // is longer than the file.
  const std::uint64_t part = std::clamp<std::uint64_t>(most_text / std::max<std::uint64_t>(file_->size, 1), 1, 1024);
  if (H5Tis_variable_str(dataset.type.get()) <= 0 || count <= part)
    return read_texts(*file_, path_, dataset.type.get(), dataset.space.get(), count, [&](hid_t memory, void* buffer) {
      return H5Dread(dataset.id.get(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer);
    });
  std::vector<std::string> texts;
  const auto rank = static_cast<std::size_t>(dataset.shape.rank());
  std::vector<hsize_t> coordinates;
  std::uint64_t total = 0;
  for (std::uint64_t begin = 0; begin < count; begin += part) {
    const std::uint64_t size = std::min(part, count - begin);
    coordinates.assign(size * rank, 0);
    for (std::uint64_t i = 0; i < size; ++i) {
      std::uint64_t index = begin + i;
      for (std::size_t axis = rank; axis-- > 0;) {
        const auto extent = static_cast<std::uint64_t>(dataset.shape[static_cast<int>(axis)]);
        coordinates[i * rank + axis] = index % extent;
        index /= extent;
      }
    }
    const Handle memory_space = list_space(size);
    H5Sselect_elements(dataset.space.get(), H5S_SELECT_SET, size, coordinates.data());
    auto some = read_texts(*file_, path_, dataset.type.get(), memory_space.get(), size, [&](hid_t memory, void* buffer) {
      return H5Dread(dataset.id.get(), memory, memory_space.get(), dataset.space.get(), H5P_DEFAULT, buffer);
    });
    for (const std::string& text : some) total += text.size();
    if (total > most_text) throw error_in(*file_, path_, fmt::format("its texts are longer than {} MiB", most_text >> 20));
    std::move(some.begin(), some.end(), std::back_inserter(texts));
  }
  return texts;
}

// --- groups ------------------------------------------------------------------------------------------------------

bool Group::has(std::string_view path) const {
  const Session session;
  return static_cast<bool>(find_object(*file_, joined(path_, path)));
}

bool Group::has_group(std::string_view path) const {
  const Session session;
  const Handle object = find_object(*file_, joined(path_, path));
  return object && H5Iget_type(object.get()) == H5I_GROUP;
}

bool Group::has_dataset(std::string_view path) const {
  const Session session;
  const Handle object = find_object(*file_, joined(path_, path));
  return object && H5Iget_type(object.get()) == H5I_DATASET;
}

Group Group::group(std::string_view path) const {
  const Session session;
  std::string whole = joined(path_, path);
  require_object(*file_, whole, H5I_GROUP, "group");
  return Group(file_, std::move(whole));
}

Dataset Group::dataset(std::string_view path) const {
  const Session session;
  std::string whole = joined(path_, path);
  require_object(*file_, whole, H5I_DATASET, "dataset");
  return Dataset(file_, std::move(whole));
}

std::vector<std::string> Group::native_names() const {
  const Session session;
  const Handle group = require_object(*file_, path_, H5I_GROUP, "group");
  return list_names(*file_, group.get(), path_);
}

std::vector<std::string> Group::names() const {
  std::vector<std::string> names = native_names();
  std::sort(names.begin(), names.end(), natural_less);
  return names;
}

namespace {

void collect(const OpenFile& file, hid_t group, const std::string& path, const std::string& relative, int depth,
             std::set<haddr_t>& visited, std::vector<std::string>& found) {
  H5O_info_t info{};
  if (H5Oget_info(group, &info) < 0) throw damaged(file, path, "read");
  if (depth > deepest) throw error_in(file, path, fmt::format("groups are nested deeper than {} levels", deepest));
  if (!visited.insert(info.addr).second)
    throw error_in(file, path, "the group stands at two places of the file").hint("the file is damaged or hostile");
  std::vector<std::string> names = list_names(file, group, path);
  std::sort(names.begin(), names.end(), natural_less);
  for (const std::string& name : names) {
    const std::string below = joined(path, name);
    const Handle object = find_object(file, below);
    if (!object) throw damaged(file, below, "opened");
    const H5I_type_t kind = H5Iget_type(object.get());
    const std::string inner = relative.empty() ? name : relative + "/" + name;
    if (kind == H5I_GROUP) collect(file, object.get(), below, inner, depth + 1, visited, found);
    else if (kind == H5I_DATASET) found.push_back(inner);
    if (found.size() > most_names) throw error_in(file, path, fmt::format("there are more than {} datasets", most_names));
  }
}

}  // namespace

std::vector<std::string> Group::dataset_paths() const {
  const Session session;
  const Handle group = require_object(*file_, path_, H5I_GROUP, "group");
  std::set<haddr_t> visited;
  std::vector<std::string> found;
  collect(*file_, group.get(), path_, "", 0, visited, found);
  return found;
}

Group Group::make_group(std::string_view path) {
  const Session session;
  ensure_writing(*file_);
  std::string whole = path_;
  Handle object = require_object(*file_, path_, H5I_GROUP, "group");
  for (const std::string& part : parts_of(path)) {
    whole = joined(whole, part);
    const bool exists = H5Lexists(object.get(), part.c_str(), H5P_DEFAULT) > 0;
    Handle next(exists ? H5Gopen2(object.get(), part.c_str(), H5P_DEFAULT) : H5Gcreate2(object.get(), part.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
    if (!next) throw write_error(*file_, whole);
    object = std::move(next);
  }
  return Group(file_, std::move(whole));
}

namespace {

void write_dataset(const OpenFile& file, const std::string& path, hid_t type, hid_t space, const void* values) {
  ensure_writing(file);
  const Handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_obj_track_times(properties.get(), false);  // the same model gives the same bytes
  const Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(links.get(), 1);
  const Handle dataset(H5Dcreate2(file.id, path.c_str(), type, space, links.get(), properties.get(), H5P_DEFAULT), H5Dclose);
  if (!dataset) throw write_error(file, path);
  if (H5Sget_simple_extent_npoints(space) > 0 && H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
    throw write_error(file, path);
}

}  // namespace

Dataset Group::write(std::string_view path, const Tensor& values) {
  const Session session;
  Dataset dataset(file_, joined(path_, path));
  write_dataset(*file_, dataset.path(), memory_type(values.dtype()).get(), space_of(values.shape()).get(), values.raw());
  if (values.dtype() == DType::bfloat16) dataset.set_attribute("dtype", "bfloat16");
  return dataset;
}

Dataset Group::write(std::string_view path, const std::vector<std::string>& texts) {
  const Session session;
  Dataset dataset(file_, joined(path_, path));
  const std::vector<const char*> pointers = pointers_of(*file_, dataset.path(), texts);
  write_dataset(*file_, dataset.path(), text_type(Encoding::utf8).get(), list_space(texts.size()).get(), pointers.data());
  return dataset;
}

// --- files -------------------------------------------------------------------------------------------------------

namespace {

Handle access_properties() {
  Handle properties(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fclose_degree(properties.get(), H5F_CLOSE_STRONG);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(properties.get(), false, true);  // a file being replaced by rename needs no lock
#endif
  return properties;
}

// What a file that the library does not know might be.
[[noreturn]] void explain_unknown(const fs::path& path, FileReader& reader) {
  std::array<std::byte, 4> first{};
  const std::size_t got = reader.read(first);
  const std::string_view start(reinterpret_cast<const char*>(first.data()), got);
  Error error("this is not an HDF5 file");
  error.at(Mark{path.string()}).usage();
  if (got == 0) throw Error("the file is empty, wanted HDF5").at(Mark{path.string()});
  if (start.starts_with("PK")) error.hint("it is a zip archive, as .keras files are");
  else if (start.starts_with("\x89HDF")) throw Error("the HDF5 file is cut off within its first bytes").at(Mark{path.string()}).hint("copy or download it again");
  throw error;
}

}  // namespace

File File::open(const fs::path& path) {
  FileReader reader(path);  // says best what keeps a file from being opened
  std::error_code error;
  const std::uint64_t size = fs::file_size(path, error);
  const Session session;
  auto file = std::make_shared<OpenFile>();
  file->path = path;
  file->size = error ? 0 : size;
  const Handle properties = access_properties();  // closing it would forget the reason of a failure
  file->id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, properties.get());
  if (file->id < 0) {
    const std::string reason = library_reason();
    if (H5Fis_hdf5(path.c_str()) <= 0) explain_unknown(path, reader);
    std::uint64_t wanted = 0;
    constexpr std::string_view key = "stored_eof = ";
    if (const std::size_t position = reason.find(key); reason.starts_with("truncated file") && position != std::string::npos) {
      std::from_chars(reason.data() + position + key.size(), reason.data() + reason.size(), wanted);
      throw Error("the HDF5 file is cut off: {} bytes of {}", size, wanted).at(Mark{path.string()}).hint("copy or download it again");
    }
    throw Error("cannot be opened as HDF5: {}", reason).at(Mark{path.string()}).hint("the file is damaged: copy or download it again");
  }
  const Handle creation(H5Fget_create_plist(file->id), H5Pclose);
  hsize_t user_block = 0;
  std::size_t address_size = 0, length_size = 0;
  H5Pget_userblock(creation.get(), &user_block);
  H5Pget_sizes(creation.get(), &address_size, &length_size);
  if (address_size != 8 || length_size != 8) throw Error("the HDF5 file has addresses of {} bytes, 8 are supported", address_size).at(Mark{path.string()});
  file->heap = std::make_unique<HeapChecker>(path, user_block);
  return File(std::move(file));
}

File File::create(const fs::path& path) {
  const Session session;
  auto file = std::make_shared<OpenFile>();
  file->path = path;
  file->output.emplace(path);
  if (file->output->temporary().empty()) throw Error("HDF5 can be written to files only").at(Mark{path.string()}).usage();
  const Handle properties = access_properties();
  file->id = H5Fcreate(file->output->temporary().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, properties.get());
  if (file->id < 0) throw write_error(*file, "");
  return File(std::move(file));
}

Group File::root() const { return Group(file_, "/"); }

void File::commit() {
  const Session session;
  ensure_writing(*file_);
  ensure(file_->id >= 0, "'{}' is committed twice", file_->path.string());
  if (H5Fflush(file_->id, H5F_SCOPE_GLOBAL) < 0) throw write_error(*file_, "");
  if (H5Fclose(std::exchange(file_->id, H5I_INVALID_HID)) < 0) throw write_error(*file_, "");
  file_->output->commit();
}

}  // namespace nacre::hdf5
