// Metrics that are means over samples: accuracies, errors, cross-entropies, correlations.
#pragma once

#include "api/train/class_texts.h"
#include "api/train/loss_functions.h"
#include "api/train/metric.h"

namespace nacre {

// A weighted mean of values over samples: total / count.
class MeanMetric : public Metric {
 public:
  explicit MeanMetric(MetricOptions options) : Metric(std::move(options)) {}
  Tensor result() const override;
  // Emits the update by numbers that are no function of labels, such as the loss: values of any rank, weights of the
  // same or a lower one.
  void add(Value values, Value weight = {});

 protected:
  void build(const Type& y_true, const Type& y_pred) override;
  void emit(Value y_true, Value y_pred, Value sample_weight) override;
  virtual Value values(Value y_true, Value y_pred) const = 0;  // per sample, or per place
  // Which values count, where there are sample weights; null: all. Keras lets all count where there are none.
  virtual Value counted(Value /*y_true*/, Value /*y_pred*/) const { return {}; }

 private:
  VariableRef total_, count_;
};

namespace metrics {

// The mean of what the config's operator()(y_true, y_pred) emits.
template <Described Config_>
class MeanOf final : public ConfiguredMetric<Config_, MeanMetric> {
 public:
  using ConfiguredMetric<Config_, MeanMetric>::ConfiguredMetric;
  std::optional<Direction> direction() const override { return Config_::direction; }

