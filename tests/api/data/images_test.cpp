// Pictures as data: folders, manifests, splits, damage, caches.
#include "api/data/images.h"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <set>

#include "api/data/cache.h"
#include "api/data/loader.h"
#include "api/data/workers.h"
#include "api/experiment/experiment.h"
#include "formats/yaml.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::write_plainly;

class ImagesDataset : public testing::Test {
 protected:
  // A picture of one value.
  void picture(const std::string& name, std::uint8_t value, std::int64_t height = 4, std::int64_t width = 4) {
    Tensor image(DType::uint8, {height, width, 3});
    std::ranges::fill(image.writable<std::uint8_t>(), value);
    fs::create_directories((folder_ / name).parent_path());
    write_plainly(folder_ / name, encode_png(image));
  }
  // `count` pictures in p/a and half as many in p/b; values count from 0 and from 100.
  void two_classes(int count = 20) {
    for (int i = 0; i < count; ++i) picture(fmt::format("p/a/{:03}.png", i), static_cast<std::uint8_t>(i));
    for (int i = 0; i < count / 2; ++i) picture(fmt::format("p/b/{:03}.png", i), static_cast<std::uint8_t>(100 + i));
  }
  DatasetRef open(const std::string& yaml) { return read_object<Source>(parse_yaml(yaml, "s.yaml"))->open(folder_.path()); }
  std::string error(const std::string& yaml) {
    std::string message = message_of([&] { open(yaml); });
    for (std::size_t at; (at = message.find(folder_.path().string())) != std::string::npos;) message.erase(at, folder_.path().string().size() + 1);
    return message;
  }
  static Batch all(const DatasetRef& data) {
    std::vector<std::int64_t> indices(static_cast<std::size_t>(data->size()));
    std::iota(indices.begin(), indices.end(), 0);
    Batch batch;
    data->read(indices, batch);
    return batch;
  }
  // The first value of each picture.
  static std::vector<int> values(const DatasetRef& data) {
    const Batch batch = all(data);
    std::vector<int> result;
    const std::int64_t each = batch.inputs[0].size() / batch.size;
    for (std::int64_t i = 0; i < batch.size; ++i) result.push_back(static_cast<int>(batch.inputs[0].at(i * each)));
    return result;
  }
  static std::set<int> set_of(const DatasetRef& data) {
    const std::vector<int> list = values(data);
    return {list.begin(), list.end()};
  }

  test::TemporaryFolder folder_;
};

TEST_F(ImagesDataset, FoldersAreClasses) {
  two_classes(4);
  const DatasetRef data = open("images: {folder: p, channels: 1}");
  EXPECT_EQ(data->description(), "p: 6 pictures of 4×4×1 in 2 classes");
  EXPECT_EQ(data->targets()[0].labels, (std::vector<std::string>{"a", "b"}));
  const Batch batch = all(data);
  const std::vector<int> pixels = values(data);
  for (std::int64_t i = 0; i < 6; ++i) {
    const int value = pixels[static_cast<std::size_t>(i)];
    EXPECT_EQ(batch.targets[0].at(i), value >= 100 ? 1 : 0);
    EXPECT_EQ(data->sample_name(i), fmt::format("{}/{:03}.png", value >= 100 ? "b" : "a", value % 100));
  }
}

TEST_F(ImagesDataset, NestedFoldersUnicodeNamesHiddenFilesAndEmptyClasses) {
  picture("p/größe/子/deep.png", 1);
  picture("p/größe/ü.PNG", 2);
  picture("p/a b/x.png", 3);
  picture("p/.hidden/x.png", 4);
  picture("p/a b/.hidden.png", 5);
  fs::create_directories(folder_ / "p/empty");
  write_plainly(folder_ / "p/a b/notes.txt", "no picture");
  const DatasetRef data = open("images: {folder: p}");
  EXPECT_EQ(data->description(), "p: 3 pictures of 4×4×3 in 3 classes (none of 'empty'); 1 other file (.txt)");
  EXPECT_EQ(set_of(data), (std::set<int>{1, 2, 3}));
  EXPECT_EQ(data->targets()[0].labels, (std::vector<std::string>{"a b", "empty", "größe"}));
}

