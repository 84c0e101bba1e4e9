// The zoo on the command line, and answers by the names of classes.
#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "formats/file.h"
#include "formats/image.h"
#include "formats/json.h"
#include "tests/cli/run_nacre.h"
#include "tests/support/file_server.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

constexpr std::string_view sky_model =
    "model: {sequential: [Input: {shape: [8, 8, 3]}, Rescaling: {scale: \"${1/255}\"}, Flatten, "
    "Dense: {units: 2, activation: softmax}]}\n";

class ZooVerbs : public testing::Test {
 protected:
  Outcome run(const std::vector<std::string>& words) { return run_nacre(words, folder_.path()); }

  // A folder of pictures: dark ones and bright ones.
  void draw_pictures() {
    for (const auto& [name, level] : {std::pair("night", 20), std::pair("day", 220)}) {
      std::filesystem::create_directories(folder_ / "sky" / name);
      for (int i = 0; i < 8; ++i) {
        Tensor picture(DType::uint8, {8, 8, 3});
        for (std::uint8_t& value : picture.writable<std::uint8_t>()) value = static_cast<std::uint8_t>(level + i);
        write_png(folder_ / "sky" / name / (std::to_string(i) + ".png"), picture);
      }
    }
  }

  TemporaryFolder folder_;
};

TEST_F(ZooVerbs, ListAndShow) {
  const Outcome list = run({"zoo", "list"});
  EXPECT_EQ(list.status, 0) << list.err;
  EXPECT_NE(list.out.find("\nresnet50 "), std::string::npos);
  EXPECT_NE(list.out.find("  imagenet 74.9%  "), std::string::npos) << list.out;
  EXPECT_NE(list.out.find("  imagenet 70.4%  "), std::string::npos) << list.out;  // mobilenet of its usual size
  EXPECT_NE(list.out.find("  CC-BY-4.0 "), std::string::npos) << list.out;
  const Outcome json = run({"zoo", "list", "--json"});
  const Tree models = parse_json(json.out, "list");
  EXPECT_GT(models.items().size(), 40u);
  EXPECT_TRUE(models.items().front().find("weights"));
  const Outcome show = run({"zoo", "show", "lenet?classes=3"});
  EXPECT_EQ(show.status, 0) << show.err;
  EXPECT_NE(show.out.find("  classes = 3\n"), std::string::npos) << show.out;
  const Tree shown = parse_json(run({"zoo", "show", "lenet", "--json"}).out, "show");
  EXPECT_EQ(shown["arguments"]["classes"], Tree(10));
  EXPECT_TRUE(shown["summary"].find("total_params"));
  const Outcome vgg = run({"zoo", "show", "zoo:vgg16"});
  EXPECT_EQ(vgg.status, 0) << vgg.err;
  EXPECT_NE(run({"zoo", "show", "mobilenet"}).out.find(
                "imagenet {alpha: 0.75, depth_multiplier: 1, input_shape: [192, 192, 3], include_top: true, classes: 1000}"),
            std::string::npos);
  EXPECT_NE(vgg.out.find("accuracy 0.713 (first five 0.901), to be fetched"),
            std::string::npos)
      << vgg.out;
  EXPECT_NE(vgg.out.find("  licence: CC-BY-4.0\n"), std::string::npos) << vgg.out;
}

// Somebody's own manifest, of weights that a server publishes without a checksum.
class ZooWeights : public ZooVerbs {
 protected:
  void SetUp() override {
    EXPECT_EQ(run({"convert", "zoo:lenet?classes=3&weights=none", "published.weights.h5"}).status, 0);
    bytes_ = read_file(folder_ / "published.weights.h5");
    std::filesystem::copy(std::filesystem::path(NACRE_SOURCE_DIR) / "models_zoo/architectures/lenet.yaml",
                          folder_ / "lenet.yaml");
    write_file_atomically(folder_ / "own.yaml",
                          "models:\n  own:\n    architecture: lenet.yaml\n    weights:\n"
                          "      - {name: first, arguments: {classes: 10}, address: \"" +
                              server_.address("published.weights.h5") + "\"}\n");
    ::setenv("NACRE_HOME", (folder_ / "home").c_str(), 1);
    ::setenv("NACRE_ZOO", (folder_ / "own.yaml").c_str(), 1);
    ::unsetenv("NACRE_ZOO_MIRROR");
  }
  void TearDown() override {
    ::unsetenv("NACRE_HOME");
    ::unsetenv("NACRE_ZOO");
  }

