#include "formats/image.h"

#include <gtest/gtest.h>

#include <random>

#include "formats/file.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::message_of;
using test::TemporaryFolder;

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

// 8×8, red grows to the right, green downwards; written by PIL.
const std::string jpeg = from_hex(
    "ffd8ffe000104a46494600010100000100010000ffdb0043000d090a0b0a080d0b0a0b0e0e0d0f13201513121213271c1e17202e2931302e292d2c33"
    "3a4a3e333646372c2d405741464c4e525352323e5a615a50604a51524fffdb0043010e0e0e131113261515264f352d354f4f4f4f4f4f4f4f4f4f4f4f"
    "4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4fffc00011080008000803011100021101031101ffc400"
    "14000100000000000000000000000000000004ffc4001910000105000000000000000000000000000005062231a1ffc4001501010100000000000000"
    "000000000000000001ffc4001a110002020300000000000000000000000000050304213161ffda000c03010002110311003f00026b7ea1849eef42b6"
    "1ac9ffd9");

Tensor gradient(std::int64_t height, std::int64_t width, std::int64_t channels) {
  Tensor image(DType::uint8, {height, width, channels});
  std::uint8_t next = 0;
  for (std::uint8_t& value : image.writable<std::uint8_t>()) value = next = static_cast<std::uint8_t>(next * 5 + 17);
  return image;
}

TEST(Image, PngKeepsPixels) {
  const TemporaryFolder folder;
  for (const std::int64_t channels : {1, 3, 4}) {
    const Tensor image = gradient(5, 7, channels);
    EXPECT_TRUE(decode_image(encode_png(image), "x.png").identical(image));
    write_png(folder / "x.png", image);
    EXPECT_TRUE(read_image(folder / "x.png").identical(image));
  }
  EXPECT_TRUE(decode_image(encode_png(gradient(3, 4, 1).reshaped({3, 4})), "x.png").identical(gradient(3, 4, 1)));
}

TEST(Image, ConvertsChannels) {
  const std::string png = encode_png(Tensor::of<std::uint8_t>({1, 2, 4}, {10, 20, 30, 40, 255, 0, 0, 0}));
  EXPECT_TRUE(decode_image(png, "x", 3).identical(Tensor::of<std::uint8_t>({1, 2, 3}, {10, 20, 30, 255, 0, 0})));
  EXPECT_TRUE(decode_image(png, "x", 1).identical(Tensor::of<std::uint8_t>({1, 2, 1}, {18, 76})));
  const std::string grey = encode_png(Tensor::of<std::uint8_t>({1, 1, 1}, {7}));
  EXPECT_TRUE(decode_image(grey, "x", 3).identical(Tensor::of<std::uint8_t>({1, 1, 3}, {7, 7, 7})));
  EXPECT_TRUE(decode_image(grey, "x", 4).identical(Tensor::of<std::uint8_t>({1, 1, 4}, {7, 7, 7, 255})));
}

TEST(Image, ReadsJpegAsPilDoes) {
  const Tensor image = decode_image(jpeg, "x.jpg");
  EXPECT_EQ(image.shape(), (Shape{8, 8, 3}));
  const auto pixels = image.data<std::uint8_t>();
  const auto near = [&](std::size_t row, std::size_t column, std::array<int, 3> wanted) {
    for (std::size_t c = 0; c < 3; ++c) EXPECT_NEAR(pixels[(row * 8 + column) * 3 + c], wanted[c], 1) << row << " " << column;
  };
  near(0, 0, {0, 0, 103});
  near(7, 7, {210, 208, 97});
  near(3, 4, {111, 91, 92});
  const Tensor grey = decode_image(jpeg, "x.jpg", 1);
  EXPECT_NEAR(grey.at(0), 12, 1);
  EXPECT_NEAR(grey.at(3 * 8 + 4), 97, 1);
}

TEST(Image, SaysWhatIsWrong) {
  EXPECT_EQ(message_of([] { decode_image("", "x.png"); }), "x.png: the file is empty, wanted a picture");
  EXPECT_EQ(message_of([] { decode_image("GIF89a", "x.png"); }), "x.png: this is no PNG or JPEG picture");
  const std::string png = encode_png(gradient(20, 20, 3));
  EXPECT_EQ(message_of([&] { decode_image(png.substr(0, png.size() / 2), "x.png"); }),
            "x.png: the PNG picture cannot be read: the file ends too early\n  hint: the file is damaged: copy or download it again");
  EXPECT_EQ(message_of([&] { decode_image(std::string_view(jpeg).substr(0, 290), "x.jpg"); }),
            "x.jpg: the JPEG picture cannot be read: Premature end of JPEG file\n  hint: the file is damaged: copy or download it again");
  std::string huge = jpeg;
  const std::size_t frame = huge.find("\xff\xc0");
  huge.replace(frame + 5, 4, "\x80\x00\x80\x00", 4);
  EXPECT_EQ(message_of([&] { decode_image(huge, "x.jpg"); }), "x.jpg: the picture has 32768×32768 pixels, too many to read\n  hint: shrink it first");
  huge.replace(frame + 5, 4, "\x1f\x00\x1f\x00", 4);
  EXPECT_EQ(message_of([&] { decode_image(huge, "x.jpg"); }),
            "x.jpg: the picture declares 7936×7936 pixels in 304 bytes\n  hint: the file is damaged: copy or download it again");
  EXPECT_EQ(message_of([] { encode_png(Tensor(DType::float32, {2, 2})); }), "a picture is uint8 (height, width, channels), not float32(2, 2)");
  EXPECT_EQ(message_of([] { encode_png(Tensor(DType::uint8, {2, 2, 5})); }), "the shape (2, 2, 5) is none of a picture");
}

TEST(Image, SurvivesDamage) {
  std::mt19937 random(1);
  const std::string png = encode_png(gradient(9, 9, 3));
  for (int i = 0; i < 4000; ++i) {
    std::string bytes = i % 2 ? png : jpeg;
    for (unsigned edits = random() % 4 + 1; edits > 0; --edits) bytes[2 + random() % (bytes.size() - 2)] = static_cast<char>(random());
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    try {
      decode_image(bytes, "x", static_cast<int>(random() % 2) * 3);
    } catch (const Error&) {
    }
  }
}

TEST(Image, ResizesBilinearly) {
  const Tensor image = Tensor::of<float>({2, 2, 1}, {0.0f, 1.0f, 2.0f, 3.0f});
  EXPECT_TRUE(resize_bilinear(image, 2, 2).identical(image));
  EXPECT_TRUE(resize_bilinear(image, 1, 1).identical(Tensor::of<float>({1, 1, 1}, {1.5f})));
  EXPECT_TRUE(resize_bilinear(image, 2, 4).identical(Tensor::of<float>({2, 4, 1}, {0.0f, 0.25f, 0.75f, 1.0f, 2.0f, 2.25f, 2.75f, 3.0f})));
  EXPECT_TRUE(resize_bilinear(Tensor::of<std::uint8_t>({1, 2, 1}, {0, 255}), 1, 4).identical(Tensor::of<std::uint8_t>({1, 4, 1}, {0, 64, 191, 255})));
  EXPECT_THROW(resize_bilinear(image, 0, 1), Error);
}

TEST(Image, KnowsNames) {
  EXPECT_TRUE(is_image_name("a/b.PNG"));
  EXPECT_TRUE(is_image_name("b.jpeg"));
  EXPECT_FALSE(is_image_name("png"));
}

}  // namespace
}  // namespace nacre