TEST_F(ImagesDataset, ClassesChooseAndOrder) {
  two_classes(4);
  picture("p/c/1.png", 200);
  const DatasetRef data = open("images: {folder: p, classes: [c, a]}");
  EXPECT_EQ(data->targets()[0].labels, (std::vector<std::string>{"c", "a"}));
  EXPECT_EQ(set_of(data), (std::set<int>{0, 1, 2, 3, 200}));
  EXPECT_EQ(error("images: {folder: p, classes: [a, d]}"), "p: there is no folder of class 'd'\n  hint: did you mean 'a'?");
}

TEST_F(ImagesDataset, PartsHaveFairSharesOfEachClassAndNothingInCommon) {
  two_classes(20);
  const std::string part = "images: {folder: p, validation_split: 0.2, subset: ";
  const DatasetRef train = open(part + "training}"), validation = open(part + "validation}");
  EXPECT_EQ(train->size(), 24);
  EXPECT_EQ(class_counts(*validation), (std::map<std::int64_t, std::int64_t>{{0, 4}, {1, 2}}));
  std::set<int> both = set_of(train);
  both.merge(set_of(validation));
  EXPECT_EQ(both.size(), 30u);
  EXPECT_EQ(values(open(part + "validation}")), values(validation));
  EXPECT_NE(values(open(part + "validation, seed: 1}")), values(validation));
  // train.validation_split, Keras's share at the end, is as fair.
  EXPECT_EQ(set_of(split_validation(open("images: {folder: p}"), 0.2).validation), set_of(validation));
}

TEST_F(ImagesDataset, MistakesOfParts) {
  two_classes(4);
  EXPECT_EQ(error("images: {folder: p, subset: training}"),
            "'subset' is given without 'validation_split'\n  hint: subset: training with validation_split: 0.2 for data.train; "
            "subset: validation with the same split for data.validation");
  EXPECT_EQ(error("images: {folder: p, subset: validation, validation_split: 0.1}"), "a validation split of 0.1 leaves nothing of 6 samples to validate");
}

TEST_F(ImagesDataset, ListsChooseFiles) {
  two_classes(4);
  write_plainly(folder_ / "list.txt", "a/001.png\nb/000.png\n\n");
  EXPECT_EQ(set_of(open("images: {folder: p, list: list.txt}")), (std::set<int>{1, 100}));
  write_plainly(folder_ / "list.txt", "a/001.png\na/9.png\n");
  EXPECT_EQ(error("images: {folder: p, list: list.txt}"), "list.txt: it lists 'a/9.png', which is none of the pictures");
}

TEST_F(ImagesDataset, Manifests) {
  two_classes(4);
  write_plainly(folder_ / "m.csv", "path,label,age,height\np/a/000.png,zebra,1.5,3\np/b/001.png,ape,2,4\np/a/002.png,ape,3,5\n");
  const DatasetRef named = open("images: {manifest: m.csv}");
  EXPECT_EQ(named->description(), "m.csv: 3 pictures of 4×4×3 in 2 classes");
  EXPECT_EQ(named->targets()[0].labels, (std::vector<std::string>{"ape", "zebra"}));
  const std::vector<int> pixels = values(named);
  const Batch batch = all(named);
  for (std::int64_t i = 0; i < 3; ++i) EXPECT_EQ(batch.targets[0].at(i), pixels[static_cast<std::size_t>(i)] == 0 ? 1 : 0);
  const DatasetRef numbers = open("images: {manifest: m.csv, target: [age, height]}");
  EXPECT_EQ(numbers->targets()[0].type, (Type{DType::float32, {2}}));
  EXPECT_TRUE(open("images: {manifest: m.csv, target: null}")->targets().empty());
  EXPECT_EQ(set_of(open("images: {manifest: m.csv, classes: [zebra]}")), (std::set<int>{0}));
  EXPECT_EQ(error("images: {manifest: m.csv, path: file}"), "m.csv: there is no column 'file'\n  hint: known: path, label, age, height");
  write_plainly(folder_ / "n.csv", "file,y\na/000.png,1\n");
  EXPECT_EQ(set_of(open("images: {manifest: n.csv, folder: p, path: file, target: y}")), (std::set<int>{0}));
}

