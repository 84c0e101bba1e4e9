#include "formats/idx.h"

#include <gtest/gtest.h>

#include "formats/file.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::message_of;
using test::shared_path;
using test::TemporaryFolder;

std::string_view operator""_b(const char* text, std::size_t size) { return {text, size}; }

TEST(Idx, KeepsTensors) {
  const TemporaryFolder folder;
  for (const Tensor& tensor : {Tensor::of<std::uint8_t>({2, 2}, {0, 1, 128, 255}), Tensor::of<std::int32_t>({3}, {-1, 0, 1 << 30}),
                               Tensor::of<float>({1, 1, 2}, {0.1f, -1e30f}), Tensor::of<double>({1}, {0.1}), Tensor(DType::uint8, {0, 28, 28})}) {
    write_idx(folder / "x", tensor);
    EXPECT_TRUE(read_idx(folder / "x").identical(tensor)) << tensor.type().text();
  }
  EXPECT_EQ(message_of([&] { write_idx(folder / "x", Tensor::scalar(1.0f)); }), "IDX files do not hold the shape ()");
  EXPECT_EQ(message_of([&] { write_idx(folder / "x", Tensor(DType::int64, {1})); }), "IDX files do not hold int64");
}

TEST(Idx, ReadsSmallIntegers) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "x", "\0\0\x09\x01\0\0\0\x02\xff\x05"_b);
  EXPECT_TRUE(read_idx(folder / "x").identical(Tensor::of<std::int32_t>({2}, {-1, 5})));
  write_file_atomically(folder / "x", "\0\0\x0b\x01\0\0\0\x01\xff\xfe"_b);
  EXPECT_TRUE(read_idx(folder / "x").identical(Tensor::of<std::int32_t>({1}, {-2})));
}

TEST(Idx, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  const std::string path = folder / "x";
  const auto error_of = [&](std::string_view bytes) {
    write_file_atomically(path, bytes);
    return message_of([&] { read_idx(path); });
  };
  EXPECT_EQ(error_of("hello"), path + ": this is no IDX file\n  hint: IDX files begin with two zero bytes, a type and the number of axes");
  EXPECT_EQ(error_of("\0\0"_b), path + ": the file ends after 2 bytes, within the header (2 bytes more wanted)\n  hint: the file was cut off: copy or download it again");
  EXPECT_EQ(error_of("\0\0\x08\x09"_b), path + ": the IDX file declares 9 axes, at most 8 are read");
  EXPECT_EQ(error_of("\0\0\x08\x02\0\0\0\x02\0\0\0\x02""abc"_b),
            path + ": the IDX file declares the shape (2, 2), which wants 4 bytes; at most 3 follow\n  hint: the file was cut off: copy or download it again");
  EXPECT_EQ(error_of("\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"_b), path + ": the IDX file declares an absurd size\n  hint: the file is damaged or hostile");
  EXPECT_EQ(error_of("\0\0\x08\x01\0\0\0\x01""ab"_b), path + ": the IDX file goes on after its 1 bytes of values\n  hint: the file is damaged, or is no IDX file");
}

TEST(Idx, ReadsMnist) {
  const auto path = shared_path("data/mnist/t10k-images-idx3-ubyte.gz");
  if (!path) GTEST_SKIP() << test::absent("data/mnist");
  EXPECT_EQ(read_idx(*path).type().text(), "uint8(10000, 28, 28)");
  const TemporaryFolder folder;
  const std::string packed = read_file(*path), cut = folder / "cut.gz";
  write_file_atomically(cut, std::string_view(packed).substr(0, packed.size() / 2));
  EXPECT_TRUE(message_of([&] { read_idx(cut); }).starts_with(fmt::format("{}: the gzip data ends too early, after {} bytes (", cut, packed.size() / 2)));
}

}  // namespace
}  // namespace nacre
