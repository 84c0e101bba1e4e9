#include "api/inspect/classification_report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "api/inspect/readable.h"
#include "backend/core/random.h"
#include "formats/json.h"
#include "formats/text.h"

namespace nacre::test {
namespace {

using Kind = ClassificationReport::Kind;

ClassificationReport tallied(const ClassificationTask& task, const Tensor& predictions, const Tensor& targets,
                             std::vector<std::string> labels = {}, const Tensor* mask = nullptr,
                             const Tensor* weight = nullptr, std::size_t listed = 10) {
  ClassificationTally tally(task, std::move(labels), 10, listed);
  tally.add(0, predictions, targets, mask, weight);
  return std::move(tally).finish();
}

const ClassificationTask three{.sparse = true, .axis = 1, .classes = 3};

// Six samples: two of class 0 right, one of it taken for 1; class 1 right; class 2 taken for 1 and right.
const Tensor probabilities = Tensor::of<float>({6, 3}, {0.72f, 0.2f, 0.08f, 0.62f, 0.3f, 0.08f, 0.2f, 0.72f, 0.08f,
                                                        0.1f, 0.82f, 0.08f, 0.05f, 0.92f, 0.03f, 0.3f, 0.27f, 0.43f});
const Tensor truth = Tensor::of<std::int32_t>({6}, {0, 0, 0, 1, 2, 2});

TEST(ClassificationReport, CountsByClassAreThoseOfTheDefinitions) {
  const ClassificationReport report = tallied(three, probabilities, truth, {"cat", "dog", "eel"});
  EXPECT_EQ(report.count, 6);
  EXPECT_EQ(report.right, 4);
  EXPECT_EQ(report.confusion, (std::vector<std::int64_t>{2, 1, 0, 0, 1, 0, 0, 1, 1}));
  EXPECT_DOUBLE_EQ(report.classes[0].precision(), 1);
  EXPECT_DOUBLE_EQ(report.classes[0].recall(), 2.0 / 3);
  EXPECT_DOUBLE_EQ(report.classes[0].f1(), 0.8);
  EXPECT_DOUBLE_EQ(report.classes[1].precision(), 1.0 / 3);
  EXPECT_DOUBLE_EQ(report.classes[1].recall(), 1);
  EXPECT_DOUBLE_EQ(report.classes[2].f1(), 2.0 / 3);
  EXPECT_NEAR(report.macro_average().f1, (0.8 + 0.5 + 2.0 / 3) / 3, 1e-12);
  EXPECT_NEAR(report.weighted_average().f1, (3 * 0.8 + 0.5 + 2 * 2.0 / 3) / 6, 1e-12);
  EXPECT_NEAR(report.weighted_average().recall, report.accuracy(), 1e-12);
  double loss = 0;
  for (double p : {0.72, 0.62, 0.2, 0.82, 0.03, 0.43}) loss -= std::log(p) / 6;
  EXPECT_NEAR(report.log_loss, loss, 1e-6);
  const auto confused = report.most_confused(5);
  ASSERT_EQ(confused.size(), 2u);
  EXPECT_EQ(confused[0].truth, 0);
  EXPECT_EQ(confused[1].predicted, 1);
}

// scikit-learn's: a class that occurs nowhere and is predicted nowhere counts for nothing.
TEST(ClassificationReport, AveragesAreOverTheClassesThatThereAre) {
  const ClassificationTask four{.sparse = true, .axis = 1, .classes = 4};
  const Tensor predictions = Tensor::of<float>({3, 4}, {0.8f, 0.1f, 0.1f, 0, 0.1f, 0.8f, 0.1f, 0, 0.7f, 0.2f, 0.1f, 0});
  const ClassificationReport report = tallied(four, predictions, Tensor::of<std::int32_t>({3}, {0, 1, 1}));
  EXPECT_EQ(report.averaged_classes(), 2u);
  EXPECT_NEAR(report.macro_average().f1, (2.0 / 3 + 2.0 / 3) / 2, 1e-12);
  EXPECT_NE(report.text().find("averages are over 2 of 4 classes: those that occur or are predicted\n"),
            std::string::npos)
      << report.text();
  EXPECT_EQ(report.tree()["averaged_classes"], Tree(2));
  EXPECT_EQ(tallied(three, probabilities, truth).text().find("averages are over"), std::string::npos);
}

TEST(ClassificationReport, CalibrationComparesProbabilitiesWithWhatHappened) {
  const ClassificationReport report = tallied(three, probabilities, truth);
  // Confidences .72 right, .62 right, .72 wrong, .82 right, .92 wrong, .43 right
  std::int64_t total = 0;
  for (const auto& bin : report.bins) total += bin.count;
  EXPECT_EQ(total, 6);
  double expected = 0;
  for (const auto& bin : report.bins)
    expected += static_cast<double>(bin.count) / 6 * std::abs(bin.predicted - bin.observed);
  EXPECT_NEAR(report.calibration_error, expected, 1e-12);
  EXPECT_NEAR(report.calibration_error, (0.38 + 2 * 0.22 + 0.18 + 0.92 + 0.57) / 6, 1e-6);
  EXPECT_NEAR(report.bins[7].observed, 0.5, 1e-12);
  EXPECT_NEAR(report.bins[4].predicted, 0.43, 1e-6);
  EXPECT_EQ(report.bins[4].observed, 1);
}

TEST(ClassificationReport, TheWorstMistakesComeFirstAndNoMoreThanAskedFor) {
  const ClassificationReport report = tallied(three, probabilities, truth);
  ASSERT_EQ(report.worst.size(), 2u);
  EXPECT_EQ(report.worst[0].index, 4);
  EXPECT_EQ(report.worst[0].truth, 2);
  EXPECT_EQ(report.worst[0].predicted, 1);
  EXPECT_NEAR(report.worst[0].probability, 0.92, 1e-6);
  EXPECT_NEAR(report.worst[0].truth_probability, 0.03, 1e-6);
  EXPECT_EQ(report.worst[1].index, 2);
  const ClassificationReport one = tallied(three, probabilities, truth, {}, nullptr, nullptr, 1);
  ASSERT_EQ(one.worst.size(), 1u);
  EXPECT_EQ(one.worst[0].index, 4);
  ASSERT_EQ(report.best.size(), 3u) << "the surest of each class";
  EXPECT_EQ(report.best[0].index, 0);
  EXPECT_EQ(tallied(three, probabilities, truth, {}, nullptr, nullptr, 0).worst.size(), 0u);
}

TEST(ClassificationReport, LogitsBecomeProbabilities) {
  Tensor logits(DType::float32, {6, 3});
  for (std::size_t i = 0; i < 18; ++i) logits.writable<float>()[i] = std::log(probabilities.data<float>()[i]) + 3.0f;
  ClassificationTask task = three;
  task.from_logits = true;
  const ClassificationReport a = tallied(task, logits, truth), b = tallied(three, probabilities, truth);
  EXPECT_EQ(a.confusion, b.confusion);
  EXPECT_NEAR(a.log_loss, b.log_loss, 1e-6);
  EXPECT_NEAR(a.calibration_error, b.calibration_error, 1e-6);
}

TEST(ClassificationReport, OneHotTargetsMeanTheSame) {
  Tensor one_hot(DType::float32, {6, 3});
  for (std::size_t i = 0; i < 6; ++i)
    one_hot.writable<float>()[i * 3 + static_cast<std::size_t>(truth.data<std::int32_t>()[i])] = 1;
  ClassificationTask task = three;
  task.sparse = false;
  EXPECT_EQ(tallied(task, probabilities, one_hot).tree(), tallied(three, probabilities, truth).tree());
}

TEST(ClassificationReport, BatchesAddUp) {
  ClassificationTally tally(three, {}, 10, 10);
  tally.add(0, probabilities.rows(0, 4), truth.rows(0, 4), nullptr, nullptr);
  tally.add(4, probabilities.rows(4, 6), truth.rows(4, 6), nullptr, nullptr);
  EXPECT_EQ(std::move(tally).finish().tree(), tallied(three, probabilities, truth).tree());
}

TEST(ClassificationReport, WhatIsMaskedIgnoredOrOfWeightZeroDoesNotCount) {
  const Tensor mask = Tensor::of<bool>({6}, {true, true, true, true, false, true});
  const Tensor weight = Tensor::of<float>({6}, {1, 0, 1, 2, 1, 1});
  EXPECT_EQ(tallied(three, probabilities, truth, {}, &mask).count, 5);
  EXPECT_EQ(tallied(three, probabilities, truth, {}, &mask, &weight).count, 4);
  const Tensor all = Tensor::of<bool>({}, {true});
  EXPECT_EQ(tallied(three, probabilities, truth, {}, &all).count, 6);
  ClassificationTask task = three;
  task.ignored = 2;
  EXPECT_EQ(tallied(task, probabilities, truth).count, 4);
}

TEST(ClassificationReport, PlacesOfSequencesAndAnyAxisOfClasses) {
  // (batch 2, classes 3, places 2): class axis in the middle
  Tensor values(DType::float32, {2, 3, 2});
  const std::int32_t said[2][2] = {{0, 1}, {2, 2}};
  for (std::size_t b = 0; b < 2; ++b)
    for (std::size_t p = 0; p < 2; ++p)
      for (std::size_t k = 0; k < 3; ++k)
        values.writable<float>()[(b * 3 + k) * 2 + p] = k == static_cast<std::size_t>(said[b][p]) ? 0.8f : 0.1f;
  const ClassificationReport report = tallied(three, values, Tensor::of<std::int32_t>({2, 2}, {0, 2, 2, 0}));
  EXPECT_EQ(report.count, 4);
  EXPECT_EQ(report.places, 2);
  EXPECT_EQ(report.right, 2);
  ASSERT_EQ(report.worst.size(), 2u) << "one of each sample";
  EXPECT_EQ(report.worst[0].index, 0);
  EXPECT_EQ(report.worst[0].place, 1);
  EXPECT_EQ(report.worst[1].place, 1);
}

TEST(ClassificationReport, BinaryHasTwoClassesAndMultiLabelCountsEachByItself) {
  const Tensor p = Tensor::of<float>({4, 1}, {0.92f, 0.42f, 0.22f, 0.72f}), y = Tensor::of<float>({4, 1}, {1, 1, 0, 0});
  const ClassificationReport binary = tallied({.kind = Kind::binary, .classes = 2}, p, y, {"no", "yes"});
  EXPECT_EQ(binary.confusion, (std::vector<std::int64_t>{1, 1, 1, 1}));
  EXPECT_EQ(binary.accuracy(), 0.5);
  EXPECT_EQ(binary.worst[0].index, 3);
  EXPECT_NEAR(binary.worst[0].truth_probability, 0.28, 1e-6);
  EXPECT_NEAR(binary.bins[9].observed, 1, 1e-12) << "of class 1";

  const Tensor many = Tensor::of<float>({2, 3}, {0.9f, 0.1f, 0.6f, 0.8f, 0.7f, 0.2f}),
               there = Tensor::of<float>({2, 3}, {1, 0, 0, 1, 1, 1});
  const ClassificationReport labels = tallied({.kind = Kind::multi_label, .axis = 1, .classes = 3}, many, there);
  EXPECT_EQ(labels.count, 6);
  EXPECT_EQ(labels.right, 4);
  EXPECT_TRUE(labels.confusion.empty());
  EXPECT_EQ(labels.classes[0].f1(), 1);
  EXPECT_EQ(labels.classes[2].recall(), 0);
  EXPECT_NE(labels.text().find("not 2"), std::string::npos) << labels.text();
}

TEST(ClassificationReport, ManyClassesHaveTopFiveAndTheirWorstInText) {
  constexpr std::int64_t classes = 40, samples = 400;
  RandomStream random(RandomKey::of(3, "scores"));
  Tensor logits(DType::float32, {samples, classes});
  for (float& value : logits.writable<float>()) value = static_cast<float>(random.uniform());
  Tensor labels(DType::int32, {samples});
  for (std::size_t i = 0; i < samples; ++i) {
    labels.writable<std::int32_t>()[i] = static_cast<std::int32_t>(i % classes);
    logits.writable<float>()[i * classes + i % classes] += 0.9f;
  }
  const ClassificationReport report =
      tallied({.sparse = true, .from_logits = true, .axis = 1, .classes = classes}, logits, labels);
  ASSERT_TRUE(report.top_five());
  EXPECT_GT(*report.top_five(), report.accuracy());
  const std::string text = report.text();
  EXPECT_NE(text.find("top-5 accuracy"), std::string::npos);
  EXPECT_NE(text.find("the 20 of 40 classes with the lowest F1"), std::string::npos) << text;
  EXPECT_NE(text.find("most confused classes"), std::string::npos) << text;
  EXPECT_EQ(report.tree()["classes"].items().size(), 40u);
}

TEST(ClassificationReport, TextFitsIntoEightyColumnsAndNamesDoNoHarm) {
  std::vector<std::string> labels;
  for (int i = 0; i < 15; ++i) labels.push_back(fmt::format("a rather long name of class {}", i));
  labels[3] = "\x1b[31mred\nnext";
  Tensor values(DType::float32, {1000, 15});
  Tensor truths(DType::int32, {1000});
  for (std::size_t i = 0; i < 1000; ++i) {
    values.writable<float>()[i * 15 + (i * 7) % 15] = 1;
    truths.writable<std::int32_t>()[i] = static_cast<std::int32_t>(i % 15);
  }
  const std::string text = tallied({.sparse = true, .axis = 1, .classes = 15}, values, truths, labels).text(80);
  for (const std::string& line : lines_of(text)) EXPECT_LE(text_columns(line), 80u) << line;
  EXPECT_NE(text.find("confusion matrix"), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(ClassificationReport, ALossSaysWhatItsPredictionsAre) {
  const Shape ten{unknown, 10}, one{unknown, 1}, pixels{unknown, 8, 8, 1};
  const auto sparse =
      classification_task(losses::SparseCategoricalCrossentropy({.from_logits = true, .ignore_class = 255}), ten);
  ASSERT_TRUE(sparse);
  EXPECT_TRUE(sparse->sparse && sparse->from_logits && sparse->classes == 10 && sparse->ignored == 255);
  EXPECT_EQ(classification_task(losses::CategoricalCrossentropy(), ten)->kind, Kind::categorical);
  EXPECT_EQ(classification_task(losses::BinaryCrossentropy(), one)->kind, Kind::binary);
  EXPECT_EQ(classification_task(losses::BinaryCrossentropy(), pixels)->kind, Kind::binary);
  EXPECT_EQ(classification_task(losses::BinaryCrossentropy(), Shape{unknown})->kind, Kind::binary);
  EXPECT_EQ(classification_task(losses::BinaryFocalCrossentropy(), ten)->kind, Kind::multi_label);
  EXPECT_FALSE(classification_task(losses::Hinge(), one)->probabilistic);
  EXPECT_FALSE(classification_task(losses::MeanSquaredError(), ten));
  EXPECT_FALSE(classification_task(losses::SparseCategoricalCrossentropy(), Shape{unknown, unknown}));
  EXPECT_FALSE(classification_task(losses::CTC(), ten));
}

TEST(ClassificationReport, PredictionsThatAreNoNumbersAreTheWorst) {
  Tensor broken = probabilities;
  for (std::size_t i = 0; i < 9; ++i) broken.writable<float>()[i] = std::numeric_limits<float>::quiet_NaN();
  const ClassificationReport report = tallied(three, broken, Tensor::of<std::int32_t>({6}, {1, 2, 1, 1, 2, 2}));
  EXPECT_EQ(report.count, 6);
  ASSERT_FALSE(report.worst.empty());
  EXPECT_LE(report.worst.back().loss, report.worst.front().loss);
  EXPECT_EQ(tallied(three, probabilities, Tensor::of<float>({6}, {0, NAN, -1, 3, 1e30f, 2})).count, 2)
      << "labels that are none do not count";
}

// A network that diverged is right about nothing.
TEST(ClassificationReport, OutputsThatAreNanAreWrongAndOfNoClass) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
  const auto checked = [](const ClassificationReport& report, std::int64_t undefined) {
    EXPECT_EQ(report.undefined, undefined);
    EXPECT_EQ(report.right, 0);
    EXPECT_EQ(report.accuracy(), 0);
    for (const auto& one : report.classes) EXPECT_EQ(one.predicted + one.right, 0);
    for (const std::int64_t count : report.confusion) EXPECT_EQ(count, 0);
    EXPECT_TRUE(report.best.empty());
    ASSERT_FALSE(report.worst.empty());
    EXPECT_EQ(report.worst.front().predicted, ClassificationReport::none);
    EXPECT_EQ(report.macro_average().f1, 0);
    EXPECT_TRUE(report.bins.empty()) << "nothing that calibration is about";
    EXPECT_TRUE(std::isfinite(report.log_loss));
    EXPECT_NE(report.text().find(fmt::format("predictions that are NaN {0} of {0}", undefined)), std::string::npos)
        << report.text();
    const Tree tree = report.tree();
    EXPECT_EQ(tree["undefined"], Tree(undefined));
    EXPECT_TRUE(tree["worst"].items().front()["predicted"].is_null());
    EXPECT_EQ(write_json(tree).find("NaN"), std::string::npos);
  };
  const ClassificationTask twelve{.sparse = true, .axis = 1, .classes = 12};
  Tensor all(DType::float32, {4, 12});
  for (float& value : all.writable<float>()) value = nan;
  const Tensor zeros(DType::int32, {4});
  const ClassificationReport report = tallied(twelve, all, zeros);
  checked(report, 4);
  EXPECT_EQ(report.top_five(), 0);
  Tensor one = all;
  for (std::size_t i = 0; i < 48; ++i) one.writable<float>()[i] = i % 12 == 0 ? 1.0f : i % 12 == 5 ? nan : 0.0f;
  checked(tallied(twelve, one, zeros), 4);
  ClassificationTask logits = twelve;
  logits.from_logits = true;
  for (std::size_t i = 0; i < 48; ++i) one.writable<float>()[i] = i % 12 == 0 ? infinite : 0.0f;
  checked(tallied(logits, one, zeros), 4);
  const ClassificationTask scores{.probabilistic = false, .axis = 1, .classes = 12};
  checked(tallied(scores, all, Tensor(DType::float32, {4, 12})), 4);
  const Tensor three_nan = Tensor::of<float>({3, 1}, {nan, nan, nan}), none_there(DType::float32, {3, 1});
  checked(tallied({.kind = Kind::binary, .classes = 2}, three_nan, none_there), 3);
  checked(tallied({.kind = Kind::multi_label, .axis = 1, .classes = 12}, all, Tensor(DType::float32, {4, 12})), 48);
}

TEST(ClassificationReport, ATaskFitsItsTargets) {
  EXPECT_TRUE(three.fits(probabilities, truth));
  EXPECT_FALSE(three.fits(probabilities, probabilities));
}

}  // namespace
}  // namespace nacre::test
