#include "api/train/score_metrics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "api/train/loss_functions.h"
#include "backend/graph/ops/ops.h"

namespace nacre::metrics {

namespace {

void need_matrix(const Type& y_true, const Type& y_pred) {
  if (y_pred.shape.rank() != 2 || y_true.shape.rank() != 2)
    throw Error("wants labels and predictions of shape (batch, outputs), got {} and {}", y_true.shape, y_pred.shape);
}

Tensor vector_of(const std::vector<double>& values) {
  return Tensor::of<float>({static_cast<std::int64_t>(values.size())},
                           std::vector<float>(values.begin(), values.end()));
}

double sum_of(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

void check_targets(const std::vector<std::int64_t>& targets, std::int64_t classes) {
  for (const std::int64_t target : targets)
    if (target >= classes) throw Error("target class {} is outside the {} classes", target, classes).usage();
}

}  // namespace

void FScore::build(const Type& y_true, const Type& y_pred) {
  need_matrix(y_true, y_pred);
  const Shape shape = rule().average == Average::micro ? Shape{} : Shape{y_pred.shape[-1]};
  true_positives_ = add_variable("true_positives", shape);
  false_positives_ = add_variable("false_positives", shape);
  false_negatives_ = add_variable("false_negatives", shape);
  weights_ = add_variable("intermediate_weights", shape);
}

void FScore::emit(Value y_true, Value y_pred, Value sample_weight) {
  const Rule rule = this->rule();
  y_pred = ops::cast(y_pred, dtype());
  y_true = ops::cast(y_true, dtype());
  Value positive;
  if (rule.threshold) {
    positive = ops::greater(y_pred, ops::scalar_like(y_pred, *rule.threshold));
  } else {
    const Value largest = ops::greater_equal(y_pred, ops::max(y_pred, {-1}, true));
    positive = ops::logical_and(largest, ops::greater(ops::abs(y_pred), ops::scalar_like(y_pred, 1e-9)));
  }
  const Value guess = ops::cast(positive, dtype());
  const auto add = [&](const VariableRef& state, Value values) {
    if (sample_weight) values = values * ops::cast(losses::align_weights(sample_weight, 2), values.dtype());
    add_to(state, rule.average == Average::micro ? ops::sum(values) : ops::sum(values, {0}));
  };
  add(true_positives_, guess * y_true);
  add(false_positives_, guess * (1.0 - y_true));
  add(false_negatives_, (1.0 - guess) * y_true);
  add(weights_, y_true);
}

Tensor FScore::result() const {
  if (!true_positives_) return Tensor::scalar(0.0f);
  const Rule rule = this->rule();
  const std::vector<double> tp = true_positives_->value().to_doubles(), fp = false_positives_->value().to_doubles(),
                            fn = false_negatives_->value().to_doubles(), weights = weights_->value().to_doubles();
  const double beta = rule.beta * rule.beta, weight_sum = sum_of(weights) + losses::epsilon;
  std::vector<double> scores;
  for (std::size_t i = 0; i < tp.size(); ++i) {
    const double precision = tp[i] / (tp[i] + fp[i] + losses::epsilon),
                 recall = tp[i] / (tp[i] + fn[i] + losses::epsilon);
    scores.push_back(precision * recall / (beta * precision + recall + losses::epsilon) * (1 + beta));
  }
  if (!rule.average) return vector_of(scores);
  if (*rule.average != Average::weighted)
    return Tensor::scalar(static_cast<float>(sum_of(scores) / static_cast<double>(scores.size())));
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i] *= weights[i] / weight_sum;
  return Tensor::scalar(static_cast<float>(sum_of(scores)));
}

void R2Score::build(const Type& y_true, const Type& y_pred) {
  Shape shape = y_pred.shape;
  if (shape.rank() == 1) shape.append(1);
  need(shape.rank() == 2 && y_true.shape.rank() <= 2,
       "wants labels and predictions of shape (batch, outputs), got {} and {}", y_true.shape, y_pred.shape);
  samples_ = add_variable("num_samples", {});
  squared_sum_ = add_variable("squared_sum", {shape[-1]});
  sum_ = add_variable("sum", {shape[-1]});
  residual_ = add_variable("residual", {shape[-1]});
  count_ = add_variable("count", {shape[-1]});
}

void R2Score::emit(Value y_true, Value y_pred, Value sample_weight) {
  const auto matrix = [&](Value x) { return losses::align_weights(ops::cast(x, dtype()), 2); };
  y_true = matrix(y_true);
  y_pred = matrix(y_pred);
  const Value weights = sample_weight ? ops::broadcast_like(matrix(sample_weight), y_true) : ops::fill_like(y_true, 1);
  const Value weighted = y_true * weights;
  add_to(sum_, ops::sum(weighted, {0}));
  add_to(squared_sum_, ops::sum(y_true * weighted, {0}));
  add_to(residual_, ops::sum(ops::square(y_true - y_pred) * weights, {0}));
  add_to(count_, ops::sum(weights, {0}));
  add_to(samples_, ops::scalar_like(y_true, static_cast<double>(y_true.shape().elements())));
}

Tensor R2Score::result() const {
  if (!samples_) return Tensor::scalar(0.0f);
  const std::vector<double> squared = squared_sum_->value().to_doubles(), sum = sum_->value().to_doubles(),
                            residual = residual_->value().to_doubles(), count = count_->value().to_doubles();
  std::vector<double> scores, totals;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    totals.push_back(squared[i] - sum[i] * (sum[i] / count[i]));
    const double score = 1 - residual[i] / totals.back();
    scores.push_back(std::isinf(score) ? 0 : score);
  }
  const double samples = samples_->value().item(), regressors = static_cast<double>(config_.num_regressors);
  const auto adjusted = [&](double score) {
    if (regressors == 0 || regressors >= samples - 1) return score;  // as many variables as samples: no adjustment
    return 1 - (1 - score) * (samples - 1) / (samples - regressors - 1);
  };
  if (!config_.class_aggregation) {
    std::ranges::transform(scores, scores.begin(), adjusted);
    return vector_of(scores);
  }
  if (*config_.class_aggregation == ClassAggregation::uniform_average)
    return Tensor::scalar(static_cast<float>(adjusted(sum_of(scores) / static_cast<double>(scores.size()))));
  const double weighted = std::inner_product(scores.begin(), scores.end(), totals.begin(), 0.0);
  return Tensor::scalar(static_cast<float>(adjusted(weighted / sum_of(totals))));
}

