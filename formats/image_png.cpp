// libpng reports errors by longjmp, which runs no destructors: the functions that call setjmp hold plain values only, and all
// memory is allocated between them.
#include <csetjmp>
#include <cstdio>

#include <png.h>

#include <array>

#include "formats/image_decoders.h"

namespace nacre::images {

namespace {

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
bool png_start(PngState* state, Extent* extent) {
  if (setjmp(png_jmpbuf(state->png))) return false;
  png_set_user_limits(state->png, longest_side, longest_side);
  png_set_chunk_malloc_max(state->png, 8 << 20);
  png_set_read_fn(state->png, state, png_take);
  png_read_info(state->png, state->info);
  png_set_expand(state->png);
  png_set_strip_16(state->png);
  png_set_interlace_handling(state->png);
  png_read_update_info(state->png, state->info);
  extent->width = png_get_image_width(state->png, state->info);
  extent->height = png_get_image_height(state->png, state->info);
  extent->channels = png_get_channels(state->png, state->info);
  return true;
}

bool png_rows(PngState* state, png_bytepp rows) {
  if (setjmp(png_jmpbuf(state->png))) return false;
  png_read_image(state->png, rows);
  png_read_end(state->png, nullptr);
  return true;
}

// The contents of the first eXIf chunk; empty when there is none.
std::string_view exif_of(std::string_view bytes) {
  for (std::size_t at = 8; at + 12 <= bytes.size();) {
    std::size_t size = 0;
    for (std::size_t i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(bytes[at + i]);
    if (size > bytes.size() - at - 12) break;
    if (bytes.substr(at + 4, 4) == "eXIf") return bytes.substr(at + 8, size);
    at += 12 + size;
  }
  return {};
}

}  // namespace

Tensor decode_png(std::string_view bytes, const std::string& name) {
  PngState state{reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()};
  state.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, png_fail, png_warn);
  if (state.png) state.info = png_create_info_struct(state.png);
  const std::unique_ptr<PngState, decltype([](PngState* open) { png_destroy_read_struct(&open->png, &open->info, nullptr); })> closer(&state);
  if (!state.info) throw Error("libpng could not be started").at(Mark{name});
  const auto fail = [&] { return damaged("PNG", state.message.data(), name); };
  Extent extent;
  if (!png_start(&state, &extent)) throw fail();
  check_size(extent, bytes.size(), name);
  Tensor tensor = make_picture(extent);
  const std::size_t stride = std::size_t{extent.width} * static_cast<std::size_t>(extent.channels);
  std::vector<png_bytep> rows(extent.height);
  auto* pixels = static_cast<unsigned char*>(tensor.raw_writable());
  for (std::size_t y = 0; y < rows.size(); ++y) rows[y] = pixels + y * stride;
  if (!png_rows(&state, rows.data())) throw fail();
  return upright(tensor, exif_orientation(exif_of(bytes)));
}

}  // namespace nacre::images
