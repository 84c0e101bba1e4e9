#include "formats/npy.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <limits>
#include <optional>

#include "formats/file.h"
#include "formats/zip.h"

namespace nacre {

static_assert(std::endian::native == std::endian::little);

namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t longest_header = 1 << 20;
constexpr int most_axes = 32;
constexpr std::string_view cut_off = "the file was cut off: copy or download it again";

// Bytes in memory, read as FileReader reads a file.
class Memory {
 public:
  Memory(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}
  std::uint64_t remaining_at_most() const { return bytes_.size(); }
  void read_exactly(std::span<std::byte> target, std::string_view what) {
    if (target.size() > bytes_.size())
      throw Error("the array ends within {} ({} bytes more wanted)", what, target.size() - bytes_.size()).at(Mark{name_}).hint(std::string(cut_off));
    std::copy_n(reinterpret_cast<const std::byte*>(bytes_.data()), target.size(), target.data());
    bytes_.remove_prefix(target.size());
  }

 private:
  std::string_view bytes_;
  const std::string& name_;
};

struct Header {
  std::string descr;
  bool fortran_order = false;
  Shape shape;
};

// Reads the header, a Python dictionary such as {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  Header parse() {
    Header header;
    bool have_descr = false, have_order = false, have_shape = false;
    expect('{');
    while (!take('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr") {
        skip_space();
        if (!text_.empty() && text_.front() == '[') throw error("it is an array of records").hint("save each of its fields as an array of its own");
        header.descr = string();
        have_descr = true;
      } else if (key == "fortran_order") {
        header.fortran_order = boolean();
        have_order = true;
      } else if (key == "shape") {
        header.shape = tuple();
        have_shape = true;
      } else {
        fail();
      }
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    if (!have_descr || !have_order || !have_shape) fail();
    return header;
  }

  Error error(std::string message) const { return Error(std::move(message)).at(Mark{name_}); }

 private:
  [[noreturn]] void fail() const { throw error("the header of the .npy array is damaged").hint("save it again with numpy.save"); }

  void skip_space() { text_.remove_prefix(std::min(text_.find_first_not_of(" \t\r\n"), text_.size())); }
  bool take(char wanted) {
    skip_space();
    if (text_.empty() || text_.front() != wanted) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char wanted) {
    if (!take(wanted)) fail();
  }

  std::string string() {
    skip_space();
    if (text_.empty() || (text_.front() != '\'' && text_.front() != '"')) fail();
    const std::size_t end = text_.find(text_.front(), 1);
    if (end == std::string_view::npos) fail();
    std::string result(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return result;
  }

  bool boolean() {
    skip_space();
    for (const std::string_view word : {"True", "False"})
      if (text_.starts_with(word)) {
        text_.remove_prefix(word.size());
        return word == "True";
      }
    fail();
  }

  Shape tuple() {
    Shape shape;
    expect('(');
    while (!take(')')) {
      skip_space();
      std::int64_t size = -1;
      const auto [end, problem] = std::from_chars(text_.data(), text_.data() + text_.size(), size);
      if (problem != std::errc{} || size < 0) fail();
      text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
      take('L');  // Python 2 wrote long integers so
      shape.append(size);
      if (shape.rank() > most_axes) throw error(fmt::format("the array has more than {} axes", most_axes));
      if (!take(',')) {
        expect(')');
        break;
      }
    }
    return shape;
  }

  std::string_view text_;
  const std::string& name_;
};

template <class T>
T swapped(T value) {
  auto bytes = std::bit_cast<std::array<std::byte, sizeof(T)>>(value);
  std::reverse(bytes.begin(), bytes.end());
  return std::bit_cast<T>(bytes);
}

// How elements of one kind lie in the file and what they become.
struct Elements {
  std::size_t size;
  DType dtype;
  // Converts `count` elements; null when the bytes are those of the tensor.
  void (*convert)(const std::byte* from, std::size_t count, Tensor& to) = nullptr;
};

template <class Stored, class Kept, bool swap>
void convert_elements(const std::byte* from, std::size_t count, Tensor& to) {
  auto values = to.writable<Kept>();
  for (std::size_t i = 0; i < count; ++i) {
    Stored value;
    std::memcpy(&value, from + i * sizeof(Stored), sizeof(Stored));
    if constexpr (swap) value = swapped(value);
    if constexpr (std::is_same_v<Stored, std::uint64_t>)
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) throw Error("the integer {} does not fit into 64 signed bits", value);
    if constexpr (std::is_same_v<Kept, bool>) values[i] = value != 0;
    else values[i] = static_cast<Kept>(value);
  }
}

