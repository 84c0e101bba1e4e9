// Metrics that are computed from sums over all data: F scores, R², intersection over union.
#pragma once

#include "api/train/metric.h"

namespace nacre {

namespace metrics {

enum class Average : std::uint8_t { micro, macro, weighted };

// The weighted harmonic mean of precision and recall.
class FScore : public Metric {
 public:
  explicit FScore(MetricOptions options) : Metric(std::move(options)) {}
  Tensor result() const override;

 protected:
  struct Rule {
    std::optional<Average> average;
    double beta;
    std::optional<double> threshold;
  };
  virtual Rule rule() const = 0;
  void build(const Type& y_true, const Type& y_pred) override;
  void emit(Value y_true, Value y_pred, Value sample_weight) override;

 private:
  VariableRef true_positives_, false_positives_, false_negatives_, weights_;
};

struct FBetaScoreConfig {
  static constexpr std::string_view class_name = "FBetaScore", default_name = "fbeta_score";
  static constexpr std::string_view doc = "Harmonic mean of precision and recall, recall beta times as important.";
  std::optional<Average> average{};
  double beta = 1;
  std::optional<double> threshold{};
  static void describe(auto&& field) {
    field("average", &FBetaScoreConfig::average, "null: one score for each class; micro, macro or weighted");
    field("beta", &FBetaScoreConfig::beta, "importance of recall", above(0));
    field("threshold", &FBetaScoreConfig::threshold, "predictions above it are positive; null: the largest is",
          above(0), between(0, 1));
  }
};
class FBetaScore final : public ConfiguredMetric<FBetaScoreConfig, FScore> {
 public:
  using ConfiguredMetric::ConfiguredMetric;

 protected:
  Rule rule() const override { return {config_.average, config_.beta, config_.threshold}; }
};

struct F1ScoreConfig {
  static constexpr std::string_view class_name = "F1Score", default_name = "f1_score";
  static constexpr std::string_view doc = "Harmonic mean of precision and recall.";
  std::optional<Average> average{};
  std::optional<double> threshold{};
  static void describe(auto&& field) {
    field("average", &F1ScoreConfig::average, "null: one score for each class; micro, macro or weighted");
    field("threshold", &F1ScoreConfig::threshold, "predictions above it are positive; null: the largest is", above(0),
          between(0, 1));
  }
};
class F1Score final : public ConfiguredMetric<F1ScoreConfig, FScore> {
 public:
  using ConfiguredMetric::ConfiguredMetric;

 protected:
  Rule rule() const override { return {config_.average, 1, config_.threshold}; }
};

enum class ClassAggregation : std::uint8_t { uniform_average, variance_weighted_average };

struct R2ScoreConfig {
  static constexpr std::string_view class_name = "R2Score", default_name = "r2_score";
  static constexpr std::string_view doc = "Which part of the variance is explained.";
  std::optional<ClassAggregation> class_aggregation = ClassAggregation::uniform_average;
  std::int64_t num_regressors = 0;
  static void describe(auto&& field) {
    field("class_aggregation", &R2ScoreConfig::class_aggregation, "null: one score for each output");
    field("num_regressors", &R2ScoreConfig::num_regressors,
          "independent variables, for the adjusted score; 0: not adjusted", at_least(0));
  }
};
class R2Score final : public ConfiguredMetric<R2ScoreConfig> {
 public:
  using ConfiguredMetric::ConfiguredMetric;
  Tensor result() const override;

 protected:
  void build(const Type& y_true, const Type& y_pred) override;
  void emit(Value y_true, Value y_pred, Value sample_weight) override;

 private:
  VariableRef samples_, squared_sum_, sum_, residual_, count_;
};

// Intersection over union of the regions of each class, from the matrix of true and predicted classes; classes that do
// not occur do not count.
class IntersectionOverUnion : public Metric {
 public:
  explicit IntersectionOverUnion(MetricOptions options) : Metric(std::move(options)) {}
  Tensor result() const override;

 protected:
  struct Rule {
    std::int64_t classes = 0;
    std::vector<std::int64_t> targets{};  // averaged over; empty: all
    std::optional<std::int64_t> ignore_class{};
    bool sparse_y_true = true, sparse_y_pred = true;  // class numbers, not one value for each class
    std::int64_t axis = -1;                           // of the classes, where there is one value for each
    std::optional<double> threshold{};                // of binary predictions
  };
  virtual Rule rule() const = 0;
  void build(const Type& y_true, const Type& y_pred) override;
  void emit(Value y_true, Value y_pred, Value sample_weight) override;

 private:
  VariableRef matrix_;  // rows: true classes
};

struct IoUConfig {
  static constexpr std::string_view class_name = "IoU", default_name = "io_u";
  static constexpr std::string_view doc = "Intersection over union of some classes.";
  static constexpr DType default_dtype = DType::int64;
  std::int64_t num_classes = 0;
  std::vector<std::int64_t> target_class_ids{};
  std::optional<std::int64_t> ignore_class{};
  bool sparse_y_true = true, sparse_y_pred = true;
  std::int64_t axis = -1;
  static void describe(auto&& field) {
    field("num_classes", &IoUConfig::num_classes, "number of classes", required(), at_least(1));
    field("target_class_ids", &IoUConfig::target_class_ids, "classes that are averaged", required(), at_least(0));
    field("ignore_class", &IoUConfig::ignore_class, "places with this label do not count");
    field("sparse_y_true", &IoUConfig::sparse_y_true, "labels are class numbers");
    field("sparse_y_pred", &IoUConfig::sparse_y_pred, "predictions are class numbers");
    field("axis", &IoUConfig::axis, "of the classes, where they are not numbers");
  }
  void check() const;
};
class IoU final : public ConfiguredMetric<IoUConfig, IntersectionOverUnion> {
 public:
  using ConfiguredMetric::ConfiguredMetric;

