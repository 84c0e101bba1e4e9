// WebP, by libwebp, which is loaded by the first file of this kind.
#include <webp/decode.h>

#include "formats/image_decoders.h"
#include "formats/shared_library.h"

namespace nacre::images {

namespace {

struct Libwebp {
  SharedLibrary library{"WebP pictures cannot be read", {"libwebp.so.7", "libwebp.so", "libwebp.7.dylib"}};
  decltype(&WebPGetFeaturesInternal) features = library["WebPGetFeaturesInternal"];
  decltype(&WebPDecodeRGBInto) rgb = library["WebPDecodeRGBInto"];
  decltype(&WebPDecodeRGBAInto) rgba = library["WebPDecodeRGBAInto"];
};
const Libwebp& libwebp() {
  static const Libwebp loaded;
  return loaded;
}

// The contents of the first chunk of that name in the container; empty when there is none.
std::string_view chunk_of(std::string_view bytes, std::string_view name) {
  for (std::size_t at = 12; at + 8 <= bytes.size();) {
    std::size_t size = 0;
    for (std::size_t i = 4; i-- > 0;) size = size << 8 | static_cast<unsigned char>(bytes[at + 4 + i]);
    if (bytes.substr(at, 4) == name) return bytes.substr(at + 8, size);
    if (size > bytes.size() - at - 8) break;
    at += 8 + size + size % 2;
  }
  return {};
}

}  // namespace

Tensor decode_webp(std::string_view bytes, const std::string& name) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  WebPBitstreamFeatures features{};
  if (const VP8StatusCode status = libwebp().features(data, bytes.size(), &features, WEBP_DECODER_ABI_VERSION); status != VP8_STATUS_OK)
    throw damaged("WebP", status == VP8_STATUS_NOT_ENOUGH_DATA ? "the file ends too early" : "its header is none", name);
  if (features.has_animation) throw Error("the WebP picture is an animation").at(Mark{name}).hint("save one of its frames").usage();
  const Extent extent{static_cast<std::uint32_t>(features.width), static_cast<std::uint32_t>(features.height), features.has_alpha ? 4 : 3};
  check_size(extent, bytes.size(), name, std::uint64_t{1} << 24);  // a lossless picture of one colour has a few bytes
  Tensor image = make_picture(extent);
  auto* pixels = static_cast<std::uint8_t*>(image.raw_writable());
  const int stride = features.width * extent.channels;
  if (!(features.has_alpha ? libwebp().rgba : libwebp().rgb)(data, bytes.size(), pixels, image.bytes(), stride))
    throw damaged("WebP", "its data is wrong or ends too early", name);
  return upright(image, exif_orientation(chunk_of(bytes, "EXIF")));
}

}  // namespace nacre::images