template <class Stored, class Kept>
Elements elements(bool swap) {
  if (swap && sizeof(Stored) > 1) return {sizeof(Stored), dtype_of<Kept>(), convert_elements<Stored, Kept, true>};
  if (std::is_same_v<Stored, Kept>) return {sizeof(Stored), dtype_of<Kept>()};
  return {sizeof(Stored), dtype_of<Kept>(), convert_elements<Stored, Kept, false>};
}

std::optional<Elements> elements_of(std::string_view descr) {
  if (descr.size() < 3) return {};
  const bool swap = descr[0] == '>';
  const std::string_view kind = descr.substr(1);
  if (kind == "b1") return elements<std::uint8_t, bool>(swap);
  if (kind == "u1") return elements<std::uint8_t, std::uint8_t>(swap);
  if (kind == "i1") return elements<std::int8_t, std::int32_t>(swap);
  if (kind == "u2") return elements<std::uint16_t, std::int32_t>(swap);
  if (kind == "i2") return elements<std::int16_t, std::int32_t>(swap);
  if (kind == "u4") return elements<std::uint32_t, std::int64_t>(swap);
  if (kind == "i4") return elements<std::int32_t, std::int32_t>(swap);
  if (kind == "u8") return elements<std::uint64_t, std::int64_t>(swap);
  if (kind == "i8") return elements<std::int64_t, std::int64_t>(swap);
  if (kind == "f2") return elements<Float16, Float16>(swap);
  if (kind == "f4") return elements<float, float>(swap);
  if (kind == "f8") return elements<double, double>(swap);
  if (kind == "V2") return Elements{2, DType::bfloat16};  // what NumPy makes of bfloat16
  return {};
}

// The elements of a tensor of the reversed shape, axes exchanged: column-major becomes row-major.
Tensor transposed(const Tensor& tensor, const Shape& shape) {
  Tensor result = Tensor::uninitialised({tensor.dtype(), shape});
  if (result.size() == 0) return result;
  const std::size_t size = size_of(tensor.dtype());
  const auto* from = static_cast<const std::byte*>(tensor.raw());
  auto* to = static_cast<std::byte*>(result.raw_writable());
  std::vector<std::int64_t> index(static_cast<std::size_t>(shape.rank()), 0), strides(index.size(), 1);
  for (std::size_t axis = 1; axis < strides.size(); ++axis) strides[axis] = strides[axis - 1] * shape[static_cast<int>(axis) - 1];
  std::int64_t source = 0;
  for (std::int64_t i = 0; i < result.size(); ++i) {
    std::memcpy(to + static_cast<std::size_t>(i) * size, from + static_cast<std::size_t>(source) * size, size);
    for (std::size_t axis = index.size(); axis-- > 0;) {
      source += strides[axis];
      if (++index[axis] < shape[static_cast<int>(axis)]) break;
      source -= index[axis] * strides[axis];
      index[axis] = 0;
    }
  }
  return result;
}

template <class Source>
Tensor read_from(Source& source, const std::string& name) {
  std::array<char, 8> start{};
  source.read_exactly(std::as_writable_bytes(std::span(start)), "the header");
  if (std::string_view(start.data(), magic.size()) != magic) throw Error("this is no .npy array").at(Mark{name}).usage();
  const int version = start[6];
  if (version < 1 || version > 3) throw Error("version {} of the .npy format is not known", version).at(Mark{name});
  std::array<unsigned char, 4> size_bytes{};
  source.read_exactly(std::as_writable_bytes(std::span(size_bytes).first(version == 1 ? 2 : 4)), "the header");
  const std::size_t size = std::bit_cast<std::uint32_t>(size_bytes);
  if (size > longest_header) throw Error("the header of the .npy array is {} bytes long", size).at(Mark{name});
  std::string text(size, '\0');
  source.read_exactly(std::as_writable_bytes(std::span(text)), "the header");
  HeaderParser parser(text, name);
  const Header header = parser.parse();

  const auto elements = elements_of(header.descr);
  if (!elements)
    throw parser.error(fmt::format("arrays of type '{}' are not supported", header.descr)).hint("numbers and booleans can be read; convert it with NumPy's astype");
  std::uint64_t bytes = elements->size;
  for (const std::int64_t extent : header.shape) {
    const auto factor = static_cast<std::uint64_t>(std::max<std::int64_t>(extent, 1));  // a zero must not hide an overflow
    if (bytes > (std::uint64_t{1} << 48) / factor) throw parser.error(fmt::format("the shape {} is absurd", header.shape)).hint("the file is damaged or hostile");
    bytes *= factor;
  }
  bytes = static_cast<std::uint64_t>(header.shape.elements()) * elements->size;
  if (bytes > source.remaining_at_most())
    throw parser.error(fmt::format("the shape {} wants {} bytes, {} are there", header.shape, bytes, source.remaining_at_most())).hint(std::string(cut_off));
  Shape file_shape = header.shape;
  if (header.fortran_order) {
    std::vector<std::int64_t> sizes = file_shape.sizes();
    std::reverse(sizes.begin(), sizes.end());
    file_shape = Shape(std::move(sizes));
  }
  Tensor tensor = Tensor::uninitialised({elements->dtype, file_shape});
  if (elements->convert) {
    const auto count = static_cast<std::size_t>(tensor.size());
    const auto raw = allocate_bytes(bytes);
    source.read_exactly({raw.get(), static_cast<std::size_t>(bytes)}, "the values");
    try {
      elements->convert(raw.get(), count, tensor);
    } catch (Error& error) {
      error.at(Mark{name});
      throw;
    }
  } else {
    source.read_exactly({static_cast<std::byte*>(tensor.raw_writable()), tensor.bytes()}, "the values");
  }
  return header.fortran_order ? transposed(tensor, header.shape) : tensor;
}

