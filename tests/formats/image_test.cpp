#include "formats/image.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "formats/file.h"
#include "formats/npy.h"
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

const std::filesystem::path goldens = std::filesystem::path(NACRE_SOURCE_DIR) / "tests" / "golden" / "images";

std::vector<std::filesystem::path> golden_pictures() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(goldens))
    if (is_image_name(entry.path())) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

int largest_difference(const Tensor& a, const Tensor& b) {
  int largest = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(static_cast<int>(a.at(i)) - static_cast<int>(b.at(i))));
  return largest;
}

TEST(Image, ReadsEveryKindAsPillowDoes) {
  const std::vector<std::filesystem::path> files = golden_pictures();
  ASSERT_GE(files.size(), 47u);
  for (const std::filesystem::path& file : files) {
    const Tensor golden = read_npz(goldens / "images.npz", file.filename().string()), image = read_image(file);
    ASSERT_EQ(image.shape(), golden.shape()) << file;
    const bool lossy = file.extension() == ".jpg" || file.stem() == "lossy";  // by libraries of several versions
    EXPECT_LE(largest_difference(image, golden), lossy ? 2 : 0) << file;
  }
}

TEST(Image, ItsContentsSayWhatItIs) {
  const std::string webp = read_file(goldens / "lossless.webp");
  EXPECT_TRUE(decode_image(webp, "x.jpg").identical(read_image(goldens / "rgb.png")));
}

TEST(Image, ShrinkingAgainstAliasingTakesAllPixelsAsPillowDoes) {
  const Tensor image = read_npz(goldens / "shrunk.npz", "image"), golden = read_npz(goldens / "shrunk.npz", "shrunk");
  EXPECT_LE(largest_difference(resize_bilinear(image, 6, 7, true), golden), 1);
  EXPECT_TRUE(resize_bilinear(image, 40, 56, true).identical(resize_bilinear(image, 40, 56)));
}

TEST(Image, ALargeJpegMayBeDecodedSmaller) {
  const Tensor whole = read_image(goldens / "rgb.jpg"), half = read_image(goldens / "rgb.jpg", 3, {10, 10});
  EXPECT_EQ(half.shape(), (Shape{10, 14, 3}));
  const Tensor shrunk = resize_bilinear(whole, 10, 14, true);
  double difference = 0;
  for (std::int64_t i = 0; i < half.size(); ++i) difference += std::abs(half.at(i) - shrunk.at(i)) / static_cast<double>(half.size());
  EXPECT_LT(difference, 6);
  EXPECT_EQ(read_image(goldens / "rgb.jpg", 3, {11, 10}).shape(), (Shape{20, 28, 3}));
  EXPECT_EQ(read_image(goldens / "rgb.png", 3, {2, 2}).shape(), (Shape{20, 28, 3}));
}

TEST(Image, FitsStretchCropAndPad) {
  const Tensor wide = Tensor::of<std::uint8_t>({2, 4, 1}, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_TRUE(fit_image(wide, 2, 2, Fit::stretch).identical(resize_bilinear(wide, 2, 2)));
  EXPECT_TRUE(fit_image(wide, 2, 2, Fit::crop).identical(Tensor::of<std::uint8_t>({2, 2, 1}, {2, 3, 6, 7})));
  EXPECT_TRUE(fit_image(wide, 4, 4, Fit::pad).identical(
      Tensor::of<std::uint8_t>({4, 4, 1}, {0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0})));
  EXPECT_TRUE(fit_image(wide.reshaped({4, 2, 1}), 2, 2, Fit::crop).identical(Tensor::of<std::uint8_t>({2, 2, 1}, {3, 4, 5, 6})));
  for (const Fit fit : {Fit::stretch, Fit::crop, Fit::pad})
    EXPECT_EQ(fit_image(wide, 5, 3, fit, true).shape(), (Shape{5, 3, 1}));
  EXPECT_EQ(fit_image(Tensor(DType::uint8, {1, 4000, 3}), 2, 2, Fit::pad).shape(), (Shape{2, 2, 3}));
}

TEST(Image, SizesThatCannotBeAreRefusedBeforeAnythingIsAllocated) {
  const auto huge = [](std::string bytes, std::size_t at, std::string_view size) {
    bytes.replace(at, size.size(), size);
    return message_of([&] { decode_image(bytes, "x"); });
  };
  using namespace std::string_view_literals;
  EXPECT_EQ(huge(read_file(goldens / "rgb24.bmp"), 18, "\xff\xff\xff\x7f\xff\xff\xff\x7f"sv),
            "x: the picture has 2147483647×2147483647 pixels, too many to read\n  hint: shrink it first");
  EXPECT_EQ(huge(read_file(goldens / "rgb24.bmp"), 18, "\x00\x10\x00\x00\x00\x10\x00\x00"sv),
            "x: the picture declares 4096×4096 pixels in 1734 bytes\n  hint: the file is damaged: copy or download it again");
  EXPECT_EQ(huge(read_file(goldens / "rgb24.bmp"), 18, "\x00\x00\x00\x00"sv), "x: the picture is empty");
  EXPECT_EQ(huge(read_file(goldens / "grey.gif"), 6, "\xff\xff\xff\xff"sv),
            "x: the picture has 65535×65535 pixels, too many to read\n  hint: shrink it first");
  EXPECT_EQ(huge(read_file(goldens / "palette8.bmp"), 28, "\x09\x00"sv),
            "x: the BMP picture cannot be read: 9 bits a pixel in form 0\n  hint: the file is damaged: copy or download it again");
}

TEST(Image, EveryKindCutShortOrEmptyIsAnError) {
  for (const std::filesystem::path& file : golden_pictures()) {
    const std::string bytes = read_file(file);
    for (const std::size_t length : {std::size_t{3}, std::size_t{12}, bytes.size() / 4, bytes.size() / 2})
      EXPECT_THROW(decode_image(std::string_view(bytes).substr(0, length), "x"), Error) << file << " " << length;
  }
}

TEST(Image, SaysWhatIsWrong) {
  EXPECT_EQ(message_of([] { decode_image("", "x.png"); }), "x.png: the file is empty, wanted a picture");
  EXPECT_EQ(message_of([] { decode_image("%PDF-1.4", "x.png"); }), "x.png: this is no JPEG, PNG, WebP, BMP or GIF picture");
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

TEST(Image, SurvivesDamageOfEveryKind) {
  std::mt19937 random(2);
  for (const std::filesystem::path& file : golden_pictures()) {
    const std::string whole = read_file(file);
    for (int i = 0; i < 200; ++i) {
      std::string bytes = whole;
      for (unsigned edits = random() % 4 + 1; edits > 0; --edits) bytes[2 + random() % (std::min<std::size_t>(bytes.size(), 400) - 2)] = static_cast<char>(random());
      try {
        decode_image(bytes, "x");
      } catch (const Error&) {
      }
    }
  }
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
  EXPECT_TRUE(is_image_name("b.WebP"));
  EXPECT_FALSE(is_image_name("png"));
}

}  // namespace
}  // namespace nacre
