// libpng and libjpeg report errors by longjmp, which runs no destructors: the functions that call setjmp hold plain
// values only, and all memory is allocated between them.
#include "formats/image.h"

#include <csetjmp>
#include <cstdio>

#include <jpeglib.h>
#include <png.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "formats/file.h"

namespace nacre {

namespace {

constexpr std::uint64_t largest_file = std::uint64_t{1} << 28;
constexpr std::uint64_t most_pixels = std::uint64_t{1} << 26;
constexpr std::uint32_t longest_side = 1 << 16;
// More pixels than this per byte of the file are no picture: a PNG of one colour comes near it, a JPEG at most to a part.
constexpr std::uint64_t most_pixels_per_byte = 8 * 1032;
constexpr std::string_view damaged_hint = "the file is damaged: copy or download it again";

struct Picture {
  std::uint32_t width = 0, height = 0;
  int channels = 0;
};

void check_size(const Picture& picture, std::uint64_t file_size, const std::string& name) {
  const std::uint64_t pixels = std::uint64_t{picture.width} * picture.height;
  if (picture.width == 0 || picture.height == 0) throw Error("the picture is empty").at(Mark{name});
  if (picture.width > longest_side || picture.height > longest_side || pixels > most_pixels)
    throw Error("the picture has {}×{} pixels, too many to read", picture.width, picture.height).at(Mark{name}).hint("shrink it first");
  if (pixels / most_pixels_per_byte > file_size)
    throw Error("the picture declares {}×{} pixels in {} bytes", picture.width, picture.height, file_size).at(Mark{name}).hint(std::string(damaged_hint));
}

Tensor make_tensor(const Picture& picture) {
  return Tensor::uninitialised({DType::uint8, {picture.height, picture.width, picture.channels}});
}

// --- PNG ---------------------------------------------------------------------------------------------------------

struct PngState {
  const unsigned char* bytes;
  std::size_t left;
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::array<char, 160> message{};
};

void png_fail(png_structp png, png_const_charp message) {
  auto& state = *static_cast<PngState*>(png_get_error_ptr(png));
  std::snprintf(state.message.data(), state.message.size(), "%s", message);
  png_longjmp(png, 1);
}
void png_warn(png_structp, png_const_charp) {}

void png_take(png_structp png, png_bytep target, std::size_t size) {
  auto& state = *static_cast<PngState*>(png_get_io_ptr(png));
  if (size > state.left) png_error(png, "the file ends too early");
  std::memcpy(target, state.bytes, size);
  state.bytes += size;
  state.left -= size;
}

// Reads the header and asks for 8 bits per sample without palettes.
bool png_start(PngState* state, Picture* picture) {
  if (setjmp(png_jmpbuf(state->png))) return false;
  png_set_user_limits(state->png, longest_side, longest_side);
  png_set_chunk_malloc_max(state->png, 8 << 20);
  png_set_read_fn(state->png, state, png_take);
  png_read_info(state->png, state->info);
  png_set_expand(state->png);
  png_set_strip_16(state->png);
  png_set_interlace_handling(state->png);
  png_read_update_info(state->png, state->info);
  picture->width = png_get_image_width(state->png, state->info);
  picture->height = png_get_image_height(state->png, state->info);
  picture->channels = png_get_channels(state->png, state->info);
  return true;
}

bool png_rows(PngState* state, png_bytepp rows) {
  if (setjmp(png_jmpbuf(state->png))) return false;
  png_read_image(state->png, rows);
  png_read_end(state->png, nullptr);
  return true;
}

Tensor decode_png(std::string_view bytes, const std::string& name) {
  PngState state{reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()};
  state.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, png_fail, png_warn);
  if (state.png) state.info = png_create_info_struct(state.png);
  const std::unique_ptr<PngState, decltype([](PngState* open) { png_destroy_read_struct(&open->png, &open->info, nullptr); })> closer(&state);
  if (!state.info) throw Error("libpng could not be started").at(Mark{name});
  const auto fail = [&] { return Error("the PNG picture cannot be read: {}", state.message.data()).at(Mark{name}).hint(std::string(damaged_hint)); };
  Picture picture;
  if (!png_start(&state, &picture)) throw fail();
  check_size(picture, bytes.size(), name);
  Tensor tensor = make_tensor(picture);
  const std::size_t stride = std::size_t{picture.width} * static_cast<std::size_t>(picture.channels);
  std::vector<png_bytep> rows(picture.height);
  auto* pixels = static_cast<unsigned char*>(tensor.raw_writable());
  for (std::size_t y = 0; y < rows.size(); ++y) rows[y] = pixels + y * stride;
  if (!png_rows(&state, rows.data())) throw fail();
  return tensor;
}

// --- JPEG --------------------------------------------------------------------------------------------------------

struct JpegState {
  jpeg_decompress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg_progress_mgr progress;
  std::jmp_buf jump;
  std::array<char, JMSG_LENGTH_MAX> message{};
};

JpegState& state_of(j_common_ptr jpeg) { return *static_cast<JpegState*>(jpeg->client_data); }

void jpeg_fail(j_common_ptr jpeg) {
  (*jpeg->err->format_message)(jpeg, state_of(jpeg).message.data());
  std::longjmp(state_of(jpeg).jump, 1);
}

// Bytes that do not belong there are passed over; what is missing or corrupt is an error.
void jpeg_report(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  (*jpeg->err->format_message)(jpeg, state_of(jpeg).message.data());
  if (std::strncmp(state_of(jpeg).message.data(), "Premature end", 13) == 0 || std::strncmp(state_of(jpeg).message.data(), "Corrupt JPEG data: premature", 28) == 0 ||
      std::strncmp(state_of(jpeg).message.data(), "Corrupt JPEG data: bad", 22) == 0)
    std::longjmp(state_of(jpeg).jump, 1);
}

// A small file may hold endless scans over a large picture.
void jpeg_watch(j_common_ptr jpeg) {
  if (jpeg->is_decompressor && reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number > 100) {
    std::snprintf(state_of(jpeg).message.data(), state_of(jpeg).message.size(), "too many scans");
    std::longjmp(state_of(jpeg).jump, 1);
  }
}

bool jpeg_start(JpegState* state, const unsigned char* bytes, std::size_t size, Picture* picture) {
  if (setjmp(state->jump)) return false;
  jpeg_create_decompress(&state->jpeg);
  state->jpeg.client_data = state;
  state->jpeg.progress = &state->progress;
  jpeg_mem_src(&state->jpeg, bytes, size);
  jpeg_read_header(&state->jpeg, TRUE);
  if (state->jpeg.num_components == 4) state->jpeg.out_color_space = JCS_CMYK;
  else if (state->jpeg.num_components == 1) state->jpeg.out_color_space = JCS_GRAYSCALE;
  else state->jpeg.out_color_space = JCS_RGB;
  jpeg_calc_output_dimensions(&state->jpeg);
  picture->width = state->jpeg.output_width;
  picture->height = state->jpeg.output_height;
  picture->channels = state->jpeg.out_color_space == JCS_CMYK ? 4 : state->jpeg.out_color_space == JCS_RGB ? 3 : 1;
  return true;
}

bool jpeg_rows(JpegState* state, unsigned char* pixels, std::size_t stride) {
  if (setjmp(state->jump)) return false;
  jpeg_start_decompress(&state->jpeg);
  while (state->jpeg.output_scanline < state->jpeg.output_height) {
    JSAMPROW row = pixels + state->jpeg.output_scanline * stride;
    jpeg_read_scanlines(&state->jpeg, &row, 1);
  }
  jpeg_finish_decompress(&state->jpeg);
  return true;
}

// Printers' inks to light; Adobe stores them inverted.
Tensor rgb_from_cmyk(const Tensor& cmyk, bool inverted) {
  Tensor rgb = Tensor::uninitialised({DType::uint8, {cmyk.shape()[0], cmyk.shape()[1], 3}});
  const auto from = cmyk.data<std::uint8_t>();
  const auto to = rgb.writable<std::uint8_t>();
  for (std::size_t i = 0, j = 0; i < from.size(); i += 4, j += 3)
    for (std::size_t c = 0; c < 3; ++c) {
      const int ink = inverted ? from[i + c] : 255 - from[i + c], black = inverted ? from[i + 3] : 255 - from[i + 3];
      to[j + c] = static_cast<std::uint8_t>((ink * black + 127) / 255);
    }
  return rgb;
}

Tensor decode_jpeg(std::string_view bytes, const std::string& name) {
  JpegState state{};
  state.jpeg.err = jpeg_std_error(&state.errors);
  state.jpeg.client_data = &state;
  state.errors.error_exit = jpeg_fail;
  state.errors.emit_message = jpeg_report;
  state.progress.progress_monitor = jpeg_watch;
  const std::unique_ptr<JpegState, decltype([](JpegState* open) { jpeg_destroy_decompress(&open->jpeg); })> closer(&state);
  const auto fail = [&] { return Error("the JPEG picture cannot be read: {}", state.message.data()).at(Mark{name}).hint(std::string(damaged_hint)); };
  Picture picture;
  if (!jpeg_start(&state, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), &picture)) throw fail();
  check_size(picture, bytes.size(), name);
  Tensor tensor = make_tensor(picture);
  if (!jpeg_rows(&state, static_cast<unsigned char*>(tensor.raw_writable()), std::size_t{picture.width} * static_cast<std::size_t>(picture.channels))) throw fail();
  return state.jpeg.out_color_space == JCS_CMYK ? rgb_from_cmyk(tensor, state.jpeg.saw_Adobe_marker) : tensor;
}

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

}  // namespace

