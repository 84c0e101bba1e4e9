// The first picture of a GIF, by giflib, which is loaded by the first file of this kind.
#include <gif_lib.h>

#include <algorithm>

#include "formats/image_decoders.h"
#include "formats/shared_library.h"

namespace nacre::images {

namespace {

struct Giflib {
  SharedLibrary library{"GIF pictures cannot be read", {"libgif.so.7", "libgif.so", "libgif.7.dylib"}};
  decltype(&DGifOpen) open = library["DGifOpen"];
  decltype(&DGifCloseFile) close = library["DGifCloseFile"];
  decltype(&DGifGetRecordType) record_type = library["DGifGetRecordType"];
  decltype(&DGifGetImageDesc) image = library["DGifGetImageDesc"];
  decltype(&DGifGetLine) line = library["DGifGetLine"];
  decltype(&DGifGetExtension) extension = library["DGifGetExtension"];
  decltype(&DGifGetExtensionNext) extension_next = library["DGifGetExtensionNext"];
  decltype(&GifErrorString) reason = library["GifErrorString"];
};
const Giflib& giflib() {
  static const Giflib loaded;
  return loaded;
}

int take(GifFileType* gif, GifByteType* target, int size) {
  auto& left = *static_cast<std::string_view*>(gif->UserData);
  const std::size_t count = std::min(static_cast<std::size_t>(std::max(size, 0)), left.size());
  std::copy_n(left.data(), count, reinterpret_cast<char*>(target));
  left.remove_prefix(count);
  return static_cast<int>(count);
}

class Gif {
 public:
  Gif(std::string_view bytes, const std::string& name) : size_(bytes.size()), left_(bytes), name_(name) {
    int error = 0;
    gif_.reset(giflib().open(&left_, take, &error));
    if (!gif_) fail(error);
  }

  Tensor decode() {
    find_picture();
    const GifImageDesc& frame = gif_->Image;
    const ColorMapObject* map = frame.ColorMap ? frame.ColorMap : gif_->SColorMap;
    if (!map) throw damaged("GIF", "it has no colours", name_);
    const auto colours = std::span(map->Colors, static_cast<std::size_t>(std::clamp(map->ColorCount, 0, 256)));
    const bool grey = std::ranges::all_of(colours, [](const GifColorType& c) { return c.Red == c.Green && c.Green == c.Blue; });
    const int channels = transparent_ >= 0 ? 4 : grey ? 1 : 3;
    const auto side = [](int screen, int least) { return static_cast<std::uint32_t>(screen > 0 ? screen : std::max(least, 0)); };
    const Extent extent{side(gif_->SWidth, frame.Left + frame.Width), side(gif_->SHeight, frame.Top + frame.Height), channels};
    check_size(extent, size_, name_);
    check_size({static_cast<std::uint32_t>(frame.Width), static_cast<std::uint32_t>(frame.Height), 1}, size_, name_);

    Tensor image = make_picture(extent);
    std::uint8_t* pixels = image.writable<std::uint8_t>().data();
    const auto put = [&](std::size_t place, int index) {
      const GifColorType colour = static_cast<std::size_t>(index) < colours.size() ? colours[static_cast<std::size_t>(index)] : GifColorType{};
      std::uint8_t* pixel = pixels + place * static_cast<std::size_t>(channels);
      pixel[0] = colour.Red;
      if (channels == 1) return;
      pixel[1] = colour.Green, pixel[2] = colour.Blue;
      if (channels == 4) pixel[3] = index == transparent_ ? 0 : 255;
    };
    for (std::size_t i = 0; i < std::size_t{extent.width} * extent.height; ++i) put(i, std::max(transparent_, 0));
    std::vector<GifPixelType> line(static_cast<std::size_t>(frame.Width));
    for (const std::size_t row : rows(frame)) {
      if (giflib().line(gif_.get(), line.data(), frame.Width) == GIF_ERROR) fail(gif_->Error);
      const std::size_t y = row + static_cast<std::size_t>(frame.Top), left = static_cast<std::size_t>(frame.Left);
      for (std::size_t x = 0; x < line.size() && y < extent.height && left + x < extent.width; ++x) put(y * extent.width + left + x, line[x]);
    }
    return image;
  }

 private:
  [[noreturn]] void fail(int error) const {
    const char* const reason = giflib().reason(error);
    throw damaged("GIF", reason ? reason : "it ends too early", name_);
  }

  // Up to the first picture; what its graphic control extension says of transparency.
  void find_picture() {
    for (;;) {
      GifRecordType type = UNDEFINED_RECORD_TYPE;
      if (giflib().record_type(gif_.get(), &type) == GIF_ERROR) fail(gif_->Error);
      if (type == TERMINATE_RECORD_TYPE) throw damaged("GIF", "it holds no picture", name_);
      if (type == IMAGE_DESC_RECORD_TYPE) {
        if (giflib().image(gif_.get()) == GIF_ERROR) fail(gif_->Error);
        return;
      }
      if (type != EXTENSION_RECORD_TYPE) continue;
      int code = 0;
      GifByteType* block = nullptr;
      if (giflib().extension(gif_.get(), &code, &block) == GIF_ERROR) fail(gif_->Error);
      while (block) {
        if (code == GRAPHICS_EXT_FUNC_CODE && block[0] >= 4) transparent_ = block[1] & 1 ? block[4] : -1;
        if (giflib().extension_next(gif_.get(), &block) == GIF_ERROR) fail(gif_->Error);
      }
    }
  }

  // In the order in which they are stored.
  static std::vector<std::size_t> rows(const GifImageDesc& frame) {
    const auto height = static_cast<std::size_t>(frame.Height);
    std::vector<std::size_t> order;
    struct Pass {
      std::size_t first, step;
    };
    static constexpr Pass interlaced[] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}}, plain[] = {{0, 1}};
    for (const Pass& pass : frame.Interlace ? std::span<const Pass>(interlaced) : std::span<const Pass>(plain))
      for (std::size_t y = pass.first; y < height; y += pass.step) order.push_back(y);
    return order;
  }

  std::size_t size_;
  std::string_view left_;
  const std::string& name_;
  std::unique_ptr<GifFileType, decltype([](GifFileType* gif) { giflib().close(gif, nullptr); })> gif_;
  int transparent_ = -1;
};

}  // namespace

Tensor decode_gif(std::string_view bytes, const std::string& name) { return Gif(bytes, name).decode(); }

}  // namespace nacre::images
