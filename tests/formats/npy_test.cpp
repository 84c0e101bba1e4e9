#include "formats/npy.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "formats/file.h"
#include "formats/zip.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::message_of;
using test::TemporaryFolder;
using test::write_plainly;

// An array as numpy.save writes it.
std::string npy(std::string_view descr, std::string_view order, std::string_view shape, std::string_view values, int version = 1) {
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}\n", descr, order, shape);
  std::string bytes = "\x93NUMPY";
  (bytes += static_cast<char>(version)) += '\0';
  bytes += static_cast<char>(header.size());
  bytes += '\0';
  if (version > 1) bytes.append(2, '\0');
  return bytes.append(header).append(values);
}

std::string_view operator""_b(const char* text, std::size_t size) { return {text, size}; }
Tensor parsed(const std::string& bytes) { return parse_npy(bytes, "x.npy"); }
std::string error_of(const std::string& bytes) {
  return message_of([&] { parse_npy(bytes, "x.npy"); });
}

TEST(Npy, KeepsTensors) {
  const TemporaryFolder folder;
  for (const Tensor& tensor :
       {Tensor::of<bool>({3}, {true, false, true}), Tensor::of<std::uint8_t>({2, 1}, {0, 255}), Tensor::of<std::int32_t>({2}, {-5, 7}),
        Tensor::of<std::int64_t>({}, {std::int64_t{1} << 60}), Tensor::of<Float16>({1}, {static_cast<Float16>(1.5f)}),
        Tensor::of<float>({2, 2}, {1.0f, 2.0f, 3.0f, 0.1f}), Tensor::of<double>({1, 1, 1}, {0.1}), Tensor(DType::float32, {0, 3})}) {
    write_npy(folder / "x.npy", tensor);
    EXPECT_TRUE(read_npy(folder / "x.npy").identical(tensor)) << tensor.type().text();
    EXPECT_EQ(read_file(folder / "x.npy").size() % 64, tensor.bytes() % 64);
    EXPECT_TRUE(parsed(format_npy(tensor)).identical(tensor));
  }
  EXPECT_TRUE(parsed(format_npy(Tensor::of<BFloat16>({1}, {BFloat16(1.5f)}))).identical(Tensor::of<float>({1}, {1.5f})));
}

TEST(Npy, ReadsForeignTypes) {
  EXPECT_TRUE(parsed(npy(">f4", "False", "(1,)", "\x3f\xc0\x00\x00"_b)).identical(Tensor::of<float>({1}, {1.5f})));
  EXPECT_TRUE(parsed(npy(">i8", "False", "()", "\x00\x00\x00\x00\x00\x00\x01\x00"_b)).identical(Tensor::scalar(std::int64_t{256})));
  EXPECT_TRUE(parsed(npy("|i1", "False", "(2,)", "\xff\x01"_b)).identical(Tensor::of<std::int32_t>({2}, {-1, 1})));
  EXPECT_TRUE(parsed(npy("<u2", "False", "(1L,)", "\xff\xff"_b)).identical(Tensor::of<std::int32_t>({1}, {65535})));
  EXPECT_TRUE(parsed(npy(">i2", "False", "(1,)", "\xff\xfe"_b)).identical(Tensor::of<std::int32_t>({1}, {-2})));
  EXPECT_TRUE(parsed(npy("<u4", "False", "(1,)", "\xff\xff\xff\xff"_b)).identical(Tensor::of<std::int64_t>({1}, {4294967295})));
  EXPECT_TRUE(parsed(npy(">f2", "False", "(1,)", "\x3e\x00"_b)).identical(Tensor::of<Float16>({1}, {static_cast<Float16>(1.5f)})));
  EXPECT_TRUE(parsed(npy("|V2", "False", "(1,)", "\xc0\x3f"_b)).identical(Tensor::of<BFloat16>({1}, {BFloat16(1.5f)})));
  EXPECT_TRUE(parsed(npy("|b1", "False", "(2,)", "\x02\x00"_b)).identical(Tensor::of<bool>({2}, {true, false})));
  EXPECT_TRUE(parsed(npy("<i4", "False", "(1,)", "\x01\x00\x00\x00"_b, 2)).identical(Tensor::of<std::int32_t>({1}, {1})));
  EXPECT_TRUE(parsed(npy("<i4", "False", "(1,)", "\x01\x00\x00\x00"_b, 3)).identical(Tensor::of<std::int32_t>({1}, {1})));
}

TEST(Npy, ReadsColumnMajorOrder) {
  EXPECT_TRUE(parsed(npy("|u1", "True", "(2, 3)", "\x00\x03\x01\x04\x02\x05"_b)).identical(Tensor::of<std::uint8_t>({2, 3}, {0, 1, 2, 3, 4, 5})));
  std::string values(2 * 3 * 4, '\0');
  std::vector<std::uint8_t> wanted;
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j)
      for (int k = 0; k < 4; ++k) {
        const int value = i * 12 + j * 4 + k;
        wanted.push_back(static_cast<std::uint8_t>(value));
        values[static_cast<std::size_t>(i + 2 * j + 6 * k)] = static_cast<char>(value);
      }
  EXPECT_TRUE(parsed(npy("|u1", "True", "(2, 3, 4)", values)).identical(Tensor::of<std::uint8_t>({2, 3, 4}, wanted)));
  EXPECT_EQ(parsed(npy("<f4", "True", "(0, 3)", "")).shape(), (Shape{0, 3}));
}