std::string_view descr_of(DType dtype) {
  switch (dtype) {
    case DType::boolean: return "|b1";
    case DType::uint8: return "|u1";
    case DType::int32: return "<i4";
    case DType::int64: return "<i8";
    case DType::float16: return "<f2";
    case DType::bfloat16:
    case DType::float32: return "<f4";
    case DType::float64: return "<f8";
    case DType::string: refuse_texts();
  }
  return {};
}

std::string header_of(const Tensor& tensor) {
  std::string sizes;
  for (const std::int64_t size : tensor.shape()) sizes += fmt::format("{}{}", sizes.empty() ? "" : ", ", size);
  if (tensor.shape().rank() == 1) sizes += ",";
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr_of(tensor.dtype()), sizes);
  constexpr std::size_t alignment = 64, before = 10;  // magic, version, size
  text.append(alignment - 1 - (before + text.size()) % alignment, ' ').append("\n");
  std::string header(magic);
  header.append("\x01\x00", 2);
  header += static_cast<char>(text.size() & 0xff);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

std::string_view bytes_of(const Tensor& tensor) { return {static_cast<const char*>(tensor.raw()), tensor.bytes()}; }

Tensor writable_type(const Tensor& tensor) { return tensor.dtype() == DType::bfloat16 ? tensor.cast(DType::float32) : tensor; }

std::string array_name(const std::string& entry) { return entry.ends_with(".npy") ? entry.substr(0, entry.size() - 4) : entry; }

}  // namespace

Tensor read_npy(const std::filesystem::path& path) {
  FileReader reader(path);
  return read_from(reader, path.string());
}

Tensor parse_npy(std::string_view bytes, const std::string& name) {
  Memory memory(bytes, name);
  return read_from(memory, name);
}

std::string format_npy(const Tensor& tensor) {
  const Tensor written = writable_type(tensor);
  return header_of(written).append(bytes_of(written));
}

void write_npy(const std::filesystem::path& path, const Tensor& tensor) {
  const Tensor written = writable_type(tensor);
  AtomicFile file(path);
  file.write(header_of(written));
  file.write(bytes_of(written));
  file.commit();
}

std::vector<std::string> npz_names(const std::filesystem::path& path) {
  std::vector<std::string> names = ZipReader(path).names();
  std::transform(names.begin(), names.end(), names.begin(), array_name);
  return names;
}

NamedArrays read_npz(const std::filesystem::path& path) {
  const ZipReader archive(path);
  NamedArrays arrays;
  for (const std::string& entry : archive.names())
    arrays.emplace_back(array_name(entry), parse_npy(archive.read(entry), fmt::format("{}[{}]", path.string(), array_name(entry))));
  return arrays;
}

Tensor read_npz(const std::filesystem::path& path, std::string_view name) {
  const ZipReader archive(path);
  std::vector<std::string> names;
  for (const std::string& entry : archive.names()) {
    names.push_back(array_name(entry));
    if (names.back() == name) return parse_npy(archive.read(entry), fmt::format("{}[{}]", path.string(), name));
  }
  throw Error("there is no array '{}'", name)
      .at(Mark{path.string()})
      .hint(suggestion(name, std::vector<std::string_view>(names.begin(), names.end())))
      .usage();
}

void write_npz(const std::filesystem::path& path, const NamedArrays& arrays) {
  ZipWriter archive(path);
  for (const auto& [name, tensor] : arrays) archive.add(name + ".npy", format_npy(tensor));
  archive.commit();
}

}  // namespace nacre