 protected:
  Value values(Value y_true, Value y_pred) const override { return this->config_(y_true, y_pred); }
  Value counted(Value y_true, Value y_pred) const override {
    if constexpr (requires { this->config_.counted(y_true, y_pred); }) return this->config_.counted(y_true, y_pred);
    else return {};
  }
};

template <const ClassTexts& texts, Direction direction_, Value (*rule)(Value, Value)>
struct PlainMetricConfig {
  static constexpr std::string_view class_name = texts.class_name, default_name = texts.default_name, doc = texts.doc;
  static constexpr std::optional<Direction> direction = direction_;
  static void describe(auto&&) {}
  Value operator()(Value y_true, Value y_pred) const { return rule(y_true, y_pred); }
};
template <const ClassTexts& texts, Direction direction, Value (*rule)(Value, Value)>
using PlainMetric = MeanOf<PlainMetricConfig<texts, direction, rule>>;

Value equality(Value y_true, Value y_pred);
Value categorical_accuracy(Value y_true, Value y_pred);         // the largest place is that of y_true
Value sparse_categorical_accuracy(Value y_true, Value y_pred);  // the largest place is the label

inline constexpr ClassTexts accuracy_texts{"Accuracy", "accuracy", "How often y_pred equals y_true."};
using Accuracy = PlainMetric<accuracy_texts, Direction::up, equality>;
inline constexpr ClassTexts categorical_accuracy_texts{
    "CategoricalAccuracy", "categorical_accuracy", "How often the largest prediction is that of the one-hot label."};
using CategoricalAccuracy = PlainMetric<categorical_accuracy_texts, Direction::up, categorical_accuracy>;
inline constexpr ClassTexts sparse_categorical_accuracy_texts{
    "SparseCategoricalAccuracy", "sparse_categorical_accuracy",
    "How often the largest prediction is that of the integer label."};
using SparseCategoricalAccuracy =
    PlainMetric<sparse_categorical_accuracy_texts, Direction::up, sparse_categorical_accuracy>;
inline constexpr ClassTexts mean_squared_error_texts{"MeanSquaredError", "mean_squared_error",
                                                     "Mean of the squared errors."};
using MeanSquaredError = PlainMetric<mean_squared_error_texts, Direction::down, losses::mean_squared_error>;
inline constexpr ClassTexts mean_absolute_error_texts{"MeanAbsoluteError", "mean_absolute_error",
                                                      "Mean of the absolute errors."};
using MeanAbsoluteError = PlainMetric<mean_absolute_error_texts, Direction::down, losses::mean_absolute_error>;
inline constexpr ClassTexts mean_absolute_percentage_error_texts{
    "MeanAbsolutePercentageError", "mean_absolute_percentage_error", "Mean of the errors in percent of y_true."};
using MeanAbsolutePercentageError =
    PlainMetric<mean_absolute_percentage_error_texts, Direction::down, losses::mean_absolute_percentage_error>;
inline constexpr ClassTexts mean_squared_logarithmic_error_texts{
    "MeanSquaredLogarithmicError", "mean_squared_logarithmic_error", "Mean of the squared errors of log(1 + y)."};
using MeanSquaredLogarithmicError =
    PlainMetric<mean_squared_logarithmic_error_texts, Direction::down, losses::mean_squared_logarithmic_error>;
inline constexpr ClassTexts logcosh_texts{"LogCoshError", "logcosh", "Mean of the logarithms of the errors' cosh."};
using LogCoshError = PlainMetric<logcosh_texts, Direction::down, losses::log_cosh>;
inline constexpr ClassTexts hinge_texts{"Hinge", "hinge", "Mean of max(1 - y_true y_pred, 0)."};
using Hinge = PlainMetric<hinge_texts, Direction::down, losses::hinge>;
inline constexpr ClassTexts squared_hinge_texts{"SquaredHinge", "squared_hinge", "Mean of max(1 - y_true y_pred, 0)²."};
using SquaredHinge = PlainMetric<squared_hinge_texts, Direction::down, losses::squared_hinge>;
inline constexpr ClassTexts categorical_hinge_texts{"CategoricalHinge", "categorical_hinge",
                                                    "Margin of the best wrong class, plus 1."};
using CategoricalHinge = PlainMetric<categorical_hinge_texts, Direction::down, losses::categorical_hinge>;
inline constexpr ClassTexts kl_divergence_texts{"KLDivergence", "kl_divergence",
                                                "Kullback-Leibler divergence of y_pred from y_true."};
using KLDivergence = PlainMetric<kl_divergence_texts, Direction::down, losses::kl_divergence>;
inline constexpr ClassTexts poisson_texts{"Poisson", "poisson", "Negative log-likelihood of Poisson counts."};
using Poisson = PlainMetric<poisson_texts, Direction::down, losses::poisson>;

struct BinaryAccuracyConfig {
  static constexpr std::string_view class_name = "BinaryAccuracy", default_name = "binary_accuracy";
  static constexpr std::string_view doc = "How often y_pred is on the label's side of the threshold.";
  static constexpr std::optional<Direction> direction = Direction::up;
  double threshold = 0.5;
  static void describe(auto&& field) { field("threshold", &BinaryAccuracyConfig::threshold, "more than this is 1"); }
  Value operator()(Value y_true, Value y_pred) const;
};
struct TopKCategoricalAccuracyConfig {
  static constexpr std::string_view class_name = "TopKCategoricalAccuracy", default_name = "top_k_categorical_accuracy";
  static constexpr std::string_view doc = "How often the one-hot label is among the k largest predictions.";
  static constexpr std::optional<Direction> direction = Direction::up;
  std::int64_t k = 5;
  static void describe(auto&& field) {
    field("k", &TopKCategoricalAccuracyConfig::k, "predictions that count", at_least(1));
  }
  Value operator()(Value y_true, Value y_pred) const;
};
struct SparseTopKCategoricalAccuracyConfig {
  static constexpr std::string_view class_name = "SparseTopKCategoricalAccuracy",
                                    default_name = "sparse_top_k_categorical_accuracy";
  static constexpr std::string_view doc = "How often the integer label is among the k largest predictions.";
  static constexpr std::optional<Direction> direction = Direction::up;
  std::int64_t k = 5;
  bool from_sorted_ids = false;
  static void describe(auto&& field) {
    field("k", &SparseTopKCategoricalAccuracyConfig::k, "predictions that count", at_least(1));
    field("from_sorted_ids", &SparseTopKCategoricalAccuracyConfig::from_sorted_ids,
          "y_pred holds labels, the best first");
  }
  Value operator()(Value y_true, Value y_pred) const;
};
struct BinaryCrossentropyConfig {
  static constexpr std::string_view class_name = "BinaryCrossentropy", default_name = "binary_crossentropy";
  static constexpr std::string_view doc = "Cross-entropy of independent yes-or-no labels.";
  static constexpr std::optional<Direction> direction = Direction::down;
  bool from_logits = false;
  double label_smoothing = 0;
  static void describe(auto&& field) {
    field("from_logits", &BinaryCrossentropyConfig::from_logits, "y_pred is before the sigmoid");
    field("label_smoothing", &BinaryCrossentropyConfig::label_smoothing, "labels move this far towards 1/2",
          between(0, 1));
  }
  Value operator()(Value y_true, Value y_pred) const;
};
struct CategoricalCrossentropyConfig {
  static constexpr std::string_view class_name = "CategoricalCrossentropy", default_name = "categorical_crossentropy";
  static constexpr std::string_view doc = "Cross-entropy of one-hot labels.";
  static constexpr std::optional<Direction> direction = Direction::down;
  bool from_logits = false;
  double label_smoothing = 0;
  std::int64_t axis = -1;
  static void describe(auto&& field) {
    field("from_logits", &CategoricalCrossentropyConfig::from_logits, "y_pred is before the softmax");
    field("label_smoothing", &CategoricalCrossentropyConfig::label_smoothing, "labels move this far towards 1/classes",
          between(0, 1));
    field("axis", &CategoricalCrossentropyConfig::axis, "of the classes");
  }
  Value operator()(Value y_true, Value y_pred) const;
};
struct SparseCategoricalCrossentropyConfig {
  static constexpr std::string_view class_name = "SparseCategoricalCrossentropy",
                                    default_name = "sparse_categorical_crossentropy";
  static constexpr std::string_view doc = "Cross-entropy of integer labels.";
  static constexpr std::optional<Direction> direction = Direction::down;
  bool from_logits = false;
  std::optional<std::int64_t> ignore_class{};
  std::int64_t axis = -1;
  static void describe(auto&& field) {
    field("from_logits", &SparseCategoricalCrossentropyConfig::from_logits, "y_pred is before the softmax");
    field("ignore_class", &SparseCategoricalCrossentropyConfig::ignore_class, "labels that count as no loss");
    field("axis", &SparseCategoricalCrossentropyConfig::axis, "of the classes");
  }
  Value operator()(Value y_true, Value y_pred) const;
  Value counted(Value y_true, Value y_pred) const;
};
struct CosineSimilarityConfig {
  static constexpr std::string_view class_name = "CosineSimilarity", default_name = "cosine_similarity";
  static constexpr std::string_view doc = "cos of the angle between y_true and y_pred.";
  static constexpr std::optional<Direction> direction = Direction::up;
  std::int64_t axis = -1;
  static void describe(auto&& field) { field("axis", &CosineSimilarityConfig::axis, "of the vectors"); }
  Value operator()(Value y_true, Value y_pred) const;
};
struct PearsonCorrelationConfig {
  static constexpr std::string_view class_name = "PearsonCorrelation", default_name = "pearson_correlation";
  static constexpr std::string_view doc = "Correlation of y_true and y_pred.";
  static constexpr std::optional<Direction> direction = Direction::up;
  std::int64_t axis = -1;
  static void describe(auto&& field) { field("axis", &PearsonCorrelationConfig::axis, "correlated along"); }
  Value operator()(Value y_true, Value y_pred) const;
};
// Source: Keras 3's formula, whose covariance takes y_pred's mean for both.
struct ConcordanceCorrelationConfig {
  static constexpr std::string_view class_name = "ConcordanceCorrelation", default_name = "concordance_correlation";
  static constexpr std::string_view doc = "Agreement of y_true and y_pred.";
  static constexpr std::optional<Direction> direction = Direction::up;
  std::int64_t axis = -1;
  static void describe(auto&& field) { field("axis", &ConcordanceCorrelationConfig::axis, "correlated along"); }
  Value operator()(Value y_true, Value y_pred) const;
};
struct MeanConfig {
  static constexpr std::string_view class_name = "Mean", default_name = "mean";
  static constexpr std::string_view doc = "Mean of y_pred, or of what add() is given.";
  static constexpr std::optional<Direction> direction{};
  static void describe(auto&&) {}
  Value operator()(Value y_true, Value y_pred) const;
};

using BinaryAccuracy = MeanOf<BinaryAccuracyConfig>;
using TopKCategoricalAccuracy = MeanOf<TopKCategoricalAccuracyConfig>;
using SparseTopKCategoricalAccuracy = MeanOf<SparseTopKCategoricalAccuracyConfig>;
using BinaryCrossentropy = MeanOf<BinaryCrossentropyConfig>;
using CategoricalCrossentropy = MeanOf<CategoricalCrossentropyConfig>;
using SparseCategoricalCrossentropy = MeanOf<SparseCategoricalCrossentropyConfig>;
using CosineSimilarity = MeanOf<CosineSimilarityConfig>;
using PearsonCorrelation = MeanOf<PearsonCorrelationConfig>;
using ConcordanceCorrelation = MeanOf<ConcordanceCorrelationConfig>;
using Mean = MeanOf<MeanConfig>;

struct RootMeanSquaredErrorConfig {
  static constexpr std::string_view class_name = "RootMeanSquaredError", default_name = "root_mean_squared_error";
  static constexpr std::string_view doc = "Root of the mean of the squared errors.";
  static void describe(auto&&) {}
};
class RootMeanSquaredError final : public ConfiguredMetric<RootMeanSquaredErrorConfig, MeanMetric> {
 public:
  using ConfiguredMetric::ConfiguredMetric;
  Tensor result() const override;
  std::optional<Direction> direction() const override { return Direction::down; }

 protected:
  Value values(Value y_true, Value y_pred) const override;
};

struct SumConfig {
  static constexpr std::string_view class_name = "Sum", default_name = "sum";
  static constexpr std::string_view doc = "Sum of y_pred, or of what add() is given.";
  static void describe(auto&&) {}
};
class Sum final : public ConfiguredMetric<SumConfig> {
 public:
  using ConfiguredMetric::ConfiguredMetric;
  Tensor result() const override;
  std::optional<Direction> direction() const override { return {}; }
  void add(Value values, Value weight = {});

 protected:
  void build(const Type&, const Type&) override;
  void emit(Value y_true, Value y_pred, Value sample_weight) override;

 private:
  VariableRef total_;
};

}  // namespace metrics

}  // namespace nacre
