// nacre bench: what it prints, for people and for programs.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "api/experiment/experiment.h"
#include "api/model.h"
#include "formats/json.h"
#include "tests/cli/run_nacre.h"
#include "tests/support/paths.h"
#include "tests/support/sanitizers.h"

namespace nacre::test {
namespace {

class Bench : public testing::Test {
 protected:
  Bench() {
    write_plainly(folder_ / "tiny.yaml", R"(name: tiny
model:
  sequential:
    - Input: {shape: [12, 12, 1]}
    - Conv2D: {filters: 4, kernel_size: 3, activation: relu}
    - Flatten
    - Dense: {units: 10, activation: softmax, name: digit}
train: {optimizer: adam, loss: sparse_categorical_crossentropy, metrics: [accuracy]}
)");
  }
  Outcome bench(std::vector<std::string> words) {
    words.insert(words.begin(), "bench");
    words.insert(words.end(), {"--seconds", "0", "--threads", "2"});
    return run_nacre(words, folder_.path());
  }
  // The model as a file, not compiled.
  void save(const char* name) { Model(Experiment::load(folder_ / "tiny.yaml").build_model()).save(folder_ / name); }
  static Tree parsed(const Outcome& outcome) {
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1) << "one object on one line";
    return parse_json(outcome.out, "out");
  }

