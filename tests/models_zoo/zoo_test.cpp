// Names of the zoo, manifests, and weights that are found, fetched and checked.
#include "models_zoo/zoo.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "api/classify.h"
#include "api/save.h"
#include "formats/digest.h"
#include "formats/file.h"
#include "formats/npy.h"
#include "layers/layers.h"
#include "tests/support/file_server.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

template <class Work>
std::string message_of(Work&& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ZooReference, NameAndArguments) {
  const zoo::Reference plain = zoo::parse_reference("lenet");
  EXPECT_EQ(plain.name, "lenet");
  EXPECT_TRUE(plain.arguments.entries().empty());
  EXPECT_FALSE(plain.weights);
  const zoo::Reference full =
      zoo::parse_reference("mobilenetv2?alpha=0.35&input_shape=96,96,3&include_top=false&weights=none");
  EXPECT_EQ(full.name, "mobilenetv2");
  EXPECT_EQ(full.arguments.text(), "{alpha: 0.35, input_shape: [96, 96, 3], include_top: false}");
  EXPECT_EQ(full.weights, "none");
  EXPECT_EQ(zoo::parse_reference("x?input_shape=[null, null, 3]").arguments.text(), "{input_shape: [null, null, 3]}");
}

TEST(ZooReference, Mistakes) {
  EXPECT_NE(message_of([] { zoo::parse_reference("lenet?classes"); }).find("wanted NAME=VALUE, got 'classes'"),
            std::string::npos);
  EXPECT_NE(message_of([] { zoo::parse_reference("lenet?classes=1&classes=2"); }).find("'classes' is given twice"),
            std::string::npos);
  EXPECT_NE(
      message_of([] { zoo::open("lennet"); }).find("the zoo has no model 'lennet'\n  hint: did you mean 'lenet'?"),
      std::string::npos);
  EXPECT_NE(message_of([] {
              zoo::open("lenet?class=3&weights=none");
            }).find("'zoo:lenet': unknown argument 'class'\n  hint: did you mean 'classes'?"),
            std::string::npos);
}

TEST(ZooReference, PoolingIsOneOfKerass) {
  EXPECT_NE(message_of([] {
              zoo::open("mobilenet?include_top=false&pooling=foo&weights=none");
            }).find("'zoo:mobilenet': unknown pooling 'foo'\n  hint: wanted avg, max or null"),
            std::string::npos);
  EXPECT_EQ(zoo::open("mobilenet?include_top=false&pooling=max&weights=none")->outputs().front().shape().rank(), 2);
}

TEST(ZooReference, ArgumentsChangeTheModel) {
  const auto model = zoo::open("lenet?classes=3&input_shape=20,20,1&weights=none");
  EXPECT_EQ(model->inputs().front().shape().text(), "(None, 20, 20, 1)");
  EXPECT_EQ(model->outputs().front().shape().text(), "(None, 3)");
  EXPECT_EQ(model->name(), "lenet");
}

// A manifest of one's own, with weights that a server publishes.
class OwnZoo : public testing::Test {
 protected:
  void SetUp() override {
    Sequential trained({Input({4}, "numbers"), Dense({.units = 2, .activation = "softmax"}, {.name = "answer"})});
    trained.initialize(7);
    trained.save_weights(folder_ / "published.h5");
    kernel_ = trained.weights().front().variable->value();
    bytes_ = read_file(folder_ / "published.h5");
    write_file_atomically(folder_ / "pair.yaml",
                          "variables: {classes: 2, weights: null}\n"
                          "model:\n  inputs: {numbers: {shape: [4]}}\n  layers:\n"
                          "    - Dense: {units: \"${classes}\", activation: softmax, name: answer}\n");
    write_manifest("address: " + server_.address("published.h5"),
                   digest_of_file(folder_ / "published.h5", Digest::sha256));
    ::setenv("NACRE_HOME", (folder_ / "home").c_str(), 1);
    ::setenv("NACRE_ZOO", (folder_ / "own.yaml").c_str(), 1);
    ::unsetenv("NACRE_ZOO_MIRROR");
  }
  void TearDown() override {
    ::unsetenv("NACRE_HOME");
    ::unsetenv("NACRE_ZOO");
    ::unsetenv("NACRE_ZOO_MIRROR");
  }
  // Without a checksum where it is "".
  void write_manifest(const std::string& where, const std::string& sum) {
    write_file_atomically(folder_ / "own.yaml",
                          "labels: {pair: [left, right]}\n"
                          "models:\n  pair:\n    architecture: pair.yaml\n    weights:\n"
                          "      - name: first\n        arguments: {classes: 2}\n        " +
                              where + (sum.empty() ? "" : "\n        sha256: " + sum) +
                              "\n        labels: pair\n        licence: CC0\n"
                              "        preprocessing: {scale: 0.5}\n");
  }
  const zoo::Weights weights() const { return zoo::Manifest::load().model("pair").weights.front(); }
  const zoo::ZooModel model() const { return zoo::Manifest::load().model("pair"); }