  std::string bytes_;
  std::function<FileServer::Answer(const FileServer::Request&)> answer_ = [this](const auto& asked) {
    return FileServer::file(bytes_, asked);
  };
  FileServer server_{[this](const auto& asked) { return answer_(asked); }};
};

TEST_F(ZooWeights, VerifySaysWhatItCannotCheckAndGetMends) {
  const Outcome got = run({"zoo", "get", "zoo:own"});
  ASSERT_EQ(got.status, 0) << got.err;
  const std::filesystem::path file = got.out.substr(0, got.out.find('\n'));
  const Outcome opens = run({"zoo", "verify", "zoo:own"});
  EXPECT_EQ(opens.status, 0) << opens.err;
  EXPECT_EQ(opens.out, "opens  own first  " + file.string() + ": no checksum is published\n");
  EXPECT_EQ(parse_json(run({"zoo", "get", "own", "--json"}).out, "get").items().front()["path"], Tree(file.string()));
  EXPECT_EQ(parse_json(run({"zoo", "verify", "own", "--json"}).out, "verify").items().front()["state"], Tree("opens"));
  write_file_atomically(file, bytes_.substr(0, 1000));
  const Tree told = parse_json(run({"zoo", "verify", "own", "--json"}).out, "verify").items().front();
  EXPECT_EQ(told["state"], Tree("wrong"));
  EXPECT_NE(told["error"].as_string().find("cut off"), std::string::npos);
  const Outcome wrong = run({"zoo", "verify", "own?classes=10"});
  EXPECT_EQ(wrong.status, 1);
  EXPECT_EQ(wrong.out.substr(0, 18), "WRONG  own first  ") << wrong.out;
  EXPECT_NE(wrong.out.find("the HDF5 file is cut off"), std::string::npos) << wrong.out;
  EXPECT_EQ(run({"zoo", "get", "own"}).status, 0);
  EXPECT_TRUE(read_file(file) == bytes_);
  EXPECT_EQ(server_.requests(), 2);
}

// What gets the weights of a file needs no others.
TEST_F(ZooWeights, ConvertFetchesNothingForAFileOfWeights) {
  ASSERT_EQ(run({"convert", "zoo:own?weights=none", "ten.weights.h5"}).status, 0);
  const Outcome converted = run({"convert", "zoo:own", "ten.keras", "--weights", "ten.weights.h5"});
  EXPECT_EQ(converted.status, 0) << converted.err;
  const Outcome skipped =
      run({"convert", "zoo:own", "some.keras", "--weights", "published.weights.h5", "--skip-mismatch"});
  EXPECT_EQ(skipped.status, 0) << skipped.err;  // of three classes: the last layer begins at random
  EXPECT_EQ(server_.requests(), 0);
  EXPECT_EQ(run({"summary", "some.keras"}).status, 0);
}

TEST_F(ZooWeights, TwoProcessesFetchTheSame) {
  answer_ = [this](const auto& asked) {
    FileServer::Answer answer = FileServer::file(bytes_, asked, asked.number == 0 ? 1000 : std::string::npos);
    answer.silence = asked.number == 0 ? 2 : 0;
    return answer;
  };
  RunningNacre first({"zoo", "get", "own"}, folder_.path());
  while (server_.requests() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  RunningNacre second({"zoo", "get", "own"}, folder_.path());
  const Outcome one = first.wait(), two = second.wait();
  EXPECT_EQ(one.status, 0) << one.err;
  EXPECT_EQ(two.status, 0) << two.err;
  EXPECT_EQ(one.out, two.out);
  EXPECT_EQ(two.err, "waiting for another process that fetches published.weights.h5\n");
  EXPECT_TRUE(read_file(two.out.substr(0, two.out.find('\n'))) == bytes_);
  EXPECT_EQ(server_.requests(), 2);  // the second goes on where the connection broke
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_ / "home/zoo"), {}), 1);
}

