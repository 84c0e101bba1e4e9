#include "formats/keras_archive.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "formats/file.h"
#include "formats/hdf5.h"
#include "formats/json.h"
#include "formats/zip.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::message_of;
using test::TemporaryFolder;
using test::write_plainly;

KerasArchive small() {
  KerasArchive archive;
  archive.metadata = parse_json(R"({"keras_version": "3.15.0", "date_saved": "2026-01-02@03:04:05"})");
  archive.config = parse_json(R"({"module": "keras", "class_name": "Sequential", "config": {"name": "net", "layers": []}})");
  archive.weights.groups = {{"", "net"}, {"layers/dense", "fc", {Tensor::of<float>({2}, {1.0f, -2.0f})}}};
  archive.assets = {{"layers/string_lookup/vocabulary.txt", "a\nb\n"}};
  return archive;
}

void expect_small(const KerasArchive& archive) {
  EXPECT_EQ(archive.metadata, small().metadata);
  EXPECT_EQ(archive.config, small().config);
  const WeightGroup* dense = archive.weights.find("layers/dense");
  ASSERT_TRUE(dense);
  EXPECT_EQ(dense->name, "fc");
  EXPECT_TRUE(dense->variables.at(0).identical(small().weights.groups[1].variables[0]));
  ASSERT_EQ(archive.assets.size(), 1u);
  EXPECT_EQ(archive.assets[0].path, "layers/string_lookup/vocabulary.txt");
  EXPECT_EQ(archive.assets[0].bytes, "a\nb\n");
}

TEST(KerasArchive, KeepsEverythingInKerasOrder) {
  const TemporaryFolder folder;
  write_keras_archive(folder / "a.keras", small());
  expect_small(read_keras_archive(folder / "a.keras"));
  EXPECT_EQ(ZipReader(folder / "a.keras").names(),
            (std::vector<std::string>{"metadata.json", "config.json", "model.weights.h5", "assets/layers/string_lookup/vocabulary.txt"}));
}

TEST(KerasArchive, MayBeAFolder) {
  const TemporaryFolder folder;
  write_keras_archive(folder / "a.keras", small());
  const ZipReader zip(folder / "a.keras");
  for (const std::string& name : zip.names()) {
    std::filesystem::create_directories((folder / "open" / name).parent_path());
    write_plainly(folder / "open" / name, zip.read(name));
  }
  expect_small(read_keras_archive(folder / "open"));
}

// An archive with other entries.
std::string failure_of(const std::vector<std::pair<std::string, std::string>>& entries) {
  const TemporaryFolder folder;
  ZipWriter zip(folder / "a.keras");
  for (const auto& [name, bytes] : entries) zip.add(name, bytes);
  zip.commit();
  return message_of([&] { read_keras_archive(folder / "a.keras"); });
}

TEST(KerasArchive, SaysWhatIsMissingOrWrong) {
  const std::string config = R"({"class_name": "Sequential"})";
  const TemporaryFolder folder;
  write_keras_weights(folder / "a.weights.h5", small().weights);
  const std::string weights = read_file(folder / "a.weights.h5");
  EXPECT_NE(failure_of({{"readme.txt", "hello"}}).find("a.keras: it holds no Keras model: there is no 'config.json'"), std::string::npos);
  EXPECT_NE(failure_of({{"config.json", config}}).find("there is no 'model.weights.h5'"), std::string::npos);
  EXPECT_NE(failure_of({{"config.json", config}, {"model.weights.npz", "x"}}).find("pickled Python objects"), std::string::npos);
  EXPECT_NE(failure_of({{"config.json", "{\"class_name\": "}, {"model.weights.h5", weights}}).find("a.keras/config.json:1"), std::string::npos);
  EXPECT_NE(failure_of({{"config.json", config}, {"model.weights.h5", ""}}).find("model.weights.h5: the file is empty"), std::string::npos);
  EXPECT_NE(failure_of({{"config.json", config}, {"model.weights.h5", weights.substr(0, 700)}}).find("a.keras/model.weights.h5"), std::string::npos);
  EXPECT_NE(failure_of({{"config.json", std::string(100'000, '[')}, {"model.weights.h5", weights}}).find("a.keras/config.json"), std::string::npos);
  EXPECT_EQ(failure_of({{"config.json", config}, {"model.weights.h5", weights}}), "");  // metadata may be missing
}

TEST(KerasArchive, ThatIsCutOffIsRefused) {
  const TemporaryFolder folder;
  write_keras_archive(folder / "a.keras", small());
  const std::string bytes = read_file(folder / "a.keras");
  for (std::size_t size : {std::size_t{0}, std::size_t{3}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    write_plainly(folder / "b.keras", bytes.substr(0, size));
    EXPECT_NE(message_of([&] { read_keras_archive(folder / "b.keras"); }), "") << size;
  }
}

// In KiB, of this process.
std::int64_t memory(std::string_view key) {
  const std::string status = read_file("/proc/self/status");
  const std::size_t place = status.find(fmt::format("{}:", key));
  return place == std::string::npos ? -1 : std::stoll(status.substr(place + key.size() + 1));
}

// The weights were held three times: as a file of HDF5 in memory, its copy, and the archive.
TEST(KerasArchive, IsWrittenWithoutHoldingTheWeightsOnceMore) {
  if (memory("VmHWM") < 0) GTEST_SKIP() << "this system does not say how much memory was used";
  const TemporaryFolder folder;
  KerasArchive archive = small();
  constexpr std::int64_t mebibytes = 64;
  for (int i = 0; i < mebibytes / 16; ++i)
    archive.weights.groups[1].variables.emplace_back(DType::float32, Shape{4 << 20});
  const pid_t child = fork();  // whose peak begins with what it has
  if (child == 0) {
    const std::int64_t before = memory("VmHWM");
    write_keras_archive(folder / "a.keras", archive);
    _exit(static_cast<int>(std::clamp<std::int64_t>((memory("VmHWM") - before) / 1024, 0, 255)));
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_LT(WEXITSTATUS(status), mebibytes / 2);
  EXPECT_EQ(read_keras_archive(folder / "a.keras").weights.find("layers/dense")->variables.size(), 1 + mebibytes / 16);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

// No space for the file: nothing of it remains, and what stood under its name before stays.
TEST(KerasArchive, OnAFullDiskLeavesWhatWasThere) {
  const TemporaryFolder folder;
  write_plainly(folder / "a.keras", "before");
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{1024, 1024};
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_IGN);
    const std::string message = message_of([&] { write_keras_archive(folder / "a.keras", small()); });
    _exit(message.find("a.keras") != std::string::npos && message.find("cannot be written") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(read_file(folder / "a.keras"), "before");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

}  // namespace
}  // namespace nacre