  TemporaryFolder folder_;
  std::string bytes_;
  Tensor kernel_;
  std::function<FileServer::Answer(const FileServer::Request&)> answer_ = [this](const auto& asked) {
    return FileServer::file(bytes_, asked);
  };
  FileServer server_{[this](const auto& asked) { return answer_(asked); }};
};

TEST_F(OwnZoo, WeightsAreFetchedOnceAndTheCardIsTheirs) {
  for (int i = 0; i < 2; ++i) {
    const auto pair = zoo::open("pair");
    EXPECT_TRUE(pair->weights().front().variable->value().identical(kernel_));
    EXPECT_EQ(pair->card().labels, (std::vector<std::string>{"left", "right"}));
    EXPECT_EQ(pair->card().preprocessing.scale, 0.5);
    EXPECT_EQ(pair->card().licence, "CC0");
  }
  EXPECT_EQ(server_.requests(), 1);
  EXPECT_TRUE(zoo::find(model(), weights()));
  EXPECT_EQ(zoo::verify(*zoo::find(model(), weights()), weights()), zoo::Known::by_checksum);
}

TEST_F(OwnZoo, TheFormAloneNeedsNoNetwork) {
  const auto pair = zoo::open("pair", {.with_weights = false});
  EXPECT_EQ(pair->card().labels.size(), 2u);
  EXPECT_EQ(server_.requests(), 0);
}

TEST_F(OwnZoo, WeightsThatDoNotFitAreNotTaken) {
  EXPECT_NE(message_of([] { zoo::open("pair?classes=3"); })
                .find("'zoo:pair': no weights of it fit classes=3\n  hint: there are some for classes=2; weights=none "
                      "begins with random ones"),
            std::string::npos)
      << message_of([] { zoo::open("pair?classes=3"); });
  EXPECT_NE(message_of([] {
              zoo::open("pair?weights=second");
            }).find("there are no weights 'second', and no such file\n  hint: weights=first"),
            std::string::npos);
  EXPECT_EQ(zoo::open("pair?classes=3&weights=none")->outputs().front().shape().text(), "(None, 3)");
}

TEST_F(OwnZoo, WeightsOfAFile) {
  const auto pair = zoo::open("pair?weights=" + (folder_ / "published.h5").string());
  EXPECT_TRUE(pair->weights().front().variable->value().identical(kernel_));
  EXPECT_EQ(server_.requests(), 0);
  // They are of pictures as those of the manifest are, but somebody else's.
  EXPECT_EQ(pair->card().preprocessing.scale, 0.5);
  EXPECT_EQ(pair->card().labels, (std::vector<std::string>{"left", "right"}));
  EXPECT_EQ(pair->card().source, "published.h5");
  EXPECT_EQ(pair->card().licence, "");
  const zoo::Choice others =
      zoo::choose(zoo::parse_reference("pair?classes=3&weights=" + (folder_ / "published.h5").string()));
  EXPECT_EQ(others.card.preprocessing.scale, 0.5);
  EXPECT_TRUE(others.card.labels.empty());
}