  TemporaryFolder folder_;
};

TEST_F(Bench, TrainingAsJson) {
  const Tree report = parsed(bench({"tiny.yaml", "--train", "--batch", "16", "--json"}));
  const std::pair<const char*, Tree> words[] = {{"peer", "nacre"}, {"mode", "float32"}, {"model", "tiny"},
                                                {"what", "train"}, {"batch", 16},       {"device", "cpu"},
                                                {"threads", 2},    {"steps", 5}};
  for (const auto& [key, value] : words) EXPECT_EQ(report[key], value) << key;
  for (const char* key : {"samples_per_s", "ms", "ms_min", "ms_p25", "ms_p75", "ms_max", "compile_ms", "first_ms",
                          "rss_mb", "expected_mb", "planned_mb", "arena_mb", "variables_mb", "optimizer_mb", "batch_mb", "kernels"})
    EXPECT_GT(report[key].as_number(), 0) << key;
  for (const char* key : {"constants_mb", "borrowed", "prologue_kernels", "activation_reorders", "weight_reorders"})
    EXPECT_GE(report[key].as_number(), 0) << key;
  EXPECT_LE(report["ms_min"].as_number(), report["ms"].as_number());
  EXPECT_LE(report["ms"].as_number(), report["ms_max"].as_number());
  EXPECT_EQ(report.find("profile"), nullptr);
}

TEST_F(Bench, PredictionForPeople) {
  const Outcome outcome = bench({"tiny.yaml", "--infer", "--verbose"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out.find("tiny, prediction, batch of 32, float32, on "), 0u) << outcome.out;
  for (const char* line : {"\nplanned ", "\nexpected ", "\nkernels ", "\nreorders ", "\ncompiled ", "\nstep ", "\nspeed ", "\npeak "})
    EXPECT_NE(outcome.out.find(line), std::string::npos) << line << outcome.out;
  EXPECT_LT(outcome.out.find("\nplanned "), outcome.out.find("\nstep "));
  EXPECT_EQ(bench({"tiny.yaml", "--infer"}).out.find("\nkernels "), std::string::npos);
  std::istringstream lines(outcome.out.substr(outcome.out.find('\n') + 1));  // the first holds names
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
}

TEST_F(Bench, TheProfileAddsUp) {
  const Tree report = parsed(bench({"tiny.yaml", "--train", "--profile", "--json"}));
  const Tree& profile = report["profile"];
  double ops = 0, kernels = 0;
  std::int64_t calls = 0;
  for (const Tree& op : profile["ops"].items()) ops += op["ms"].as_number(), calls += op["calls"].as_integer();
  for (const Tree& kernel : profile["kernels"].items()) kernels += kernel["ms"].as_number();
  EXPECT_EQ(Tree(calls), report["kernels"]);
  EXPECT_EQ(static_cast<std::int64_t>(profile["kernels"].items().size()), calls);
  EXPECT_NEAR(ops, profile["kernels_ms"].as_number(), 1e-3);
  EXPECT_NEAR(kernels, profile["kernels_ms"].as_number(), 1e-3);
  EXPECT_LE(profile["kernels_ms"].as_number(), profile["step_ms"].as_number());
  EXPECT_TRUE(std::ranges::any_of(profile["kernels"].items(), [](const Tree& kernel) {
    return kernel["layer"].as_string() == "layer 'digit' (Dense)";
  }));
  const std::string text = bench({"tiny.yaml", "--train", "--profile"}).out;
  for (const char* part : {"\nall kernels ", "\naround them ", "\nconv_backward_weights ", "layer '"})
    EXPECT_NE(text.find(part), std::string::npos) << part << text;
}

TEST_F(Bench, KernelsBesideTheirStandAloneSpeed) {
  const Tree profile = parsed(bench({"tiny.yaml", "--train", "--profile", "--stand-alone", "--json"}))["profile"];
  const std::pair<const char*, const char*> measures[] = {{"cold_ms", "share_at_cold_speed"},
                                                          {"warm_ms", "share_at_warm_speed"}};
  for (const auto& [alone, share] : measures) {
    double fast = 0, ops = 0, kernels = 0;
    for (const Tree& op : profile["ops"].items()) ops += op[alone].as_number();
    for (const Tree& kernel : profile["kernels"].items()) {
      EXPECT_GT(kernel[alone].as_number(), 0);
      kernels += kernel[alone].as_number();
      if (kernel[alone].as_number() >= 0.85 * kernel["ms"].as_number()) fast += kernel["ms"].as_number();
    }
    EXPECT_NEAR(ops, kernels, 1e-3);
    EXPECT_NEAR(profile[share].as_number(), fast / profile["step_ms"].as_number(), 1e-3);
  }
  const std::string text = bench({"tiny.yaml", "--infer", "--profile", "--stand-alone"}).out;
  for (const char* part : {"GB/s   cold   warm", "% of the step is in kernels at 85% or more of their stand-alone speed"})
    EXPECT_NE(text.find(part), std::string::npos) << part << text;
  EXPECT_EQ(bench({"tiny.yaml", "--infer", "--profile"}).out.find("warm"), std::string::npos);
  EXPECT_EQ(bench({"tiny.yaml", "--infer", "--stand-alone"}).status, 2) << "a part of the profile";
}

TEST_F(Bench, TheTraceIsJson) {
  const Outcome outcome = bench({"tiny.yaml", "--infer", "--trace", "trace.json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Tree trace = load_json(folder_ / "trace.json");
  ASSERT_FALSE(trace["traceEvents"].items().empty());
  for (const Tree& event : trace["traceEvents"].items()) {
    EXPECT_EQ(event["ph"], Tree("X"));
    EXPECT_GE(event["ts"].as_number(), 0);
    EXPECT_GE(event["dur"].as_number(), 0);
  }
  EXPECT_EQ(outcome.out.find("profile"), std::string::npos) << "it is printed with --profile only";
  const Outcome unwritable = bench({"tiny.yaml", "--infer", "--trace", "no/such/trace.json"});
  EXPECT_EQ(unwritable.status, 2);
  EXPECT_EQ(unwritable.out, "") << "nothing was measured";
  const Outcome output = bench({"tiny.yaml", "--infer", "--trace", "-"});
  EXPECT_EQ(output.status, 2);
  EXPECT_EQ(output.err, "--trace names a file, not standard output\n  hint: --trace trace.json\n");
}

TEST_F(Bench, DTypeAndOverridesChangeTheModel) {
  const Tree report =
      parsed(bench({"tiny.yaml", "model.sequential.digit.units=3", "--train", "--dtype", "mixed_bfloat16", "--json"}));
  EXPECT_EQ(report["mode"], Tree("mixed_bfloat16"));
  const Tree reference =
      parsed(bench({"tiny.yaml", "--infer", "--dtype", "float64", "--device", "reference", "--json"}));
  EXPECT_EQ(reference["mode"], Tree("float64"));
  EXPECT_EQ(reference["device"], Tree("reference"));
}

TEST_F(Bench, SavedModels) {
  save("plain.keras");
  const Tree report = parsed(bench({"plain.keras", "--infer", "--batch", "1", "--dtype", "mixed_bfloat16", "--json"}));
  EXPECT_EQ(report["model"], Tree("tiny"));
  EXPECT_EQ(report["mode"], Tree("mixed_bfloat16"));
  write_plainly(folder_ / "more.yaml",
                "name: more\nmodel: {file: plain.keras}\ntrain: {loss: sparse_categorical_crossentropy}\n");
  EXPECT_EQ(parsed(bench({"more.yaml", "--train", "--json"}))["what"], Tree("train"));
  EXPECT_EQ(bench({"plain.keras", "train.loss=mse", "--infer"}).err,
            "'train.loss=mse' changes a configuration, but this is a saved model\n");
}

// Arena, variables and optimizer that each are a good part of the whole.
TEST_F(Bench, TheExpectedPeakIsTheOneMeasured) {
  if (sanitized) GTEST_SKIP() << "a sanitizer has memory of its own";
  write_plainly(folder_ / "wide.yaml", R"(name: wide
model:
  sequential:
    - Input: {shape: [32, 32, 3]}
    - Conv2D: {filters: 48, kernel_size: 3, activation: relu}
    - BatchNormalization
    - Conv2D: {filters: 48, kernel_size: 3, activation: relu}
    - MaxPooling2D: {pool_size: 2}
    - Flatten
    - Dense: {units: 600, activation: relu}
    - Dense: {units: 10, activation: softmax}
train: {optimizer: adam, loss: sparse_categorical_crossentropy}
)");
  for (const char* dtype : {"float32", "mixed_bfloat16"})
    for (const auto& [what, batch] : {std::pair("--train", "64"), {"--infer", "1"}, {"--infer", "256"}}) {
      const Tree report = parsed(bench({"wide.yaml", what, "--batch", batch, "--dtype", dtype, "--json"}));
      const double expected = report["expected_mb"].as_number(), peak = report["rss_mb"].as_number();
      EXPECT_NEAR(peak / expected, 1, 0.1) << what << " " << batch << " " << dtype << ": " << peak << " of " << expected;
      EXPECT_GT(expected, report["planned_mb"].as_number());
    }
}

TEST_F(Bench, MistakesAreSaidInOneLine) {
  const Outcome neither = bench({"tiny.yaml"});
  EXPECT_EQ(neither.status, 2);
  EXPECT_EQ(neither.err, "bench measures training or prediction\n  hint: add --train or --infer\n");
  EXPECT_EQ(bench({"tiny.yaml", "--train", "--infer"}).status, 2);
  EXPECT_EQ(bench({"tiny.yaml", "--infer", "--batch", "0"}).status, 2);
  const Outcome no_number = run_nacre({"bench", "tiny.yaml", "--infer", "--seconds", "nan"}, folder_.path());
  EXPECT_EQ(no_number.status, 2);
  EXPECT_EQ(no_number.err, "--seconds: wanted a number, 0 to 86400, got 'nan'\n  hint: nacre bench --help shows what there is\n");
  write_plainly(folder_ / "fixed.yaml",
                "name: fixed\nmodel:\n  sequential: [Input: {batch_shape: [4, 8]}, Dense: {units: 3}]\n");
  EXPECT_EQ(bench({"fixed.yaml", "--infer"}).err,
            "the model takes batches of 4, not of 32\n  hint: --batch 4 measures it\n");
  EXPECT_EQ(bench({"fixed.yaml", "--infer", "--batch", "4"}).status, 0);
  EXPECT_EQ(bench({"tiny.yaml", "--infer", "--dtype", "float8"}).status, 2);
  const Outcome loss = bench({"tiny.yaml", "train.loss=null", "--train"});
  EXPECT_EQ(loss.status, 2);
  EXPECT_EQ(loss.err, "tiny.yaml: the key 'train.loss' is missing\n  hint: train: {loss: mse}\n");
  save("plain.keras");
  const Outcome saved = bench({"plain.keras", "--train"});
  EXPECT_EQ(saved.status, 2);
  EXPECT_EQ(
      saved.err.find("plain.keras: the model was saved without loss and optimizer, so there is nothing to train\n"), 0u)
      << saved.err;
}

}  // namespace
}  // namespace nacre::test