TEST_F(ZooVerbs, MistakesSayWhatToDo) {
  const Outcome name = run({"summary", "zoo:lennet"});
  EXPECT_EQ(name.status, 2);
  EXPECT_NE(name.err.find("hint: did you mean 'lenet'?"), std::string::npos) << name.err;
  const Outcome argument = run({"summary", "zoo:lenet?clases=3"});
  EXPECT_EQ(argument.status, 2);
  EXPECT_NE(argument.err.find("hint: did you mean 'classes'?"), std::string::npos) << argument.err;
  EXPECT_EQ(run({"zoo"}).status, 2);
  const Outcome none = run({"zoo", "get", "alexnet"});
  EXPECT_EQ(none.status, 1);
  EXPECT_EQ(none.out, "alexnet: there are no weights to fetch\n");
  for (const auto& [key, hint] : {std::pair("weights: none", "zoo: \"lenet?weights=none\""),
                                  std::pair("alpha: 0.5", "zoo: \"lenet?alpha=0.5\"")}) {
    write_file_atomically(folder_ / "keys.yaml", fmt::format("model: {{zoo: lenet, {}}}\n", key));
    const Outcome outcome = run({"summary", "keys.yaml"});
    EXPECT_EQ(outcome.status, 2);
    EXPECT_NE(outcome.err.find(fmt::format("  hint: {}\n", hint)), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.err.find("keys.yaml:1:"), 0u) << outcome.err;
  }
}

TEST_F(ZooVerbs, NamesStandWhereModelsAndConfigurationsAre) {
  const std::string small = "zoo:lenet?classes=3&input_shape=20,20,1&weights=none";
  const Outcome summary = run({"summary", small, "--json"});
  EXPECT_EQ(summary.status, 0) << summary.err;
  const Tree tree = parse_json(summary.out, "summary");
  EXPECT_GT(tree["total_params"].as_integer(), 0);
  EXPECT_EQ(run({"convert", small, "small.keras"}).status, 0);
  EXPECT_EQ(run({"summary", "small.keras"}).status, 0);
  EXPECT_EQ(run({"bench", small, "--infer", "--batch", "1", "--seconds", "0.01"}).status, 0);
  const Outcome rendered = run({"render", small});
  EXPECT_NE(rendered.out.find("zoo: "), std::string::npos) << rendered.out << rendered.err;
  const Outcome trained = run({"train", "zoo:lenet?weights=none", "data.train.digits.count=64",
                               "train.loss=sparse_categorical_crossentropy", "--output", "run"});
  EXPECT_EQ(trained.status, 0) << trained.err;
  const Outcome script = run_nacre({"lua", "-"}, folder_.path(), "print(#nacre.load('zoo:lenet?weights=none').layers)");
  EXPECT_EQ(script.status, 0) << script.err;
}

TEST_F(ZooVerbs, NothingIsComputedAtRandomUnlessThatIsMeant) {
  draw_pictures();
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"predict", "zoo:alexnet", "sky/day/1.png"},
                                             {"evaluate", "zoo:alexnet", "--data", "images:sky"},
                                             {"convert", "zoo:alexnet", "a.h5"}}) {
    const Outcome refused = run(words);
    EXPECT_EQ(refused.status, 2) << words[0];
    EXPECT_NE(refused.err.find("there are no weights for it"), std::string::npos) << refused.err;
    EXPECT_NE(refused.err.find("weights=none"), std::string::npos) << refused.err;
  }
  EXPECT_EQ(run({"convert", "zoo:alexnet", "a.json"}).status, 0);
  EXPECT_EQ(run({"summary", "zoo:alexnet"}).status, 0);
  const Outcome bench = run({"bench", "zoo:resnet32", "--infer", "--batch", "1", "--seconds", "0.01"});
  EXPECT_EQ(bench.status, 0) << bench.err;
  EXPECT_EQ(bench.err.find("random"), std::string::npos) << bench.err;
  const Outcome script = run_nacre({"lua", "-"}, folder_.path(), "nacre.load('zoo:resnet32')");
  EXPECT_NE(script.err.find("weights=none"), std::string::npos) << script.err;
  const std::vector<std::string> finetune{"finetune", "resnet32", "--data",   "images:sky",
                                          "--epochs", "1",        "--output", "run"};
  const Outcome tuned = run(finetune);
  EXPECT_EQ(tuned.status, 0) << tuned.err;
  EXPECT_NE(tuned.err.find("note: there are no weights for 'zoo:resnet32': all its layers begin at random"),
            std::string::npos)
      << tuned.err;
}

