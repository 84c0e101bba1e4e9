// Texts as data: folders of classes, windows of running texts, and the vocabulary that goes with them.
#include "api/data/text.h"

#include <gtest/gtest.h>

#include "api/experiment/experiment.h"
#include "api/save.h"
#include "formats/yaml.h"
#include "layers/lookup.h"
#include "tests/support/paths.h"
#include "tests/support/tensors.h"

namespace nacre {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::write_plainly;

class TextDataset : public testing::Test {
 protected:
  void write(const std::string& name, std::string_view text) {
    fs::create_directories((folder_ / name).parent_path());
    write_plainly(folder_ / name, text);
  }
  DatasetRef open(const std::string& yaml) { return read_object<Source>(parse_yaml(yaml, "s.yaml"))->open(folder_.path()); }
  std::string error(const std::string& yaml) {
    std::string message = message_of([&] { open(yaml); });
    for (std::size_t at; (at = message.find(folder_.path().string())) != std::string::npos;) message.erase(at, folder_.path().string().size() + 1);
    return message;
  }
  // Of each window, its text and what follows each of its tokens.
  static std::vector<std::pair<std::string, std::vector<std::string>>> windows(const DatasetRef& data) {
    std::vector<std::pair<std::string, std::vector<std::string>>> result;
    const std::vector<std::string>& tokens = data->targets()[0].labels;
    for (std::int64_t i = 0; i < data->size(); ++i) {
      Batch batch;
      data->read({&i, 1}, batch);
      std::vector<std::string> next;
      for (const double number : batch.targets[0].to_doubles()) next.push_back(tokens.at(static_cast<std::size_t>(number)));
      result.emplace_back(batch.inputs[0].data<std::string>()[0], std::move(next));
    }
    return result;
  }