// The weights of a whole network do for what lies below its top: nothing else is fetched.
TEST_F(OwnZoo, AHeadStandsOnTheWholeWeightsThatAreHere) {
  write_file_atomically(folder_ / "tower.yaml",
                        "variables: {classes: 2, include_top: true, features: 3}\n"
                        "model:\n  inputs: {numbers: {shape: [4]}}\n  layers:\n"
                        "    - Dense: {units: \"${features}\", name: body}\n"
                        "    - Dense: {units: \"${classes}\", name: answer, when: \"${include_top}\"}\n");
  Sequential whole(
      {Input({4}, "numbers"), Dense({.units = 3}, {.name = "body"}), Dense({.units = 2}, {.name = "answer"})});
  whole.initialize(8);
  whole.save_weights(folder_ / "whole.h5");
  const std::string address = "address: file://" + folder_.path().string();
  write_file_atomically(folder_ / "own.yaml",
                        "models:\n  tower:\n    architecture: tower.yaml\n    weights:\n"
                        "      - {name: first, arguments: {classes: 2, include_top: true}, " +
                            address +
                            "/whole.h5}\n"
                            "      - {name: first, arguments: {include_top: false}, address: " +
                            server_.address("part.h5") + "}\n");
  answer_ = [](const auto&) { return FileServer::status("404 Not Found"); };
  const ZooOptions base{.with_top = false};
  EXPECT_NE(message_of([&] { zoo::open("tower", base); }).find("404"), std::string::npos);
  EXPECT_EQ(server_.requests(), 1);
  zoo::open("tower");
  const auto tower = zoo::open("tower", base);
  EXPECT_EQ(server_.requests(), 1);
  EXPECT_EQ(tower->outputs().front().shape(), (Shape{unknown, 3}));
  EXPECT_TRUE(tower->weights().front().variable->value().identical(whole.weights().front().variable->value()));
}

TEST(Zoo, ArgumentsThatChangeWhatIsComputedWantOtherWeights) {
  EXPECT_NE(message_of([] {
              zoo::open("mlp?activation=tanh");
            }).find("no weights of it fit activation='tanh'\n  hint: there are some for activation='relu'"),
            std::string::npos)
      << message_of([] { zoo::open("mlp?activation=tanh"); });
  EXPECT_NE(message_of([] {
              zoo::open("mlp?units=[64]&classes=3");
            }).find("fit classes=3, units=[64]\n  hint: there are some for classes=10 and units=[256, 128]"),
            std::string::npos)
      << message_of([] { zoo::open("mlp?units=[64]&classes=3"); });
  EXPECT_NE(message_of([] {
              zoo::choose(zoo::parse_reference("mobilenetv3small?include_preprocessing=false"));
            }).find("there are some for include_preprocessing=true"),
            std::string::npos);
  EXPECT_NE(message_of([] {
              zoo::choose(zoo::parse_reference("mobilenet?alpha=0.3"));
            }).find("there are some for alpha=1 or 0.75 or 0.5 or 0.25"),
            std::string::npos);
  // An argument may have any value where shapes stay the same.
  EXPECT_NE(message_of([] {
              zoo::open("lenet?input_shape=20,20,1");
            }).find("fit input_shape=[20, 20, 1]\n  hint: there are some for input_shape=[28, 28, 1]"),
            std::string::npos);
  EXPECT_NE(message_of([] { zoo::open("vgg16?input_shape=64,64,3"); }).find("fit input_shape=[64, 64, 3]"),
            std::string::npos);
  EXPECT_TRUE(zoo::choose(zoo::parse_reference("vgg16?input_shape=64,64,3&include_top=false&classes=5")).weights);
  EXPECT_TRUE(zoo::choose(zoo::parse_reference("resnet50?input_shape=64,64,3")).weights);
  EXPECT_TRUE(zoo::choose(zoo::parse_reference("efficientnetv2b0?width_coefficient=1")).weights) << "its default";
  EXPECT_NO_THROW(zoo::open("mlp?dropout_rate=0&units=[256,128]&classifier_activation=linear"));
}

