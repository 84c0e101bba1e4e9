#include "formats/keras_weights.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/file.h"
#include "formats/hdf5.h"
#include "formats/json.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::message_of;
using test::TemporaryFolder;
using test::write_plainly;

Tensor numbers(std::int64_t count, float first = 0) {
  Tensor tensor(DType::float32, {count});
  for (float& number : tensor.writable<float>()) number = first++;
  return tensor;
}

WeightTree small() {
  WeightTree tree;
  tree.groups = {{"", "net"},
                 {"layers/dense", "first", {numbers(4), numbers(2, 9)}},
                 {"layers/flatten", "flatten"},
                 {"layers/lookup", "words", {}, {{"idf_weights", numbers(3)}}},
                 {"layers/dense_10", "last", {numbers(1, 7)}},
                 {"optimizer", "adam", {Tensor::scalar<std::int64_t>(5), numbers(4)}}};
  return tree;
}

void expect_same(const WeightGroup& got, const WeightGroup& wanted) {
  EXPECT_EQ(got.name, wanted.name) << wanted.path;
  ASSERT_EQ(got.variables.size(), wanted.variables.size()) << wanted.path;
  for (std::size_t i = 0; i < got.variables.size(); ++i) EXPECT_TRUE(got.variables[i].identical(wanted.variables[i])) << wanted.path << " " << i;
  ASSERT_EQ(got.named.size(), wanted.named.size()) << wanted.path;
  for (const auto& [key, tensor] : wanted.named) EXPECT_TRUE(got.named.at(key).identical(tensor)) << key;
}

void expect_same(const WeightTree& got, const WeightTree& wanted) {
  for (const WeightGroup& group : wanted.groups) {
    const WeightGroup* found = got.find(group.path);
    EXPECT_EQ(found != nullptr, !group.empty()) << group.path;
    if (found) expect_same(*found, group);
  }
}

TEST(KerasWeights, KeepsPathsNamesAndVariables) {
  const TemporaryFolder folder;
  write_keras_weights(folder / "a.weights.h5", small());
  expect_same(read_keras_weights(folder / "a.weights.h5"), small());
  const hdf5::Group root = hdf5::File::open(folder / "a.weights.h5").root();
  EXPECT_TRUE(holds_weight_tree(root));
  EXPECT_EQ(root.group("layers/dense/vars").text_attribute("name"), "first");
  EXPECT_EQ(root.group("vars").text_attribute("name"), "net");
  EXPECT_TRUE(root.has_group("layers/flatten/vars"));
}

// Ten variables and more: HDF5 lists "10" before "2".
TEST(KerasWeights, NumbersVariablesAsNumbers) {
  const TemporaryFolder folder;
  WeightTree tree;
  WeightGroup& group = tree.groups.emplace_back(WeightGroup{"layers/many"});
  for (int i = 0; i < 12; ++i) group.variables.push_back(Tensor::scalar(static_cast<float>(i)));
  write_keras_weights(folder / "a.weights.h5", tree);
  expect_same(read_keras_weights(folder / "a.weights.h5"), tree);
}

TEST(KerasWeights, KeepsBrainFloatsAsKerasDoes) {
  const TemporaryFolder folder;
  WeightTree tree;
  tree.groups = {{"layers/dense", {}, {Tensor::of<BFloat16>({2}, {BFloat16(1.5f), BFloat16(-0.25f)})}}};
  write_keras_weights(folder / "a.weights.h5", tree);
  expect_same(read_keras_weights(folder / "a.weights.h5"), tree);
  EXPECT_EQ(hdf5::File::open(folder / "a.weights.h5").root().dataset("layers/dense/vars/0").text_attribute("dtype"), "bfloat16");
}

TEST(KerasWeights, GoIntoShardsAndComeBack) {
  const TemporaryFolder folder;
  write_sharded_keras_weights(folder / "net.weights.json", small(), 24);
  const Tree index = load_json(folder / "net.weights.json");
  EXPECT_EQ(index["metadata"]["total_size"], Tree(64.0));
  // The bytes are: 16 + 8 | 12 + 4 + 8 | 16.
  EXPECT_EQ(index["weight_map"]["/layers/dense/vars"], Tree(Tree::Sequence{"net_00000.weights.h5"}));
  EXPECT_EQ(index["weight_map"]["/layers/dense_10/vars"], Tree("net_00001.weights.h5"));
  EXPECT_EQ(index["weight_map"]["/optimizer/vars"], Tree(Tree::Sequence{"net_00001.weights.h5", "net_00002.weights.h5"}));
  expect_same(read_keras_weights(folder / "net.weights.json"), small());
}

