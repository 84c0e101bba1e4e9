// Metrics that count right and wrong decisions at thresholds.
#pragma once

#include "api/train/class_texts.h"
#include "api/train/metric.h"

namespace nacre {

// One number or several; none is the metric's own default.
struct Thresholds {
  std::vector<double> values;
  bool single = false;  // written as a number
};
template <>
struct FieldKind<Thresholds> {
  static void read(const Tree& tree, Thresholds& value);
  static Tree write(const Thresholds& value, Style style);
  static Tree schema();
};

// A number for each label. Keras writes a list as an array: {class_name: __tensor__, config: {value: […]}}.
struct LabelWeights {
  std::vector<double> values;
};
template <>
struct FieldKind<LabelWeights> {
  static void read(const Tree& tree, LabelWeights& value);
  static Tree write(const LabelWeights& value, Style style);
  static Tree schema();
};

// What a decision is: found, taken for positive, left alone, missed.
enum class Outcome : std::uint8_t { true_positives, false_positives, true_negatives, false_negatives };

// Weighted counts of outcomes, per threshold.
class ConfusionMetric : public Metric {
 public:
  explicit ConfusionMetric(MetricOptions options) : Metric(std::move(options)) {}

 protected:
  struct Counting {
    std::vector<Outcome> kept{};             // which of the outcomes the metric needs
    std::vector<double> thresholds{};        // a prediction above one is positive
    bool even = false;                       // thresholds are i / (n - 1), but for the ends that lie beyond 0 and 1
    std::optional<std::int64_t> top_k{};     // only the largest predictions can be positive
    std::optional<std::int64_t> class_id{};  // only this place of the last axis counts
    bool multi_label = false;                // counts for each place of the last axis
    std::vector<double> label_weights{};     // of the places, when they are counted together
    bool from_logits = false;
  };
  virtual Counting counting() const = 0;

  void build(const Type& y_true, const Type& y_pred) override;
  void emit(Value y_true, Value y_pred, Value sample_weight) override;

  // The counts of an outcome: thresholds, or thresholds × labels with multi_label.
  std::vector<double> counts(Outcome outcome) const;
  std::vector<double> ratio(Outcome part, Outcome rest) const;    // part / (part + rest), 0 where there is neither
  Tensor per_threshold(const std::vector<double>& values) const;  // a scalar when there is one threshold

 private:
  std::vector<std::pair<Outcome, VariableRef>> state_;
};

namespace metrics {

// How many of one outcome.
template <class Config_, Outcome outcome>
class OutcomeCount final : public ConfiguredMetric<Config_, ConfusionMetric> {
 public:
  using ConfiguredMetric<Config_, ConfusionMetric>::ConfiguredMetric;
  Tensor result() const override { return this->per_threshold(this->counts(outcome)); }
  std::optional<Direction> direction() const override { return {}; }

 protected:
  ConfusionMetric::Counting counting() const override {
    const std::vector<double>& given = this->config_.thresholds.values;
    return {.kept = {outcome}, .thresholds = given.empty() ? std::vector{0.5} : given};
  }
};

template <const ClassTexts& texts>
struct OutcomeConfig {
  static constexpr std::string_view class_name = texts.class_name, default_name = texts.default_name, doc = texts.doc;
  Thresholds thresholds{};
  static void describe(auto&& field) {
    field("thresholds", &OutcomeConfig::thresholds, "a prediction above it is positive; null: 0.5", between(0, 1));
  }
};
inline constexpr ClassTexts true_positives_texts{"TruePositives", "true_positives", "Positives that were found."};
using TruePositives = OutcomeCount<OutcomeConfig<true_positives_texts>, Outcome::true_positives>;
inline constexpr ClassTexts false_positives_texts{"FalsePositives", "false_positives",
                                                  "Negatives that were taken for positives."};
using FalsePositives = OutcomeCount<OutcomeConfig<false_positives_texts>, Outcome::false_positives>;
inline constexpr ClassTexts true_negatives_texts{"TrueNegatives", "true_negatives", "Negatives that were left alone."};
using TrueNegatives = OutcomeCount<OutcomeConfig<true_negatives_texts>, Outcome::true_negatives>;
inline constexpr ClassTexts false_negatives_texts{"FalseNegatives", "false_negatives", "Positives that were missed."};
using FalseNegatives = OutcomeCount<OutcomeConfig<false_negatives_texts>, Outcome::false_negatives>;

template <const ClassTexts& texts>
struct DecisionConfig {
  static constexpr std::string_view class_name = texts.class_name, default_name = texts.default_name, doc = texts.doc;
  Thresholds thresholds{};
  std::optional<std::int64_t> top_k{}, class_id{};
  static void describe(auto&& field) {
    field("thresholds", &DecisionConfig::thresholds, "a prediction above it is positive; null: 0.5, or none with top_k",
          between(0, 1));
    field("top_k", &DecisionConfig::top_k, "only so many of the largest predictions are positive", at_least(1));
    field("class_id", &DecisionConfig::class_id, "only this class counts", at_least(0));
  }
};

// true positives / (true positives + `wrong`).
template <class Config_, Outcome wrong>
class DecisionRatio final : public ConfiguredMetric<Config_, ConfusionMetric> {
 public:
  using ConfiguredMetric<Config_, ConfusionMetric>::ConfiguredMetric;
  Tensor result() const override;