TEST(Zoo, TheFormAloneMayBeOneWithoutWeights) {
  const ZooOptions form{.with_weights = false};
  EXPECT_EQ(zoo::open("mlp?units=[64]", form)->weights().size(), 4u);
  EXPECT_EQ(zoo::open("lenet?classes=3", form)->outputs().front().shape(), (Shape{unknown, 3}));
  const ZooOptions base{.with_weights = false, .with_top = false};
  EXPECT_EQ(zoo::open("vgg16?input_shape=64,64,3", base)->outputs().front().shape(), (Shape{unknown, 2, 2, 512}));
  EXPECT_NE(message_of([&] { zoo::open("mlp?weights=typo", form); }).find("there are no weights 'typo'"),
            std::string::npos);
}

TEST(Zoo, NothingComputesAtRandomUnlessThatIsMeant) {
  enable_zoo();
  EXPECT_NE(message_of([] {
              load_model("zoo:alexnet");
            }).find("'zoo:alexnet': there are no weights for it: what it computes would be random"),
            std::string::npos);
  EXPECT_NE(message_of([] { load_model("zoo:alexnet"); }).find("weights=none begins with random ones"),
            std::string::npos);
  const ZooOptions form{.with_weights = false};
  EXPECT_NO_THROW(zoo::open("alexnet", form));
  EXPECT_NO_THROW(load_model("zoo:resnet32?weights=none"));
  std::vector<std::string> notes;
  const auto hear = [&](const std::string& line) { notes.push_back(line); };
  zoo::open("resnet32", {.random = RandomWeights::accepted}, {}, hear);
  zoo::open("resnet32?weights=none", {.random = RandomWeights::told}, {}, hear);
  zoo::open("mlp", {.random = RandomWeights::told}, {}, hear);
  EXPECT_TRUE(notes.empty());
  zoo::open("resnet32", {.with_top = false, .random = RandomWeights::told}, {}, hear);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("all its layers begin at random"), std::string::npos) << notes[0];
}

TEST_F(OwnZoo, DamagedWeightsAreNeverTaken) {
  std::string damaged = bytes_;
  damaged[damaged.size() / 2] ^= 1;
  answer_ = [&](const auto& asked) { return FileServer::file(damaged, asked); };
  const std::string message = message_of([] { zoo::open("pair"); });
  EXPECT_NE(message.find("the SHA-256 is "), std::string::npos) << message;
  EXPECT_NE(message.find("while fetching the weights 'first' of 'pair'"), std::string::npos) << message;
  EXPECT_FALSE(zoo::find(model(), weights()));
  answer_ = [this](const auto& asked) { return FileServer::file(bytes_, asked); };
  EXPECT_NO_THROW(zoo::open("pair"));  // the damaged part is gone
}

TEST_F(OwnZoo, ADownloadIsTakenUpAgain) {
  answer_ = [this](const auto& asked) {
    return asked.number < 3 ? FileServer::file(bytes_, asked, 700) : FileServer::file(bytes_, asked);
  };
  EXPECT_NE(message_of([] { zoo::open("pair"); }).find("bytes are there already"), std::string::npos);
  EXPECT_NO_THROW(zoo::open("pair"));
  EXPECT_EQ(server_.requests(), 4);
}

TEST_F(OwnZoo, MirrorsComeFirst) {
  std::filesystem::create_directory(folder_ / "mirror");
  std::filesystem::copy(folder_ / "published.h5", folder_ / "mirror/published.h5");
  ::setenv("NACRE_ZOO_MIRROR", ("file://" + (folder_ / "mirror").string()).c_str(), 1);
  EXPECT_NO_THROW(zoo::open("pair"));
  EXPECT_EQ(server_.requests(), 0);
  std::filesystem::remove_all(folder_ / "home");
  std::filesystem::remove_all(folder_ / "mirror");
  EXPECT_NO_THROW(zoo::open("pair"));  // a mirror without the file
  EXPECT_EQ(server_.requests(), 1);
}