Tensor decode_image(std::string_view bytes, const std::string& name, int channels) {
  need(channels == 0 || channels == 1 || channels == 3 || channels == 4, "a picture has 1, 3 or 4 channels, not {}", channels);
  Tensor image;
  if (bytes.starts_with("\x89PNG")) image = decode_png(bytes, name);
  else if (bytes.starts_with("\xff\xd8")) image = decode_jpeg(bytes, name);
  else throw Error(bytes.empty() ? "the file is empty, wanted a picture" : "this is no PNG or JPEG picture").at(Mark{name}).usage();
  if (channels == 0) channels = image.shape()[2] == 2 ? 4 : static_cast<int>(image.shape()[2]);
  return with_channels(image, channels);
}

Tensor read_image(const std::filesystem::path& path, int channels) { return decode_image(read_file(path, largest_file), path.string(), channels); }

bool is_image_name(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

// --- writing -----------------------------------------------------------------------------------------------------

std::string encode_png(const Tensor& image) {
  const Shape& shape = image.shape();
  need(image.dtype() == DType::uint8 && (shape.rank() == 2 || shape.rank() == 3), "a picture is uint8 (height, width, channels), not {}", image.type());
  const std::int64_t channels = shape.rank() == 3 ? shape[2] : 1;
  need((channels == 1 || channels == 3 || channels == 4) && shape[0] > 0 && shape[1] > 0 && shape[0] <= longest_side && shape[1] <= longest_side,
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

// --- resizing ----------------------------------------------------------------------------------------------------

namespace {

// Where a target pixel's two sources lie along one axis.
struct Sample {
  std::int64_t low, high;
  float fraction;
};

std::vector<Sample> samples(std::int64_t from, std::int64_t to) {
  std::vector<Sample> result;
  const float scale = static_cast<float>(from) / static_cast<float>(to);
  for (std::int64_t i = 0; i < to; ++i) {
    const float position = (static_cast<float>(i) + 0.5f) * scale - 0.5f;
    const float low = std::floor(position);
    result.push_back({std::clamp<std::int64_t>(static_cast<std::int64_t>(low), 0, from - 1), std::clamp<std::int64_t>(static_cast<std::int64_t>(low) + 1, 0, from - 1), position - low});
  }
  return result;
}

template <class T>
void resize(const Tensor& image, Tensor& result) {
  const std::int64_t width = image.shape()[1], channels = image.shape()[2];
  const auto rows = samples(image.shape()[0], result.shape()[0]), columns = samples(width, result.shape()[1]);
  const T* from = image.data<T>().data();
  T* to = result.writable<T>().data();
  for (const Sample& y : rows)
    for (const Sample& x : columns)
      for (std::int64_t c = 0; c < channels; ++c) {
        const auto at = [&](std::int64_t row, std::int64_t column) { return static_cast<float>(from[(row * width + column) * channels + c]); };
        const float top = at(y.low, x.low) + (at(y.low, x.high) - at(y.low, x.low)) * x.fraction;
        const float bottom = at(y.high, x.low) + (at(y.high, x.high) - at(y.high, x.low)) * x.fraction;
        const float value = top + (bottom - top) * y.fraction;
        if constexpr (std::is_same_v<T, std::uint8_t>) *to++ = static_cast<std::uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f));
        else *to++ = value;
      }
}

}  // namespace

Tensor resize_bilinear(const Tensor& image, std::int64_t height, std::int64_t width) {
  need(image.shape().rank() == 3 && (image.dtype() == DType::uint8 || image.dtype() == DType::float32),
       "a picture to resize is uint8 or float32 (height, width, channels), not {}", image.type());
  need(height > 0 && width > 0 && height <= longest_side && width <= longest_side && image.size() > 0, "a picture {} cannot be resized to {}×{}", image.shape(), height, width);
  if (image.shape()[0] == height && image.shape()[1] == width) return image;
  Tensor result = Tensor::uninitialised({image.dtype(), {height, width, image.shape()[2]}});
  if (image.dtype() == DType::uint8) resize<std::uint8_t>(image, result);
  else resize<float>(image, result);
  return result;
}

}  // namespace nacre
