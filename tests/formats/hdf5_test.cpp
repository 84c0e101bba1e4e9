#define H5_USE_110_API
#include "formats/hdf5.h"

#include <gtest/gtest.h>
#include <hdf5.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "formats/file.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

namespace fs = std::filesystem;
using hdf5::File;
using test::message_of;
using test::shared_path;
using test::TemporaryFolder;

std::vector<Tensor> one_of_each() {
  return {Tensor::of<bool>({3}, {true, false, true}),
          Tensor::of<std::uint8_t>({2}, {0, 255}),
          Tensor::of<std::int32_t>({2, 1}, {-5, 7}),
          Tensor::of<std::int64_t>({}, {std::int64_t{1} << 60}),
          Tensor::of<Float16>({2}, {static_cast<Float16>(1.5f), static_cast<Float16>(-0.1f)}),
          Tensor::of<BFloat16>({2}, {BFloat16(1.5f), BFloat16(-0.1f)}),
          Tensor::of<float>({2, 2}, {1.0f, 2.0f, 3.0f, 0.1f}),
          Tensor::of<double>({1, 1, 1}, {0.1}),
          Tensor(DType::float32, {0, 3})};
}

TEST(Hdf5, KeepsTensorsOfEveryType) {
  const TemporaryFolder folder;
  File file = File::create(folder / "x.h5");
  const std::vector<Tensor> tensors = one_of_each();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    file.root().write(fmt::format("a/{}", i), tensors[i]);
    if (tensors[i].dtype() != DType::bfloat16) file.root().set_attribute(fmt::format("a{}", i), tensors[i]);
  }
  EXPECT_FALSE(fs::exists(folder / "x.h5"));
  file.commit();
  const auto root = File::open(folder / "x.h5").root();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const hdf5::Dataset dataset = root.dataset(fmt::format("a/{}", i));
    EXPECT_EQ(dataset.type(), tensors[i].type());
    EXPECT_TRUE(dataset.tensor().identical(tensors[i])) << i;
    if (tensors[i].dtype() == DType::bfloat16) continue;
    EXPECT_TRUE(root.tensor_attribute(fmt::format("a{}", i)).identical(tensors[i])) << i;
  }
  EXPECT_EQ(root.group("a").names(), (std::vector<std::string>{"0", "1", "2", "3", "4", "5", "6", "7", "8"}));
}

