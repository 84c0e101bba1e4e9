// Texts from the command line: training on a column of a table, predicting lines, tables and standard input.
#include <gtest/gtest.h>

#include "formats/csv.h"
#include "formats/json.h"
#include "tests/cli/run_nacre.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

class TextVerbs : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    write_plainly(*folder_ / "reviews.csv",
                  "review,stars,label\n\"A wonderful film, great acting!\",5,good\n\"Terrible. I hated every minute\",1,bad\n"
                  "great story,4,good\n\"awful\",2,bad\n\"I loved it, wonderful!\",5,good\n\"boring, terrible\",1,bad\n");
    write_plainly(*folder_ / "words.txt", "great\nwonderful\nawful\nterrible\nboring\n");
    write_plainly(*folder_ / "lines.txt", "wonderful story\nawful, boring\n");
    write_plainly(*folder_ / "text.yaml", R"(name: text
data: {train: {csv: {file: reviews.csv, text: review, target: label, drop: stars}}}
model:
  sequential:
    - Input: {shape: [], dtype: string, name: review}
    - TextVectorization: {max_tokens: 20, output_sequence_length: 6, name: words}
    - Embedding: {input_dim: 20, output_dim: 4}
    - GlobalAveragePooling1D
    - Dense: {units: 2, activation: softmax}
train: {optimizer: {Adam: {learning_rate: 0.1}}, loss: sparse_categorical_crossentropy, batch_size: 4, epochs: 20}
)");
    trained_ = nacre({"train", "text.yaml", "--output", "run"});
  }
  static void TearDownTestSuite() { folder_.reset(); }
  static Outcome nacre(const std::vector<std::string>& words, const std::string& input = "") {
    return run_nacre(words, folder_->path(), input);
  }
  // Whether each sample is more likely good than bad.
  static std::vector<bool> good(const Outcome& outcome) {
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    std::vector<bool> answers;
    if (outcome.status == 0)
      for (const Tree& row : parse_json(outcome.out).items()) answers.push_back(row["label"].as_string() == "good");
    return answers;
  }

  inline static std::unique_ptr<TemporaryFolder> folder_;
  inline static Outcome trained_;
};

TEST_F(TextVerbs, TrainingSaysWhichLayersLearnFromTheData) {
  ASSERT_EQ(trained_.status, 0) << trained_.err;
  EXPECT_NE(trained_.out.find("layer 'words' (TextVectorization) learns from the training data"), std::string::npos) << trained_.out;
}

TEST_F(TextVerbs, PredictTakesLinesTablesAndStandardInput) {
  const std::vector<bool> expected{true, false};
  EXPECT_EQ(good(nacre({"predict", "--json", "run/model.h5", "lines.txt"})), expected);
  EXPECT_EQ(good(nacre({"predict", "--json", "run/model.h5", "-"}, "wonderful story\nawful, boring\n")), expected);
  EXPECT_EQ(good(nacre({"predict", "--json", "run/model.h5", "-"}, "[\"wonderful story\"]\n[\"awful, boring\"]\n")), expected);
  EXPECT_EQ(good(nacre({"predict", "--json", "run/model.h5", "reviews.csv"})), (std::vector<bool>{true, false, true, false, true, false}));
}

TEST_F(TextVerbs, PredictTakesTextsThemselves) {
  EXPECT_EQ(good(nacre({"predict", "--json", "run/model.h5", "wonderful story", "awful, boring"})), (std::vector<bool>{true, false}));
  EXPECT_EQ(good(nacre({"predict", "--json", "run/model.h5", "review=wonderful = great"})), (std::vector<bool>{true}));
  const Outcome mistyped = nacre({"predict", "run/model.h5", "lined.txt"});  // a file that is not there is no text
  EXPECT_NE(mistyped.err.find("lined.txt: cannot be opened"), std::string::npos) << mistyped.err;
}

TEST_F(TextVerbs, ColumnsThatTheModelDoesNotTakeAreNamed) {
  const Outcome outcome = nacre({"train", "text.yaml", "data.train={csv: {file: reviews.csv, text: review, target: label}}", "--output", "undropped"});
  EXPECT_EQ(outcome.status, 2) << outcome.out;
  EXPECT_NE(outcome.err.find("the data has 2 inputs ('stars' float32(1,), 'review' string()), the model takes 1: 'review'"), std::string::npos) << outcome.err;
}

