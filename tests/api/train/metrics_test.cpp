// Metrics beyond the golden vectors: options, sample weights, masks, several batches, names. Expected values are those
// of Keras 3.15 unless a comment says otherwise.
#include "api/train/metrics.h"

#include <gtest/gtest.h>

#include "formats/json.h"
#include "tests/api/train/evaluate.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::evaluate;
using test::floats;
using test::message_of;

void update(Metric& metric, const Tensor& y_true, const Tensor& y_pred, const Tensor* weight = nullptr,
            const Tensor* mask = nullptr, const Backend& backend = reference_backend()) {
  std::vector<Tensor> inputs{y_true, y_pred};
  if (weight) inputs.push_back(*weight);
  if (mask) inputs.push_back(*mask);
  evaluate(
      inputs,
      [&](const Values& in) {
        metric.update(in[0], in[1], weight ? in[2] : Value(), mask ? in.back() : Value());
        return Values{};
      },
      backend);
}

void expect_result(const Metric& metric, const std::vector<double>& want) {
  const Tensor result = metric.result();
  ASSERT_EQ(result.size(), static_cast<std::int64_t>(want.size()));
  for (std::size_t i = 0; i < want.size(); ++i)
    EXPECT_NEAR(result.at(static_cast<std::int64_t>(i)), want[i], 1e-5 + 1e-4 * std::abs(want[i]));
}

struct Expected {
  const char* config;
  std::vector<double> plain, weighted;
};