// Real weights of ImageNet, made by others, on a picture of CIFAR-10.
TEST_F(ZooVerbs, WeightsInAFileAnswerByNameAsThoseOfTheManifest) {
  const std::string file = "keras-models/weights/imagenet_mobilenetv1_025_224_full.h5",
                    pictures = "data/cifar10-jpeg.tar.gz";
  const auto weights = shared_path(file), archive = shared_path(pictures);
  if (!weights || !archive) GTEST_SKIP() << absent(weights ? pictures : file);
  const std::string picture = "test/truck/0000.jpg";
  ASSERT_EQ(std::system(fmt::format("tar xzf '{}' -C '{}' --occurrence=1 {}",
                                    std::filesystem::absolute(*archive).string(), folder_.path().string(), picture)
                            .c_str()),
            0);
  const Outcome answer =
      run({"predict", "zoo:mobilenet?alpha=0.25&weights=" + std::filesystem::absolute(*weights).string(), picture});
  EXPECT_EQ(answer.status, 0) << answer.err;
  EXPECT_EQ(answer.out.substr(0, 35), "test/truck/0000.jpg  moving van 40.") << answer.out;
}

// Pictures are cut as those were that the model learned from: the middle of this one is bright, its sides are dark.
TEST_F(ZooVerbs, PicturesComeToTheSizeAsInTraining) {
  draw_pictures();
  Tensor wide(DType::uint8, {8, 80, 3});
  for (std::int64_t i = 0; i < wide.size(); ++i)
    wide.writable<std::uint8_t>()[static_cast<std::size_t>(i)] =
        (i / 3) % 80 / 8 == 4 || (i / 3) % 80 / 8 == 5 ? 220 : 20;
  write_png(folder_ / "wide.png", wide);
  write_file_atomically(folder_ / "sky.yaml",
                        std::string(sky_model) +
                        "data: {train: {images: {folder: sky, size: [8, 8], fit: crop, antialias: true}}}\n"
                        "train: {optimizer: {Adam: {learning_rate: 0.05}}, loss: sparse_categorical_crossentropy, "
                        "batch_size: 4, epochs: 30}\n");
  ASSERT_EQ(run({"train", "sky.yaml", "--output", "run"}).status, 0);
  const Outcome cropped = run({"predict", "run/model.h5", "wide.png"});
  EXPECT_EQ(cropped.out.substr(0, 14), "wide.png  day ") << cropped.out << cropped.err;
}

