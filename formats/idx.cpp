#include "formats/idx.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "formats/file.h"

namespace nacre {

namespace {

constexpr int most_axes = 8;

// Element types, by their code in the file.
struct ElementType {
  int code;
  std::size_t size;
  DType dtype;
};
constexpr std::array element_types{ElementType{0x08, 1, DType::uint8}, ElementType{0x09, 1, DType::int32}, ElementType{0x0b, 2, DType::int32},
                                   ElementType{0x0c, 4, DType::int32}, ElementType{0x0d, 4, DType::float32}, ElementType{0x0e, 8, DType::float64}};

// The unsigned integer that `size` big-endian bytes spell.
std::uint64_t big_endian(const std::byte* bytes, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  return value;
}

void append_big_endian(std::string& bytes, std::uint64_t value, std::size_t size) {
  for (std::size_t i = size; i-- > 0;) bytes += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
}

// Reads each value as an unsigned integer of `Bits`, takes it for a `Stored` and keeps it as a `Kept`.
template <class Bits, class Stored, class Kept>
void convert(const std::byte* from, Tensor& tensor) {
  for (Kept& value : tensor.writable<Kept>()) {
    value = static_cast<Kept>(std::bit_cast<Stored>(static_cast<Bits>(big_endian(from, sizeof(Bits)))));
    from += sizeof(Bits);
  }
}

void convert_values(const std::byte* from, int code, Tensor& tensor) {
  switch (code) {
    case 0x09: return convert<std::uint8_t, std::int8_t, std::int32_t>(from, tensor);
    case 0x0b: return convert<std::uint16_t, std::int16_t, std::int32_t>(from, tensor);
    case 0x0c: return convert<std::uint32_t, std::int32_t, std::int32_t>(from, tensor);
    case 0x0d: return convert<std::uint32_t, float, float>(from, tensor);
    default: return convert<std::uint64_t, double, double>(from, tensor);
  }
}

}  // namespace

Tensor read_idx(const std::filesystem::path& path) {
  FileReader reader(path);
  const Mark place{path.string()};
  std::array<std::byte, 4> start{};
  reader.read_exactly(start, "the header");
  const int code = std::to_integer<int>(start[2]), axes = std::to_integer<int>(start[3]);
  const auto* type = std::find_if(element_types.begin(), element_types.end(), [&](const ElementType& each) { return each.code == code; });
  if (start[0] != std::byte{0} || start[1] != std::byte{0} || type == element_types.end() || axes == 0)
    throw Error("this is no IDX file").at(place).hint("IDX files begin with two zero bytes, a type and the number of axes").usage();
  if (axes > most_axes) throw Error("the IDX file declares {} axes, at most {} are read", axes, most_axes).at(place);
  Shape shape;
  std::uint64_t elements = 1;
  for (int axis = 0; axis < axes; ++axis) {
    std::array<std::byte, 4> size{};
    reader.read_exactly(size, "the header");
    const std::uint64_t extent = big_endian(size.data(), size.size());
    if (elements > (std::uint64_t{1} << 48) / std::max<std::uint64_t>(extent, 1)) throw Error("the IDX file declares an absurd size").at(place).hint("the file is damaged or hostile");
    elements *= std::max<std::uint64_t>(extent, 1);
    shape.append(static_cast<std::int64_t>(extent));
  }
  const std::uint64_t bytes = static_cast<std::uint64_t>(shape.elements()) * type->size;
  if (bytes > reader.remaining_at_most())
    throw Error("the IDX file declares the shape {}, which wants {} bytes; at most {} follow", shape, bytes, reader.remaining_at_most())
        .at(place)
        .hint("the file was cut off: copy or download it again");
  Tensor tensor = Tensor::uninitialised({type->dtype, shape});
  if (type->code == 0x08) {
    reader.read_exactly({static_cast<std::byte*>(tensor.raw_writable()), tensor.bytes()}, "the values");
  } else {
    const auto raw = allocate_bytes(bytes);
    reader.read_exactly({raw.get(), static_cast<std::size_t>(bytes)}, "the values");
    convert_values(raw.get(), type->code, tensor);
  }
  if (!reader.at_end()) throw Error("the IDX file goes on after its {} bytes of values", bytes).at(place).hint("the file is damaged, or is no IDX file");
  return tensor;
}

void write_idx(const std::filesystem::path& path, const Tensor& tensor) {
  const int code = tensor.dtype() == DType::uint8 ? 0x08 : tensor.dtype() == DType::int32 ? 0x0c : tensor.dtype() == DType::float32 ? 0x0d : 0x0e;
  need(code != 0x0e || tensor.dtype() == DType::float64, "IDX files do not hold {}", tensor.dtype());
  need(tensor.shape().rank() >= 1 && tensor.shape().rank() <= most_axes, "IDX files do not hold the shape {}", tensor.shape());
  std::string bytes{'\0', '\0', static_cast<char>(code), static_cast<char>(tensor.shape().rank())};
  for (const std::int64_t size : tensor.shape()) {
    need(size < (std::int64_t{1} << 32), "IDX files do not hold the shape {}", tensor.shape());
    append_big_endian(bytes, static_cast<std::uint64_t>(size), 4);
  }
  if (tensor.dtype() == DType::uint8) bytes.append(static_cast<const char*>(tensor.raw()), tensor.bytes());
  else if (tensor.dtype() == DType::int32) for (const std::int32_t value : tensor.data<std::int32_t>()) append_big_endian(bytes, static_cast<std::uint32_t>(value), 4);
  else if (tensor.dtype() == DType::float32) for (const float value : tensor.data<float>()) append_big_endian(bytes, std::bit_cast<std::uint32_t>(value), 4);
  else for (const double value : tensor.data<double>()) append_big_endian(bytes, std::bit_cast<std::uint64_t>(value), 8);
  write_file_atomically(path, bytes);
}

}  // namespace nacre