TEST(Hdf5, KeepsTexts) {
  const TemporaryFolder folder;
  const std::vector<std::string> texts{"a", "", "\xc3\xa9", std::string(1000, 'x')};
  std::vector<std::string> many;
  for (int i = 0; i < 5000; ++i) many.push_back(std::to_string(i));
  File file = File::create(folder / "x.h5");
  file.root().write("texts", texts);
  file.root().write("many", many);
  file.root().write("none", std::vector<std::string>{});
  file.root().set_attribute("utf8", "h\xc3\xa9", hdf5::Encoding::utf8);
  file.root().set_attribute("long", std::string(700'000, 'j'), hdf5::Encoding::ascii);
  file.root().set_attribute("list", texts);
  file.root().set_attribute("none", std::vector<std::string>{});
  file.root().set_attribute_padded("padded", texts);
  file.root().set_attribute("empty_numbers", Tensor(DType::float64, {0}));
  file.root().set_attribute("list", std::vector<std::string>{"replaced"});
  EXPECT_EQ(message_of([&] { file.root().set_attribute("zero", std::string("a\0b", 3)); }),
            (folder / "x.h5").string() + ": '/': a text that holds a zero byte cannot be written");
  file.commit();
  const auto root = File::open(folder / "x.h5").root();
  EXPECT_TRUE(root.dataset("texts").holds_text());
  EXPECT_EQ(root.texts("texts"), texts);
  EXPECT_EQ(root.texts("many"), many);
  EXPECT_TRUE(root.texts("none").empty());
  EXPECT_EQ(root.text_attribute("utf8"), "h\xc3\xa9");
  EXPECT_EQ(root.text_attribute("long").size(), 700'000u);
  EXPECT_EQ(root.texts_attribute("list"), (std::vector<std::string>{"replaced"}));
  EXPECT_TRUE(root.texts_attribute("none").empty());
  EXPECT_EQ(root.texts_attribute("padded"), texts);
  EXPECT_TRUE(root.texts_attribute("empty_numbers").empty());
  EXPECT_EQ(root.attribute_names(), (std::vector<std::string>{"empty_numbers", "list", "long", "none", "padded", "utf8"}));
}

TEST(Hdf5, ListsInNaturalOrder) {
  const TemporaryFolder folder;
  File file = File::create(folder / "x.h5");
  for (const char* name : {"10", "9", "dense_10", "dense_2", "dense", "a/vars/11", "a/vars/2", "a/vars/1", "007", "7"})
    file.root().write(name, Tensor::scalar(1.0f));
  file.root().make_group("empty/group");
  EXPECT_EQ(file.root().names(), (std::vector<std::string>{"007", "7", "9", "10", "a", "dense", "dense_2", "dense_10", "empty"}));
  EXPECT_EQ(file.root().group("a").dataset_paths(), (std::vector<std::string>{"vars/1", "vars/2", "vars/11"}));
  EXPECT_EQ(file.root().native_names().size(), 9u);
  EXPECT_TRUE(file.root().has_group("empty/group"));
  EXPECT_FALSE(file.root().has_dataset("a/vars"));
  EXPECT_TRUE(file.root().has_dataset("/a//vars/1"));
  EXPECT_FALSE(file.root().has("a/vars/1/x"));
  EXPECT_FALSE(file.root().has("../a"));
}

TEST(Hdf5, ReadsRows) {
  const TemporaryFolder folder;
  File file = File::create(folder / "x.h5");
  file.root().write("x", Tensor::of<std::int32_t>({4, 2}, {0, 1, 2, 3, 4, 5, 6, 7}));
  const auto dataset = file.root().dataset("x");
  EXPECT_TRUE(dataset.rows(1, 3).identical(Tensor::of<std::int32_t>({2, 2}, {2, 3, 4, 5})));
  EXPECT_EQ(dataset.rows(2, 2).shape(), (Shape{0, 2}));
  EXPECT_EQ(message_of([&] { dataset.rows(3, 5); }), (folder / "x.h5").string() + ": '/x': rows 3 to 5 are wanted of 4");
}

TEST(Hdf5, SameContentGivesTheSameBytes) {
  const TemporaryFolder folder;
  for (const char* name : {"a.h5", "b.h5"}) {
    File file = File::create(folder / name);
    for (const Tensor& tensor : one_of_each()) file.root().write("t" + tensor.type().text(), tensor);
    file.root().set_attribute("x", "y");
    file.commit();
  }
  EXPECT_EQ(read_file(folder / "a.h5"), read_file(folder / "b.h5"));
}

TEST(Hdf5, NothingAppearsWithoutCommit) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "x.h5", "old");
  {
    File file = File::create(folder / "x.h5");
    file.root().write("x", Tensor(DType::float32, {1000}));
  }
  EXPECT_EQ(read_file(folder / "x.h5"), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(Hdf5, SurvivesBeingKilledWhileWriting) {
  const TemporaryFolder folder;
  {
    File file = File::create(folder / "x.h5");
    file.root().write("x", Tensor::scalar(1.0f));
    file.commit();
  }
  std::fflush(nullptr);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    File file = File::create(folder / "x.h5");
    file.root().write("x", Tensor(DType::float32, {100'000}));
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(File::open(folder / "x.h5").root().tensor("x").item(), 1.0);
}

// A disk that fills up: the error says so, the file before is intact and the process can go on and end.
TEST(Hdf5, SaysThatTheDiskIsFull) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.h5";
  write_file_atomically(path, "old");
  std::fflush(nullptr);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100'000, 100'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const std::string message = message_of([&] {
      File file = File::create(path);
      file.root().write("x", Tensor(DType::float32, {1'000'000}));
      file.commit();
    });
    const auto small = [&] {
      File file = File::create(path + "2");
      file.root().write("x", Tensor::scalar(2.0f));
      file.commit();
    };
    for (int i = 0; i < 3; ++i) small();
    if (File::open(path + "2").root().tensor("x").item() != 2.0) std::exit(2);
    fs::remove(path + "2");
    std::exit(message == path + ": cannot be written: it would become larger than a file may be" ? 0 : (std::fputs(message.c_str(), stderr), 1));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
  EXPECT_TRUE(message_of([] { File::create("/proc/x.h5"); }).starts_with("/proc/x.h5: cannot be written: "));
  EXPECT_EQ(message_of([] { File::create("/dev/full"); }), "/dev/full: HDF5 can be written to files only");
}

TEST(Hdf5, SaysWhatIsMissing) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.h5";
  File file = File::create(path);
  file.root().write("weights/dense/kernel", Tensor::scalar(1.0f));
  const auto root = file.root();
  EXPECT_EQ(message_of([&] { root.tensor("weights/dens/kernel"); }),
            path + ": there is no dataset '/weights/dens/kernel'\n  hint: did you mean 'dense'?");
  EXPECT_EQ(message_of([&] { root.group("weights").group("qqqqqqqqqq"); }), path + ": there is no group '/weights/qqqqqqqqqq'\n  hint: known: dense");
  EXPECT_EQ(message_of([&] { root.tensor("weights"); }), path + ": '/weights': it is no dataset");
  EXPECT_EQ(message_of([&] { root.text_attribute("x"); }), path + ": '/': there is no attribute 'x'");
}

TEST(Hdf5, SaysThatItIsCutOff) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.h5";
  File file = File::create(path);
  file.root().write("x", Tensor(DType::float32, {1000}));
  file.commit();
  const std::string whole = read_file(path);
  write_file_atomically(path, std::string_view(whole).substr(0, whole.size() / 2));
  EXPECT_EQ(message_of([&] { File::open(path); }),
            fmt::format("{}: the HDF5 file is cut off: {} bytes of {}\n  hint: copy or download it again", path, whole.size() / 2, whole.size()));
  write_file_atomically(path, std::string_view(whole).substr(0, 4));
  EXPECT_EQ(message_of([&] { File::open(path); }), path + ": the HDF5 file is cut off within its first bytes\n  hint: copy or download it again");
  write_file_atomically(path, "");
  EXPECT_EQ(message_of([&] { File::open(path); }), path + ": the file is empty, wanted HDF5");
  write_file_atomically(path, "PK\3\4 and so on");
  EXPECT_EQ(message_of([&] { File::open(path); }), path + ": this is not an HDF5 file\n  hint: it is a zip archive, as .keras files are");
  write_file_atomically(path, "hello");
  EXPECT_EQ(message_of([&] { File::open(path); }), path + ": this is not an HDF5 file");
  EXPECT_TRUE(message_of([&] { File::open(folder / "y.h5"); }).ends_with("cannot be opened: no such file or folder\n  hint: check the path"));
}

// A file made with the library itself: what nacre never writes.
class Crafted {
 public:
  explicit Crafted(const fs::path& path) : id(create(path)) {}
  ~Crafted() { H5Fclose(id); }

  hid_t dataset(const char* name, hid_t type, std::vector<hsize_t> sizes, hid_t properties = H5P_DEFAULT) const {
    const hid_t space = H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr);
    return H5Dcreate2(id, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
  }
  const hid_t id;

 private:
  static hid_t create(const fs::path& path) {
    const hid_t properties = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(properties, H5F_CLOSE_STRONG);
    return H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, properties);
  }
};

TEST(Hdf5, RefusesAbsurdSizes) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.h5";
  {
    const Crafted file(path);
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk[] = {1024, 1024};
    H5Pset_chunk(properties, 2, chunk);
    file.dataset("huge", H5T_NATIVE_FLOAT, {hsize_t{1} << 20, hsize_t{1} << 16}, properties);
    file.dataset("absurd", H5T_NATIVE_FLOAT, {hsize_t{1} << 40, hsize_t{1} << 40}, properties);
    const hsize_t large_chunk[] = {1 << 15, 1 << 14};
    H5Pset_chunk(properties, 2, large_chunk);
    file.dataset("chunk", H5T_NATIVE_FLOAT, {100'000, 100'000}, properties);
    file.dataset("zero", H5T_NATIVE_FLOAT, {0, hsize_t{1} << 60});
  }
  const auto root = File::open(path).root();
  EXPECT_EQ(message_of([&] { root.tensor("huge"); }),
            path + ": '/huge': it declares 274877906944 bytes, but 0 are stored\n  hint: the file is damaged or hostile");
  EXPECT_EQ(message_of([&] { root.tensor("absurd"); }), path + ": '/absurd': its size is absurd\n  hint: the file is damaged or hostile");
  EXPECT_EQ(message_of([&] { root.tensor("chunk"); }),
            fmt::format("{}: '/chunk': one chunk declares 2147483648 bytes in a file of {}\n  hint: the file is damaged or hostile", path, fs::file_size(path)));
  EXPECT_EQ(message_of([&] { root.tensor("zero"); }), path + ": '/zero': its size is absurd\n  hint: the file is damaged or hostile");
  EXPECT_THROW(root.dataset("huge").rows(0, 1), Error);
}

// make_lzf.py wrote it.
TEST(Hdf5, ReadsTheCompressionOfH5py) {
  const auto root = File::open(fs::path(NACRE_SOURCE_DIR) / "tests" / "formats" / "lzf.h5").root();
  for (const char* name : {"plain", "plain_shuffle", "plain_checksum", "plain_shuffle_checksum"}) {
    const Tensor tensor = root.tensor(name);
    ASSERT_EQ(tensor.shape(), (Shape{20, 50})) << name;
    for (std::int64_t i = 0; i < tensor.size(); ++i) ASSERT_EQ(tensor.at(i), static_cast<double>(i % 7)) << name;
  }
  const Tensor runs = root.tensor("runs");
  for (std::int64_t i = 0; i < runs.size(); ++i) ASSERT_EQ(runs.at(i), 0);
}

// Whatever its bytes are changed to, it is read or refused.
TEST(Hdf5, DamagedLzfIsRefused) {
  const std::string whole = read_file(fs::path(NACRE_SOURCE_DIR) / "tests" / "formats" / "lzf.h5");
  const TemporaryFolder folder;
  int refused = 0;
  for (std::size_t place = 2048; place < whole.size(); place += 97) {
    std::string bytes = whole;
    bytes[place] = static_cast<char>(~bytes[place]);
    write_file_atomically(folder / "x.h5", bytes);
    try {
      const auto root = File::open(folder / "x.h5").root();
      for (const std::string& name : root.names()) root.tensor(name);
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
}

// make_short_chunks.py wrote it. The library reads beyond chunks that are shorter than it takes for granted.
TEST(Hdf5, ChunksThatAreNotWholeAreRefused) {
  const auto root = File::open(fs::path(NACRE_SOURCE_DIR) / "tests" / "formats" / "short_chunks.h5").root();
  int bad = 0, good = 0;
  for (const std::string& name : root.names()) {
    const hdf5::Dataset dataset = root.dataset(name);
    if (name.starts_with("bad_")) {
      ++bad;
      for (const std::string& message : {message_of([&] { dataset.tensor(); }), message_of([&] { dataset.rows(3, 5); })}) {
        EXPECT_NE(message.find(name), std::string::npos) << message;
        EXPECT_NE(message.find("a chunk holds "), std::string::npos) << name << message;
      }
      continue;
    }
    ++good;
    const Tensor all = dataset.tensor();
    for (int time = 0; time < 2; ++time) {  // the second time nothing is checked again
      const Tensor rows = dataset.rows(20, 50);
      for (std::int64_t i = 0; i < rows.size(); ++i) ASSERT_EQ(rows.at(i), all.at(i + 20 * 16)) << name;
    }
    for (std::int64_t i = 0; i < all.size(); ++i)
      ASSERT_EQ(all.at(i), name == "absent" ? 3 : static_cast<double>(i % 7)) << name;
  }
  EXPECT_EQ(bad, 8);
  EXPECT_EQ(good, 7);
}

TEST(Hdf5, RefusesWhatReachesOutside) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.h5";
  {
    const Crafted file(path);
    H5Lcreate_soft("/x", file.id, "soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("/etc/passwd", "/", file.id, "outside", H5P_DEFAULT, H5P_DEFAULT);
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(properties, "/etc/passwd", 0, 40);
    H5Dclose(file.dataset("external", H5T_NATIVE_FLOAT, {10}, properties));
    properties = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t ten = 10;
    const hid_t space = H5Screate_simple(1, &ten, nullptr);
    H5Pset_virtual(properties, space, "other.h5", "/x", space);
    H5Dclose(file.dataset("virtual", H5T_NATIVE_FLOAT, {10}, properties));
  }
  const auto root = File::open(path).root();
  EXPECT_EQ(message_of([&] { root.tensor("soft"); }),
            path + ": '/soft': it is a soft link, which is not followed\n  hint: store the object itself at this place");
  EXPECT_EQ(message_of([&] { root.group("outside"); }),
            path + ": '/outside': it is an external link, which is not followed\n  hint: store the object itself at this place");
  EXPECT_EQ(message_of([&] { root.tensor("external"); }),
            path + ": '/external': its values lie in another file, which is not followed\n  hint: store the values themselves");
  EXPECT_EQ(message_of([&] { root.tensor("virtual"); }),
            path + ": '/virtual': it is a virtual dataset, which is not followed\n  hint: store the values themselves");
  EXPECT_THROW(root.dataset_paths(), Error);
}

TEST(Hdf5, RefusesCycles) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.h5";
  {
    const Crafted file(path);
    const hid_t group = H5Gcreate2(file.id, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file.id, "/", group, "b", H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(group);
  }
  EXPECT_EQ(message_of([&] { File::open(path).root().dataset_paths(); }),
            path + ": '/a/b': the group stands at two places of the file\n  hint: the file is damaged or hostile");
}

// References and heaps that lie, which the library would believe.
TEST(Hdf5, RefusesDamagedTexts) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.h5";
  File file = File::create(path);
  file.root().set_attribute("a", "hello");
  file.root().write("texts", std::vector<std::string>{"one", "two"});
  file.commit();
  const std::string whole = read_file(path);
  const std::size_t heap = whole.find("GCOL");
  const auto little_endian = [](std::uint64_t value, std::size_t size) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i, value >>= 8) bytes += static_cast<char>(static_cast<unsigned char>(value & 0xff));
    return bytes;
  };
  // The reference to "hello": length, address of the heap, index.
  const std::size_t reference = whole.find(little_endian(5, 4) + little_endian(heap, 8) + little_endian(1, 4));
  ASSERT_NE(heap, std::string::npos);
  ASSERT_NE(reference, std::string::npos);
  const auto error_with = [&](std::size_t position, const std::string& bytes, bool attribute = true) {
    std::string damaged = whole;
    damaged.replace(position, bytes.size(), bytes);
    test::write_plainly(path, damaged);
    return message_of([&] {
      const auto root = File::open(path).root();
      if (attribute) root.text_attribute("a");
      else root.texts("texts");
    });
  };
  const auto wanted = [&](std::string_view place, std::string_view reason) {
    return fmt::format("{}: '{}': its texts are damaged: {}\n  hint: copy or download the file again", path, place, reason);
  };
  EXPECT_EQ(error_with(reference, little_endian(4, 4)), wanted("/@a", "a text is not as long as the reference to it says"));
  EXPECT_EQ(error_with(reference + 12, little_endian(77, 4)), wanted("/@a", "a reference leads nowhere"));
  EXPECT_EQ(error_with(reference + 4, little_endian(96, 8)), wanted("/@a", "a reference leads nowhere"));
  EXPECT_EQ(error_with(reference + 4, little_endian(std::uint64_t{1} << 62, 8)), wanted("/@a", "a reference leads out of the file"));
  EXPECT_EQ(error_with(heap + 24, little_endian(std::uint64_t{1} << 40, 8)), wanted("/@a", "an entry of the heap has a wrong size"));
  EXPECT_EQ(error_with(heap + 8, little_endian(std::uint64_t{1} << 40, 8), false), wanted("/texts", "a reference leads nowhere"));
  EXPECT_EQ(error_with(heap + 16, little_endian(0, 2) + std::string(6, '\0') + little_endian(0, 8)), wanted("/@a", "an entry of the heap has a wrong size"));
}