TEST_F(OwnZoo, EveryAddressThatFailedIsTold) {
  std::filesystem::create_directory(folder_ / "mirror");
  const std::string mirror = "file://" + (folder_ / "mirror").string();
  answer_ = [](const auto&) { return FileServer::status("404 Not Found"); };
  for (const std::string& sum : {digest_of_file(folder_ / "published.h5", Digest::sha256), std::string()}) {
    write_manifest("address: " + server_.address("published.h5"), sum);
    write_file_atomically(folder_ / "mirror/published.h5", "<html>login</html>");
    const std::string message = message_of([&] { zoo::fetch(model(), weights(), {}, mirror); });
    EXPECT_NE(message.find("the server answers 404"), std::string::npos) << message;
    EXPECT_NE(message.find("after " + mirror + "/published.h5: "), std::string::npos) << message;
    EXPECT_NE(message.find("zoo:pair?weights=FILE takes it, or it is put at " + (folder_ / "home/zoo").string()),
              std::string::npos)
        << message;
  }
  const std::string path = (folder_ / "mirror").string();
  EXPECT_NE(message_of([&] { zoo::fetch(model(), weights(), {}, path); }).find("hint: file://" + path + " of a folder"),
            std::string::npos);
}

TEST_F(OwnZoo, DamageInTheCacheIsMendedByGet) {
  write_manifest("address: " + server_.address("published.h5"), "");
  write_file_atomically(zoo::fetch(model(), weights()), bytes_.substr(0, 1000));
  const std::string message = message_of([] { zoo::open("pair"); });
  EXPECT_NE(message.find("hint: nacre zoo get 'pair' fetches it again"), std::string::npos) << message;
}

// Nothing could tell the mirror's bytes from the others: there is no checksum.
TEST_F(OwnZoo, AMirrorThatBreaksSpoilsNothing) {
  write_manifest("address: " + server_.address("published.h5"), "");
  answer_ = [this](const auto& asked) {
    return asked.path == "/mirror/published.h5"
               ? FileServer::file(std::string(bytes_.size(), 'x'), asked, asked.offset ? 0 : 1000)
               : FileServer::file(bytes_, asked);
  };
  const auto fetched = zoo::fetch(model(), weights(), {}, server_.address("mirror"));
  EXPECT_TRUE(read_file(fetched) == bytes_);
}

TEST_F(OwnZoo, WeightsWithoutAChecksumAreToldApartByTheirAddress) {
  Sequential other({Input({4}, "numbers"), Dense({.units = 2, .activation = "softmax"}, {.name = "answer"})});
  other.initialize(8);
  other.save_weights(folder_ / "other.h5");
  answer_ = [this, other = read_file(folder_ / "other.h5")](const auto& asked) {
    return FileServer::file(asked.path == "/other/published.h5" ? other : bytes_, asked);
  };
  write_manifest("address: " + server_.address("published.h5"), "");
  EXPECT_TRUE(zoo::open("pair")->weights().front().variable->value().identical(kernel_));
  write_manifest("address: " + server_.address("other/published.h5"), "");
  EXPECT_TRUE(
      zoo::open("pair")->weights().front().variable->value().identical(other.weights().front().variable->value()));
}

TEST_F(OwnZoo, WhatHasNoChecksumOpensAtTheLeast) {
  write_manifest("address: " + server_.address("published.h5"), "");
  for (const std::string& wrong : {bytes_.substr(0, 1000), std::string("<html>Sign in</html>"),
                                   std::string("{\"error\": \"not found\"}"), std::string()}) {
    answer_ = [&](const auto& asked) { return FileServer::file(wrong, asked); };
    EXPECT_NE(message_of([] { zoo::open("pair"); }), "no error") << wrong;
    EXPECT_FALSE(zoo::find(model(), weights())) << wrong;
  }
  answer_ = [this](const auto& asked) { return FileServer::file(bytes_, asked); };
  const auto file = zoo::fetch(model(), weights());
  EXPECT_EQ(zoo::verify(file, weights()), zoo::Known::by_opening);
}

