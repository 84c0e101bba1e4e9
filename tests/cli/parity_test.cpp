// nacre parity: what it prints, for people and for programs, and what it ends with.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "api/experiment/experiment.h"
#include "api/inspect/readable.h"
#include "api/model.h"
#include "formats/json.h"
#include "tests/cli/run_nacre.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

class ParityVerb : public testing::Test {
 protected:
  ParityVerb() {
    write_plainly(folder_ / "tiny.yaml", R"(name: tiny
seed: 5
model:
  sequential:
    - Input: {shape: [12, 12, 1]}
    - Conv2D: {filters: 4, kernel_size: 3, activation: relu, name: conv}
    - BatchNormalization: {name: norm}
    - Flatten: {name: flat}
    - Dropout: {rate: 0.5, name: drop}
    - Dense: {units: 10, activation: softmax, name: digit}
train: {optimizer: adam, loss: sparse_categorical_crossentropy, metrics: [accuracy]}
)");
  }
  Outcome parity(std::vector<std::string> words) {
    words.insert(words.begin(), "parity");
    return run_nacre(words, folder_.path());
  }
  static Tree parsed(const Outcome& outcome, int status = 0) {
    EXPECT_EQ(outcome.status, status) << outcome.err << outcome.out;
    return parse_json(outcome.out, "out");
  }

  TemporaryFolder folder_;
};

TEST_F(ParityVerb, ATableForPeople) {
  const Outcome outcome = parity({"tiny.yaml"});
  ASSERT_EQ(outcome.status, 0) << outcome.err << outcome.out;
  EXPECT_EQ(outcome.out.find("tiny: cpu compared with reference, a training step on 4 samples, float32\n"
                             "data       made up, seed 5\nloss       "),
            0u)
      << outcome.out;
  for (const char* line : {"\ntolerance  0.001 of the largest magnitude", "\nlayer ", "\nconv (Conv2D) ", "\n  kernel ",
                           "\nnorm (BatchNormalization) ", "\n  moving_mean ", "\ndrop (Dropout) ", "\ndigit (Dense) ",
                           "\nAll outputs and gradients agree within the tolerance.\n"})
    EXPECT_NE(outcome.out.find(line), std::string::npos) << line << outcome.out;
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(text_columns(line), 80u) << line;
  const std::string top = parity({"tiny.yaml", "--top", "2"}).out;
  EXPECT_NE(top.find("\nthe 2 of 5 layers that differ most\n"), std::string::npos) << top;
}

TEST_F(ParityVerb, JsonForPrograms) {
  const Tree report =
      parsed(parity({"tiny.yaml", "model.sequential.digit.units=3", "--batch", "6", "--seed", "9", "--json"}));
  const std::pair<const char*, Tree> words[] = {{"model", "tiny"}, {"mode", "training"}, {"dtype", "float32"},
                                                {"batch_size", 6}, {"seed", 9},          {"tolerance", 0.001},
                                                {"agrees", true}};
  for (const auto& [key, value] : words) EXPECT_EQ(report[key], value) << key;
  EXPECT_EQ(report["loss"]["own"], Tree(true));
  ASSERT_EQ(report["layers"].items().size(), 5u);
  EXPECT_EQ(report["layers"].items()[0]["name"], Tree("conv"));
  EXPECT_EQ(report["layers"].items()[4]["outputs"].items()[0]["value"]["elements"], Tree(18));
}