TEST(Hdf5, ReadsForeignTypes) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.h5";
  {
    const Crafted file(path);
    const auto write = [&](const char* name, hid_t stored, hid_t memory, std::vector<hsize_t> sizes, const void* values) {
      const hid_t dataset = file.dataset(name, stored, std::move(sizes));
      H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
      H5Dclose(dataset);
    };
    const double reals[] = {1.5, -2.0};
    const std::int64_t integers[] = {100, -2};
    const std::uint64_t large[] = {~std::uint64_t{0}, 7};
    write("f32be", H5T_IEEE_F32BE, H5T_NATIVE_DOUBLE, {2}, reals);
    write("f64be", H5T_IEEE_F64BE, H5T_NATIVE_DOUBLE, {2}, reals);
    write("long_double", H5T_NATIVE_LDOUBLE, H5T_NATIVE_DOUBLE, {2}, reals);
    write("i8", H5T_STD_I8LE, H5T_NATIVE_INT64, {2}, integers);
    write("i16be", H5T_STD_I16BE, H5T_NATIVE_INT64, {2}, integers);
    write("u16", H5T_STD_U16LE, H5T_NATIVE_UINT64, {2}, large);
    write("u32", H5T_STD_U32LE, H5T_NATIVE_UINT64, {2}, large);
    write("u64", H5T_STD_U64BE, H5T_NATIVE_UINT64, {2}, large);
    const hid_t color = H5Tenum_create(H5T_STD_I16LE);
    const std::int16_t red = 3, green = -1, colors[] = {3, -1};
    H5Tenum_insert(color, "RED", &red);
    H5Tenum_insert(color, "GREEN", &green);
    write("colors", color, color, {2}, colors);
    const hid_t fixed = H5Tcopy(H5T_FORTRAN_S1);
    H5Tset_size(fixed, 3);
    write("fixed", fixed, fixed, {1, 2}, "ab cde");
    const hid_t pair = H5Tcreate(H5T_COMPOUND, 16);
    H5Tinsert(pair, "r", 0, H5T_NATIVE_DOUBLE);
    H5Tinsert(pair, "i", 8, H5T_NATIVE_DOUBLE);
    write("complex", pair, pair, {1}, reals);
    const hid_t none = H5Screate(H5S_NULL);
    H5Dclose(H5Dcreate2(file.id, "null", H5T_NATIVE_FLOAT, none, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  }
  const auto root = File::open(path).root();
  EXPECT_TRUE(root.tensor("f32be").identical(Tensor::of<float>({2}, {1.5f, -2.0f})));
  EXPECT_TRUE(root.tensor("f64be").identical(Tensor::of<double>({2}, {1.5, -2.0})));
  EXPECT_TRUE(root.tensor("long_double").identical(Tensor::of<double>({2}, {1.5, -2.0})));
  EXPECT_TRUE(root.tensor("i8").identical(Tensor::of<std::int32_t>({2}, {100, -2})));
  EXPECT_TRUE(root.tensor("i16be").identical(Tensor::of<std::int32_t>({2}, {100, -2})));
  EXPECT_TRUE(root.tensor("u16").identical(Tensor::of<std::int32_t>({2}, {65535, 7})));
  EXPECT_TRUE(root.tensor("u32").identical(Tensor::of<std::int64_t>({2}, {4294967295, 7})));
  EXPECT_TRUE(root.tensor("u64").identical(Tensor::of<std::int64_t>({2}, {std::numeric_limits<std::int64_t>::max(), 7})));
  EXPECT_TRUE(root.tensor("colors").identical(Tensor::of<std::int32_t>({2}, {3, -1})));
  EXPECT_EQ(root.texts("fixed"), (std::vector<std::string>{"ab", "cde"}));
  EXPECT_EQ(message_of([&] { root.tensor("fixed"); }), path + ": '/fixed': it holds texts, numbers are wanted");
  EXPECT_EQ(message_of([&] { root.texts("i8"); }), path + ": '/i8': it holds no texts");
  EXPECT_EQ(message_of([&] { root.tensor("complex"); }), path + ": '/complex': its type is not supported\n  hint: numbers, booleans and texts can be read");
  EXPECT_EQ(message_of([&] { root.tensor("null"); }), path + ": '/null': it is declared empty: there is no value to read");
}

TEST(Hdf5, ReadsFromSeveralThreads) {
  const TemporaryFolder folder;
  File file = File::create(folder / "x.h5");
  for (int i = 0; i < 20; ++i) file.root().write(std::to_string(i), Tensor::scalar(static_cast<float>(i)));
  file.commit();
  std::vector<std::thread> threads;
  std::array<double, 4> sums{};
  for (double& sum : sums)
    threads.emplace_back([&folder, &sum] {
      const auto root = File::open(folder / "x.h5").root();
      for (const std::string& name : root.names()) sum += root.tensor(name).item();
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sums, (std::array<double, 4>{190, 190, 190, 190}));
}

TEST(Hdf5, ReadsWhatKerasWrote) {
  const auto path = shared_path("goldens/models/seq_cnn.weights.h5");
  if (!path) GTEST_SKIP() << test::absent("goldens/models/seq_cnn.weights.h5");
  const auto root = File::open(*path).root();
  EXPECT_EQ(root.dataset_paths().front(), "layers/batch_normalization/vars/0");
  EXPECT_EQ(root.tensor("layers/conv2d/vars/0").type().text(), "float32(3, 3, 3, 6)");
  EXPECT_EQ(root.group("layers/conv2d/vars").text_attribute("name"), "conv2d");
}

}  // namespace
}  // namespace nacre