// Six samples of three classes in batches of four and two, without and with sample weights.
TEST(Metrics, ComputeWhatKerasComputes) {
  const Expected cases[] = {
      {R"({"AUC": {}})", {0.6527778}, {0.8111111}},
      {R"({"AUC": {"curve": "PR"}})", {0.5720941}, {0.7829984}},
      {R"({"AUC": {"curve": "PR", "summation_method": "minoring"}})", {0.3712121}, {0.3692308}},
      {R"({"AUC": {"curve": "PRGAIN"}})", {0.4891666}, {0.7988215}},
      {R"({"AUC": {"num_thresholds": 7, "summation_method": "majoring"}})", {0.7361111}, {0.8666667}},
      {R"({"AUC": {"thresholds": [0.2, 0.35, 0.5]}})", {0.6874999}, {0.8533334}},
      {R"({"AUC": {"multi_label": true}})", {0.6458333}, {0.8274074}},
      {R"({"AUC": {"multi_label": true, "label_weights": [1.0, 2.0, 3.0]}})", {0.6666667}, {0.7874074}},
      {R"({"AUC": {"label_weights": [1.0, 2.0, 3.0]}})", {0.6822916}, {0.7904858}},
      {R"({"AUC": {"from_logits": true}})", {0.6527778}, {0.8111111}},
      {R"({"Precision": {}})", {0.6666667}, {1.0}},
      {R"({"Precision": {"thresholds": [0.2, 0.35]}})", {0.4166667, 0.5}, {0.5, 0.6}},
      {R"({"Precision": {"top_k": 1}})", {0.5}, {0.6}},
      {R"({"Recall": {"top_k": 2}})", {0.5}, {0.6}},
      {R"({"Recall": {"class_id": 2}})", {0.5}, {0.6}},
      {R"({"Precision": {"thresholds": 0.3, "class_id": 1}})", {0.3333333}, {0.2}},
      {R"({"Recall": {"top_k": 2, "class_id": 0}})", {0.5}, {1.0}},
      {R"({"TruePositives": {"thresholds": 0.3}})", {3.0}, {4.5}},
      {R"({"FalsePositives": {"thresholds": [0.3, 0.5]}})", {4.0, 1.0}, {5.0, 0.0}},
      {R"({"TrueNegatives": {}})", {11.0}, {15.0}},
      {R"({"FalseNegatives": {"thresholds": 0.55}})", {4.0}, {3.5}},
      {R"({"SensitivityAtSpecificity": {"specificity": 0.8}})", {0.5}, {0.6}},
      {R"({"SpecificityAtSensitivity": {"num_thresholds": 1, "sensitivity": 0.4}})", {0.0}, {1.0}},
      {R"({"PrecisionAtRecall": {"class_id": 2, "recall": 0.6}})", {0.5}, {1.0}},
      {R"({"RecallAtPrecision": {"num_thresholds": 50, "precision": 0.7}})", {0.5}, {0.6}},
      {R"({"F1Score": {}})", {0.4999999, 0.4999999, 0.4999999}, {0.5, 0.4999999, 0.6666666}},
      {R"({"F1Score": {"average": "micro", "threshold": 0.3}})", {0.4615384}, {0.5294117}},
      {R"({"FBetaScore": {"average": "weighted", "beta": 0.5}})", {0.4999999}, {0.6703296}},
      {R"({"R2Score": {"class_aggregation": "uniform_average", "num_regressors": 0}})", {0.0925}, {0.1955534}},
      {R"({"R2Score": {"num_regressors": 0, "class_aggregation": null}})",
       {0.053125, -0.09875, 0.3231249},
       {0.3105769, 0.1520835, 0.1239999}},
      {R"({"R2Score": {"class_aggregation": "variance_weighted_average", "num_regressors": 2}})",
       {-0.0285001},
       {0.0665178}},
      {R"({"CategoricalAccuracy": {}})", {0.5}, {0.6}},
      {R"({"TopKCategoricalAccuracy": {"k": 2}})", {0.6666667}, {0.7333333}},
      {R"({"BinaryAccuracy": {"threshold": 0.3}})", {0.6111111}, {0.6444444}},
      {R"({"BinaryCrossentropy": {"label_smoothing": 0.2}})", {0.6585591}, {0.5310886}},
      {R"({"CategoricalCrossentropy": {"label_smoothing": 0.1}})", {1.0790247}, {0.7988412}},
      {R"({"RootMeanSquaredError": {}})", {0.4490731}, {0.3696846}},
      {R"({"MeanSquaredError": {}})", {0.2016667}, {0.1366667}},
      {R"({"OneHotMeanIoU": {"num_classes": 3, "dtype": "float32"}})", {0.3333333}, {0.3888889}},
      {R"({"OneHotIoU": {"num_classes": 3, "target_class_ids": [0, 2], "dtype": "float32", "ignore_class": 1}})",
       {0.4166667},
       {0.4666667}},
      {R"({"PearsonCorrelation": {}})", {0.1302464}, {0.2636797}},
  };
  const Tensor y_true = floats({6, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1});
  const Tensor y_pred =
      floats({6, 3}, {.6f, .3f, .1f, .2f, .5f, .3f, .4f, .35f, .25f, .1f, .7f, .2f, .3f, .3f, .4f, .05f, .15f, .8f});
  const Tensor weights = floats({6}, {1, .5f, 2, 0, 1, 3});
  for (const Backend* backend : backends())
    for (const Expected& expected : cases) {
      SCOPED_TRACE(std::string(backend->name()) + " " + expected.config);
      const auto metric = read_object<Metric>(parse_json(expected.config));
      for (const bool weighted : {false, true}) {
        metric->reset();
        for (const auto& [begin, end] : {std::pair{0, 4}, std::pair{4, 6}}) {
          const Tensor part = weights.rows(begin, end);
          update(*metric, y_true.rows(begin, end), y_pred.rows(begin, end), weighted ? &part : nullptr, nullptr,
                 *backend);
        }
        expect_result(*metric, weighted ? expected.weighted : expected.plain);
      }
    }
}

TEST(Metrics, MasksMultiplyWeights) {
  metrics::MeanAbsoluteError metric;
  const Tensor mask = Tensor::of<bool>({2, 2}, {true, false, true, true}), weight = floats({2}, {1, 3});
  update(metric, floats({2, 2, 1}, {0, 0, 0, 0}), floats({2, 2, 1}, {1, 100, 2, 6}), &weight, &mask);
  // Per sample: mean over steps of value·weight·mask, 0.5 and 12, and of weight·mask, 0.5 and 3: Keras's way.
  EXPECT_NEAR(metric.value(), 12.5 / 3.5, 1e-6);
}

TEST(Metrics, SequencesOfLabels) {
  metrics::SparseCategoricalAccuracy metric;
  update(metric, Tensor::of<std::int32_t>({1, 4}, {0, 1, 1, 0}),
         floats({1, 4, 2}, {.9f, .1f, .9f, .1f, .2f, .8f, .3f, .7f}));
  EXPECT_EQ(metric.value(), 0.5);
}