 protected:
  ConfusionMetric::Counting counting() const override;
};
inline constexpr ClassTexts precision_texts{"Precision", "precision", "Which part of what was found is positive."};
using Precision = DecisionRatio<DecisionConfig<precision_texts>, Outcome::false_positives>;
inline constexpr ClassTexts recall_texts{"Recall", "recall", "Which part of the positives was found."};
using Recall = DecisionRatio<DecisionConfig<recall_texts>, Outcome::false_negatives>;

// Ratios of outcomes: sensitivity (recall), specificity (sensitivity to negatives), precision.
enum class Ratio : std::uint8_t { sensitivity, specificity, precision };

struct ConstrainedTexts : ClassTexts {
  std::string_view bound;  // the key of the bound
};

template <const ConstrainedTexts& texts>
struct ConstrainedConfig {
  static constexpr std::string_view class_name = texts.class_name, default_name = texts.default_name, doc = texts.doc;
  double bound = 0;
  std::int64_t num_thresholds = 200;
  std::optional<std::int64_t> class_id{};
  static void describe(auto&& field) {
    field(texts.bound, &ConstrainedConfig::bound, "at least this", required(), between(0, 1));
    field("num_thresholds", &ConstrainedConfig::num_thresholds, "tried, from 0 to 1", at_least(1));
    field("class_id", &ConstrainedConfig::class_id, "only this class counts", at_least(0));
  }
};

// The best of one ratio among the thresholds where another is at least the bound.
template <class Config_, Ratio wanted, Ratio constrained>
class BestUnderConstraint final : public ConfiguredMetric<Config_, ConfusionMetric> {
 public:
  using ConfiguredMetric<Config_, ConfusionMetric>::ConfiguredMetric;
  Tensor result() const override;

 protected:
  ConfusionMetric::Counting counting() const override;
};
inline constexpr ConstrainedTexts sensitivity_at_specificity_texts{
    {"SensitivityAtSpecificity", "sensitivity_at_specificity",
     "The best sensitivity where the specificity is at least so large."},
    "specificity"};
using SensitivityAtSpecificity =
    BestUnderConstraint<ConstrainedConfig<sensitivity_at_specificity_texts>, Ratio::sensitivity, Ratio::specificity>;
inline constexpr ConstrainedTexts specificity_at_sensitivity_texts{
    {"SpecificityAtSensitivity", "specificity_at_sensitivity",
     "The best specificity where the sensitivity is at least so large."},
    "sensitivity"};
using SpecificityAtSensitivity =
    BestUnderConstraint<ConstrainedConfig<specificity_at_sensitivity_texts>, Ratio::specificity, Ratio::sensitivity>;
inline constexpr ConstrainedTexts precision_at_recall_texts{
    {"PrecisionAtRecall", "precision_at_recall", "The best precision where the recall is at least so large."},
    "recall"};
using PrecisionAtRecall =
    BestUnderConstraint<ConstrainedConfig<precision_at_recall_texts>, Ratio::precision, Ratio::sensitivity>;
inline constexpr ConstrainedTexts recall_at_precision_texts{
    {"RecallAtPrecision", "recall_at_precision", "The best recall where the precision is at least so large."},
    "precision"};
using RecallAtPrecision =
    BestUnderConstraint<ConstrainedConfig<recall_at_precision_texts>, Ratio::sensitivity, Ratio::precision>;

enum class Curve : std::uint8_t { roc, pr, prgain };
enum class Summation : std::uint8_t { interpolation, majoring, minoring };

// Source: Davis and Goadrich, "The Relationship Between Precision-Recall and ROC Curves" (2006), for the interpolation
// of PR; Flach and Kull, "Precision-Recall-Gain Curves" (2015).
struct AUCConfig {
  static constexpr std::string_view class_name = "AUC", default_name = "auc";
  static constexpr std::string_view doc = "Area under the ROC or precision-recall curve.";
  std::int64_t num_thresholds = 200;
  Curve curve = Curve::roc;
  Summation summation_method = Summation::interpolation;
  bool multi_label = false;
  std::optional<std::int64_t> num_labels{};
  std::optional<LabelWeights> label_weights{};
  bool from_logits = false;
  Thresholds thresholds{};
  static void describe(auto&& field) {
    field("num_thresholds", &AUCConfig::num_thresholds, "points of the curve", at_least(2));
    field("curve", &AUCConfig::curve, "ROC, PR or PRGAIN");
    field("summation_method", &AUCConfig::summation_method, "between the points: interpolation, majoring or minoring");
    field("multi_label", &AUCConfig::multi_label, "a curve for each place of the last axis; their areas are averaged");
    field("num_labels", &AUCConfig::num_labels, "size of the last axis, with multi_label", at_least(1));
    field("label_weights", &AUCConfig::label_weights, "of the places of the last axis");
    field("from_logits", &AUCConfig::from_logits, "y_pred is before the sigmoid");
    field("thresholds", &AUCConfig::thresholds, "points of the curve besides its ends, instead of num_thresholds",
          between(0, 1));
  }
  void check() const;
};
class AUC final : public ConfiguredMetric<AUCConfig, ConfusionMetric> {
 public:
  using ConfiguredMetric::ConfiguredMetric;
  Tensor result() const override;

 protected:
  Counting counting() const override;
};

}  // namespace metrics

template <>
struct EnumNames<metrics::Curve> {
  static constexpr std::string_view names[] = {"ROC", "PR", "PRGAIN"};
};
template <>
struct EnumNames<metrics::Summation> {
  static constexpr std::string_view names[] = {"interpolation", "majoring", "minoring"};
};

}  // namespace nacre