TEST(Npy, SaysWhatIsWrong) {
  EXPECT_EQ(error_of("hello, this is text"), "x.npy: this is no .npy array");
  EXPECT_EQ(error_of("\x93NUM"), "x.npy: the array ends within the header (4 bytes more wanted)\n  hint: the file was cut off: copy or download it again");
  EXPECT_EQ(error_of(npy("<f4", "False", "(3,)", "1234")),
            "x.npy: the shape (3,) wants 12 bytes, 4 are there\n  hint: the file was cut off: copy or download it again");
  EXPECT_EQ(error_of(npy("<f4", "False", "(1099511627776, 1099511627776)", "1234")),
            "x.npy: the shape (1099511627776, 1099511627776) is absurd\n  hint: the file is damaged or hostile");
  EXPECT_EQ(error_of(npy("<f4", "False", "(0, 4294967296, 4294967296)", "")),
            "x.npy: the shape (0, 4294967296, 4294967296) is absurd\n  hint: the file is damaged or hostile");
  EXPECT_EQ(error_of(npy("<U5", "False", "(1,)", "")),
            "x.npy: arrays of type '<U5' are not supported\n  hint: numbers and booleans can be read; convert it with NumPy's astype");
  EXPECT_EQ(error_of(npy("<f4", "Maybe", "(1,)", "")), "x.npy: the header of the .npy array is damaged\n  hint: save it again with numpy.save");
  EXPECT_EQ(error_of(npy("<f4", "False", "(-1,)", "")), "x.npy: the header of the .npy array is damaged\n  hint: save it again with numpy.save");
  EXPECT_EQ(error_of(npy("<u8", "False", "(1,)", "\xff\xff\xff\xff\xff\xff\xff\xff"_b)), "x.npy: the integer 18446744073709551615 does not fit into 64 signed bits");
  EXPECT_EQ(error_of(npy("<f4", "False", "(1,)", "1234", 9)), "x.npy: version 9 of the .npy format is not known");
  std::string many = "(";
  for (int i = 0; i < 40; ++i) many += "1, ";
  EXPECT_EQ(error_of(npy("<f4", "False", many + ")", "1234")), "x.npy: the array has more than 32 axes");
}

TEST(Npy, SurvivesDamage) {
  const std::string whole = format_npy(Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6}));
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = whole.substr(0, random() % 4 ? whole.size() : random() % whole.size());
    for (unsigned edits = random() % 3; edits > 0 && !bytes.empty(); --edits) bytes[random() % std::min<std::size_t>(bytes.size(), 80)] = static_cast<char>(random());
    try {
      parse_npy(bytes, "x.npy");
    } catch (const Error&) {
    }
  }
}

TEST(Npz, KeepsArrays) {
  const TemporaryFolder folder;
  const NamedArrays arrays{{"x", Tensor::of<float>({2}, {1.0f, 2.0f})}, {"labels/y", Tensor::of<std::int64_t>({1}, {7})}};
  write_npz(folder / "x.npz", arrays);
  EXPECT_EQ(npz_names(folder / "x.npz"), (std::vector<std::string>{"x", "labels/y"}));
  const NamedArrays got = read_npz(folder / "x.npz");
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[1].first, "labels/y");
  EXPECT_TRUE(got[0].second.identical(arrays[0].second));
  EXPECT_TRUE(read_npz(folder / "x.npz", "labels/y").identical(arrays[1].second));
  EXPECT_EQ(message_of([&] { read_npz(folder / "x.npz", "labels/z"); }),
            (folder / "x.npz").string() + ": there is no array 'labels/z'\n  hint: did you mean 'labels/y'?");
  write_npz(folder / "y.npz", arrays);
  EXPECT_EQ(read_file(folder / "x.npz"), read_file(folder / "y.npz"));
  write_npz(folder / "none.npz", {});
  EXPECT_TRUE(read_npz(folder / "none.npz").empty());
}

// numpy.savez_compressed(x=numpy.arange(3, dtype='>i2'), y=numpy.zeros((100,), 'f4')), NumPy 2.
constexpr std::string_view compressed =
    "504b03042d000000080000002100cd6d6a83ffffffffffffffff05001400782e6e70790100100086000000000000004a000000000000009bec17ea1b"
    "10c9c850c650ad9e925a9c5ca46ea5a06e9769a4aea3a09e965f54529498179f5f94920a12774bcc294e058a17672416a402f91ac63a9a3a0ab50a14"
    "002e06060646062600504b03042d000000080000002100efb97d1bffffffffffffffff05001400792e6e70790100100010020000000000004b000000"
    "000000009bec17ea1b10c9c850c650ad9e925a9c5ca46ea5a06e9366a2aea3a09e965f54529498179f5f94920a12774bcc294e058a17672416a402f9"
    "1a8606063a9a3a0ab50a64032e865130a80000504b01022d032d000000080000002100cd6d6a834a0000008600000005000000000000000000000080"
    "0100000000782e6e7079504b01022d032d000000080000002100efb97d1b4b00000010020000050000000000000000000000800181000000792e6e70"
    "79504b0506000000000200020066000000030100000000";

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

