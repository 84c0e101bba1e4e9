// libjpeg reports errors by longjmp, which runs no destructors: the functions that call setjmp hold plain values only, and all
// memory is allocated between them.
#include <csetjmp>
#include <cstdio>

#include <jpeglib.h>

#include <array>

#include "formats/image_decoders.h"

namespace nacre::images {

namespace {

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

// A small file may hold endless scans over a large extent.
void jpeg_watch(j_common_ptr jpeg) {
  if (jpeg->is_decompressor && reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number > 100) {
    std::snprintf(state_of(jpeg).message.data(), state_of(jpeg).message.size(), "too many scans");
    std::longjmp(state_of(jpeg).jump, 1);
  }
}

bool jpeg_start(JpegState* state, const unsigned char* bytes, std::size_t size, std::uint32_t least_height, std::uint32_t least_width,
                Extent* extent) {
  if (setjmp(state->jump)) return false;
  jpeg_create_decompress(&state->jpeg);
  state->jpeg.client_data = state;
  state->jpeg.progress = &state->progress;
  jpeg_mem_src(&state->jpeg, bytes, size);
  jpeg_save_markers(&state->jpeg, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&state->jpeg, TRUE);
  if (state->jpeg.num_components == 4) state->jpeg.out_color_space = JCS_CMYK;
  else if (state->jpeg.num_components == 1) state->jpeg.out_color_space = JCS_GRAYSCALE;
  else state->jpeg.out_color_space = JCS_RGB;
  // Turned by a quarter, height and width change places: the larger of the two is enough for both.
  const std::uint32_t least = least_height > least_width ? least_height : least_width;
  if (least > 0)
    while (state->jpeg.scale_denom < 8 && state->jpeg.image_width / (2 * state->jpeg.scale_denom) >= least &&
           state->jpeg.image_height / (2 * state->jpeg.scale_denom) >= least)
      state->jpeg.scale_denom *= 2;
  jpeg_calc_output_dimensions(&state->jpeg);
  extent->width = state->jpeg.output_width;
  extent->height = state->jpeg.output_height;
  extent->channels = state->jpeg.out_color_space == JCS_CMYK ? 4 : state->jpeg.out_color_space == JCS_RGB ? 3 : 1;
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

// Printers' inks to light, as Pillow does it: stored inverted, which is what Adobe's programs and all after them write.
Tensor rgb_from_cmyk(const Tensor& cmyk) {
  Tensor rgb = Tensor::uninitialised({DType::uint8, {cmyk.shape()[0], cmyk.shape()[1], 3}});
  const auto from = cmyk.data<std::uint8_t>();
  const auto to = rgb.writable<std::uint8_t>();
  for (std::size_t i = 0, j = 0; i < from.size(); i += 4, j += 3)
    for (std::size_t c = 0; c < 3; ++c) {
      const int light = from[i + 3], product = (255 - from[i + c]) * light + 128;
      to[j + c] = static_cast<std::uint8_t>(std::max(light - (((product >> 8) + product) >> 8), 0));
    }
  return rgb;
}

// Of the EXIF data that an APP1 segment holds; the marker list was kept by jpeg_save_markers.
int orientation_of(const jpeg_decompress_struct& jpeg) {
  for (jpeg_saved_marker_ptr marker = jpeg.marker_list; marker; marker = marker->next) {
    const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (marker->marker == JPEG_APP0 + 1 && data.starts_with("Exif")) return exif_orientation(data);
  }
  return 1;
}

}  // namespace

Tensor decode_jpeg(std::string_view bytes, const std::string& name, std::uint32_t least_height, std::uint32_t least_width) {
  JpegState state{};
  state.jpeg.err = jpeg_std_error(&state.errors);
  state.jpeg.client_data = &state;
  state.errors.error_exit = jpeg_fail;
  state.errors.emit_message = jpeg_report;
  state.progress.progress_monitor = jpeg_watch;
  const std::unique_ptr<JpegState, decltype([](JpegState* open) { jpeg_destroy_decompress(&open->jpeg); })> closer(&state);
  const auto fail = [&] { return damaged("JPEG", state.message.data(), name); };
  Extent extent;
  if (!jpeg_start(&state, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), least_height, least_width, &extent))
    throw fail();
  check_size({state.jpeg.image_width, state.jpeg.image_height, extent.channels}, bytes.size(), name);
  const int orientation = orientation_of(state.jpeg);  // the markers go when all rows are read
  Tensor tensor = make_picture(extent);
  if (!jpeg_rows(&state, static_cast<unsigned char*>(tensor.raw_writable()), std::size_t{extent.width} * static_cast<std::size_t>(extent.channels))) throw fail();
  return upright(state.jpeg.out_color_space == JCS_CMYK ? rgb_from_cmyk(tensor) : tensor, orientation);
}

}  // namespace nacre::images