 protected:
  Rule rule() const override {
    return {config_.num_classes,   config_.target_class_ids, config_.ignore_class,
            config_.sparse_y_true, config_.sparse_y_pred,    config_.axis};
  }
};

struct BinaryIoUConfig {
  static constexpr std::string_view class_name = "BinaryIoU", default_name = "binary_io_u";
  static constexpr std::string_view doc = "Intersection over union of two classes, told apart by a threshold.";
  static constexpr DType default_dtype = DType::int64;
  std::vector<std::int64_t> target_class_ids{0, 1};
  double threshold = 0.5;
  static void describe(auto&& field) {
    field("target_class_ids", &BinaryIoUConfig::target_class_ids, "classes that are averaged", between(0, 1));
    field("threshold", &BinaryIoUConfig::threshold, "predictions from here on are class 1");
  }
};
class BinaryIoU final : public ConfiguredMetric<BinaryIoUConfig, IntersectionOverUnion> {
 public:
  using ConfiguredMetric::ConfiguredMetric;

 protected:
  Rule rule() const override {
    return {.classes = 2, .targets = config_.target_class_ids, .threshold = config_.threshold};
  }
};

struct MeanIoUConfig {
  static constexpr std::string_view class_name = "MeanIoU", default_name = "mean_io_u";
  static constexpr std::string_view doc = "Intersection over union, averaged over all classes.";
  static constexpr DType default_dtype = DType::int64;
  std::int64_t num_classes = 0;
  std::optional<std::int64_t> ignore_class{};
  bool sparse_y_true = true, sparse_y_pred = true;
  std::int64_t axis = -1;
  static void describe(auto&& field) {
    field("num_classes", &MeanIoUConfig::num_classes, "number of classes", required(), at_least(1));
    field("ignore_class", &MeanIoUConfig::ignore_class, "places with this label do not count");
    field("sparse_y_true", &MeanIoUConfig::sparse_y_true, "labels are class numbers");
    field("sparse_y_pred", &MeanIoUConfig::sparse_y_pred, "predictions are class numbers");
    field("axis", &MeanIoUConfig::axis, "of the classes, where they are not numbers");
  }
};
class MeanIoU final : public ConfiguredMetric<MeanIoUConfig, IntersectionOverUnion> {
 public:
  using ConfiguredMetric::ConfiguredMetric;

 protected:
  Rule rule() const override {
    return {config_.num_classes, {}, config_.ignore_class, config_.sparse_y_true, config_.sparse_y_pred, config_.axis};
  }
};

struct OneHotIoUConfig {
  static constexpr std::string_view class_name = "OneHotIoU", default_name = "one_hot_io_u";
  static constexpr std::string_view doc = "Intersection over union of some classes, for one-hot labels.";
  static constexpr DType default_dtype = DType::int64;
  std::int64_t num_classes = 0;
  std::vector<std::int64_t> target_class_ids{};
  std::optional<std::int64_t> ignore_class{};
  bool sparse_y_pred = false;
  std::int64_t axis = -1;
  static void describe(auto&& field) {
    field("num_classes", &OneHotIoUConfig::num_classes, "number of classes", required(), at_least(1));
    field("target_class_ids", &OneHotIoUConfig::target_class_ids, "classes that are averaged", required(), at_least(0));
    field("ignore_class", &OneHotIoUConfig::ignore_class, "places with this label do not count");
    field("sparse_y_pred", &OneHotIoUConfig::sparse_y_pred, "predictions are class numbers");
    field("axis", &OneHotIoUConfig::axis, "of the classes");
  }
  void check() const;
};
class OneHotIoU final : public ConfiguredMetric<OneHotIoUConfig, IntersectionOverUnion> {
 public:
  using ConfiguredMetric::ConfiguredMetric;

 protected:
  Rule rule() const override {
    return {config_.num_classes, config_.target_class_ids, config_.ignore_class, false, config_.sparse_y_pred,
            config_.axis};
  }
};

struct OneHotMeanIoUConfig {
  static constexpr std::string_view class_name = "OneHotMeanIoU", default_name = "one_hot_mean_io_u";
  static constexpr std::string_view doc = "Intersection over union, averaged over all classes, for one-hot labels.";
  static constexpr DType default_dtype = DType::int64;
  std::int64_t num_classes = 0;
  std::optional<std::int64_t> ignore_class{};
  bool sparse_y_pred = false;
  std::int64_t axis = -1;
  static void describe(auto&& field) {
    field("num_classes", &OneHotMeanIoUConfig::num_classes, "number of classes", required(), at_least(1));
    field("ignore_class", &OneHotMeanIoUConfig::ignore_class, "places with this label do not count");
    field("sparse_y_pred", &OneHotMeanIoUConfig::sparse_y_pred, "predictions are class numbers");
    field("axis", &OneHotMeanIoUConfig::axis, "of the classes");
  }
};
class OneHotMeanIoU final : public ConfiguredMetric<OneHotMeanIoUConfig, IntersectionOverUnion> {
 public:
  using ConfiguredMetric::ConfiguredMetric;

 protected:
  Rule rule() const override {
    return {config_.num_classes, {}, config_.ignore_class, false, config_.sparse_y_pred, config_.axis};
  }
};

}  // namespace metrics

template <>
struct EnumNames<metrics::Average> {
  static constexpr std::string_view names[] = {"micro", "macro", "weighted"};
};
template <>
struct EnumNames<metrics::ClassAggregation> {
  static constexpr std::string_view names[] = {"uniform_average", "variance_weighted_average"};
};

}  // namespace nacre
