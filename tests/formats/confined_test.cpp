#include "formats/confined.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>

#include "formats/file.h"
#include "formats/json.h"
#include "formats/keras_h5.h"
#include "formats/keras_weights.h"
#include "tests/support/paths.h"
#include "tests/support/sanitizers.h"

namespace nacre {
namespace {

using test::message_of;
using test::sanitized;
using test::TemporaryFolder;
using test::write_plainly;

KerasFile small_file() {
  KerasFile file;
  file.model_config.set("class_name", "Sequential");
  file.layers = {{"dense", {{"kernel", Tensor::of<float>({2, 1}, {1.0f, 2.0f})}, {"count", Tensor::scalar<std::int64_t>(7)}}}, {"flatten", {}}};
  file.state_tensors = {{"none", Tensor(DType::float32, {0, 3})}};
  return file;
}

TEST(Wire, CarriesStructures) {
  KerasFile original = small_file();
  original.state_tensors.push_back({"words", Tensor::of<std::string>({2}, {"a", ""})});
  const KerasFile file = from_wire<KerasFile>(to_wire(original));
  EXPECT_EQ(file.model_config, small_file().model_config);
  EXPECT_TRUE(file.training_config.is_null());
  ASSERT_EQ(file.layers.size(), 2u);
  EXPECT_EQ(file.layers[0].weights[0].name, "kernel");
  EXPECT_TRUE(file.layers[0].weights[0].tensor.identical(small_file().layers[0].weights[0].tensor));
  EXPECT_EQ(file.layers[0].weights[1].tensor.item(), 7);
  EXPECT_EQ(file.state_tensors[0].tensor.shape(), Shape({0, 3}));
  EXPECT_TRUE(file.state_tensors[1].tensor.identical(original.state_tensors[1].tensor));
  EXPECT_EQ(file.keras_version, "3.15.0");
}

TEST(Wire, CarriesTreesWithTheirMarks) {
  const Tree tree = parse_json("{\"a\": [1, -2.5, NaN, true, null],\n \"b\": {\"c\": \"text\", \"d\": {}, \"e\": []}}", "m.json");
  const Tree carried = from_wire<std::vector<Tree>>(to_wire(std::vector<Tree>{tree})).at(0);
  EXPECT_EQ(write_json(carried, 0, NotFinite::named), write_json(tree, 0, NotFinite::named));
  EXPECT_EQ(carried["b"]["c"].mark(), (Mark{"m.json", 2, 13}));
  EXPECT_EQ(carried.entries()[1].mark, tree.entries()[1].mark);
  EXPECT_EQ(carried["a"].items()[2].mark(), tree["a"].items()[2].mark());
  const std::string level = std::string(32, '\0') + '\1' + std::string(7, '\0');  // no mark, a sequence of one item
  std::string deep;
  for (int i = 0; i < 2000; ++i) deep += level;
  EXPECT_EQ(message_of([&] { from_wire<Tree>(deep); }), "a tree is deeper than 1000 levels");
}

TEST(Wire, CarriesWhatMayBeAbsent) {
  const WeightTree tree{{{"layers/a", "first", {Tensor::scalar(1.0f)}, {{"idf", Tensor::scalar(2.0f)}}}, {"", {}}}, true};
  const WeightTree carried = from_wire<WeightTree>(to_wire(tree));
  ASSERT_EQ(carried.groups.size(), 2u);
  EXPECT_EQ(carried.groups[0].name, "first");
  EXPECT_EQ(carried.groups[0].named.at("idf").item(), 2);
  EXPECT_FALSE(carried.groups[1].name);
  EXPECT_TRUE(carried.compact);
}

TEST(Wire, RefusesWhatIsDamaged) {
  const std::string bytes = to_wire(small_file());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_THROW(from_wire<KerasFile>(std::string_view(bytes).substr(0, size)), Error) << size;
  EXPECT_EQ(message_of([&] { from_wire<KerasFile>(bytes + "x"); }), "1 bytes are left over");
  std::string huge(8, '\xff');
  EXPECT_THROW(from_wire<std::string>(huge), Error);
  EXPECT_THROW(from_wire<std::vector<std::string>>(huge), Error);
}

TEST(Wire, TruthIsOneOrZeroWhateverTheByte) {
  std::string bytes = to_wire(std::vector<Tensor>{Tensor::of<bool>({2}, {false, true})});
  bytes.back() = 2;
  EXPECT_TRUE(from_wire<std::vector<Tensor>>(bytes).at(0).identical(Tensor::of<bool>({2}, {false, true})));
}

TEST(Confined, HandsBytesBack) {
  EXPECT_EQ(confined_bytes({}, [] { return std::string(3'000'000, 'x'); }).size(), 3'000'000u);
  EXPECT_EQ(confined_bytes({}, [] { return std::string(); }), "");
}

TEST(Confined, ErrorsComeBackWhole) {
  const std::string text = message_of([] {
    confined_bytes({}, []() -> std::string {
      throw Error("got 3").at({"x.h5", 4, 5}).about("layer 'a'").within("while reading").hint("read again").usage();
    });
  });
  EXPECT_EQ(text, "x.h5:4:5: layer 'a': got 3\n  while reading\n  hint: read again");
}

TEST(Confined, ACrashIsAnError) {
  const std::string text = message_of([] {
    confined_bytes({}, []() -> std::string {
      raise(SIGKILL);
      return "";
    });
  });
  EXPECT_TRUE(text.starts_with("reading it ")) << text;
  if (sanitized) GTEST_SKIP() << "skipped: the sanitizer takes this signal";
  EXPECT_EQ(message_of([] {
              confined_bytes({}, []() -> std::string {
                raise(SIGSEGV);
                return "";
              });
            }),
            "reading it crashed (Segmentation fault)\n  hint: the file is damaged or hostile");
}

TEST(Confined, TimeIsLimited) {
  Confinement limits;
  limits.seconds = 1;
  const std::string text = message_of([&] {
    confined_bytes(limits, []() -> std::string {
      for (;;) clock();
    });
  });
  // A machine with other work to do ends it by the clock, after twice the time.
  const std::string seconds = text.find("than 2 s") != std::string::npos ? "2" : "1";
  EXPECT_EQ(text, "reading it takes more than " + seconds + " s\n  hint: the file is damaged or hostile");
}

TEST(Confined, MemoryIsLimited) {
  if (sanitized) GTEST_SKIP() << "skipped: a sanitizer reserves more memory than any limit allows";
  Confinement limits;
  limits.memory = 64 << 20;
  EXPECT_EQ(message_of([&] { confined_bytes(limits, [] { return std::string(128 << 20, 'x'); }); }),
            "reading it needs more than the 64 MB that are allowed");
}

TEST(Confined, WhatComesBackIsLimited) {
  Confinement limits;
  limits.result = 1 << 20;
  EXPECT_EQ(message_of([&] { confined_bytes(limits, [] { return std::string(2 << 20, 'x'); }); }),
            "it holds more than 1 MB of data\n  hint: the file is damaged or hostile");
}

// Each forbidden thing is tried in the child, which says what came of it.
TEST(Confined, NothingButReadingIsPossible) {
  const TemporaryFolder folder;
  write_plainly(folder / "allowed", "abc");
  const std::string allowed = folder / "allowed", made = folder / "made";
  const pid_t parent = getpid();
  const std::string outcome = confined_bytes(Confinement::for_files({allowed}), [&] {
    std::string found;
    if (syscall(SYS_tgkill, parent, parent, 0) == 0) found += "sends signals; ";
    if (open(made.c_str(), O_WRONLY | O_CREAT, 0600) >= 0) found += "creates files; ";
    if (open(allowed.c_str(), O_RDWR) >= 0) found += "writes files; ";
    if (socket(AF_INET, SOCK_STREAM, 0) >= 0) found += "connects; ";
    if (fork() >= 0) found += "forks; ";
    if (mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) found += "makes code; ";
    if (unlink(allowed.c_str()) == 0) found += "deletes; ";
    return found + read_file(allowed);
  });
  EXPECT_EQ(outcome, "abc");
  EXPECT_FALSE(std::filesystem::exists(made));
}

TEST(Confined, ReadsModels) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "m.h5";
  write_keras_h5(path, small_file());
  const auto file = confined<KerasFile>(Confinement::for_files({path}), [&] { return read_keras_h5(path); });
  EXPECT_EQ(file.model_config, small_file().model_config);
  EXPECT_TRUE(file.layers[0].weights[0].tensor.identical(small_file().layers[0].weights[0].tensor));
  write_plainly(path, "nonsense");
  EXPECT_TRUE(message_of([&] { confined<KerasFile>(Confinement::for_files({path}), [&] { return read_keras_h5(path); }); })
                  .starts_with(path.string() + ": this is not an HDF5 file"));
}

}  // namespace
}  // namespace nacre