TEST_F(ZooVerbs, AClassifierOfPicturesAnswersByName) {
  draw_pictures();
  write_file_atomically(folder_ / "sky.yaml",
                        std::string(sky_model) +
                        "data: {train: {images: {folder: sky}}}\n"
                        "train: {optimizer: {Adam: {learning_rate: 0.05}}, loss: sparse_categorical_crossentropy, "
                        "metrics: [accuracy], batch_size: 4, epochs: 30}\n");
  const Outcome trained = run({"train", "sky.yaml", "--output", "run"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  const Outcome text = run({"predict", "run/model.h5", "sky/day/1.png", "sky/night/2.png"});
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_EQ(text.out.substr(0, 19), "sky/day/1.png    da") << text.out;
  EXPECT_NE(text.out.find("sky/night/2.png  night "), std::string::npos) << text.out;
  const Tree json =
      parse_json(run({"predict", "run/model.h5", "sky/night/2.png", "--json", "--top", "1"}).out, "predict");
  EXPECT_EQ(json.items().front()["label"], Tree("night"));
  EXPECT_EQ(json.items().front()["input"], Tree("sky/night/2.png"));
  EXPECT_EQ(json.items().front()["classes"].items().size(), 1u);
  // Pictures are told by their contents.
  std::filesystem::copy_file(folder_ / "sky/night/2.png", folder_ / "nameless");
  EXPECT_EQ(run({"predict", "run/model.h5", "nameless"}).out.substr(0, 15), "nameless  night");
  const Outcome missing = run({"predict", "run/model.h5", "nothing"});
  EXPECT_EQ(missing.status, 2);
  EXPECT_EQ(missing.err, "nothing: there is no such file\n  hint: check the path\n");
  // The numbers as ever.
  EXPECT_EQ(run({"predict", "run/model.h5", "sky/day/1.png", "-o", "numbers.json"}).status, 0);
  EXPECT_EQ(parse_json(read_file(folder_ / "numbers.json"), "numbers").items().front().items().size(), 2u);
  // Names survive a change of format, and a folder whose classes are in another order is measured by them.
  EXPECT_EQ(run({"convert", "run/model.h5", "model.keras"}).status, 0);
  std::filesystem::rename(folder_ / "sky/day", folder_ / "sky/zenith");
  const Outcome unknown = run({"evaluate", "model.keras", "--data", "images:sky"});
  EXPECT_EQ(unknown.status, 2) << unknown.out;
  EXPECT_NE(unknown.err.find("the data has a class 'zenith', which the model does not know"), std::string::npos)
      << unknown.err;
  std::filesystem::remove_all(folder_ / "sky/zenith");
  const Outcome half = run({"evaluate", "model.keras", "--data", "images:sky", "--json"});
  EXPECT_EQ(half.status, 0) << half.err;
  EXPECT_EQ(parse_json(half.out, "evaluate")["accuracy"], Tree(1.0))
      << half.out;  // night is class 1 of the model, 0 of the folder
}

// A network whose outputs have no names is measured as the data's file says, and learns from texts with a vocabulary.
TEST_F(ZooVerbs, ClassifiersOfTexts) {
  write_file_atomically(folder_ / "words.csv",
                        "text,label\ngood day,yes\nbad luck,no\ngood luck,yes\nbad day,no\nso good,yes\nso bad,no\n");
  write_file_atomically(folder_ / "words.yaml",
                        "model: {zoo: \"gru_text?texts=true&vocabulary_size=20&units=4&weights=none\"}\n"
                        "data: {train: {csv: {file: words.csv, text: text, target: label}}}\n"
                        "train: {optimizer: {Adam: {learning_rate: 0.05}}, loss: sparse_categorical_crossentropy, metrics: [accuracy], epochs: 60}\n");
  const Outcome trained = run({"train", "words.yaml", "--output", "words"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  const Outcome answer = run({"predict", "words/model.h5", "good good", "bad bad"});
  EXPECT_NE(answer.out.find("good good  yes"), std::string::npos) << answer.out << answer.err;
  EXPECT_NE(answer.out.find("bad bad    no"), std::string::npos) << answer.out;
  const Outcome numbers = run({"evaluate", "zoo:gru_text?weights=none&vocabulary_size=20", "--data", "words.yaml"});
  EXPECT_NE(numbers.err.find("got texts for the input 'tokens', wanted int32(None, None)"), std::string::npos) << numbers.err;
  draw_pictures();
  const Outcome picture = run({"predict", "words/model.h5", "sky/day/0.png"});
  EXPECT_NE(picture.err.find("which takes texts"), std::string::npos) << picture.err;
  EXPECT_NE(picture.err.find("hint: give the text itself"), std::string::npos) << picture.err;
}

// Weights that are published alone have no loss: a classifier's is known, unless the data's file names another.
TEST_F(ZooVerbs, EvaluateMeasuresWhatTheFileNames) {
  write_file_atomically(folder_ / "data.yaml", "data: {test: {digits: {count: 40}}}\n");
  write_file_atomically(folder_ / "measures.yaml",
                        "data: {test: {digits: {count: 40}}, one_hot: auto}\n"
                        "train: {loss: categorical_crossentropy, metrics: [top_k_categorical_accuracy]}\n");
  const Outcome usual = run({"evaluate", "zoo:lenet", "--data", "data.yaml", "--json"});
  ASSERT_EQ(usual.status, 0) << usual.err;
  EXPECT_TRUE(parse_json(usual.out, "evaluate").find("accuracy")) << usual.out;
  const Outcome named = run({"evaluate", "zoo:lenet", "--data", "measures.yaml", "--json"});
  ASSERT_EQ(named.status, 0) << named.err;
  const Tree measured = parse_json(named.out, "evaluate");
  EXPECT_TRUE(measured.find("top_k_categorical_accuracy")) << named.out;
  EXPECT_NEAR(measured["loss"].as_number(), parse_json(usual.out, "evaluate")["loss"].as_number(), 1e-6);
}

// Pictures of any size, of some of the classes, without a word about vectors of classes: evaluate, report, Lua and further
// training take them as the model was trained.
TEST_F(ZooVerbs, FoldersAreMeasuredAsTheModelTakesThem) {
  draw_pictures();
  write_file_atomically(
      folder_ / "sky.yaml",
      std::string(sky_model) +
          "data: {train: {images: {folder: sky}}, one_hot: auto}\n"
          "train: {optimizer: {Adam: {learning_rate: 0.05}}, "
          "loss: {CategoricalCrossentropy: {label_smoothing: 0.1}}, metrics: [accuracy], batch_size: 4, epochs: 30}\n");
  const Outcome trained = run({"train", "sky.yaml", "--output", "run"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  std::filesystem::create_directories(folder_ / "large/night");  // class 1 of the model, 0 of the folder
  for (int i = 0; i < 5; ++i) {
    Tensor picture(DType::uint8, {20, 30, 3});
    for (std::uint8_t& value : picture.writable<std::uint8_t>()) value = static_cast<std::uint8_t>(25 + i);
    write_png(folder_ / "large/night" / (std::to_string(i) + ".png"), picture);
  }
  write_file_atomically(folder_ / "large.yaml", "data: {test: {images: {folder: large}}}\n");
  write_file_atomically(folder_ / "vectors.yaml", "data: {test: {images: {folder: large}}, one_hot: auto}\n");
  for (const std::string data : {"large", "images:large", "large.yaml", "vectors.yaml"}) {
    const Outcome measured = run({"evaluate", "run/model.h5", "--data", data, "--json"});
    ASSERT_EQ(measured.status, 0) << data << measured.err;
    EXPECT_EQ(parse_json(measured.out, data)["accuracy"], Tree(1.0)) << measured.out;
  }
  std::filesystem::create_directories(folder_ / "large/dawn");  // a class that neither the model nor a picture knows
  EXPECT_EQ(run({"evaluate", "run/model.h5", "--data", "large"}).status, 0);
  std::filesystem::remove(folder_ / "large/dawn");
  const Outcome report = run({"report", "run", "--data", "large"});
  ASSERT_EQ(report.status, 0) << report.err;
  EXPECT_NE(read_file(folder_ / "run/report.html").find("classifies 100"), std::string::npos);
  write_file_atomically(folder_ / "measure.lua",
                        "local model = nacre.load('run/model.h5')\n"
                        "print(model:evaluate{data = {images = {folder = 'large'}}}.accuracy)\n"
                        "print(#model:predict{data = {images = {folder = 'large'}}})\n");
  const Outcome lua = run({"lua", "measure.lua"});
  EXPECT_EQ(lua.out, "1.0\n5\n") << lua.err;
  write_file_atomically(folder_ / "more.yaml",
                        "model: {file: run/model.h5}\ndata: {train: {images: {folder: large}}}\n"
                        "train: {optimizer: {SGD: {learning_rate: 0}}, loss: sparse_categorical_crossentropy, metrics: [accuracy]}\n");
  const Outcome more = run({"train", "more.yaml", "--output", "more", "--json"});
  ASSERT_EQ(more.status, 0) << more.err;
  EXPECT_EQ(parse_json(more.out, "more")["history"].items().back()["accuracy"], Tree(1.0)) << more.out;
}

}  // namespace
}  // namespace nacre::test
