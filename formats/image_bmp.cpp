// Windows bitmaps: 1 to 32 bits a pixel, palettes, masks and run lengths.
#include <algorithm>
#include <array>
#include <bit>

#include "formats/image_decoders.h"

namespace nacre::images {

namespace {

enum class Compression : std::uint32_t { none = 0, runs8 = 1, runs4 = 2, masks = 3, masks_with_alpha = 6 };

struct Colour {
  std::uint8_t red = 0, green = 0, blue = 0, alpha = 255;
};

class Bitmap {
 public:
  Bitmap(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) { read_header(); }

  Tensor decode() {
    Tensor image = make_picture(extent_);
    std::uint8_t* pixels = image.writable<std::uint8_t>().data();
    const bool runs = compression_ == Compression::runs8 || compression_ == Compression::runs4;
    if (runs) read_runs(pixels);
    else read_rows(pixels);
    return image;
  }

 private:
  [[noreturn]] void fail(std::string_view reason) const { throw damaged("BMP", reason, name_); }

  std::uint32_t number(std::size_t at, std::size_t size) const {
    if (at > bytes_.size() || bytes_.size() - at < size) fail("the file ends too early");
    std::uint32_t value = 0;
    for (std::size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes_[at + i]);
    return value;
  }

  void read_header() {
    const std::uint32_t header = number(14, 4);
    const bool old = header == 12;
    if (!old && (header < 40 || header > 256)) fail(fmt::format("its header of {} bytes is none", header));
    const auto width = static_cast<std::int32_t>(old ? number(18, 2) : number(18, 4)),
               height = static_cast<std::int32_t>(old ? number(20, 2) : number(22, 4));
    bits_ = number(old ? 24 : 28, 2);
    compression_ = old ? Compression::none : Compression{number(30, 4)};
    from_top_ = height < 0;
    if (width < 0 || height == std::numeric_limits<std::int32_t>::min()) fail("its width is negative");
    const bool indexed = bits_ == 1 || bits_ == 4 || bits_ == 8, masked = bits_ == 16 || bits_ == 32;
    const bool known = (compression_ == Compression::none && (indexed || masked || bits_ == 24)) ||
                       (compression_ == Compression::runs8 && bits_ == 8 && !from_top_) ||
                       (compression_ == Compression::runs4 && bits_ == 4 && !from_top_) ||
                       ((compression_ == Compression::masks || compression_ == Compression::masks_with_alpha) && masked);
    if (!known) fail(fmt::format("{} bits a pixel in form {}", bits_, static_cast<std::uint32_t>(compression_)));
    extent_ = {static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(from_top_ ? -height : height), 3};
    // Runs of 255 pixels take two bytes; and what is not said at all stays 0.
    check_size(extent_, bytes_.size(), name_, compression_ == Compression::none ? 8 : 1032);
    data_ = number(10, 4);
    if (masked) read_masks(header);
    if (indexed) read_palette(14 + header, old ? 3 : 4, old ? 0 : number(46, 4));
  }

  void read_masks(std::uint32_t header) {
    masks_ = bits_ == 16 ? std::array<std::uint32_t, 4>{0x7C00, 0x3E0, 0x1F, 0} : std::array<std::uint32_t, 4>{0xFF0000, 0xFF00, 0xFF, 0};
    if (compression_ == Compression::none) return;
    for (std::size_t i = 0; i < 3; ++i) masks_[i] = number(54 + 4 * i, 4);
    if (header >= 56 || compression_ == Compression::masks_with_alpha) masks_[3] = number(66, 4);
    if (masks_[3]) extent_.channels = 4;
  }

  void read_palette(std::size_t at, std::size_t entry, std::uint32_t declared) {
    const std::size_t most = std::size_t{1} << bits_, wanted = declared ? std::min<std::size_t>(declared, most) : most;
    for (std::size_t i = 0; i < wanted && at + (i + 1) * entry <= std::min<std::size_t>(data_, bytes_.size()); ++i)
      palette_[i] = {static_cast<std::uint8_t>(bytes_[at + i * entry + 2]), static_cast<std::uint8_t>(bytes_[at + i * entry + 1]),
                     static_cast<std::uint8_t>(bytes_[at + i * entry])};
    const bool grey = std::all_of(palette_.begin(), palette_.begin() + static_cast<std::ptrdiff_t>(most),
                                  [](const Colour& colour) { return colour.red == colour.green && colour.green == colour.blue; });
    if (grey) extent_.channels = 1;
  }

