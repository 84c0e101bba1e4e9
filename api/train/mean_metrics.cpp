#include "api/train/mean_metrics.h"

#include <cmath>

#include "backend/graph/ops/ops.h"

namespace nacre {

namespace {

using Reduce = Value (*)(Value, std::vector<std::int64_t>, bool);

std::vector<std::int64_t> axes(int begin, int end) {
  std::vector<std::int64_t> list;
  for (int axis = begin; axis < end; ++axis) list.push_back(axis);
  return list;
}

struct Samplewise {
  Value values, weights;
};

// Values times weights, reduced to one for each sample; weights may be null. Source: Keras 3,
// metrics/reduction_metrics.py.
Samplewise samplewise(Value values, Value weights, Reduce reduce) {
  if (weights) {
    weights = ops::cast(weights, values.dtype());
    losses::match_ranks(values, weights);
    const int rank = weights.shape().rank();
    if (values.shape().rank() > rank) values = reduce(values, axes(rank, values.shape().rank()), false);
    weights = ops::broadcast_like(weights, values);
    values = values * weights;
    if (rank > 1) weights = reduce(weights, axes(1, rank), false);
  }
  if (const int rank = values.shape().rank(); rank > 1) values = reduce(values, axes(1, rank), false);
  return {values, weights};
}

Value sum_all(Value x) { return x.shape().rank() == 0 ? x : ops::sum(x); }

double ratio(const VariableRef& part, const VariableRef& whole) {
  const double count = whole ? whole->value().item() : 0;
  return count == 0 ? 0 : part->value().item() / count;
}

Value equal_as(Value a, Value b) { return ops::cast(ops::equal(a, b), DType::float32); }

// Whether the label's prediction is among the k largest, as a float.
Value in_top_k(Value labels, Value y_pred, std::int64_t k) {
  const Value own = ops::take_along(y_pred, labels, -1);
  const Value better = ops::cast(ops::greater(y_pred, ops::expand_dims(own, -1)), DType::float32);
  const Value few = ops::less(ops::sum(better, {-1}), y_pred.graph().scalar(static_cast<double>(k)));
  return ops::cast(ops::logical_and(few, ops::is_finite(own)), DType::float32);
}

// Removes a last axis of size 1 that the labels have in place of the classes.
Value label_of(Value y_true, Value y_pred) {
  const bool extra = y_true.shape().rank() == y_pred.shape().rank() && y_true.shape()[-1] == 1;
  return extra ? ops::squeeze(y_true, -1) : y_true;
}

Value centred(Value x, std::int64_t axis) { return x - ops::mean(x, {axis}, true); }
Value variance(Value centred_values, std::int64_t axis) { return ops::mean(ops::square(centred_values), {axis}, true); }

}  // namespace

void MeanMetric::build(const Type&, const Type&) {
  total_ = add_variable("total", {});
  count_ = add_variable("count", {});
}

void MeanMetric::add(Value number, Value weight) {
  ensure_built(number.type(), number.type());
  const Samplewise samples = samplewise(ops::cast(number, dtype()), weight, ops::mean);
  add_to(total_, sum_all(samples.values));
  const Shape& shape = samples.values.shape();
  add_to(count_, samples.weights
                     ? sum_all(samples.weights)
                     : ops::scalar_like(samples.values, shape.rank() > 0 ? static_cast<double>(shape[0]) : 1));
}

void MeanMetric::emit(Value y_true, Value y_pred, Value sample_weight) {
  y_true = ops::cast(y_true, y_pred.dtype());
  if (sample_weight)
    sample_weight = losses::apply_mask(sample_weight, counted(y_true, y_pred), sample_weight.dtype(), false);
  add(values(y_true, y_pred), sample_weight);
}

Tensor MeanMetric::result() const { return Tensor::scalar(static_cast<float>(ratio(total_, count_))); }

namespace metrics {

Value equality(Value y_true, Value y_pred) {
  losses::match_ranks(y_true, y_pred);
  return equal_as(y_true, y_pred);
}

Value categorical_accuracy(Value y_true, Value y_pred) {
  return equal_as(ops::argmax(y_true, -1), ops::argmax(y_pred, -1));
}

Value sparse_categorical_accuracy(Value y_true, Value y_pred) {
  const Value labels = label_of(y_true, y_pred), guess = ops::argmax(y_pred, -1);
  const Value matches = equal_as(labels, ops::cast(guess, labels.dtype()));
  return matches.shape().rank() > 1 && matches.shape()[-1] == 1 ? ops::squeeze(matches, -1) : matches;
}

Value BinaryAccuracyConfig::operator()(Value y_true, Value y_pred) const {
  losses::match_ranks(y_true, y_pred);
  return equal_as(y_true, ops::cast(ops::greater(y_pred, ops::scalar_like(y_pred, threshold)), y_true.dtype()));
}

Value TopKCategoricalAccuracyConfig::operator()(Value y_true, Value y_pred) const {
  return in_top_k(ops::argmax(y_true, -1), y_pred, k);
}

Value SparseTopKCategoricalAccuracyConfig::operator()(Value y_true, Value y_pred) const {
  const Value labels = label_of(y_true, y_pred);
  if (!from_sorted_ids) return in_top_k(ops::cast(labels, DType::int32), y_pred, k);
  const Value first = ops::slice_axis(y_pred, -1, 0, k);
  return ops::max(equal_as(first, ops::expand_dims(labels, -1)), {-1});
}

Value BinaryCrossentropyConfig::operator()(Value y_true, Value y_pred) const {
  losses::match_ranks(y_true, y_pred);
  return ops::mean(losses::binary_crossentropy(losses::smooth_binary(y_true, label_smoothing), y_pred, from_logits),
                   {-1});
}

Value CategoricalCrossentropyConfig::operator()(Value y_true, Value y_pred) const {
  return losses::categorical_crossentropy(losses::smooth_categorical(y_true, label_smoothing), y_pred, from_logits,
                                          static_cast<int>(axis));
}

Value SparseCategoricalCrossentropyConfig::operator()(Value y_true, Value y_pred) const {
  if (!ignore_class)
    return losses::sparse_categorical_crossentropy(y_true, y_pred, from_logits, static_cast<int>(axis));
  const Value labels = label_of(y_true, y_pred), known = counted(y_true, y_pred);
  const Value values = losses::sparse_categorical_crossentropy(ops::select(known, labels, ops::scalar_like(labels, 0)),
                                                               y_pred, from_logits, static_cast<int>(axis));
  return ops::select(known, values, ops::scalar_like(values, 0));
}

Value SparseCategoricalCrossentropyConfig::counted(Value y_true, Value y_pred) const {
  if (!ignore_class) return {};
  const Value labels = label_of(y_true, y_pred);
  return ops::not_equal(labels, ops::scalar_like(labels, static_cast<double>(*ignore_class)));
}

Value CosineSimilarityConfig::operator()(Value y_true, Value y_pred) const {
  return losses::cosine_similarity(y_true, y_pred, static_cast<int>(axis));
}

Value PearsonCorrelationConfig::operator()(Value y_true, Value y_pred) const {
  losses::match_ranks(y_true, y_pred);
  const Value a = centred(y_true, axis), b = centred(y_pred, axis);
  return ops::mean(a / ops::sqrt(variance(a, axis)) * (b / ops::sqrt(variance(b, axis))), {axis});
}

Value ConcordanceCorrelationConfig::operator()(Value y_true, Value y_pred) const {
  losses::match_ranks(y_true, y_pred);
  const Value mean = ops::mean(y_pred, {axis}, true);
  const Value covariance = (y_true - mean) * (y_pred - mean);
  const Value spread = variance(centred(y_true, axis), axis) + variance(centred(y_pred, axis), axis) +
                       ops::square(ops::mean(y_true, {axis}, true) - mean);
  return ops::mean(2.0 * covariance / (spread + losses::epsilon), {axis});
}

Value MeanConfig::operator()(Value, Value y_pred) const { return y_pred; }

Tensor RootMeanSquaredError::result() const {
  return Tensor::scalar(static_cast<float>(std::sqrt(MeanMetric::result().item())));
}

Value RootMeanSquaredError::values(Value y_true, Value y_pred) const {
  losses::match_ranks(y_true, y_pred);
  return ops::square(y_pred - y_true);
}

void Sum::build(const Type&, const Type&) { total_ = add_variable("total", {}); }
void Sum::add(Value values, Value weight) {
  ensure_built(values.type(), values.type());
  add_to(total_, sum_all(samplewise(ops::cast(values, dtype()), weight, ops::sum).values));
}
void Sum::emit(Value, Value y_pred, Value sample_weight) { add(y_pred, sample_weight); }
Tensor Sum::result() const { return Tensor::scalar(static_cast<float>(total_ ? total_->value().item() : 0)); }

}  // namespace metrics

}  // namespace nacre
