#include "api/train/loss_functions.h"

#include <cmath>

#include "api/train/exchange.h"
#include "backend/graph/ops/ops.h"

namespace nacre::losses {

namespace {

Value clip_probability(Value p) { return ops::clip(p, epsilon, 1 - epsilon); }

// The operand of the softmax (over `axis`) or sigmoid that made `probabilities`, in their dtype; null when something
// else did.
Value logits_of(Value probabilities, const Op& op, int axis = -1) {
  Value made = probabilities;
  while (made.is(op::cast)) made = made.node().in(0);
  if (!made.is(op)) return {};
  if (op == op::softmax && made.node().attrs<AxisAttrs>().axis != made.shape().checked(axis)) return {};
  return ops::cast(made.node().in(0), probabilities.dtype());
}

void need_same_shape(Value y_true, Value y_pred, const char* hint) {
  if (!same(y_true.shape(), y_pred.shape()))
    throw Error("labels of shape {} do not fit predictions of shape {}", y_true.shape(), y_pred.shape()).hint(hint);
}

// Labels 0 and 1, when there are no others, become -1 and 1.
Value hinge_labels(Value y) {
  const Value binary = ops::logical_or(ops::equal(y, ops::scalar_like(y, 0)), ops::equal(y, ops::scalar_like(y, 1)));
  const Value all_binary = ops::min(ops::cast(binary, y.dtype()));
  return ops::select(ops::equal(all_binary, ops::scalar_like(y, 1)), 2.0 * y - 1.0, y);
}

Value hinge_margin(Value y_true, Value y_pred) { return ops::relu(1.0 - hinge_labels(y_true) * y_pred); }

// x / |x| along an axis; zero vectors stay zero.
Value unit(Value x, int axis) {
  const Value square = ops::sum(ops::square(x), {axis}, true);
  return x * ops::rsqrt(ops::maximum(square, ops::scalar_like(x, epsilon * epsilon)));
}

}  // namespace

Value mean_squared_error(Value y_true, Value y_pred) {
  match_ranks(y_true, y_pred);
  return ops::mean(ops::square(y_true - y_pred), {-1});
}

Value mean_absolute_error(Value y_true, Value y_pred) {
  match_ranks(y_true, y_pred);
  return ops::mean(ops::abs(y_true - y_pred), {-1});
}

Value mean_absolute_percentage_error(Value y_true, Value y_pred) {
  match_ranks(y_true, y_pred);
  const Value size = ops::maximum(ops::abs(y_true), ops::scalar_like(y_true, epsilon));
  return 100.0 * ops::mean(ops::abs((y_true - y_pred) / size), {-1});
}

Value mean_squared_logarithmic_error(Value y_true, Value y_pred) {
  match_ranks(y_true, y_pred);
  const auto log_of = [](Value y) { return ops::log(ops::maximum(y, ops::scalar_like(y, epsilon)) + 1.0); };
  return ops::mean(ops::square(log_of(y_pred) - log_of(y_true)), {-1});
}

Value cosine_similarity(Value y_true, Value y_pred, int axis) {
  match_ranks(y_true, y_pred);
  return ops::sum(unit(y_true, axis) * unit(y_pred, axis), {axis});
}

Value huber(Value y_true, Value y_pred, double delta) {
  match_ranks(y_true, y_pred);
  const Value error = y_pred - y_true, size = ops::abs(error);
  const Value small = ops::less_equal(size, ops::scalar_like(size, delta));
  return ops::mean(ops::select(small, 0.5 * ops::square(error), delta * size - 0.5 * delta * delta), {-1});
}

Value log_cosh(Value y_true, Value y_pred) {
  match_ranks(y_true, y_pred);
  const Value error = y_pred - y_true;
  return ops::mean(error + softplus(-2.0 * error) - std::log(2.0), {-1});
}

Value hinge(Value y_true, Value y_pred) { return ops::mean(hinge_margin(y_true, y_pred), {-1}); }
Value squared_hinge(Value y_true, Value y_pred) { return ops::mean(ops::square(hinge_margin(y_true, y_pred)), {-1}); }

Value categorical_hinge(Value y_true, Value y_pred) {
  const Value right = ops::sum(y_true * y_pred, {-1}), wrong = ops::max((1.0 - y_true) * y_pred, {-1});
  return ops::relu(wrong - right + 1.0);
}

Value kl_divergence(Value y_true, Value y_pred) {
  y_true = ops::clip(y_true, epsilon, 1);
  y_pred = ops::clip(y_pred, epsilon, 1);
  return ops::sum(y_true * ops::log(y_true / y_pred), {-1});
}

Value poisson(Value y_true, Value y_pred) { return ops::mean(y_pred - y_true * ops::log(y_pred + epsilon), {-1}); }

Value binary_crossentropy(Value y_true, Value y_pred, bool from_logits) {
  need_same_shape(y_true, y_pred, "binary_crossentropy wants a label for each prediction");
  Value logits = logits_of(y_pred, op::sigmoid);
  if (!logits && from_logits) logits = y_pred;
  if (logits) return softplus(logits) - logits * y_true;
  const Value p = clip_probability(y_pred);
  return -(y_true * ops::log(p) + (1.0 - y_true) * ops::log(1.0 - p));
}

Value categorical_crossentropy(Value y_true, Value y_pred, bool from_logits, int axis) {
  need_same_shape(
      y_true, y_pred,
      "categorical_crossentropy wants one-hot labels, which data: {one_hot: auto} makes; for integers there is "
      "sparse_categorical_crossentropy");
  Value logits = logits_of(y_pred, op::softmax, axis);
  if (!logits && from_logits) logits = y_pred;
  const Value log_p =
      logits ? ops::log_softmax(logits, axis) : ops::log(clip_probability(y_pred / ops::sum(y_pred, {axis}, true)));
  return -ops::sum(y_true * log_p, {axis});
}

Value sparse_categorical_crossentropy(Value labels, Value y_pred, bool from_logits, int axis) {
  axis = y_pred.shape().checked(axis);
  if (labels.shape().rank() == y_pred.shape().rank() && labels.shape()[axis] == 1) labels = ops::squeeze(labels, axis);
  Shape wanted;
  for (int i = 0; i < y_pred.shape().rank(); ++i)
    if (i != axis) wanted.append(y_pred.shape()[i]);
  if (!same(labels.shape(), wanted))
    throw Error("labels of shape {} do not fit predictions of shape {}", labels.shape(), y_pred.shape())
        .hint(
            "sparse_categorical_crossentropy wants integer labels; for one-hot ones there is categorical_crossentropy");
  Value logits = logits_of(y_pred, op::softmax, axis);
  if (!logits) logits = from_logits ? y_pred : ops::log(clip_probability(y_pred));
  if (labels.dtype() != DType::int64) labels = ops::cast(labels, DType::int32);
  return -ops::take_along(ops::log_softmax(logits, axis), labels, axis);
}

Value smooth_binary(Value y_true, double amount) { return amount == 0 ? y_true : y_true * (1 - amount) + 0.5 * amount; }

Value smooth_categorical(Value y_true, double amount) {
  return amount == 0 ? y_true : y_true * (1 - amount) + amount / static_cast<double>(y_true.shape()[-1]);
}

void match_ranks(Value& a, Value& b) {
  const auto match = [](Value& longer, Value& shorter) {
    if (longer.shape().rank() != shorter.shape().rank() + 1 || longer.shape()[-1] != 1) return;
    if (shorter.shape().rank() == 1) shorter = ops::expand_dims(shorter, -1);
    else longer = ops::squeeze(longer, -1);
  };
  match(a, b);
  match(b, a);
}

Value divide_no_nan(Value a, Value b) {
  const Value zero = ops::equal(b, ops::scalar_like(b, 0));
  return ops::select(zero, ops::scalar_like(a, 0), a / ops::select(zero, ops::scalar_like(b, 1), b));
}

// The two branches meet at 0 with the right derivative, 1/2.
Value softplus(Value x) {
  const Value zero = ops::scalar_like(x, 0), positive = ops::greater_equal(x, zero);
  return ops::select(positive, x, zero) + ops::log1p(ops::exp(ops::select(positive, -x, x)));
}

Value align_weights(Value weights, int rank) {
  while (weights.shape().rank() > rank && weights.shape().rank() > 1 && weights.shape()[-1] == 1)
    weights = ops::squeeze(weights, -1);
  while (weights.shape().rank() < rank) weights = ops::expand_dims(weights, -1);
  return weights;
}

Value apply_mask(Value sample_weight, Value mask, DType dtype, bool rescale, Exchange* exchange) {
  if (sample_weight) sample_weight = ops::cast(sample_weight, dtype);
  if (!mask) return sample_weight;
  Value weights = ops::cast(ops::cast(mask, DType::boolean), dtype);
  if (rescale) {
    double total = static_cast<double>(weights.shape().elements());
    Value counted = ops::sum(weights);
    if (exchange) total *= exchange->times(), counted = exchange->sum_of_counts(counted);
    weights = weights * divide_no_nan(ops::scalar_like(weights, total), counted);
  }
  if (!sample_weight) return weights;
  const int rank = std::max(weights.shape().rank(), sample_weight.shape().rank());
  return align_weights(weights, rank) * align_weights(sample_weight, rank);
}

}  // namespace nacre::losses
