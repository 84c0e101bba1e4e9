#include "api/data/source.h"

#include <gtest/gtest.h>

#include "formats/hdf5.h"
#include "formats/idx.h"
#include "formats/image.h"
#include "formats/npy.h"
#include "formats/yaml.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::message_of;
using test::write_plainly;

class Sources : public testing::Test {
 protected:
  DatasetRef open(const std::string& yaml) { return read_object<Source>(parse_yaml(yaml, "s.yaml"))->open(folder_.path()); }
  std::string error(const std::string& yaml) {
    std::string message = message_of([&] { open(yaml); });
    if (const auto at = message.find(folder_.path().string()); at != std::string::npos) message.erase(at, folder_.path().string().size() + 1);
    return message;
  }
  Batch read(const DatasetRef& data, std::vector<std::int64_t> indices) {
    Batch batch;
    data->read(indices, batch);
    return batch;
  }
  void table(std::string_view text) { write_plainly(folder_ / "t.csv", text); }

  test::TemporaryFolder folder_;
};

TEST_F(Sources, CsvTakesAllOtherColumnsAndNumbersTexts) {
  table("length,species,width\n1.5,setosa,2\n3,virginica,4\n5,setosa,6\n");
  const DatasetRef data = open("csv: {file: t.csv, target: species}");
  const Batch batch = read(data, {0, 1, 2});
  EXPECT_EQ(batch.inputs[0].to_doubles(), (std::vector<double>{1.5, 2, 3, 4, 5, 6}));
  EXPECT_EQ(batch.targets[0].to_doubles(), (std::vector<double>{0, 1, 0}));
  EXPECT_EQ(batch.targets[0].dtype(), DType::int32);
}

TEST_F(Sources, CsvColumnsByNumberAndSeveralTargets) {
  table("1;2;3;4\n5;6;7;8\n");
  const Batch one = read(open("csv: {file: t.csv, target: 3, drop: [0]}"), {1});
  EXPECT_EQ(one.inputs[0].to_doubles(), (std::vector<double>{6, 7}));
  EXPECT_EQ(one.targets[0].to_doubles(), (std::vector<double>{8}));
  const Batch two = read(open("csv: {file: t.csv, target: [3, 0], inputs: [1]}"), {0});
  EXPECT_EQ(two.inputs[0].to_doubles(), (std::vector<double>{2}));
  EXPECT_EQ(two.targets[0].to_doubles(), (std::vector<double>{4, 1}));
}

TEST_F(Sources, CsvMissingValues) {
  table("a,b,y\n1,,0\n?,4,1\n");
  EXPECT_EQ(error("csv: {file: t.csv, target: y}"),
            "t.csv: column 'a' misses 1 of 2 values\n  hint: fill: 0 puts a number in their place, drop leaves the column out");
  EXPECT_EQ(read(open("csv: {file: t.csv, target: y, fill: -1}"), {0, 1}).inputs[0].to_doubles(), (std::vector<double>{1, -1, -1, 4}));
  EXPECT_EQ(error("csv: {file: t.csv, target: b, drop: a}"), "t.csv: column 'b' misses 1 of 2 values\n  hint: rows without a target cannot be learned from");
}

TEST_F(Sources, CsvColumnsOfTextsAreInputsOfTheirOwn) {
  table("a,title,b,zip,label\n1,\"x, y\",2,00123,no\n3,z,4,7,yes\n");
  const DatasetRef data = open("csv: {file: t.csv, text: [title, zip], target: label}");
  ASSERT_EQ(data->inputs().size(), 3u);
  EXPECT_EQ(data->inputs()[1].name, "title");
  EXPECT_EQ(data->inputs()[2].type, (Type{DType::string, {}}));
  const Batch batch = read(subset(data, {1, 0}), {0, 1});
  EXPECT_EQ(batch.inputs[0].to_doubles(), (std::vector<double>{3, 4, 1, 2}));
  EXPECT_TRUE(batch.inputs[1].identical(Tensor::of<std::string>({2}, {"z", "x, y"})));
  EXPECT_TRUE(batch.inputs[2].identical(Tensor::of<std::string>({2}, {"7", "00123"})));
  EXPECT_EQ(batch.targets[0].to_doubles(), (std::vector<double>{1, 0}));
  const DatasetRef normal = preprocessed(data, measured({.standard = true}, data));
  EXPECT_EQ(read(normal, {0}).inputs[0].to_doubles(), (std::vector<double>{-1, -1}));
  EXPECT_TRUE(read(normal, {0}).inputs[1].identical(Tensor::of<std::string>({1}, {"x, y"})));
  const DatasetRef only = open("csv: {file: t.csv, text: title, target: label, drop: [a, b, zip]}");
  EXPECT_EQ(only->inputs().size(), 1u);
}