// The file was damaged after it had been fetched.
TEST_F(OwnZoo, WhatIsWrongIsFetchedAgain) {
  for (const std::string& sum : {digest_of_file(folder_ / "published.h5", Digest::sha256), std::string()}) {
    write_manifest("address: " + server_.address("published.h5"), sum);
    const auto file = zoo::fetch(model(), weights());
    const int before = server_.requests();
    EXPECT_EQ(zoo::fetch(model(), weights(), {}, "", true), file);  // nothing is wrong
    EXPECT_EQ(server_.requests(), before);
    write_file_atomically(file, bytes_.substr(0, 1000));
    EXPECT_NE(message_of([&] { zoo::verify(file, weights()); }), "no error");
    EXPECT_EQ(zoo::fetch(model(), weights(), {}, "", true), file);
    EXPECT_TRUE(read_file(file) == bytes_);
  }
}

TEST_F(OwnZoo, ChecksumsMayBeInCapitals) {
  std::string sum = digest_of_file(folder_ / "published.h5", Digest::sha256);
  std::ranges::transform(sum, sum.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  write_manifest("address: " + server_.address("published.h5"), sum);
  EXPECT_EQ(zoo::verify(zoo::fetch(model(), weights()), weights()), zoo::Known::by_checksum);
}

TEST_F(OwnZoo, AFileThatIsMissingIsNotHere) {
  write_manifest("file: none.h5", "");
  EXPECT_FALSE(zoo::find(model(), weights()));
  const std::string message = message_of([] { zoo::open("pair"); });
  EXPECT_NE(message.find("lie in a file that is missing: " + (folder_ / "none.h5").string()), std::string::npos);
  EXPECT_NE(message.find("hint: the manifest that NACRE_ZOO names says so"), std::string::npos) << message;
  write_manifest("file: published.h5", "");
  EXPECT_EQ(zoo::find(model(), weights()), folder_ / "published.h5");
}

TEST_F(OwnZoo, TheFolderOfFetchedWeightsMayBeCopied) {
  zoo::open("pair");
  std::filesystem::copy(folder_ / "home", folder_ / "copy", std::filesystem::copy_options::recursive);
  ::setenv("NACRE_HOME", (folder_ / "copy").c_str(), 1);
  answer_ = [](const auto&) { return FileServer::status("404 Not Found"); };
  EXPECT_NO_THROW(zoo::open("pair"));
}

TEST_F(OwnZoo, ItsManifestIsChecked) {
  write_manifest("file: published.h5\n        address: x", "ab");
  EXPECT_NE(message_of([] { zoo::Manifest::load(); }).find("the weights 'first' want either 'file' or 'address'"),
            std::string::npos);
  write_manifest("fil: published.h5", "ab");
  const std::string message = message_of([] { zoo::Manifest::load(); });
  EXPECT_NE(message.find("own.yaml:8:9: 'weights': unknown key 'fil'"), std::string::npos) << message;
  EXPECT_NE(message.find("while reading the manifest that NACRE_ZOO names"), std::string::npos) << message;
}

TEST_F(OwnZoo, FilesOfModelsKeepTheCard) {
  const Model pair(zoo::open("pair"));
  for (const char* name : {"pair.h5", "pair.keras"}) {
    pair.save(folder_ / name);
    EXPECT_EQ(load_model(folder_ / name).graph().card(), pair.graph().card()) << name;
  }
}

// What the repository says of itself.
TEST(Zoo, TheManifestHolds) {
  const zoo::Manifest manifest = zoo::Manifest::load();
  std::uintmax_t bytes = 0;
  for (const zoo::ZooModel& model : manifest.models()) {
    EXPECT_FALSE(model.description.empty()) << model.name;
    EXPECT_NO_THROW(model.text()) << model.name;
    for (const zoo::Weights& weights : model.weights) {
      EXPECT_NO_THROW(manifest.labels(weights.labels)) << model.name;
      EXPECT_FALSE(weights.licence.empty()) << model.name;
      if (!weights.file) continue;
      const auto file = zoo::find(model, weights);
      ASSERT_TRUE(file) << model.name << " " << *weights.file;
      EXPECT_NO_THROW(zoo::verify(*file, weights)) << model.name;
      EXPECT_TRUE(weights.measured.value && !weights.measured.command.empty() && weights.measured.seed) << model.name;
      bytes += std::filesystem::file_size(*file);
    }
  }
  EXPECT_LT(bytes, 8'000'000u);
}

// Licences are those that the makers of the weights state, figures those that Keras publishes.
TEST(Zoo, PublishedWeightsHaveTheirLicencesAndFigures) {
  const zoo::Manifest manifest = zoo::Manifest::load();
  const auto whole = [&](std::string_view name) {
    const std::vector<zoo::Weights>& weights = manifest.model(name).weights;
    const auto found = std::ranges::find_if(weights, [](const auto& entry) {
      return entry.arguments["include_top"] == Tree(true) && !entry.arguments.find("input_shape");
    });
    EXPECT_TRUE(found != weights.end()) << name;
    return *found;
  };
  for (const auto& [name, licence, accuracy] : {std::tuple("vgg16", "CC-BY-4.0", 0.713),
                                                {"resnet50", "MIT", 0.749},
                                                {"resnet152v2", "BSD-3-Clause", 0.780},
                                                {"densenet121", "BSD-3-Clause", 0.750},
                                                {"convnexttiny", "MIT", 0.813},
                                                {"xception", "MIT", 0.790},
                                                {"mobilenet", "Apache-2.0", 0.704},
                                                {"mobilenetv2", "Apache-2.0", 0.713},
                                                {"nasnetlarge", "Apache-2.0", 0.825},
                                                {"mobilenetv3small", "Apache-2.0", 0.681},
                                                {"efficientnetb7", "Apache-2.0", 0.843}}) {
    const zoo::Weights weights = whole(name);
    EXPECT_EQ(weights.licence, licence) << name;
    EXPECT_EQ(weights.measured.value, accuracy) << name;
    EXPECT_NE(weights.source.find("Keras Applications"), std::string::npos) << name;
    EXPECT_NE(weights.measured.data.find("ImageNet"), std::string::npos) << name;
  }
  EXPECT_EQ(whole("resnet50").measured.top_5, 0.921);
  for (const zoo::ZooModel& model : manifest.models())
    for (const zoo::Weights& weights : model.weights) {
      EXPECT_FALSE(weights.source.empty()) << model.name;
      const Tree* const top = weights.arguments.find("include_top");
      EXPECT_FALSE(top && *top == Tree(false) && weights.measured.value) << model.name;  // nothing that classifies
    }
}

// Real weights of ImageNet, made by others, whose labels are the zoo's.
TEST(Zoo, MobileNetOfImageNetPredictsAsKerasDid) {
  const std::string file = "keras-models/weights/imagenet_mobilenetv1_025_224_full";
  const auto weights = shared_path(file + ".h5"), golden = shared_path(file + ".npz");
  if (!weights || !golden) GTEST_SKIP() << absent(file + ".h5");
  Model model(zoo::open("mobilenet?alpha=0.25&weights=" + weights->string()));
  const Tensor wanted = read_npz(*golden, "out_0"), found = model.predict(read_npz(*golden, "in_0"));
  ASSERT_EQ(found.shape(), wanted.shape());
  for (std::int64_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found.at(i), wanted.at(i), 1e-4) << i;
  const std::vector<std::string> labels = zoo::Manifest::load().labels("imagenet");
  ASSERT_EQ(labels.size(), 1000u);
  for (const auto& answers : classify(labels, found)) EXPECT_FALSE(answers.front().label.empty());
}

TEST(Zoo, NamesStandWhereModelsAre) {
  enable_zoo();
  EXPECT_EQ(load_model("zoo:lenet?classes=3&weights=none").outputs().front().shape().text(), "(None, 3)");
}

}  // namespace
}  // namespace nacre::test