  test::TemporaryFolder folder_;
};
using Windows = std::vector<std::pair<std::string, std::vector<std::string>>>;

TEST_F(TextDataset, WindowsOfCharacters) {
  write("t.txt", "\xEF\xBB\xBF" "abä\r\ncab");
  const DatasetRef data = open("text: {file: t.txt, sequence_length: 2}");
  EXPECT_EQ(data->description(), "t.txt: 3 windows of 2 characters, a vocabulary of 7");
  EXPECT_EQ(windows(data), (Windows{{"ab", {"b", "ä"}}, {"ä\n", {"\n", "c"}}, {"ca", {"a", "b"}}}));
  EXPECT_EQ(windows(open("text: {file: t.txt, sequence_length: 5, sequence_stride: 1}")),
            (Windows{{"abä\nc", {"b", "ä", "\n", "c", "a"}}, {"bä\nca", {"ä", "\n", "c", "a", "b"}}}));
}

TEST_F(TextDataset, WindowsOfWords) {
  write("t.txt", "The cat -- the  dog.\nA cat!");
  const DatasetRef data = open("text: {file: t.txt, sequence_length: 3, split: whitespace, standardize: lower_and_strip_punctuation}");
  EXPECT_EQ(windows(data), (Windows{{"The cat -- the", {"cat", "the", "dog"}}}));
  EXPECT_EQ(windows(open("text: {file: t.txt, sequence_length: 3, split: whitespace, max_tokens: 3}"))[0].second,
            (std::vector<std::string>{"[UNK]", "[UNK]", "the"}));
}

TEST_F(TextDataset, PartsAreTheBeginningAndTheEnd) {
  write("t.txt", "0123456789");
  const std::string part = "text: {file: t.txt, sequence_length: 2, validation_split: 0.4, subset: ";
  EXPECT_EQ(windows(open(part + "training}")), (Windows{{"01", {"1", "2"}}, {"23", {"3", "4"}}}));
  EXPECT_EQ(windows(open(part + "validation}")), (Windows{{"67", {"7", "8"}}}));
  EXPECT_EQ(open(part + "validation}")->targets()[0].labels, open(part + "training}")->targets()[0].labels);
  write("v.txt", "1x");
  EXPECT_EQ(windows(open("text: {file: v.txt, vocabulary: t.txt, sequence_length: 1}")), (Windows{{"1", {"[UNK]"}}}));
}

TEST_F(TextDataset, WhatIsNoUtf8IsTheReplacementCharacter) {
  write("t.txt", "a\xff" "b\xc3");
  EXPECT_EQ(windows(open("text: {file: t.txt, sequence_length: 3}"))[0].second, (std::vector<std::string>{"\xEF\xBF\xBD", "b", "\xEF\xBF\xBD"}));
}

TEST_F(TextDataset, ShortAndEmptyTexts) {
  write("t.txt", "ab");
  EXPECT_EQ(error("text: {file: t.txt, sequence_length: 2}"), "t.txt: the text has 2 tokens, wanted more than a sequence_length of 2");
  write("t.txt", "");
  EXPECT_EQ(error("text: {file: t.txt}"), "t.txt: there are no tokens in the data to learn a vocabulary from");
}

TEST_F(TextDataset, FoldersOfTexts) {
  for (int i = 0; i < 10; ++i) write(fmt::format("t/good/{}.txt", i), fmt::format("good {}", i)), write(fmt::format("t/bad/{}.txt", i), fmt::format("bad {}", i));
  write("t/bad/picture.jpg", "");
  const DatasetRef data = open("texts: {folder: t}");
  EXPECT_EQ(data->size(), 20);
  EXPECT_EQ(data->targets()[0].labels, (std::vector<std::string>{"bad", "good"}));
  for (std::int64_t i = 0; i < 20; ++i) {
    Batch batch;
    data->read({&i, 1}, batch);
    EXPECT_EQ(batch.inputs[0].data<std::string>()[0].starts_with("good"), batch.targets[0].at(0) == 1);
  }
  EXPECT_EQ(class_counts(*open("texts: {folder: t, subset: validation, validation_split: 0.2}")), (std::map<std::int64_t, std::int64_t>{{0, 2}, {1, 2}}));
}

TEST_F(TextDataset, LabelsOfTablesAndLinesHaveNames) {
  write("t.csv", "text,label\nhello,pos\nbye,neg\n");
  EXPECT_EQ(open("csv: {file: t.csv, text: text, target: label}")->targets()[0].labels, (std::vector<std::string>{"neg", "pos"}));
  write("l.txt", "hello\nbye\n");
  write("y.txt", "b\na\n");
  EXPECT_EQ(open("lines: {file: l.txt, labels: y.txt}")->targets()[0].labels, (std::vector<std::string>{"a", "b"}));
}

// A model of characters: its TextVectorization numbers them as the targets are numbered, also after it was saved.
TEST_F(TextDataset, ACharacterModelLearnsWithTheVocabularyOfItsData) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "abcde\n";
  write("t.txt", text);
  const Experiment experiment(parse_config(R"(
data: {train: {text: {file: t.txt, sequence_length: 6, sequence_stride: 5}}}
model:
  sequential:
    - Input: {shape: [], dtype: string}
    - TextVectorization: {standardize: null, split: character, output_sequence_length: 6, name: characters}
    - Embedding: {input_dim: 8, output_dim: 8}
    - Dense: {units: 8}
train: {optimizer: {Adam: {learning_rate: 0.1}}, loss: {SparseCategoricalCrossentropy: {from_logits: true}}, metrics: [accuracy], epochs: 15}
)", "e.yaml", folder_.path()));
  Model model = configured_model(experiment);
  const DatasetRef data = experiment.open_data().train;
  FitOptions options = fit_options(experiment.config().train.fit);
  const History history = model.fit(data, options);
  EXPECT_EQ(vocabulary_of(*model.layer("characters")), data->targets()[0].labels);
  EXPECT_EQ(history.series("accuracy").back(), 1);
  model.save(folder_ / "m.keras");
  const Tensor logits = load_model(folder_ / "m.keras").predict(Tensor::of<std::string>({1}, {"cdea\nb"}));
  std::string next;
  for (std::int64_t i = 0; i < 6; ++i) {
    std::int64_t best = 0;
    for (std::int64_t k = 1; k < 8; ++k)
      if (logits.at(i * 8 + k) > logits.at(i * 8 + best)) best = k;
    next += data->targets()[0].labels[static_cast<std::size_t>(best)];
  }
  EXPECT_EQ(next, "de\nbac");
  const DatasetRef other = [&] {
    write("v.txt", "fgh fgh");
    return open("text: {file: v.txt, sequence_length: 6}");
  }();
  options.validation = other;
  EXPECT_NE(message_of([&] { model.fit(data, options); }).find("hint: both need the same classes"), std::string::npos);
}

// The sizes of a recurrent layer's states depend on the texts: that is no input of what runs on the host.
TEST_F(TextDataset, ARecurrentLayerTakesTextsOfAnyLength) {
  write("t.txt", "abcabcabcabcabcabcabcabcabc");
  write("c.yaml", R"(
data: {train: {text: {file: t.txt, sequence_length: 6}}}
model:
  inputs: {text: {shape: [], dtype: string}}
  layers:
    - TextVectorization: {standardize: null, split: character}
    - Embedding: {input_dim: 5, output_dim: 3}
    - GRU: {units: 4, return_sequences: true}
    - Dense: {units: 5, activation: softmax}
train: {loss: sparse_categorical_crossentropy, epochs: 1}
)");
  const Experiment experiment = Experiment::load(folder_ / "c.yaml");
  Model model = configured_model(experiment);
  EXPECT_EQ(model.fit(experiment.open_data().train, {.epochs = 1}).epochs.size(), 1u);
  EXPECT_EQ(model.predict(Tensor::of<std::string>({2}, {"ab", "abcab"})).shape(), (Shape{2, 5, 5}));
}

}  // namespace
}  // namespace nacre