TEST_F(Sources, LinesOfTextWithLabels) {
  write_plainly(folder_ / "t.txt", "one, two\n\nthree\n");
  write_plainly(folder_ / "labels.txt", "b\na\nb\n");
  const Batch batch = read(open("lines: {file: t.txt, labels: labels.txt}"), {2, 0, 1});
  EXPECT_TRUE(batch.inputs[0].identical(Tensor::of<std::string>({3}, {"three", "one, two", ""})));
  EXPECT_EQ(batch.targets[0].to_doubles(), (std::vector<double>{1, 1, 0}));
  EXPECT_EQ(source_kind_of("a.txt.gz"), "lines");
  write_plainly(folder_ / "labels.txt", "b\n");
  EXPECT_EQ(error("lines: {file: t.txt, labels: labels.txt}"), "labels.txt: 1 labels for 3 texts");
}

TEST_F(Sources, CsvMistakes) {
  table("a,kind\n1,x\n2,y\n");
  EXPECT_EQ(error("csv: {file: t.csv}"),
            "t.csv:2:3: column 'kind' holds texts, wanted numbers\n"
            "  hint: text: [kind] makes its texts an input, drop: [kind] leaves it out, target: kind makes it what is "
            "predicted; "
            "on a command line csv:" +
                                             (folder_ / "t.csv").string() + ",text=kind");
  EXPECT_EQ(error("csv: {file: t.csv, target: kin}"), "t.csv: there is no column 'kin'\n  hint: did you mean 'kind'?");
  EXPECT_EQ(error("csv: {file: t.csv, target: kind, delimiter: ab}"), "the delimiter 'ab', wanted one character");
}

TEST_F(Sources, Idx) {
  write_idx(folder_ / "x.idx", Tensor::of<std::uint8_t>({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8}));
  write_idx(folder_ / "y.idx", Tensor::of<std::uint8_t>({2}, {3, 9}));
  const Batch batch = read(open("idx: {images: x.idx, labels: y.idx}"), {1});
  EXPECT_EQ(batch.inputs[0].to_doubles(), (std::vector<double>{5, 6, 7, 8}));
  EXPECT_EQ(batch.targets[0].dtype(), DType::int32);
  EXPECT_EQ(open("idx: {images: x.idx}")->targets().size(), 0u);
}

TEST_F(Sources, NpyAndNpz) {
  const Tensor x = Tensor::of<double>({2, 2}, {1, 2, 3, 4}), y = Tensor::of<std::uint8_t>({2}, {0, 1}), w = Tensor::of<float>({2}, {1, 3});
  write_npy(folder_ / "x.npy", x);
  write_npy(folder_ / "y.npy", y);
  write_npz(folder_ / "d.npz", {{"left", x}, {"right", x}, {"y", y}, {"w", w}});
  EXPECT_EQ(read(open("npy: {x: x.npy, y: y.npy}"), {1}).inputs[0].to_doubles(), (std::vector<double>{3, 4}));
  const DatasetRef data = open("npz: {file: d.npz, x: [left, right], weights: w}");
  EXPECT_EQ(data->inputs()[1].name, "right");
  EXPECT_TRUE(data->weighted());
  EXPECT_EQ(read(data, {1}).weights[0].to_doubles(), (std::vector<double>{3}));
  EXPECT_EQ(open("npz: {file: d.npz, x: left, y: null}")->targets().size(), 0u);
  EXPECT_EQ(error("npz: {file: d.npz, x: lefd}"), "d.npz: there is no array 'lefd'\n  hint: did you mean 'left'?");
}