TEST_F(ImagesDataset, SizesAndFits) {
  picture("p/a/1.png", 50, 4, 8);
  EXPECT_EQ(open("images: {folder: p}")->inputs()[0].type, (Type{DType::uint8, {4, 8, 3}}));
  const Batch padded = all(open("images: {folder: p, size: 4, fit: pad, channels: 4}"));
  EXPECT_EQ(padded.inputs[0].shape(), (Shape{1, 4, 4, 4}));
  EXPECT_EQ(padded.inputs[0].at(0), 0);
  EXPECT_EQ(padded.inputs[0].at(16), 50);
  EXPECT_EQ(error("images: {folder: p, channels: 2}"), "pictures with 2 channels, wanted 1, 3 or 4");
}

TEST_F(ImagesDataset, DamageIsFatalOrLeftOut) {
  two_classes(4);
  for (const char* name : {"p/a/bad.png", "p/b/bad1.jpg", "p/b/bad2.jpg", "p/b/bad3.jpg"}) write_plainly(folder_ / name, "\xff\xd8no picture");
  const DatasetRef fatal = open("images: {folder: p, size: 4}");
  EXPECT_EQ(fatal->size(), 10);
  EXPECT_NE(message_of([&] { all(fatal); }).find(": the JPEG picture cannot be read: "), std::string::npos);
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(open("images: {folder: p, size: 4, on_error: skip}")->description(),
              "p: 6 pictures of 4×4×3 in 2 classes; 4 damaged left out: a/bad.png, b/bad1.jpg, b/bad2.jpg, …");
  fs::remove_all(folder_ / "p");
  fs::create_directories(folder_ / "p/a");
  write_plainly(folder_ / "p/a/bad.png", "");
  EXPECT_EQ(error("images: {folder: p, on_error: skip}"), "p: no picture is left");
}

// A link that leads to itself is a damaged picture; one that leads nowhere is none.
TEST_F(ImagesDataset, LinksInCircles) {
  two_classes(4);
  fs::create_symlink("loop.jpg", folder_ / "p/a/loop.jpg");
  fs::create_symlink("nowhere.jpg", folder_ / "p/b/gone.jpg");
  fs::create_symlink("circle", folder_ / "p/circle");
  fs::create_symlink("nowhere", folder_ / "p/gone");
  EXPECT_EQ(open("images: {folder: p, size: 4, on_error: skip}")->description(),
            "p: 6 pictures of 4×4×3 in 2 classes; 1 damaged left out: a/loop.jpg");
  const DatasetRef fatal = open("images: {folder: p, size: 4}");
  const std::string message = message_of([&] { all(fatal); });
  EXPECT_NE(message.find("a/loop.jpg: cannot be opened: "), std::string::npos) << message;
}

TEST_F(ImagesDataset, NothingThere) {
  EXPECT_EQ(error("images: {folder: p}"), "p: there is no such folder\n  hint: it leads to p");
  EXPECT_EQ(error("images: {}"), "images: 'folder' or 'manifest' is missing");
  fs::create_directories(folder_ / "p/a");
  EXPECT_EQ(error("images: {folder: p}"), "p: no pictures were found\n  hint: wanted one folder per class with .jpg, .png, .webp, .bmp or .gif files");
  write_plainly(folder_ / "p/a/1.txt", "a text");
  EXPECT_EQ(
      error("images: {folder: p}"),
      "p: no pictures were found\n  hint: wanted one folder per class with .jpg, .png, .webp, .bmp or .gif files; "
      "'texts' reads those with .txt (texts:p on a command line)");
}

// What is left out is said.
TEST_F(ImagesDataset, OtherFilesAreCounted) {
  two_classes(8);
  for (const char* name : {"a/x.heic", "a/y.heic", "b/notes", ".hidden"})
    write_plainly(folder_ / "p" / name, "no picture");
  EXPECT_EQ(open("images: {folder: p}")->description(),
            "p: 12 pictures of 4×4×3 in 2 classes; 3 other files (.heic, without an ending)");
}

TEST_F(ImagesDataset, AClassWithOnePictureIsTold) {
  two_classes(8);
  picture("p/c/1.png", 7);
  EXPECT_EQ(open("images: {folder: p}")->description(), "p: 13 pictures of 4×4×3 in 3 classes (one of 'c')");
}

// The size of all is that of the first, which may be the one that is damaged.
TEST_F(ImagesDataset, TheHintOfTheFirstPictureTellsOfSkippingToo) {
  two_classes(4);
  write_plainly(folder_ / "p/a/000.png", "\xff\xd8no picture");
  EXPECT_NE(error("images: {folder: p}").find("on_error: skip"), std::string::npos) << error("images: {folder: p}");
}