TEST(KerasWeights, ThatFitIntoNoShardLeaveNothingBehind) {
  const TemporaryFolder folder;
  const std::string message = message_of([&] { write_sharded_keras_weights(folder / "net.weights.json", small(), 12); });
  EXPECT_NE(message.find("the variable 'layers/dense/vars/0' has 16 bytes, a shard may have 12"), std::string::npos) << message;
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// The disk fills up within the second shard: the first one of before is not replaced either.
TEST(KerasWeights, OnAFullDiskTheShardsOfBeforeStay) {
  const TemporaryFolder folder;
  const auto tree = [](float first) {
    WeightTree both;
    both.groups = {{"layers/dense", "a", {numbers(10, first)}}, {"layers/dense_1", "b", {numbers(100'000, first)}}};
    return both;
  };
  write_sharded_keras_weights(folder / "net.weights.json", tree(1), 400'000);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const rlimit limit{100'000, 100'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_IGN);
    const std::string message = message_of([&] { write_sharded_keras_weights(folder / "net.weights.json", tree(5), 400'000); });
    _exit(message.find("net_00001.weights.h5: cannot be written") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  expect_same(read_keras_weights(folder / "net.weights.json"), tree(1));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 3);
}

TEST(KerasWeights, ShardsLieBesideTheirIndex) {
  const TemporaryFolder folder;
  for (const char* name : {"../x.weights.h5", "/etc/passwd", "a\\b.h5", "..", ""}) {
    Tree index, map;
    map.set("/vars", name);
    index.set("weight_map", std::move(map));
    write_plainly(folder / "net.weights.json", write_json(index));
    EXPECT_NE(message_of([&] { read_keras_weights(folder / "net.weights.json"); }).find("lies outside the index's folder"), std::string::npos) << name;
  }
  write_plainly(folder / "net.weights.json", R"({"weight_map": {"/vars": "missing.weights.h5"}})");
  EXPECT_NE(message_of([&] { read_keras_weights(folder / "net.weights.json"); }).find("missing.weights.h5"), std::string::npos);
  write_plainly(folder / "net.weights.json", R"({"class_name": "Sequential"})");
  EXPECT_NE(message_of([&] { read_keras_weights(folder / "net.weights.json"); }).find("there is no 'weight_map'"), std::string::npos);
  write_plainly(folder / "net.weights.json", R"({"weight_map": [)");
  EXPECT_NE(message_of([&] { read_keras_weights(folder / "net.weights.json"); }).find("net.weights.json:1"), std::string::npos);
}

TEST(KerasWeights, AMissingVariableIsSaid) {
  const TemporaryFolder folder;
  hdf5::File file = hdf5::File::create(folder / "a.weights.h5");
  file.root().write("layers/dense/vars/1", numbers(2));
  file.commit();
  EXPECT_EQ(message_of([&] { read_keras_weights(folder / "a.weights.h5"); }),
            (folder / "a.weights.h5").string() + ": '/layers/dense/vars': the variable 0 is missing");
}

// Keras 2.12 and 2.13 called the list of layers otherwise and counted layers twice; Windows used its own separator.
TEST(KerasWeights, OfKeras2ComeBackUnderPresentPaths) {
  for (const char* list : {"_layer_checkpoint_dependencies/", "_self_tracked_trackables/", "_layer_checkpoint_dependencies\\"}) {
    const TemporaryFolder folder;
    hdf5::File file = hdf5::File::create(folder / "a.weights.h5");
    hdf5::Group root = file.root();
    const std::string prefix = list;
    root.write(prefix + "dense/vars/0", numbers(1, 1));
    root.write(prefix + "dense_2/vars/0", numbers(1, 2));
    root.write(prefix + "dense_10/vars/0", numbers(1, 3));
    root.make_group(prefix + "dense_1/vars");
    root.write(prefix + "bidirectional_3/forward_layer/cell/vars/0", numbers(1, 4));
    root.write(prefix + "sequential_2/layers/dense_4/vars/0", numbers(1, 5));
    file.commit();
    const WeightTree tree = read_keras_weights(folder / "a.weights.h5");
    EXPECT_TRUE(tree.compact);
    const auto first = [&](const char* path) { return tree.find(path) ? tree.find(path)->variables.front().at(0) : -1; };
    EXPECT_EQ(first("layers/dense"), 1) << list;
    EXPECT_EQ(first("layers/dense_1"), 2) << list;
    EXPECT_EQ(first("layers/dense_2"), 3) << list;
    EXPECT_EQ(first("layers/bidirectional/forward_layer/cell"), 4) << list;
    EXPECT_EQ(first("layers/sequential/layers/dense"), 5) << list;
  }
}

TEST(KerasWeights, AreReadFromMemoryToo) {
  const TemporaryFolder folder;
  write_keras_weights(folder / "a.weights.h5", small());
  const std::string bytes = read_file(folder / "a.weights.h5");
  const hdf5::File first = hdf5::File::open_bytes(bytes, "memory"), second = hdf5::File::open_bytes(bytes.substr(0, bytes.size()), "memory");
  expect_same(read_weight_tree(first.root()), small());
  expect_same(read_weight_tree(second.root()), small());
  EXPECT_NE(message_of([&] { hdf5::File::open_bytes(bytes.substr(0, bytes.size() / 2), "memory"); }).find("memory: the HDF5 file is cut off"), std::string::npos);
  EXPECT_NE(message_of([&] { hdf5::File::open_bytes("no", "memory"); }).find("memory: cannot be opened as HDF5"), std::string::npos);
}

}  // namespace
}  // namespace nacre