TEST_F(ParityVerb, EndsWithOneWhereTheToleranceIsExceeded) {
  const Outcome text = parity({"tiny.yaml", "--tolerance", "0"});
  EXPECT_EQ(text.status, 1) << text.err;
  EXPECT_NE(text.out.find("\nForward it is exceeded first by the output of '"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("\nOn the way back it is exceeded first by the gradient of "), std::string::npos) << text.out;
  EXPECT_NE(text.out.find(" exceeds\n"), std::string::npos) << text.out;
  const Tree report = parsed(parity({"tiny.yaml", "--tolerance", "0", "--json"}), 1);
  EXPECT_EQ(report["agrees"], Tree(false));
  EXPECT_GT(report["first_forward"]["exceeding"].as_integer(), 0);
  EXPECT_EQ(parity({"tiny.yaml", "--tolerance", "0", "--devices", "cpu,cpu"}).status, 0)
      << "a device agrees with itself";
}

TEST_F(ParityVerb, DataOfTheConfigurationOrOfTheCommandLine) {
  write_plainly(folder_ / "digits.yaml", R"(name: digits
model:
  sequential:
    - Input: {shape: [28, 28, 1]}
    - Rescaling: {scale: 0.00392}
    - Flatten
    - Dense: {units: 10, activation: softmax}
data: {train: {digits: {count: 50}}}
train: {loss: sparse_categorical_crossentropy}
)");
  EXPECT_NE(parsed(parity({"digits.yaml", "--json"}))["data"].as_string().find("50 samples"), std::string::npos);
  EXPECT_TRUE(parsed(parity({"digits.yaml", "--data", "random", "--json"}))["data"].is_null());
  const Tree report = parsed(parity({"digits.yaml", "--data", "digits:7", "--batch", "20", "--json"}));
  EXPECT_EQ(report["batch_size"], Tree(7));
  EXPECT_NE(report["data"].as_string().find("7 samples"), std::string::npos);
}

TEST_F(ParityVerb, SavedModelsAndTheZoo) {
  Model(Experiment::load(folder_ / "tiny.yaml").build_model()).save(folder_ / "plain.keras");
  const Outcome plain = parity({"plain.keras"});
  EXPECT_EQ(plain.status, 0) << plain.err << plain.out;
  EXPECT_NE(plain.out.find("\n           (the outputs, randomly weighted: the model has no loss of its own)\n"),
            std::string::npos)
      << plain.out;
  for (const char* network : {"zoo:lenet", "zoo:lstm_text?weights=none&length=5&vocabulary_size=30",
                              "zoo:gpt_small?length=6&layers=1&width=16&heads=2&vocabulary_size=20&weights=none"}) {
    const Outcome outcome = parity({network, "--batch", "2"});
    EXPECT_EQ(outcome.status, 0) << network << "\n" << outcome.err << outcome.out;
  }
}

TEST_F(ParityVerb, OtherDtypesHaveOtherTolerances) {
  const Tree report = parsed(parity({"tiny.yaml", "--dtype", "mixed_bfloat16", "--json"}));
  EXPECT_EQ(report["dtype"], Tree("mixed_bfloat16"));
  EXPECT_GT(report["tolerance"].as_number(), 0.001);
}

TEST_F(ParityVerb, MistakesAreSaid) {
  const auto refused = [&](const std::vector<std::string>& words) {
    const Outcome outcome = parity(words);
    EXPECT_EQ(outcome.status, 2) << outcome.out;
    EXPECT_EQ(outcome.out, "");
    return outcome.err;
  };
  EXPECT_EQ(refused({"tiny.yaml", "--devices", "cpu"}),
            "--devices: wanted two, got 'cpu'\n  hint: --devices reference,cpu\n");
  EXPECT_EQ(refused({"tiny.yaml", "--devices", "cpu,cpu,cpu"}),
            "--devices: wanted two, got 'cpu,cpu,cpu'\n  hint: --devices reference,cpu\n");
  EXPECT_EQ(refused({"tiny.yaml", "--devices", "referense,cpu"}),
            "unknown device 'referense'\n  hint: did you mean 'reference'?\n");
  EXPECT_EQ(refused({"tiny.yaml", "--tolerance", "-1"}),
            "--tolerance: wanted a number, 0 or more, got '-1'\n  hint: nacre parity --help shows what there is\n");
  EXPECT_EQ(refused({"tiny.yaml", "--top", "0"}),
            "--top: wanted a whole number, 1 or more, got '0'\n  hint: nacre parity --help shows what there is\n");
  EXPECT_NE(refused({"tiny.yaml", "--data", "nothing.csv"}).find("nothing.csv"), std::string::npos);
  write_plainly(folder_ / "texts.yaml", R"(name: texts
model:
  sequential:
    - Input: {shape: [], dtype: string}
    - TextVectorization: {vocabulary: [a, b], output_sequence_length: 4}
    - Embedding: {input_dim: 4, output_dim: 3}
)");
  EXPECT_NE(refused({"texts.yaml"}).find("holds texts, which cannot be made up"), std::string::npos);
  write_plainly(folder_ / "fixed.yaml",
                "name: fixed\nmodel:\n  sequential: [Input: {batch_shape: [3, 8]}, Dense: {units: 3}]\n");
  EXPECT_EQ(refused({"fixed.yaml"}), "the model takes batches of 3, not of 4\n  hint: --batch 3 measures it\n");
  EXPECT_EQ(parity({"fixed.yaml", "--batch", "3"}).status, 0);
}

}  // namespace
}  // namespace nacre::test
