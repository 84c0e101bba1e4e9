#include "api/inspect/evaluation_report.h"

#include <gtest/gtest.h>

#include "api/data/digits.h"
#include "api/data/source.h"
#include "api/nacre.h"
#include "formats/image.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

Sequential classifier() {
  Sequential model(
      {Input({28, 28, 1}), Rescaling({.scale = 1.0 / 255}), Flatten(), Dense({.units = 10, .activation = "softmax"})});
  model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  return model;
}

TEST(EvaluationReport, TheLogsAreThoseOfEvaluateAndTheCountsAgreeWithThem) {
  Sequential model = classifier();
  model.fit(digits(500, 1), {.epochs = 2});
  const DatasetRef data = digits(101, 2);  // the last batch is smaller
  const EvaluationReport report = evaluation_report(model, data, {.batch_size = 25});
  const Logs logs = model.evaluate(data, {.batch_size = 25});
  EXPECT_EQ(*report.logs.find("loss"), *logs.find("loss"));
  EXPECT_EQ(*report.logs.find("accuracy"), *logs.find("accuracy"));
  EXPECT_EQ(report.samples, 101);
  ASSERT_EQ(report.outputs.size(), 1u);
  const ClassificationReport& classes = report.outputs[0].classification.value();
  EXPECT_NEAR(classes.accuracy(), *logs.find("accuracy"), 1e-6);
  EXPECT_NEAR(classes.log_loss, *logs.find("loss"), 1e-4);
  EXPECT_EQ(report.tree()["outputs"].items()[0]["kind"].as_string(), "categorical");

  // Each of the worst is what predict says of that sample.
  const Tensor predicted = model.predict(data).front();
  for (const auto& sample : classes.worst)
    EXPECT_NEAR(predicted.at(sample.index * 10 + sample.predicted), sample.probability, 1e-5);
}

TEST(EvaluationReport, EveryOutputHasItsOwn) {
  const Symbol x = Input({4});
  const Symbol kind = Dense({.units = 3}, {.name = "kind"})(x), size = Dense({.units = 2}, {.name = "size"})(x),
               other = Dense({.units = 1}, {.name = "other"})(x);
  Model model({x}, {kind, size, other});
  CompileOptions options{.optimizer = "sgd"};
  options.loss = Losses::by_name({{"kind", Chosen<Loss>(losses::SparseCategoricalCrossentropy({.from_logits = true}))},
                                  {"size", Chosen<Loss>("mse")}});
  model.compile(options);
  const DatasetRef data = array_dataset({.inputs = {Tensor(DType::float32, {7, 4})},
                                         .targets = {Tensor(DType::int32, {7}), Tensor(DType::float32, {7, 2})},
                                         .weights = {},
                                         .input_names = {},
                                         .target_names = {"kind", "size"},
                                         .description = "seven"});
  const EvaluationReport report = evaluation_report(model, data);
  ASSERT_EQ(report.outputs.size(), 3u);
  EXPECT_EQ(report.outputs[0].classification.value().count, 7);
  EXPECT_EQ(report.outputs[1].regression.value().columns.size(), 2u);
  EXPECT_FALSE(report.outputs[2].classification || report.outputs[2].regression) << "nothing is wanted of it";
  const std::string text = report.details();
  EXPECT_NE(text.find("output 'kind'"), std::string::npos) << text;
  EXPECT_NE(text.find("output 'size'"), std::string::npos) << text;
}

TEST(EvaluationReport, PaddedStepsDoNotCount) {
  const Symbol x = Input({5}, "", DType::int32);
  const Symbol steps = Embedding({.input_dim = 6, .output_dim = 3, .mask_zero = true})(x);
  Model model({x}, {Dense({.units = 4, .activation = "softmax"})(steps)});
  model.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy"});
  const DatasetRef data = array_dataset({.inputs = {Tensor::of<std::int32_t>({2, 5}, {1, 2, 0, 0, 0, 3, 4, 5, 0, 0})},
                                         .targets = {Tensor(DType::int32, {2, 5})},
                                         .weights = {},
                                         .input_names = {},
                                         .target_names = {},
                                         .description = ""});
  EXPECT_EQ(evaluation_report(model, data).outputs[0].classification.value().count, 5);
}

