// `nacre evaluate` in detail, and `nacre report`.
#include <gtest/gtest.h>

#include <fstream>

#include "formats/json.h"
#include "formats/text.h"
#include "formats/yaml.h"
#include "tests/cli/run_nacre.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

constexpr std::string_view config = R"(name: tiny
model:
  sequential:
    - Input: {shape: [28, 28, 1]}
    - Rescaling: {scale: "${1/255}"}
    - Flatten
    - Dense: {units: 10, activation: softmax}
data: {train: {digits: {count: 200}}, validation: {digits: {count: 60, seed: 9}}}
train: {optimizer: adam, loss: sparse_categorical_crossentropy, metrics: [accuracy], epochs: 2}
)";

class Reports : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    write_plainly(*folder_ / "tiny.yaml", config);
    trained_ = nacre({"train", "tiny.yaml", "--output", "run"});
  }
  static void TearDownTestSuite() { folder_.reset(); }
  static Outcome nacre(const std::vector<std::string>& words) { return run_nacre(words, folder_->path()); }
  static std::filesystem::path at(std::string_view name) { return *folder_ / name; }
  static std::string page(std::string_view name) {
    std::ifstream file(at(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }

  inline static std::unique_ptr<TemporaryFolder> folder_;
  inline static Outcome trained_;
};

TEST_F(Reports, EvaluateTellsOfClassesAfterLossAndMetrics) {
  const Outcome full = nacre({"evaluate", "run/model.h5", "--data", "tiny.yaml"});
  ASSERT_EQ(full.status, 0) << full.err;
  const Outcome plain = nacre({"evaluate", "run/model.h5", "--data", "tiny.yaml", "--no-details"});
  EXPECT_EQ(lines_of(plain.out).size(), 3u) << plain.out;
  EXPECT_TRUE(full.out.starts_with(plain.out)) << full.out;
  for (const char* part : {"precision", "macro average", "confusion matrix", "calibration", "worst mistakes"})
    EXPECT_NE(full.out.find(part), std::string::npos) << part << "\n" << full.out;
}

TEST_F(Reports, JsonHasAllOfIt) {
  const Outcome outcome = nacre({"evaluate", "run/model.h5", "--data", "tiny.yaml", "--json", "--worst", "3"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Tree report = parse_json(outcome.out, "out");
  EXPECT_TRUE(report["loss"].is_number());
  EXPECT_EQ(report["samples"].as_integer(), 60);
  const Tree& output = report["outputs"].items()[0];
  EXPECT_NEAR(output["accuracy"].as_number(), report["accuracy"].as_number(), 1e-6);
  EXPECT_EQ(output["confusion"].items().size(), 10u);
  EXPECT_LE(output["worst"].items().size(), 3u);
  EXPECT_EQ(nacre({"evaluate", "run/model.h5", "--data", "tiny.yaml", "--worst", "-1"}).status, 2);
}

TEST_F(Reports, ARunBecomesOnePage) {
  const Outcome outcome = nacre({"report", "run"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "run/report.html\n");
  const std::string html = page("run/report.html");
  for (const char* part : {"<h1>tiny</h1>", "id=\"curves\"", "id=\"confusion\"", "id=\"classes\"", "id=\"calibration\"",
                           "id=\"samples\"", "id=\"model\"", "id=\"settings\"", "id=\"environment\"",
                           "Where it was trained", "60 samples of the validation data"})
    EXPECT_NE(html.find(part), std::string::npos) << part;
  for (const char* part : {"http:", "https:", "<script", "url("}) EXPECT_EQ(html.find(part), std::string::npos) << part;
  EXPECT_EQ(nacre({"report", "run"}).status, 0) << "it is written again";
}

TEST_F(Reports, OtherDataAndAnotherPlace) {
  const Outcome outcome = nacre({"report", "run", "-o", "page.html", "--data", "digits:30,5", "--samples", "2"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(page("page.html").find("30 samples of the data"), std::string::npos);
}

TEST_F(Reports, AFolderWithoutARunIsRefusedAndNothingIsWritten) {
  std::filesystem::create_directory(at("empty"));
  for (const char* folder : {"empty", "nowhere"}) {
    const Outcome outcome = nacre({"report", folder});
    EXPECT_EQ(outcome.status, 2);
    EXPECT_NE(outcome.err.find("no folder of a run"), std::string::npos) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(at(folder) / "report.html"));
  }
  std::filesystem::create_directory(at("begun"));
  std::filesystem::copy(at("run/config.yaml"), at("begun/config.yaml"));
  const Outcome outcome = nacre({"report", "begun"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("no model yet"), std::string::npos) << outcome.err;
}

TEST_F(Reports, ARunThatWasBrokenOffIsShownFromItsCheckpoint) {
  std::filesystem::create_directory(at("broken"));
  for (const char* file : {"config.yaml", "history.csv", "checkpoint.h5"})
    std::filesystem::copy(at("run") / file, at("broken") / file);
  const Outcome outcome = nacre({"report", "broken"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(
      page("broken/report.html").find("The run was broken off; this is its last checkpoint, after 2 of 2 epochs."),
      std::string::npos);
}

TEST_F(Reports, TheRunSaysWhereItWasTrainedAndForHowLong) {
  const Tree before = load_yaml(at("run/environment.yaml"));
  for (const char* key : {"version", "device", "threads", "libraries", "seconds"}) EXPECT_TRUE(before.find(key)) << key;
  std::filesystem::copy(at("run"), at("longer"), std::filesystem::copy_options::recursive);
  ASSERT_EQ(nacre({"train", "tiny.yaml", "train.epochs=3", "--output", "longer", "--resume"}).status, 0);
  EXPECT_GT(load_yaml(at("longer/environment.yaml"))["seconds"].as_number(), before["seconds"].as_number());
}

}  // namespace
}  // namespace nacre::test
