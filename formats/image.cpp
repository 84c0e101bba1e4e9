#include "formats/image.h"

#include <cstdio>

#include <png.h>

#include <algorithm>
#include <fstream>

#include "formats/file.h"
#include "formats/image_decoders.h"

namespace nacre {

namespace images {

void check_size(const Extent& extent, std::uint64_t file_size, const std::string& name, std::uint64_t pixels_per_byte) {
  const std::uint64_t pixels = std::uint64_t{extent.width} * extent.height;
  if (extent.width == 0 || extent.height == 0) throw Error("the picture is empty").at(Mark{name});
  if (extent.width > longest_side || extent.height > longest_side || pixels > most_pixels)
    throw Error("the picture has {}×{} pixels, too many to read", extent.width, extent.height).at(Mark{name}).hint("shrink it first");
  if (pixels / pixels_per_byte > file_size)
    throw Error("the picture declares {}×{} pixels in {} bytes", extent.width, extent.height, file_size).at(Mark{name}).hint(std::string(damaged_hint));
}

Tensor make_picture(const Extent& extent) {
  return Tensor::uninitialised({DType::uint8, {extent.height, extent.width, extent.channels}});
}

Error damaged(std::string_view format, std::string_view reason, const std::string& name) {
  return Error("the {} picture cannot be read: {}", format, reason).at(Mark{name}).hint(std::string(damaged_hint));
}

}  // namespace images

namespace {

constexpr std::uint64_t largest_file = std::uint64_t{1} << 28;

// From 1, 2, 3 or 4 channels to 1, 3 or 4.
Tensor with_channels(const Tensor& image, int channels) {
  const auto stored = static_cast<std::size_t>(image.shape()[2]);
  const auto wanted = static_cast<std::size_t>(channels);
  if (stored == wanted) return image;
  Tensor result = Tensor::uninitialised({DType::uint8, {image.shape()[0], image.shape()[1], channels}});
  const auto from = image.data<std::uint8_t>();
  const auto to = result.writable<std::uint8_t>();
  const std::size_t pixels = from.size() / stored;
  for (std::size_t i = 0; i < pixels; ++i) {
    const std::uint8_t* source = from.data() + i * stored;
    std::uint8_t* target = to.data() + i * wanted;
    const bool grey = stored < 3;
    if (wanted == 1) {
      // PIL's integer form of the weights.
      *target = grey ? source[0] : static_cast<std::uint8_t>((source[0] * 19595 + source[1] * 38470 + source[2] * 7471 + 0x8000) >> 16);
      continue;
    }
    for (std::size_t c = 0; c < 3; ++c) target[c] = source[grey ? 0 : c];
    if (wanted == 4) target[3] = stored % 2 == 0 ? source[stored - 1] : 255;
  }
  return result;
}

enum class Format : std::uint8_t { none, jpeg, png, webp, bmp, gif };
constexpr std::size_t telling_bytes = 12;  // of a file's beginning

Format format_of(std::string_view bytes) {
  if (bytes.starts_with("\xff\xd8")) return Format::jpeg;
  if (bytes.starts_with("\x89PNG")) return Format::png;
  if (bytes.starts_with("RIFF") && bytes.size() >= telling_bytes && bytes.substr(8, 4) == "WEBP") return Format::webp;
  if (bytes.starts_with("BM")) return Format::bmp;
  if (bytes.starts_with("GIF8")) return Format::gif;
  return Format::none;
}

Tensor decode_as(Format format, std::string_view bytes, const std::string& name, ImageSize least) {
  switch (format) {
    case Format::jpeg:
      return images::decode_jpeg(bytes, name, static_cast<std::uint32_t>(least.height), static_cast<std::uint32_t>(least.width));
    case Format::png: return images::decode_png(bytes, name);
    case Format::webp: return images::decode_webp(bytes, name);
    case Format::bmp: return images::decode_bmp(bytes, name);
    case Format::gif: return images::decode_gif(bytes, name);
    case Format::none: break;
  }
  throw Error(bytes.empty() ? "the file is empty, wanted a picture" : "this is no JPEG, PNG, WebP, BMP or GIF picture").at(Mark{name}).usage();
}

}  // namespace

Tensor decode_image(std::string_view bytes, const std::string& name, int channels, ImageSize least) {
  need(channels == 0 || channels == 1 || channels == 3 || channels == 4, "a picture has 1, 3 or 4 channels, not {}", channels);
  const Tensor image = decode_as(format_of(bytes), bytes, name, least);
  if (channels == 0) channels = image.shape()[2] == 2 ? 4 : static_cast<int>(image.shape()[2]);
  return with_channels(image, channels);
}

Tensor read_image(const std::filesystem::path& path, int channels, ImageSize least) {
  return decode_image(read_file(path, largest_file), path.string(), channels, least);
}

bool is_image_name(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  static constexpr std::string_view endings[] = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"};
  return std::ranges::find(endings, ending) != std::end(endings);
}

bool is_image_file(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return false;
  char bytes[telling_bytes];
  std::ifstream file(path, std::ios::binary);
  file.read(bytes, sizeof bytes);
  return format_of({bytes, static_cast<std::size_t>(file.gcount())}) != Format::none;
}

std::string encode_png(const Tensor& image) {
  const Shape& shape = image.shape();
  need(image.dtype() == DType::uint8 && (shape.rank() == 2 || shape.rank() == 3), "a picture is uint8 (height, width, channels), not {}", image.type());
  const std::int64_t channels = shape.rank() == 3 ? shape[2] : 1;
  need((channels == 1 || channels == 3 || channels == 4) && shape[0] > 0 && shape[1] > 0 && shape[0] <= images::longest_side && shape[1] <= images::longest_side,
       "the shape {} is none of a picture", shape);
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(shape[1]);
  png.height = static_cast<png_uint_32>(shape[0]);
  png.format = channels == 1 ? PNG_FORMAT_GRAY : channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_RGBA;
  png_alloc_size_t size = 0;
  std::string bytes;
  if (png_image_write_to_memory(&png, nullptr, &size, 0, image.raw(), 0, nullptr)) {
    bytes.resize(size);
    if (png_image_write_to_memory(&png, bytes.data(), &size, 0, image.raw(), 0, nullptr)) return bytes.substr(0, size);
  }
  throw Error("the picture cannot be written: {}", png.message);
}

void write_png(const std::filesystem::path& path, const Tensor& image) { write_file_atomically(path, encode_png(image)); }

}  // namespace nacre