TEST(EvaluationReport, NamesAreThoseOfTheDataElseOfTheModelsCard) {
  const TemporaryFolder folder;
  for (const char* name : {"cat", "dog"}) {
    std::filesystem::create_directory(folder / name);
    for (int i = 0; i < 2; ++i) write_png(folder / name / fmt::format("{}.png", i), Tensor(DType::uint8, {4, 4, 3}));
  }
  const auto model_of = [](const Shape& shape) {
    Sequential model({Input(shape), Flatten(), Dense({.units = 2})});
    CompileOptions options{.optimizer = "sgd"};
    options.loss = Chosen<Loss>(losses::SparseCategoricalCrossentropy({.from_logits = true}));
    model.compile(options);
    return model;
  };
  const DatasetRef pictures = parse_source(folder.path().string())->open("");
  const EvaluationReport report = evaluation_report(model_of({4, 4, 3}), pictures);
  const ClassificationReport& classes = report.outputs[0].classification.value();
  EXPECT_EQ(classes.labels, (std::vector<std::string>{"cat", "dog"}));
  ASSERT_EQ(classes.worst.size(), 2u);
  EXPECT_TRUE(classes.worst[0].name.starts_with(classes.worst[0].truth ? "dog/" : "cat/")) << classes.worst[0].name;

  Sequential named = model_of({3});
  named.graph().set_card({.labels = {"off", "on"}});
  const DatasetRef numbers = array_dataset({.inputs = {Tensor(DType::float32, {4, 3})},
                                            .targets = {Tensor(DType::int32, {4})},
                                            .weights = {},
                                            .input_names = {},
                                            .target_names = {},
                                            .description = ""});
  EXPECT_EQ(evaluation_report(named, numbers).outputs[0].classification.value().labels,
            (std::vector<std::string>{"off", "on"}));
}

TEST(EvaluationReport, ErrorsOfNumbersAreThoseOfTheDefinitions) {
  RegressionTally tally(4, 2);
  tally.add(0, Tensor::of<float>({3, 1}, {1, 2, 5}), Tensor::of<float>({3}, {1, 3, 3}), nullptr, nullptr);
  tally.add(3, Tensor::of<float>({1, 1}, {4}), Tensor::of<float>({1}, {5}), nullptr, nullptr);
  const RegressionReport report = std::move(tally).finish();
  EXPECT_EQ(report.count, 4);
  EXPECT_DOUBLE_EQ(report.errors.mean, 0);
  EXPECT_DOUBLE_EQ(report.errors.mean_absolute, 1);
  EXPECT_DOUBLE_EQ(report.errors.root_mean_squared, std::sqrt(1.5));
  EXPECT_DOUBLE_EQ(report.errors.r_squared, 1 - 6.0 / 8.0);
  ASSERT_EQ(report.worst.size(), 2u);
  EXPECT_EQ(report.worst[0].index, 2);
  EXPECT_DOUBLE_EQ(report.worst[0].error, 2);
  EXPECT_EQ(report.points.size(), 4u);
}

TEST(EvaluationReport, ManySamplesLeaveABoundedNumberOfPoints) {
  RegressionTally tally(100000, 5);
  for (std::int64_t first = 0; first < 100000; first += 1000)
    tally.add(first, Tensor(DType::float32, {1000, 2}), Tensor(DType::float32, {1000, 2}), nullptr, nullptr);
  const RegressionReport report = std::move(tally).finish();
  EXPECT_LE(report.points.size(), RegressionReport::most_points);
  EXPECT_GT(report.points.size(), RegressionReport::most_points / 2);
  EXPECT_EQ(report.worst.size(), 5u);
  EXPECT_EQ(report.columns.size(), 2u);
}

TEST(EvaluationReport, InterruptedItEnds) {
  Sequential model = classifier();
  const std::atomic<bool> stop{true};
  EXPECT_EQ(evaluation_report(model, digits(64, 2), {.stop = &stop}).samples, 0);
}

}  // namespace
}  // namespace nacre::test