TEST(Npz, ReadsWhatNumPyCompressed) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "x.npz", from_hex(compressed));
  const NamedArrays arrays = read_npz(folder / "x.npz");
  ASSERT_EQ(arrays.size(), 2u);
  EXPECT_TRUE(arrays[0].second.identical(Tensor::of<std::int32_t>({3}, {0, 1, 2})));
  EXPECT_TRUE(arrays[1].second.identical(Tensor(DType::float32, {100})));
  // The size that the directory declares is not believed.
  std::string bomb = from_hex(compressed);
  const std::size_t directory = bomb.find("PK\x01\x02");
  bomb.replace(directory + 24, 4, "\xff\xff\xff\x7f");
  write_file_atomically(folder / "x.npz", bomb);
  EXPECT_EQ(message_of([&] { read_npz(folder / "x.npz"); }),
            (folder / "x.npz").string() + ": the entry 'x.npy' declares 2147483647 bytes, but 74 are stored\n"
                                          "  hint: the archive is damaged or hostile: copy or download it again");
}

TEST(Npz, RefusesWhatIsDamagedOrHostile) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.npz";
  write_file_atomically(path, "no archive");
  EXPECT_EQ(message_of([&] { read_npz(path); }), path + ": this is no zip archive, or its end is cut off\n  hint: copy or download it again");
  write_npz(path, {{"x", Tensor(DType::float32, {1000})}});
  const std::string whole = read_file(path);
  write_file_atomically(path, std::string_view(whole).substr(0, whole.size() / 2));
  EXPECT_EQ(message_of([&] { read_npz(path); }), path + ": this is no zip archive, or its end is cut off\n  hint: copy or download it again");
  std::string damaged = whole;
  damaged[1000] ^= 1;
  write_file_atomically(path, damaged);
  EXPECT_EQ(message_of([&] { read_npz(path); }),
            path + ": the entry 'x.npy' cannot be unpacked: CRC error\n  hint: the archive is damaged or hostile: copy or download it again");
  EXPECT_EQ(message_of([&] { ZipReader(folder / "y.zip"); }), (folder / "y.zip").string() + ": cannot be opened: no such file or folder\n"
                                                                                       "  hint: check the path");
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    damaged = whole;
    for (int j = 0; j < 4; ++j) damaged[random() % 2 ? damaged.size() - 1 - random() % 80 : random() % 60] = static_cast<char>(random());
    test::write_plainly(path, damaged);
    try {
      read_npz(path);
    } catch (const Error&) {
    }
  }
}

TEST(Zip, BoundsWhatIsRead) {
  const TemporaryFolder folder;
  ZipWriter writer(folder / "x.zip");
  writer.add("a", std::string(1000, 'a'));
  writer.commit();
  const ZipReader reader(folder / "x.zip");
  EXPECT_EQ(reader.read("a").size(), 1000u);
  EXPECT_EQ(message_of([&] { reader.read("a", 999); }), (folder / "x.zip").string() + ": the entry 'a' has 1000 bytes; 999 may be read here\n"
                                                                                    "  hint: the archive is damaged or hostile: copy or download it again");
}

TEST(Zip, TakesFilesAsTheyLieThere) {
  const TemporaryFolder folder;
  const std::string bytes(3 << 20, 'b');
  write_plainly(folder / "b", bytes);
  std::filesystem::permissions(folder / "b", std::filesystem::perms::owner_read);
  const auto archive = [&](bool as_file) {
    ZipWriter writer(folder / "x.zip");
    writer.add("a", "first");
    if (as_file) writer.add_file("b", folder / "b");
    else writer.add("b", bytes);
    writer.add("c", "");
    writer.commit();
    return read_file(folder / "x.zip");
  };
  const std::string from_file = archive(true), from_memory = archive(false);
  EXPECT_TRUE(from_file == from_memory) << "neither times nor rights of the file are kept";
  const ZipReader reader(folder / "x.zip");
  EXPECT_EQ(reader.names(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_TRUE(reader.read("b") == bytes);
  ZipWriter writer(folder / "y.zip");
  writer.add_file("b", folder / "absent");
  EXPECT_NE(message_of([&] { writer.commit(); }).find("y.zip: the archive cannot be written"), std::string::npos);
}

TEST(Zip, OnAFullDiskLeavesWhatWasThere) {
  const TemporaryFolder folder;
  write_plainly(folder / "x.zip", "before");
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_IGN);
    const std::string message = message_of([&] {
      ZipWriter writer(folder / "x.zip");
      writer.add("a", std::string(10'000, 'a'));
      writer.commit();
    });
    _exit(message.find("x.zip: cannot be written") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(read_file(folder / "x.zip"), "before");
}

}  // namespace
}  // namespace nacre