TEST_F(ImagesDataset, BatchesAreTheSameForAnyNumberOfWorkersAndCaches) {
  two_classes(20);
  const std::string yaml = R"(data:
  train: {images: {folder: p}}
  augment: [{RandomFlip: {seed: 1}}, {RandomBrightness: {factor: 0.2, seed: 2}}]
)";
  const auto walk = [&](const std::string& more) {
    const Experiment experiment(parse_config(yaml + more + "model: {sequential: [{Input: {shape: [4, 4, 3]}}, Flatten]}\n", "e.yaml", folder_.path()));
    Loader loader(experiment.open_data().train, {.batch_size = 4, .shuffle = true, .seed = 5});
    std::vector<double> numbers;
    for (int epoch = 0; epoch < 2; ++epoch) {
      loader.start(epoch);
      while (const Batch* batch = loader.next())
        for (const double number : batch->inputs[0].to_doubles()) numbers.push_back(number);
    }
    return numbers;
  };
  const std::vector<double> plain = walk("");
  EXPECT_EQ(plain.size(), 2u * 30 * 48);
  for (const char* more : {"  workers: 1\n", "  workers: 5\n", "  cache: memory\n  workers: 3\n", "  cache: cached\n", "  cache: cached\n  workers: 2\n"})
    EXPECT_EQ(walk(more), plain) << more;
}

TEST_F(ImagesDataset, ACacheOnDiskIsUsedAgainAndNeverStale) {
  two_classes(4);
  const auto files = [&] {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(folder_ / "cache")) count += entry.is_regular_file();
    return count;
  };
  const auto cache = [&](const std::string& more = "") { return cached(open("images: {folder: p" + more + "}"), folder_ / "cache"); };
  const std::vector<int> before = values(cache());
  EXPECT_EQ(values(cache()), before);
  EXPECT_EQ(files(), 1u);
  EXPECT_EQ(values(cache(", channels: 1")), before);
  EXPECT_EQ(files(), 2u);
  picture("p/a/000.png", 77);
  fs::last_write_time(folder_ / "p/a/000.png", fs::file_time_type::clock::now() + std::chrono::seconds(5));
  EXPECT_TRUE(set_of(cache()).contains(77));
  EXPECT_EQ(files(), 3u);
  // A file that is not whole is made anew.
  for (const auto& entry : fs::directory_iterator(folder_ / "cache")) fs::resize_file(entry.path(), fs::file_size(entry.path()) / 2);
  EXPECT_TRUE(set_of(cache()).contains(77));
  write_plainly(folder_ / "p/a/000.png", "no picture");
  EXPECT_THROW(cache(), Error);
  EXPECT_EQ(files(), 3u) << "nothing is left of a cache that was not finished";
}

TEST_F(ImagesDataset, CachesInMemoryDecodeOnce) {
  two_classes(4);
  const DatasetRef data = cached(open("images: {folder: p}"));
  const std::vector<int> before = values(data);
  fs::remove_all(folder_ / "p");
  EXPECT_EQ(values(data), before);
  const DatasetRef numbers = array_dataset({.inputs = {Tensor(DType::float32, {3, 2})}, .targets = {}, .weights = {}});
  EXPECT_EQ(cached(numbers), numbers);
}

TEST_F(ImagesDataset, ClassWeightsAreBalancedWithoutDecoding) {
  two_classes(4);
  const DatasetRef data = open("images: {folder: p, size: 4}");
  fs::remove_all(folder_ / "p");
  EXPECT_EQ(balanced_class_weight(*data), (std::map<std::int64_t, double>{{0, 6.0 / (2 * 4)}, {1, 6.0 / (2 * 2)}}));
}

