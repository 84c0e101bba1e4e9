#include "api/train/confusion_metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "api/train/loss_functions.h"
#include "backend/graph/ops/ops.h"

namespace nacre {

namespace {

constexpr double below_all = -1e10;  // a prediction that no threshold lets pass

// Predictions outside the k largest of the last axis become below_all; the first of equal ones counts.
Value filter_top_k(Value y_pred, std::int64_t k) {
  const std::int64_t places = y_pred.shape()[-1];
  const Value lowest = ops::fill_like(y_pred, below_all);
  Value rest = y_pred, kept = lowest;
  for (std::int64_t i = 0; i < std::min(k, places); ++i) {
    const Value largest = ops::cast(ops::one_hot(ops::argmax(rest, -1), places), DType::boolean);
    kept = ops::select(largest, y_pred, kept);
    rest = ops::select(largest, ops::fill_like(y_pred, -std::numeric_limits<double>::infinity()), rest);
  }
  return kept;
}

// (labels, n) weights of positives and of negatives → (labels, 2, thresholds): the sums over the predictions that are
// above each threshold.
Value sums_above(Value y_pred, Value positives, Value negatives, const std::vector<double>& thresholds, bool even) {
  Graph& graph = y_pred.graph();
  const std::int64_t labels = y_pred.shape()[0], n = y_pred.shape()[1],
                     count = static_cast<std::int64_t>(thresholds.size());
  const Value both =
      ops::concat({ops::expand_dims(positives, 1), ops::expand_dims(negatives, 1)}, 1);  // (labels, 2, n)
  if (!even) {
    const Value levels =
        graph.constant(Tensor::of<float>({count}, std::vector<float>(thresholds.begin(), thresholds.end())));
    const Value above = ops::greater(ops::expand_dims(y_pred, -1), ops::cast(levels, y_pred.dtype()));
    return ops::matmul(both, ops::cast(above, both.dtype()));
  }
  // Predictions are gathered in bins between the thresholds: bin i holds those above exactly the first i thresholds.
  // With a first threshold below 0 none is in bin 0.
  Value bin = ops::ceil(ops::clip(y_pred, 0, 1) * static_cast<double>(count - 1));
  if (thresholds.front() < 0) bin = ops::maximum(bin, ops::scalar_like(bin, 1));
  // Each label has bins of its own, and each row (positives, negatives) of each label.
  const Value row = ops::iota(graph, {DType::int32, {labels, 2, n}}, 0) * graph.scalar(2, DType::int32) +
                    ops::iota(graph, {DType::int32, {labels, 2, n}}, 1);
  const Value place =
      ops::expand_dims(ops::cast(bin, DType::int32), 1) + row * graph.scalar(static_cast<double>(count), DType::int32);
  const Value bins = graph
                         .add(op::scatter_add, RowsAttrs{labels * 2 * count},
                              {ops::reshape(place, {labels * 2 * n}), ops::reshape(both, {labels * 2 * n})})
                         .out();
  const Type square{DType::int32, {count, count}};
  const Value above = ops::greater(ops::iota(graph, square, 0), ops::iota(graph, square, 1));
  return ops::reshape(ops::matmul(ops::reshape(bins, {labels * 2, count}), ops::cast(above, bins.dtype())),
                      {labels, 2, count});
}

std::vector<double> evenly(std::int64_t count) {
  std::vector<double> thresholds;
  for (std::int64_t i = 0; i < count; ++i)
    thresholds.push_back(static_cast<double>(i) / static_cast<double>(count - 1));
  return thresholds;
}

double divide(double a, double b) { return b == 0 ? 0 : a / b; }

}  // namespace

void FieldKind<Thresholds>::read(const Tree& tree, Thresholds& value) {
  value = {};
  if (tree.is_null()) return;
  value.single = tree.is_number();
  if (value.single) value.values = {tree.as_number()};
  else FieldKind<std::vector<double>>::read(tree, value.values);
}
Tree FieldKind<Thresholds>::write(const Thresholds& value, Style style) {
  if (value.values.empty()) return {};
  return value.single ? Tree(value.values.front()) : FieldKind<std::vector<double>>::write(value.values, style);
}
Tree FieldKind<Thresholds>::schema() {
  Tree schema;
  schema.set("anyOf",
             Tree::Sequence{schema_type("number"), FieldKind<std::vector<double>>::schema(), schema_type("null")});
  return schema;
}

void FieldKind<LabelWeights>::read(const Tree& tree, LabelWeights& value) {
  const Tree* config = tree.find("config");
  FieldKind<std::vector<double>>::read(config ? (*config)["value"] : tree, value.values);
}
Tree FieldKind<LabelWeights>::write(const LabelWeights& value, Style style) {
  return FieldKind<std::vector<double>>::write(value.values, style);
}
Tree FieldKind<LabelWeights>::schema() { return FieldKind<std::vector<double>>::schema(); }

void ConfusionMetric::build(const Type&, const Type& y_pred) {
  static constexpr std::string_view names[] = {"true_positives", "false_positives", "true_negatives",
                                               "false_negatives"};
  const Counting counting = this->counting();
  Shape shape{static_cast<std::int64_t>(counting.thresholds.size())};
  if (counting.multi_label) {
    need(y_pred.shape.rank() == 2, "multi_label wants predictions of shape (batch, labels), got {}", y_pred.shape);
    shape.append(y_pred.shape[-1]);
  }
  for (const Outcome outcome : counting.kept)
    state_.emplace_back(outcome, add_variable(std::string(names[static_cast<std::size_t>(outcome)]), shape));
}

void ConfusionMetric::emit(Value y_true, Value y_pred, Value sample_weight) {
  const Counting counting = this->counting();
  y_pred = ops::cast(y_pred, dtype());
  y_true = ops::cast(y_true, dtype());
  losses::match_ranks(y_pred, y_true);
  if (!same(y_true.shape(), y_pred.shape()))
    throw Error("labels of shape {} do not fit predictions of shape {}", y_true.shape(), y_pred.shape())
        .hint("this metric wants a label of 0 or 1 for each prediction; integer classes must be one-hot");
  if (counting.from_logits) y_pred = ops::sigmoid(y_pred);
  if (counting.top_k) y_pred = filter_top_k(y_pred, *counting.top_k);
  if (counting.class_id) {
    need(y_pred.shape().rank() > 1 && *counting.class_id < y_pred.shape()[-1],
         "class_id {} is outside predictions of shape {}", *counting.class_id, y_pred.shape());
    y_true = ops::slice_axis(y_true, -1, *counting.class_id, *counting.class_id + 1);
    y_pred = ops::slice_axis(y_pred, -1, *counting.class_id, *counting.class_id + 1);
  }

  Value weights = ops::fill_like(y_pred, 1);
  if (sample_weight)
    weights = weights * ops::cast(losses::align_weights(sample_weight, y_pred.shape().rank()), weights.dtype());
  if (!counting.label_weights.empty()) {
    const std::vector<float> label_weights(counting.label_weights.begin(), counting.label_weights.end());
    const Tensor tensor = Tensor::of<float>({static_cast<std::int64_t>(label_weights.size())}, label_weights);
    weights = weights * ops::cast(y_pred.graph().constant(tensor), weights.dtype());
  }

  // One row for each label that is counted by itself.
  const auto rows = [&](Value x) {
    return counting.multi_label ? ops::transpose(x, {1, 0}) : ops::reshape(x, {1, x.shape().elements()});
  };
  const Value positive = ops::cast(ops::cast(rows(y_true), DType::boolean), y_pred.dtype());
  const Value positives = positive * rows(weights), negatives = (1.0 - positive) * rows(weights);
  const Value above = sums_above(rows(y_pred), positives, negatives, counting.thresholds, counting.even);
  for (const auto& [outcome, variable] : state_) {
    const bool of_positives = outcome == Outcome::true_positives || outcome == Outcome::false_negatives;
    const Value passed = ops::squeeze(ops::slice_axis(above, 1, of_positives ? 0 : 1, of_positives ? 1 : 2), 1);
    const bool passes = outcome == Outcome::true_positives || outcome == Outcome::false_positives;
    const Value count = passes ? passed : ops::sum(of_positives ? positives : negatives, {1}, true) - passed;
    add_to(variable, counting.multi_label ? ops::transpose(count, {1, 0}) : ops::squeeze(count, 0));
  }
}

std::vector<double> ConfusionMetric::counts(Outcome outcome) const {
  for (const auto& [kept, variable] : state_)
    if (kept == outcome) return variable->value().to_doubles();
  return std::vector<double>(counting().thresholds.size());
}

Tensor ConfusionMetric::per_threshold(const std::vector<double>& values) const {
  const std::vector<float> numbers(values.begin(), values.end());
  return numbers.size() == 1 ? Tensor::scalar(numbers.front())
                             : Tensor::of<float>({static_cast<std::int64_t>(numbers.size())}, numbers);
}

std::vector<double> ConfusionMetric::ratio(Outcome part, Outcome rest) const {
  std::vector<double> parts = counts(part);
  const std::vector<double> rests = counts(rest);
  std::transform(parts.begin(), parts.end(), rests.begin(), parts.begin(),
                 [](double a, double b) { return divide(a, a + b); });
  return parts;
}

namespace metrics {

template <class Config_, Outcome wrong>
Tensor DecisionRatio<Config_, wrong>::result() const {
  return this->per_threshold(this->ratio(Outcome::true_positives, wrong));
}

template <class Config_, Outcome wrong>
ConfusionMetric::Counting DecisionRatio<Config_, wrong>::counting() const {
  const auto& config = this->config_;
  std::vector<double> thresholds = config.thresholds.values;
  if (thresholds.empty()) thresholds = {config.top_k ? below_all : 0.5};
  return {.kept = {Outcome::true_positives, wrong},
          .thresholds = std::move(thresholds),
          .top_k = config.top_k,
          .class_id = config.class_id};
}

template class DecisionRatio<Precision::Config, Outcome::false_positives>;
template class DecisionRatio<Recall::Config, Outcome::false_negatives>;

template <class Config_, Ratio wanted, Ratio constrained>
Tensor BestUnderConstraint<Config_, wanted, constrained>::result() const {
  const auto values = [&](Ratio ratio) {
    switch (ratio) {
      case Ratio::sensitivity: return this->ratio(Outcome::true_positives, Outcome::false_negatives);
      case Ratio::specificity: return this->ratio(Outcome::true_negatives, Outcome::false_positives);
      case Ratio::precision: break;
    }
    return this->ratio(Outcome::true_positives, Outcome::false_positives);
  };
  const std::vector<double> candidates = values(wanted), conditions = values(constrained);
  float best = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i)
    // Compared in float32, as in Keras: 0.1f counts as at least 0.1.
    if (static_cast<float>(conditions[i]) >= static_cast<float>(this->config_.bound))
      best = std::max(best, static_cast<float>(candidates[i]));
  return Tensor::scalar(best);
}

template <class Config_, Ratio wanted, Ratio constrained>
ConfusionMetric::Counting BestUnderConstraint<Config_, wanted, constrained>::counting() const {
  const auto& config = this->config_;
  const bool even = config.num_thresholds > 1;
  return {
      .kept = {Outcome::true_positives, Outcome::false_positives, Outcome::true_negatives, Outcome::false_negatives},
      .thresholds = even ? evenly(config.num_thresholds) : std::vector{0.5},
      .even = even,
      .class_id = config.class_id};
}

template class BestUnderConstraint<SensitivityAtSpecificity::Config, Ratio::sensitivity, Ratio::specificity>;
template class BestUnderConstraint<SpecificityAtSensitivity::Config, Ratio::specificity, Ratio::sensitivity>;
template class BestUnderConstraint<PrecisionAtRecall::Config, Ratio::precision, Ratio::sensitivity>;
template class BestUnderConstraint<RecallAtPrecision::Config, Ratio::sensitivity, Ratio::precision>;

void AUCConfig::check() const {
  if (num_labels && !multi_label) throw Error("num_labels goes with multi_label").usage();
}

ConfusionMetric::Counting AUC::counting() const {
  Counting counting{
      .kept = {Outcome::true_positives, Outcome::false_positives, Outcome::true_negatives, Outcome::false_negatives},
      .even = config_.thresholds.values.empty(),
      .multi_label = config_.multi_label,
      .from_logits = config_.from_logits};
  if (counting.even) {
    counting.thresholds = evenly(config_.num_thresholds);
  } else {
    counting.thresholds = config_.thresholds.values;
    std::ranges::sort(counting.thresholds);
    counting.thresholds.insert(counting.thresholds.begin(), 0);
    counting.thresholds.push_back(1);
  }
  counting.thresholds.front() -= losses::epsilon;
  counting.thresholds.back() += losses::epsilon;
  // With multi_label the weights are those of the areas.
  if (config_.label_weights && !config_.multi_label) counting.label_weights = config_.label_weights->values;
  return counting;
}

namespace {

// One curve: counts at falling numbers of positives.
struct Points {
  std::vector<double> tp, fp, tn, fn;
};

// Between two points true positives are a linear function of all positives, and precision is not.
double interpolated_pr_area(const Points& points) {
  double area = 0;
  for (std::size_t i = 0; i + 1 < points.tp.size(); ++i) {
    const double p = points.tp[i] + points.fp[i], next = points.tp[i + 1] + points.fp[i + 1];
    const double change = points.tp[i] - points.tp[i + 1];
    const double slope = divide(change, std::max(p - next, 0.0)), intercept = points.tp[i + 1] - slope * next;
    const double log_ratio = p > 0 && next > 0 ? std::log(p / next) : 0;
    area += divide(slope * (change + intercept * log_ratio), std::max(points.tp[i + 1] + points.fn[i + 1], 0.0));
  }
  return area;
}

struct Position {
  double x, y;
};

Position position(const Points& points, std::size_t i, Curve curve) {
  const double tp = points.tp[i], fp = points.fp[i], tn = points.tn[i], fn = points.fn[i];
  switch (curve) {
    case Curve::roc: return {divide(fp, fp + tn), divide(tp, tp + fn)};
    case Curve::pr: return {divide(tp, tp + fn), divide(tp, tp + fp)};
    case Curve::prgain: break;
  }
  if (tp == 0) return {0, 1};
  const double scale = divide(tp + fn, tn + fp);
  return {std::max(1 - scale * fn / tp, 0.0), 1 - scale * fp / tp};
}

double area(const Points& points, Curve curve, Summation summation) {
  if (curve == Curve::pr && summation == Summation::interpolation) return interpolated_pr_area(points);
  double sum = 0;
  for (std::size_t i = 0; i + 1 < points.tp.size(); ++i) {
    const Position a = position(points, i, curve), b = position(points, i + 1, curve);
    const double height = summation == Summation::interpolation ? (a.y + b.y) / 2
                          : summation == Summation::minoring    ? std::min(a.y, b.y)
                                                                : std::max(a.y, b.y);
    sum += (a.x - b.x) * height;
  }
  return sum;
}

}  // namespace

Tensor AUC::result() const {
  const Points all{counts(Outcome::true_positives), counts(Outcome::false_positives), counts(Outcome::true_negatives),
                   counts(Outcome::false_negatives)};
  const std::size_t thresholds = counting().thresholds.size(), labels = all.tp.size() / thresholds;
  double sum = 0, weights = 0;
  for (std::size_t label = 0; label < labels; ++label) {
    const auto own = [&](const std::vector<double>& counts) {
      std::vector<double> column;
      for (std::size_t i = 0; i < thresholds; ++i) column.push_back(counts[i * labels + label]);
      return column;
    };
    const double weight = config_.multi_label && config_.label_weights ? config_.label_weights->values.at(label) : 1;
    sum += weight * area({own(all.tp), own(all.fp), own(all.tn), own(all.fn)}, config_.curve, config_.summation_method);
    weights += weight;
  }
  return Tensor::scalar(static_cast<float>(divide(sum, weights)));
}

}  // namespace metrics

}  // namespace nacre