TEST(Metrics, MeanOfNumbers) {
  metrics::Mean mean;
  EXPECT_EQ(mean.value(), 0);
  const auto add = [&](float value, float weight) {
    evaluate({Tensor::scalar(value), Tensor::scalar(weight)}, [&](const Values& in) {
      mean.add(in[0], in[1]);
      return Values{};
    });
  };
  add(1, 2);
  add(4, 1);
  EXPECT_EQ(mean.value(), 2);
  mean.reset();
  EXPECT_EQ(mean.value(), 0);
}

TEST(Metrics, AnIgnoredClassIsNoPartOfTheUnion) {
  metrics::MeanIoU metric({.num_classes = 2, .ignore_class = 1});
  update(metric, Tensor::of<std::int32_t>({4}, {0, 0, 1, 1}), Tensor::of<std::int32_t>({4}, {0, 1, 0, 1}));
  EXPECT_NEAR(metric.value(), 0.25, 1e-6);  // class 0: 1 of 2; class 1 is predicted once and never right
}

TEST(Metrics, WordsTakeTheKindOfTheLabels) {
  const auto resolved = [](const char* word, Shape labels, Shape predictions) {
    const auto metric =
        resolve_metric(Tree(word), {DType::float32, std::move(labels)}, {DType::float32, std::move(predictions)});
    return fmt::format("{} {}", metric->name(), metric->class_name());
  };
  EXPECT_EQ(resolved("accuracy", {unknown, 1}, {unknown, 1}), "accuracy BinaryAccuracy");
  EXPECT_EQ(resolved("acc", {unknown}, {unknown, 10}), "acc SparseCategoricalAccuracy");
  EXPECT_EQ(resolved("accuracy", {unknown, 10}, {unknown, 10}), "accuracy CategoricalAccuracy");
  EXPECT_EQ(resolved("crossentropy", {unknown, 1}, {unknown, 10}), "crossentropy SparseCategoricalCrossentropy");
  EXPECT_EQ(resolved("mae", {unknown, 1}, {unknown, 1}), "mae MeanAbsoluteError");
  EXPECT_EQ(resolve_metric(parse_json(R"({"AUC": {}})"), {}, {})->name(), "auc");
}

TEST(Metrics, SayWhatIsWrong) {
  metrics::Precision precision;
  EXPECT_EQ(message_of([&] {
              update(precision, floats({4}, {0, 1, 2, 0}), floats({4, 3}, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
            }),
            "metric 'precision': labels of shape (4,) do not fit predictions of shape (4, 3)\n"
            "  hint: this metric wants a label of 0 or 1 for each prediction; integer classes must be one-hot");
  EXPECT_EQ(message_of([] {
              read_object<Metric>(parse_json(R"({"IoU": {"num_classes": 2, "target_class_ids": [2]}})", "m.json"));
            }),
            "m.json:1:2: target class 2 is outside the 2 classes");
  EXPECT_EQ(message_of([] { read_object<Metric>(parse_json(R"({"AUC": {"num_labels": 2}})", "m.json")); }),
            "m.json:1:2: num_labels goes with multi_label");
  EXPECT_EQ(message_of([] { read_object<Metric>(parse_json(R"({"PrecisionAtRecall": {}})", "m.json")); }),
            "m.json:1:23: the key 'recall' is missing (at least this)");
}

TEST(Metrics, ConfigIsKerass) {
  EXPECT_EQ(
      write_json(write_object<Metric>(metrics::AUC(), Style::keras)),
      R"({"module": "keras.metrics", "class_name": "AUC", "config": {"name": "auc", "dtype": "float32", "num_thresholds": 200, "curve": "ROC", )"
      R"("summation_method": "interpolation", "multi_label": false, "num_labels": null, "label_weights": null, "from_logits": false, )"
      R"("thresholds": null}, "registered_name": null})");
  EXPECT_EQ(write_object<Metric>(metrics::TopKCategoricalAccuracy({.k = 3}), Style::yaml).text(),
            "{TopKCategoricalAccuracy: {k: 3}}");
  EXPECT_EQ(write_object<Metric>(metrics::MeanIoU({.num_classes = 3}), Style::yaml).text(),
            "{MeanIoU: {num_classes: 3}}");
}

}  // namespace
}  // namespace nacre