TEST(ClassWeight, NamesAndTheWordBalanced) {
  const auto read = [](const std::string& yaml) {
    ClassWeight weight;
    FieldKind<ClassWeight>::read(parse_yaml(yaml, "w.yaml"), weight);
    return weight;
  };
  const DatasetRef data = array_dataset({.inputs = {Tensor(DType::float32, {4, 1})},
                                         .targets = {Tensor::of<std::int32_t>({4}, {0, 1, 1, 1})},
                                         .weights = {},
                                         .target_labels = {{"cat", "dog"}}});
  EXPECT_EQ(read("{cat: 3}").of(*data), (std::map<std::int64_t, double>{{0, 3.0}}));
  EXPECT_EQ(read("{1: 2}").of(*data), (std::map<std::int64_t, double>{{1, 2.0}}));
  EXPECT_EQ(read("balanced").of(*data), (std::map<std::int64_t, double>{{0, 2.0}, {1, 4.0 / 6}}));
  EXPECT_EQ(message_of([&] { read("{dig: 1}").of(*data); }), "'class_weight': the data has no class 'dig'\n  hint: did you mean 'dog'?");
  EXPECT_EQ(message_of([&] { read("even"); }), "w.yaml:1:1: got 'even', wanted balanced or {class: weight}");
  EXPECT_EQ(message_of([&] { read("{cat: 2, dog: -1}"); }), "w.yaml:1:15: wanted a weight of at least 0, got -1");
  EXPECT_EQ(message_of([&] { read("{cat: .inf}"); }), "w.yaml:1:7: wanted a weight of at least 0, got inf");
  EXPECT_EQ(message_of([&] { ClassWeight{{0, std::nan("")}}.of(*data); }), "'class_weight': class '0' has the weight nan, wanted a number of at least 0");
  EXPECT_EQ(message_of([&] { read("{2: 1}").of(*data); }), "'class_weight': there is no class 2\n  hint: known: cat, dog");
}

TEST(ClassWeight, NamesThatAreNumbersAreNames) {
  const auto of = [](std::map<std::int64_t, double> numbers, std::vector<std::string> labels, std::int64_t classes = 0) {
    Arrays arrays{.inputs = {Tensor(DType::float32, {4, 1})}, .targets = {Tensor::of<std::int32_t>({4}, {0, 1, 2, 2})}};
    if (!labels.empty()) arrays.target_labels = {std::move(labels)};
    return ClassWeight(std::move(numbers)).of(*array_dataset(std::move(arrays)), classes);
  };
  using Weights = std::map<std::int64_t, double>;
  EXPECT_EQ(of({{1, 5.0}, {10, 50.0}}, {"1", "10", "2", "3"}), (Weights{{0, 5.0}, {1, 50.0}}));
  EXPECT_EQ(of({{0, 5.0}, {2, 7.0}}, {"a", "b", "c"}), (Weights{{0, 5.0}, {2, 7.0}}));
  const std::string twice = message_of([&] { of({{0, 1.0}, {1, 2.0}}, {"1", "2", "3"}); });
  EXPECT_TRUE(twice.starts_with("'class_weight': '1' is a class that another key means too\n  hint: ")) << twice;
  // Without names the model tells how many there are, else the data.
  EXPECT_EQ(of({{4, 2.0}}, {}, 5), (Weights{{4, 2.0}}));
  EXPECT_EQ(message_of([&] { of({{5, 2.0}}, {}, 5); }), "'class_weight': there is no class 5\n  hint: there are 5, numbered from 0");
  EXPECT_EQ(of({{2, 2.0}}, {}), (Weights{{2, 2.0}}));
  EXPECT_EQ(message_of([&] { of({{3, 2.0}}, {}); }), "'class_weight': there is no class 3\n  hint: there are 3, numbered from 0");
}

TEST(Dataset, AValidationSplitOfSamplesSortedByClassIsRefused) {
  const auto data = [](std::vector<std::int32_t> labels) {
    return array_dataset({.inputs = {Tensor(DType::float32, {8, 1})}, .targets = {Tensor::of<std::int32_t>({8}, labels)}, .weights = {},
                          .target_labels = {{"cat", "dog"}}});
  };
  EXPECT_EQ(message_of([&] { split_validation(data({0, 0, 0, 0, 1, 1, 1, 1}), 0.25); }),
            "a validation split takes the last samples, but these are sorted by class: they would all be of class 'dog'\n"
            "  hint: shuffle the rows of the file, or name validation data of its own");
  EXPECT_EQ(split_validation(data({0, 0, 0, 1, 0, 1, 1, 1}), 0.25).validation->size(), 2);
}

TEST(DatasetWorkers, TheSmallestErrorIsThrown) {
  for (int workers : {1, 2, 7}) {
    std::atomic<int> calls = 0;
    EXPECT_EQ(message_of([&] {
                in_workers(workers, 100, [&](std::int64_t i) {
                  ++calls;
                  if (i >= 10) throw Error("{}", i);
                });
              }),
              "10");
    EXPECT_GE(calls, 11);
  }
}

}  // namespace
}  // namespace nacre