  // The bits under a mask, stretched to 0 … 255.
  static std::uint8_t masked(std::uint32_t value, std::uint32_t mask) {
    if (!mask) return 0;
    const int shift = std::countr_zero(mask);
    const std::uint64_t most = mask >> shift;
    return static_cast<std::uint8_t>((std::uint64_t{(value & mask) >> shift} * 255) / most);
  }

  void put(std::uint8_t* pixel, const Colour& colour) const {
    pixel[0] = colour.red;
    if (extent_.channels == 1) return;
    pixel[1] = colour.green, pixel[2] = colour.blue;
    if (extent_.channels == 4) pixel[3] = colour.alpha;
  }
  std::uint8_t* row(std::uint8_t* pixels, std::size_t y) const {
    const std::size_t line = from_top_ ? y : extent_.height - 1 - y;
    return pixels + line * extent_.width * static_cast<std::size_t>(extent_.channels);
  }

  void read_rows(std::uint8_t* pixels) const {
    const std::size_t stride = (std::size_t{extent_.width} * bits_ + 31) / 32 * 4;
    if (data_ > bytes_.size() || (bytes_.size() - data_) / stride < extent_.height) fail("the file ends too early");
    for (std::size_t y = 0; y < extent_.height; ++y) {
      const auto* from = reinterpret_cast<const unsigned char*>(bytes_.data()) + data_ + y * stride;
      std::uint8_t* to = row(pixels, y);
      for (std::size_t x = 0; x < extent_.width; ++x, to += extent_.channels) put(to, pixel(from, x));
    }
  }

  Colour pixel(const unsigned char* from, std::size_t x) const {
    switch (bits_) {
      case 1: return palette_[from[x / 8] >> (7 - x % 8) & 1];
      case 4: return palette_[from[x / 2] >> (x % 2 ? 0 : 4) & 15];
      case 8: return palette_[from[x]];
      case 24: return {from[3 * x + 2], from[3 * x + 1], from[3 * x]};
      default: break;
    }
    std::uint32_t value = 0;
    for (std::size_t i = bits_ / 8; i-- > 0;) value = value << 8 | from[x * (bits_ / 8) + i];
    return {masked(value, masks_[0]), masked(value, masks_[1]), masked(value, masks_[2]), masked(value, masks_[3])};
  }

  // Pixels that no run names have colour 0.
  void read_runs(std::uint8_t* pixels) const {
    for (std::size_t y = 0; y < extent_.height; ++y)
      for (std::size_t x = 0; x < extent_.width; ++x) put(row(pixels, y) + x * static_cast<std::size_t>(extent_.channels), palette_[0]);
    std::size_t at = data_, x = 0, y = 0;
    const auto next = [&] { return number(at++, 1); };
    const auto set = [&](std::uint32_t index) {
      if (x >= extent_.width || y >= extent_.height) fail("a run leaves the picture");
      put(row(pixels, y) + x++ * static_cast<std::size_t>(extent_.channels), palette_[index]);
    };
    for (;;) {
      const std::uint32_t count = next(), value = next();
      if (count > 0) {
        for (std::uint32_t i = 0; i < count; ++i) set(bits_ == 8 ? value : i % 2 ? value & 15 : value >> 4);
      } else if (value == 0) {
        x = 0, ++y;
      } else if (value == 1) {
        return;
      } else if (value == 2) {
        x += next(), y += next();
      } else {
        std::uint32_t byte = 0;
        for (std::uint32_t i = 0; i < value; ++i) {
          if (bits_ == 8 || i % 2 == 0) byte = next();
          set(bits_ == 8 ? byte : i % 2 ? byte & 15 : byte >> 4);
        }
        if ((bits_ == 8 ? value : (value + 1) / 2) % 2) ++at;  // groups are whole words
      }
    }
  }

  std::string_view bytes_;
  const std::string& name_;
  Extent extent_;
  std::uint32_t bits_ = 0, data_ = 0;
  Compression compression_ = Compression::none;
  bool from_top_ = false;
  std::array<std::uint32_t, 4> masks_{};
  std::array<Colour, 256> palette_{};
};

}  // namespace

Tensor decode_bmp(std::string_view bytes, const std::string& name) { return Bitmap(bytes, name).decode(); }

}  // namespace nacre::images