// As in training, where each file of a folder is a text.
TEST_F(TextVerbs, FilesAreWholeTextsWhereTheyWereInTraining) {
  for (const char* name : {"good", "bad"}) std::filesystem::create_directories(*folder_ / "mails" / name);
  for (int i = 0; i < 4; ++i) {
    write_plainly(*folder_ / fmt::format("mails/good/{}.txt", i), "wonderful\ngreat story\n");
    write_plainly(*folder_ / fmt::format("mails/bad/{}.txt", i), "awful\nterrible, boring\n");
  }
  const Outcome trained = nacre({"train", "text.yaml", "data.train={texts: {folder: mails}}", "train.epochs=60", "--output", "mail_run"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_EQ(good(nacre({"predict", "--json", "mail_run/model.h5", "mails/good/0.txt"})), (std::vector<bool>{true}));
  EXPECT_EQ(good(nacre({"predict", "--json", "mail_run/model.h5", "mails/bad/0.txt", "mails/good/1.txt"})), (std::vector<bool>{false, true}));
  // The model's file says so, wherever it goes; what learns from lines then takes lines.
  std::filesystem::create_directories(*folder_ / "elsewhere");
  std::filesystem::copy_file(*folder_ / "mail_run/model.h5", *folder_ / "elsewhere/mails.h5");
  EXPECT_EQ(good(nacre({"predict", "--json", "elsewhere/mails.h5", "mails/bad/0.txt", "mails/good/1.txt"})),
            (std::vector<bool>{false, true}));
  const Outcome lined =
      nacre({"train", "text.yaml", "model={file: elsewhere/mails.h5}", "train.epochs=1", "--output", "lined_run"});
  ASSERT_EQ(lined.status, 0) << lined.err;
  EXPECT_EQ(good(nacre({"predict", "--json", "lined_run/model.h5", "mails/bad/0.txt"})).size(), 2u);
  std::filesystem::create_directories(*folder_ / "mails/empty");
  EXPECT_EQ(nacre({"evaluate", "mail_run/model.h5", "--data", "texts:mails"}).status, 0);
  // Elsewhere their lines are, of several files too: answers go by number then, also where there are as many as files.
  write_plainly(*folder_ / "two.txt", "wonderful story\nawful, boring\n");
  write_plainly(*folder_ / "none.txt", "");
  const Outcome by_number = nacre({"predict", "run/model.h5", "two.txt", "none.txt"});
  EXPECT_EQ(by_number.out.find("none.txt"), std::string::npos) << by_number.out;
  EXPECT_EQ(good(nacre({"predict", "--json", "run/model.h5", "lines.txt", "lines.txt"})), (std::vector<bool>{true, false, true, false}));
}

TEST_F(TextVerbs, SummaryAndEvaluateKnowModelsOfTexts) {
  const Outcome summary = nacre({"summary", "run/model.h5"});
  EXPECT_EQ(summary.status, 0) << summary.err;
  EXPECT_NE(summary.out.find("string(None,)"), std::string::npos) << summary.out;
  const Outcome tested = nacre({"evaluate", "run/model.h5", "--data", "csv:reviews.csv,target=label,text=review,drop=stars"});
  EXPECT_EQ(tested.status, 0) << tested.err;
}

// Recurrent layers begin with zeros, as many as there are texts.
TEST_F(TextVerbs, RecurrentLayersFollowLayersOfTexts) {
  const Outcome outcome = nacre({"train", "text.yaml", "model.sequential.3={GRU: {units: 4}}", "--output", "recurrent"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(good(nacre({"predict", "recurrent/model.h5", "wonderful story", "awful, boring", "--json"})).size(), 2u);
}

TEST_F(TextVerbs, PredictRefusesMissingNumbers) {
  write_plainly(*folder_ / "numbers.yaml",
                "data: {train: {csv: {file: reviews.csv, text: review, target: label, inputs: stars}}}\n"
                "model:\n  inputs: {stars: {shape: [1]}, review: {shape: [], dtype: string}}\n  layers:\n"
                "    - TextVectorization: {from: review, output_mode: multi_hot, max_tokens: 20, pad_to_max_tokens: true, name: words}\n"
                "    - Concatenate: {from: [stars, words]}\n    - Dense: {units: 2, activation: softmax}\n"
                "train: {loss: sparse_categorical_crossentropy}\n");
  ASSERT_EQ(nacre({"train", "numbers.yaml", "--output", "numbers"}).status, 0);
  write_plainly(*folder_ / "missing.csv", "review,stars\ngreat,5\nawful,\n");
  const Outcome outcome = nacre({"predict", "numbers/model.h5", "missing.csv"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.err, "missing.csv: column 'stars' misses 1 of 2 values\n"
                         "  hint: write the number that stood for missing ones in training (`fill` of csv)\n");
}

TEST_F(TextVerbs, AVocabularyMayBeAFile) {
  const Outcome outcome = nacre({"train", "text.yaml", "model.sequential.1.TextVectorization.vocabulary=words.txt",
                                 "train.epochs=1", "--output", "file"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out.find("learns"), std::string::npos) << outcome.out;
  const Outcome again = nacre({"train", "file/config.yaml", "--output", "again"});  // the run's own description
  EXPECT_EQ(again.status, 0) << again.err;
}

}  // namespace
}  // namespace nacre::test
