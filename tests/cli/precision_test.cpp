// train.dtype, train.matmul_precision, train.deterministic, train.recompute: in configurations, and as options of bench.
#include <gtest/gtest.h>

#include <cstdlib>

#include "backend/backend.h"
#include "formats/csv.h"
#include "formats/json.h"
#include "formats/yaml.h"
#include "tests/cli/run_nacre.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

class WordsOfTrain : public testing::Test {
 protected:
  WordsOfTrain() {
    write_plainly(folder_ / "m.yaml", R"(name: tiny
model:
  sequential:
    - Input: {shape: [28, 28, 1]}
    - Conv2D: {filters: 4, kernel_size: 3, activation: relu}
    - Conv2D: {filters: 4, kernel_size: 3, activation: relu}
    - Conv2D: {filters: 4, kernel_size: 3, activation: relu}
    - Conv2D: {filters: 4, kernel_size: 3, activation: relu}
    - Flatten
    - Dense: {units: 10, activation: softmax, name: digit}
data: {train: {digits: {count: 64}}}
train: {optimizer: adam, loss: sparse_categorical_crossentropy, batch_size: 32}
)");
  }
  Outcome nacre(const std::vector<std::string>& words) { return run_nacre(words, folder_.path()); }
  Outcome train(const std::string& word) { return nacre({"train", "m.yaml", word, "--output", "run"}); }
  Tree bench(std::vector<std::string> words) {
    words.insert(words.begin(), "bench");
    words.insert(words.end(), {"--seconds", "0", "--threads", "2", "--json"});
    const Outcome outcome = nacre(words);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return parse_json(outcome.out, "out");
  }
  TemporaryFolder folder_;
};

TEST_F(WordsOfTrain, TheDtypeIsThatOfTheSavedModel) {
  if (!backends().front()->has_instructions(DType::bfloat16)) GTEST_SKIP() << "no bfloat16 instructions";
  const Outcome outcome = train("train.dtype=mixed_bfloat16");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(bench({"run/model.h5", "--infer"})["mode"], Tree("mixed_bfloat16"));
}

TEST_F(WordsOfTrain, ADtypeThatTheProcessorLacksIsSaidOnceAndFloat32IsTaken) {
  ::setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
  const Outcome outcome = train("train.dtype=mixed_bfloat16");
  ::unsetenv("ONEDNN_MAX_CPU_ISA");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.err,
            "warning: train.dtype: mixed_bfloat16: this processor has no bfloat16 instructions; training goes on in "
            "float32, which is faster\n");
  EXPECT_EQ(bench({"run/model.h5", "--infer"})["mode"], Tree("float32"));
  const Outcome half = nacre({"train", "m.yaml", "train.dtype=mixed_float16", "--output", "half"});
  EXPECT_EQ(half.status, 0);
  EXPECT_EQ(half.err.find("warning: train.dtype: mixed_float16: processors have no fast float16 for training"), 0u) << half.err;
}

TEST_F(WordsOfTrain, TheReferenceComputesWhatItIsAsked) {
  const Outcome outcome = nacre({"train", "m.yaml", "train.dtype=mixed_float16", "device=reference", "--output", "run"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(bench({"run/model.h5", "--infer"})["mode"], Tree("mixed_float16"));
}

TEST_F(WordsOfTrain, BenchTakesThemAndSaysThem) {
  const Tree plain = bench({"m.yaml", "--train"}), words = bench({"m.yaml", "train.matmul_precision=medium", "train.deterministic=false", "train.recompute=true", "--train"}),
             options = bench({"m.yaml", "--matmul-precision", "medium", "--fast", "--recompute", "--train"});
  EXPECT_EQ(plain["matmul_precision"], Tree("highest"));
  EXPECT_EQ(plain["deterministic"], Tree(true));
  EXPECT_EQ(plain["recompute"], Tree(false));
  for (const Tree* report : {&words, &options}) {
    EXPECT_EQ((*report)["matmul_precision"], Tree("medium"));
    EXPECT_EQ((*report)["deterministic"], Tree(false));
    EXPECT_EQ((*report)["recompute"], Tree(true));
    EXPECT_LE((*report)["arena_mb"].as_number(), plain["arena_mb"].as_number());
  }
  EXPECT_EQ(bench({"m.yaml", "--infer", "--matmul-precision", "high"})["matmul_precision"], Tree("high"));
  EXPECT_EQ(nacre({"bench", "m.yaml", "--infer", "--recompute"}).err,
            "--recompute is for training\n  hint: predictions keep nothing for gradients\n");
  EXPECT_EQ(nacre({"bench", "m.yaml", "--infer", "--matmul-precision", "exact"}).status, 2);
}

TEST_F(WordsOfTrain, FastIsWrittenToTheRunAndChangesNothingOnAProcessor) {
  ASSERT_EQ(nacre({"train", "m.yaml", "--output", "slow"}).status, 0);
  ASSERT_EQ(nacre({"train", "m.yaml", "--output", "fast", "--fast", "train.epochs=1"}).status, 0);
  EXPECT_EQ(load_yaml(folder_ / "slow/config.yaml")["train"]["deterministic"], Tree(true));
  EXPECT_EQ(load_yaml(folder_ / "fast/config.yaml")["train"]["deterministic"], Tree(false));
  EXPECT_EQ(read_csv(folder_ / "slow/history.csv").column("loss").numbers, read_csv(folder_ / "fast/history.csv").column("loss").numbers);
  // A saved model does not know it, so it may be said of one.
  write_plainly(folder_ / "saved.yaml", "model: {file: slow/model.h5}\ndata: {train: {digits: {count: 64}}}\n");
  const Outcome saved = nacre({"train", "saved.yaml", "--fast", "--output", "again"});
  EXPECT_EQ(saved.status, 0) << saved.err;
  const Outcome tuned = nacre({"finetune", "slow/model.h5", "--data", "digits:40,seed=5", "--epochs", "1", "--fast", "--output", "tuned"});
  EXPECT_EQ(tuned.status, 0) << tuned.err;
  EXPECT_EQ(load_yaml(folder_ / "tuned/config.yaml")["train"]["deterministic"], Tree(false));
}

TEST_F(WordsOfTrain, MistakesAreAnsweredWithTheirPlace) {
  EXPECT_EQ(train("train.dtype=mixed_bfloat61").err,
            "override 'train.dtype=mixed_bfloat61':1:1: 'dtype': unknown value 'mixed_bfloat61'\n  hint: did you mean "
            "'mixed_bfloat16'?\n");
  EXPECT_EQ(train("train.matmul_precision=mediun").err,
            "override 'train.matmul_precision=mediun':1:1: 'matmul_precision': unknown value 'mediun'\n  hint: did you mean "
            "'medium'?\n");
  EXPECT_EQ(train("train.recompute=3").err,
            "override 'train.recompute=3':1:1: 'recompute': wanted true or false, got 3\n");
  write_plainly(folder_ / "saved.yaml", "model: {file: run/model.h5}\ndata: {train: {digits: {count: 64}}}\n");
  ASSERT_EQ(nacre({"train", "m.yaml", "--output", "run"}).status, 0);
  EXPECT_EQ(nacre({"train", "saved.yaml", "train.dtype=mixed_bfloat16"}).err,
            "saved.yaml: 'train.dtype' stands there without 'train.loss', but the saved model goes on as it was compiled\n"
            "  hint: add the loss, or leave that key out\n");
}

}  // namespace
}  // namespace nacre::test
