#include "api/train/losses.h"

#include "api/train/exchange.h"
#include "backend/graph/ops/ops.h"
#include "layers/ctc.h"

namespace nacre {

namespace {

DType computation_dtype(DType dtype) { return dtype == DType::float64 ? dtype : DType::float32; }

Value reduce(Value values, Value weights, Reduction reduction, Exchange* exchange) {
  if (reduction == Reduction::none || values.shape().rank() == 0) return values;
  const Value sum = ops::sum(values);
  switch (reduction) {
    case Reduction::sum: return exchange ? sum * exchange->times() : sum;
    case Reduction::mean_with_sample_weight:
      if (weights) {
        const Value weight = ops::sum(ops::broadcast_like(weights, values));
        if (!exchange) return losses::divide_no_nan(sum, weight);
        return losses::divide_no_nan(sum * exchange->times(), exchange->sum_of_counts(weight));
      }
      [[fallthrough]];
    default: return sum / static_cast<double>(std::max<std::int64_t>(values.shape().elements(), 1));
  }
}

}  // namespace

SampleLosses Loss::per_sample(Value y_true, Value y_pred) const {
  y_pred = ops::cast(y_pred, options_.dtype.value_or(computation_dtype(y_pred.dtype())));
  if (!takes_labels() || is_floating(y_true.dtype())) y_true = ops::cast(y_true, y_pred.dtype());
  try {
    losses::match_ranks(y_true, y_pred);
    return emit(y_true, y_pred);
  } catch (Error& error) {
    error.about(fmt::format("loss '{}'", name()));
    throw;
  }
}

Value Loss::operator()(Value y_true, Value y_pred, Value sample_weight, Value mask, Exchange* exchange) const {
  const SampleLosses losses = per_sample(y_true, y_pred);
  Value values = losses.values;
  Value counted = losses.counted && mask ? ops::logical_and(ops::cast(mask, DType::boolean), losses.counted)
                  : losses.counted       ? losses.counted
                                         : mask;
  const bool rescale = reduction() == Reduction::mean || reduction() == Reduction::sum_over_batch_size;
  Value weights = losses::apply_mask(sample_weight, counted, values.dtype(), rescale, exchange);
  if (weights) {
    losses::match_ranks(values, weights);
    weights = losses::align_weights(weights, values.shape().rank());
    try {
      values = values * weights;
    } catch (Error& error) {
      error.about(fmt::format("loss '{}', sample weights of shape {} for losses of shape {}", name(), weights.shape(),
                              values.shape()));
      throw;
    }
  }
  return reduce(values, weights, reduction(), exchange);
}

void FieldKind<AxisList>::read(const Tree& tree, AxisList& value) {
  if (tree.is_integer()) value.axes = {tree.as_integer()};
  else if (tree.is_null()) value.axes.clear();
  else FieldKind<std::vector<std::int64_t>>::read(tree, value.axes);
}
Tree FieldKind<AxisList>::write(const AxisList& value, Style style) {
  return value.axes.empty() ? Tree() : FieldKind<std::vector<std::int64_t>>::write(value.axes, style);
}
Tree FieldKind<AxisList>::schema() {
  Tree schema;
  schema.set("anyOf", Tree::Sequence{schema_type("integer"), FieldKind<std::vector<std::int64_t>>::schema(),
                                     schema_type("null")});
  return schema;
}

namespace losses {

SampleLosses BinaryCrossentropyConfig::operator()(Value y_true, Value y_pred) const {
  return ops::mean(binary_crossentropy(smooth_binary(y_true, label_smoothing), y_pred, from_logits), {axis});
}

SampleLosses BinaryFocalCrossentropyConfig::operator()(Value y_true, Value y_pred) const {
  y_true = smooth_binary(y_true, label_smoothing);
  const Value crossentropy = binary_crossentropy(y_true, y_pred, from_logits);
  const Value p = from_logits ? ops::sigmoid(y_pred) : y_pred;
  const Value wrong = 1.0 - (y_true * p + (1.0 - y_true) * (1.0 - p));
  Value loss = ops::power(wrong, ops::scalar_like(wrong, gamma)) * crossentropy;
  if (apply_class_balancing) loss = (y_true * alpha + (1.0 - y_true) * (1 - alpha)) * loss;
  return ops::mean(loss, {axis});
}

SampleLosses CategoricalCrossentropyConfig::operator()(Value y_true, Value y_pred) const {
  return categorical_crossentropy(smooth_categorical(y_true, label_smoothing), y_pred, from_logits,
                                  static_cast<int>(axis));
}

SampleLosses CategoricalFocalCrossentropyConfig::operator()(Value y_true, Value y_pred) const {
  y_true = smooth_categorical(y_true, label_smoothing);
  const Value given = from_logits ? ops::softmax(y_pred, static_cast<int>(axis)) : y_pred;
  const Value p = ops::clip(given / ops::sum(given, {axis}, true), epsilon, 1 - epsilon);
  const Value focus = alpha * ops::power(1.0 - p, ops::scalar_like(p, gamma));
  return -ops::sum(focus * y_true * ops::log(p), {axis});
}

SampleLosses SparseCategoricalCrossentropyConfig::operator()(Value y_true, Value y_pred) const {
  const int class_axis = static_cast<int>(axis);
  if (!ignore_class) return sparse_categorical_crossentropy(y_true, y_pred, from_logits, class_axis);
  if (y_true.shape().rank() == y_pred.shape().rank() && y_true.shape()[class_axis] == 1)
    y_true = ops::squeeze(y_true, class_axis);
  const Value counted = ops::not_equal(y_true, ops::scalar_like(y_true, static_cast<double>(*ignore_class)));
  const Value labels = ops::select(counted, y_true, ops::scalar_like(y_true, 0));
  const Value values = sparse_categorical_crossentropy(labels, y_pred, from_logits, class_axis);
  return {ops::select(counted, values, ops::scalar_like(values, 0)), counted};
}

SampleLosses CategoricalGeneralizedCrossEntropyConfig::operator()(Value y_true, Value y_pred) const {
  if (y_true.shape().rank() == y_pred.shape().rank() && y_true.shape()[-1] == 1) y_true = ops::squeeze(y_true, -1);
  const Value labels = ops::one_hot(ops::cast(y_true, DType::int32), y_pred.shape()[-1], y_pred.dtype());
  const Value p = ops::sum(y_pred * labels, {-1});
  return (1.0 - ops::power(p, ops::scalar_like(p, q))) / q;
}

SampleLosses CosineSimilarityConfig::operator()(Value y_true, Value y_pred) const {
  return -cosine_similarity(y_true, y_pred, static_cast<int>(axis));
}

SampleLosses HuberConfig::operator()(Value y_true, Value y_pred) const { return huber(y_true, y_pred, delta); }

SampleLosses DiceConfig::operator()(Value y_true, Value y_pred) const {
  const auto sum = [&](Value x) { return ops::sum(x, axis.axes); };
  return 1.0 - 2.0 * sum(y_true * y_pred) / (sum(y_true) + sum(y_pred) + epsilon);
}

SampleLosses TverskyConfig::operator()(Value y_true, Value y_pred) const {
  const auto sum = [&](Value x) { return ops::sum(x, axis.axes); };
  const Value both = sum(y_true * y_pred), missed = sum((1.0 - y_pred) * y_true), extra = sum(y_pred * (1.0 - y_true));
  return 1.0 - both / (both + missed * alpha + extra * beta + epsilon);
}

SampleLosses CircleConfig::operator()(Value y_true, Value y_pred) const {
  need(y_pred.shape().rank() == 2, "wants embeddings of shape (batch, size), got {}", y_pred.shape());
  const std::int64_t batch = y_pred.shape()[0];
  Graph& graph = y_pred.graph();
  const Value labels = ops::cast(y_true, DType::int32);
  const Value same_label = ops::equal(ops::reshape(labels, {batch, 1}), ops::reshape(labels, {1, batch}));
  Value positive = same_label;
  if (remove_diagonal) {
    const Type pairs{DType::int32, {batch, batch}};
    positive = ops::logical_and(positive, ops::not_equal(ops::iota(graph, pairs, 0), ops::iota(graph, pairs, 1)));
  }
  const Value distance = ops::relu(1.0 - ops::matmul(y_pred, y_pred, false, true));
  // log Σ exp over the pairs that count. The others are far below any that does; a row without pairs gives no loss.
  const auto log_sum_exp = [](Value x, Value pairs) {
    const Value kept = ops::select(pairs, x, ops::fill_like(x, -1e9));
    const Value largest = ops::stop_gradient(ops::max(kept, {1}, true));
    return ops::squeeze(largest, 1) + ops::log(ops::sum(ops::exp(kept - largest), {1}));
  };
  const Value positives = log_sum_exp(-gamma * ops::relu(distance + margin) * (margin - distance), positive);
  const Value negatives =
      log_sum_exp(gamma * ops::relu(1 + margin - distance) * (1 - margin - distance), ops::logical_not(same_label));
  const Value loss = softplus(positives + negatives);
  return {loss, ops::greater(loss, ops::scalar_like(loss, 0))};
}

SampleLosses CTCConfig::operator()(Value y_true, Value y_pred) const { return emit::ctc(y_true, y_pred); }

}  // namespace losses

namespace {
template <class Class>
ClassInfo<Loss> info(std::vector<std::string_view> aliases = {}) {
  return class_info_with<Loss, Class, LossOptions>("keras.losses", std::move(aliases));
}
}  // namespace

template <>
Registry<Loss>& registry<Loss>() {
  using namespace losses;
  // clang-format off
  static Registry<Loss> losses("loss", {
      info<BinaryCrossentropy>({"bce", "BCE"}),
      info<BinaryFocalCrossentropy>(),
      info<CategoricalCrossentropy>(),
      info<CategoricalFocalCrossentropy>(),
      info<SparseCategoricalCrossentropy>(),
      info<CategoricalGeneralizedCrossEntropy>(),
      info<MeanSquaredError>({"mse", "MSE"}),
      info<MeanAbsoluteError>({"mae", "MAE"}),
      info<MeanAbsolutePercentageError>({"mape", "MAPE"}),
      info<MeanSquaredLogarithmicError>({"msle", "MSLE"}),
      info<CosineSimilarity>(),
      info<LogCosh>(),
      info<Huber>(),
      info<Hinge>(),
      info<SquaredHinge>(),
      info<CategoricalHinge>(),
      info<KLDivergence>({"kld", "KLD"}),
      info<Poisson>(),
      info<Dice>(),
      info<Tversky>(),
      info<Circle>(),
      info<CTC>(),
  });
  // clang-format on
  return losses;
}

std::shared_ptr<Loss> resolve_loss(const Tree& tree, const Type& y_true, const Type& y_pred) {
  if (!tree.is_string() || (tree.as_string() != "crossentropy" && tree.as_string() != "ce"))
    return read_object<Loss>(tree);
  switch (label_kind(y_true, y_pred)) {
    case LabelKind::binary: return std::make_shared<losses::BinaryCrossentropy>();
    case LabelKind::sparse: return std::make_shared<losses::SparseCategoricalCrossentropy>();
    case LabelKind::categorical: break;
  }
  return std::make_shared<losses::CategoricalCrossentropy>();
}

LabelKind label_kind(const Type& y_true, const Type& y_pred) {
  const Shape &labels = y_true.shape, &predictions = y_pred.shape;
  const std::int64_t classes = predictions.rank() > 0 ? predictions[-1] : 1;
  if (classes == 1) return LabelKind::binary;
  const bool one_place = labels.rank() > 0 && labels[-1] == 1;
  return labels.rank() < predictions.rank() || (one_place && classes > 1) ? LabelKind::sparse : LabelKind::categorical;
}

}  // namespace nacre