void IntersectionOverUnion::build(const Type&, const Type&) {
  const std::int64_t classes = rule().classes;
  matrix_ = add_variable("total_confusion_matrix", {classes, classes});
}

void IntersectionOverUnion::emit(Value y_true, Value y_pred, Value sample_weight) {
  const Rule rule = this->rule();
  Graph& graph = y_pred.graph();
  if (!rule.sparse_y_true) y_true = ops::argmax(y_true, static_cast<int>(rule.axis));
  if (!rule.sparse_y_pred) y_pred = ops::argmax(y_pred, static_cast<int>(rule.axis));
  if (rule.threshold) y_pred = ops::greater_equal(y_pred, ops::scalar_like(y_pred, *rule.threshold));
  const auto flat = [&](Value x) { return ops::reshape(x, {x.shape().elements()}); };

  // Weights are numbers of the state's dtype: whole ones unless the metric is asked for floats.
  Value weights = ops::fill_like(ops::cast(y_true, DType::float32), 1);
  if (sample_weight) {
    const Value whole = ops::cast(ops::cast(sample_weight, dtype()), DType::float32);
    weights = weights * losses::align_weights(whole, weights.shape().rank());
  }
  weights = flat(weights);
  const Value label = ops::cast(flat(y_true), DType::int32), guess = ops::cast(flat(y_pred), DType::int32);
  need(same(label.shape(), guess.shape()), "labels of {} places do not fit predictions of {}", label.shape(),
       guess.shape());

  const Value zero = graph.scalar(0, DType::int32),
              classes = graph.scalar(static_cast<double>(rule.classes), DType::int32);
  const auto inside = [&](Value x) { return ops::logical_and(ops::greater_equal(x, zero), ops::less(x, classes)); };
  Value counted = ops::logical_and(inside(label), inside(guess));
  if (rule.ignore_class)
    counted = ops::logical_and(
        counted, ops::not_equal(label, graph.scalar(static_cast<double>(*rule.ignore_class), DType::int32)));
  const Value place = ops::select(counted, label * classes + guess, zero);
  weights = ops::select(counted, weights, ops::scalar_like(weights, 0));
  const Value counts = graph.add(op::scatter_add, RowsAttrs{rule.classes * rule.classes}, {place, weights}).out();
  add_to(matrix_, ops::reshape(counts, {rule.classes, rule.classes}));
}

Tensor IntersectionOverUnion::result() const {
  if (!matrix_) return Tensor::scalar(0.0f);
  const Rule rule = this->rule();
  const auto classes = static_cast<std::size_t>(rule.classes);
  const std::vector<double> matrix = matrix_->value().to_doubles();
  std::vector<std::int64_t> targets = rule.targets;
  if (targets.empty()) {
    targets.resize(classes);
    std::iota(targets.begin(), targets.end(), 0);
  }
  double sum = 0, present = 0;
  for (const std::int64_t target : targets) {
    const auto c = static_cast<std::size_t>(target);
    double both = matrix[c * classes + c], either = -both;
    for (std::size_t i = 0; i < classes; ++i) either += matrix[c * classes + i] + matrix[i * classes + c];
    if (either <= 0) continue;
    sum += both / (either + losses::epsilon);
    ++present;
  }
  return Tensor::scalar(static_cast<float>(sum / (present + losses::epsilon)));
}

void IoUConfig::check() const { check_targets(target_class_ids, num_classes); }
void OneHotIoUConfig::check() const { check_targets(target_class_ids, num_classes); }

}  // namespace nacre::metrics