TEST_F(Sources, Hdf5ByPath) {
  {
    hdf5::File file = hdf5::File::create(folder_ / "d.h5");
    file.root().make_group("train").write("x", Tensor::of<float>({2, 1}, {1, 2}));
    file.root().write("y", Tensor::of<std::int32_t>({2}, {0, 1}));
    file.commit();
  }
  EXPECT_EQ(read(open("hdf5: {file: d.h5, x: train/x}"), {1}).inputs[0].to_doubles(), (std::vector<double>{2}));
}

TEST_F(Sources, ImagesByFolder) {
  for (const char* name : {"cat", "dog"}) std::filesystem::create_directory(folder_ / name);
  write_png(folder_ / "cat/1.png", Tensor::of<std::uint8_t>({1, 2, 1}, {10, 20}));
  write_png(folder_ / "dog/1.png", Tensor::of<std::uint8_t>({1, 2, 1}, {30, 40}));
  write_plainly(folder_ / "dog/notes.txt", "not a picture");
  const DatasetRef data = open("images: {folder: ., channels: 1}");
  EXPECT_EQ(data->size(), 2);
  const Batch batch = read(data, {1, 0});
  EXPECT_EQ(batch.inputs[0].to_doubles(), (std::vector<double>{30, 40, 10, 20}));
  EXPECT_EQ(batch.targets[0].to_doubles(), (std::vector<double>{1, 0}));
  EXPECT_EQ(open("images: {folder: ., size: [4, 6]}")->inputs()[0].type.shape, (Shape{4, 6, 3}));
  EXPECT_EQ(error("images: {folder: cat}"),
            "cat: pictures lie in it, but there is no folder for each class\n"
            "  hint: name the folder that holds the folders of the classes");
  EXPECT_EQ(error("images: {folder: cats}"), "cats: there is no such folder\n  hint: did you mean 'cat'?");
}

TEST_F(Sources, OnACommandLine) {
  const auto spelled = [](const std::string& text) { return write_object(*parse_source(text), Style::yaml).text(); };
  EXPECT_EQ(spelled("digits:20,3"), "{digits: {count: 20, seed: 3}}");
  EXPECT_EQ(spelled("idx:a.gz,b.gz"), "{idx: {images: 'a.gz', labels: 'b.gz'}}");
  EXPECT_EQ(spelled("csv:f.csv,target=4"), "{csv: {file: 'f.csv', target: '4'}}");
  EXPECT_EQ(spelled("npz:d.npz,x=[a,b],y=c"), "{npz: {file: 'd.npz', x: ['a', 'b'], y: 'c'}}");
  EXPECT_EQ(spelled("f.csv,target=y"), "{csv: {file: 'f.csv', target: 'y'}}");
  EXPECT_EQ(spelled("f.npz"), "{npz: {file: 'f.npz'}}");
  EXPECT_EQ(spelled("train-images-idx3-ubyte.gz"), "{idx: {images: 'train-images-idx3-ubyte.gz'}}");
  EXPECT_EQ(spelled(folder_.path().string()).substr(0, 9), "{images: ");
  EXPECT_EQ(message_of([] { parse_source("digits:1,2,3"); }), "'digits:1,2,3': digits has 2 fields");
  EXPECT_EQ(message_of([] { parse_source("csv:f.csv,targt=y"); }),
            "csv:f.csv,targt=y:1:1: unknown key 'targt'\n  while reading the source 'csv:f.csv,targt=y'\n  hint: did you mean 'target'?");
}

TEST_F(Sources, MnistWhereItLies) {
  const auto folder = test::shared_path("data/mnist");
  if (!folder) GTEST_SKIP() << test::absent("data/mnist");
  const DatasetRef data = parse_source("idx:t10k-images-idx3-ubyte.gz,t10k-labels-idx1-ubyte.gz")->open(*folder);
  EXPECT_EQ(data->size(), 10000);
  EXPECT_EQ(data->inputs()[0].type, (Type{DType::uint8, {28, 28}}));
}

}  // namespace
}  // namespace nacre
