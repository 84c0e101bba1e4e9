#include "api/train/metric.h"

#include <algorithm>

#include "api/train/losses.h"
#include "api/train/metrics.h"
#include "backend/graph/ops/ops.h"

namespace nacre {

void Metric::rename(std::string name) {
  for (const VariableRef& variable : variables_) {
    const std::string& path = variable->path();
    variable->rename(name + path.substr(path.rfind('/')));
  }
  options_.name = std::move(name);
}

void Metric::ensure_built(const Type& y_true, const Type& y_pred) {
  if (std::exchange(built_, true)) return;
  build(y_true, y_pred);
}

void Metric::update(Value y_true, Value y_pred, Value sample_weight, Value mask) {
  try {
    if (is_floating(y_pred.dtype()) && y_pred.dtype() != DType::float64) y_pred = ops::cast(y_pred, DType::float32);
    ensure_built(y_true.type(), y_pred.type());
    const DType weight_dtype = is_floating(y_pred.dtype()) ? y_pred.dtype() : DType::float32;
    emit(y_true, y_pred, losses::apply_mask(sample_weight, mask, weight_dtype, false));
  } catch (Error& error) {
    error.about(fmt::format("metric '{}'", name()));
    throw;
  }
}

namespace {

Tensor filled(const Type& type, double value) {
  Tensor tensor(type);
  if (value != 0) visit(type.dtype, [&]<class T>(T*) { std::ranges::fill(tensor.writable<T>(), convert<T>(value)); });
  return tensor;
}

}  // namespace

void Metric::reset() {
  for (std::size_t i = 0; i < variables_.size(); ++i) variables_[i]->assign(filled(variables_[i]->type(), initial_[i]));
}

VariableRef Metric::add_variable(std::string name, Shape shape, std::optional<DType> type, double initial) {
  auto variable = std::make_shared<Variable>(fmt::format("{}/{}", this->name(), name),
                                             Type{type.value_or(dtype()), std::move(shape)}, false);
  variable->assign(filled(variable->type(), initial));
  initial_.push_back(initial);
  return variables_.emplace_back(std::move(variable));
}

void Metric::add_to(const VariableRef& state, Value increment) {
  Graph& graph = increment.graph();
  graph.update(state, graph.latest(state) + ops::cast(increment, state->type().dtype));
}

std::shared_ptr<Metric> resolve_metric(const Tree& tree, const Type& y_true, const Type& y_pred) {
  if (!tree.is_string()) return read_object<Metric>(tree);
  const std::string& word = tree.as_string();
  const bool accuracy = word == "accuracy" || word == "acc", crossentropy = word == "crossentropy" || word == "ce";
  std::shared_ptr<Metric> metric;
  if (!accuracy && !crossentropy) {
    metric = read_object<Metric>(tree);
  } else {
    switch (label_kind(y_true, y_pred)) {
      case LabelKind::binary: metric = read_object<Metric>(accuracy ? "binary_accuracy" : "binary_crossentropy"); break;
      case LabelKind::sparse:
        metric = read_object<Metric>(accuracy ? "sparse_categorical_accuracy" : "sparse_categorical_crossentropy");
        break;
      case LabelKind::categorical:
        metric = read_object<Metric>(accuracy ? "categorical_accuracy" : "categorical_crossentropy");
        break;
    }
  }
  metric->rename(word);
  return metric;
}

namespace {
template <class Class>
ClassInfo<Metric> info(std::vector<std::string_view> aliases = {}) {
  return class_info_with<Metric, Class, MetricOptions>("keras.metrics", std::move(aliases));
}
}  // namespace

template <>
Registry<Metric>& registry<Metric>() {
  using namespace metrics;
  // clang-format off
  static Registry<Metric> metrics("metric", {
      info<Accuracy>(),
      info<BinaryAccuracy>(),
      info<CategoricalAccuracy>(),
      info<SparseCategoricalAccuracy>(),
      info<TopKCategoricalAccuracy>(),
      info<SparseTopKCategoricalAccuracy>(),
      info<BinaryCrossentropy>({"bce", "BCE"}),
      info<CategoricalCrossentropy>(),
      info<SparseCategoricalCrossentropy>(),
      info<MeanSquaredError>({"mse", "MSE"}),
      info<RootMeanSquaredError>(),
      info<MeanAbsoluteError>({"mae", "MAE"}),
      info<MeanAbsolutePercentageError>({"mape", "MAPE"}),
      info<MeanSquaredLogarithmicError>({"msle", "MSLE"}),
      info<CosineSimilarity>(),
      info<LogCoshError>({"log_cosh", "logcosh"}),
      info<Hinge>(),
      info<SquaredHinge>(),
      info<CategoricalHinge>(),
      info<KLDivergence>({"kld", "KLD"}),
      info<Poisson>(),
      info<PearsonCorrelation>(),
      info<ConcordanceCorrelation>(),
      info<R2Score>(),
      info<Mean>(),
      info<Sum>(),
      info<TruePositives>(),
      info<FalsePositives>(),
      info<TrueNegatives>(),
      info<FalseNegatives>(),
      info<Precision>(),
      info<Recall>(),
      info<SensitivityAtSpecificity>(),
      info<SpecificityAtSensitivity>(),
      info<PrecisionAtRecall>(),
      info<RecallAtPrecision>(),
      info<AUC>(),
      info<F1Score>(),
      info<FBetaScore>(),
      info<IoU>(),
      info<BinaryIoU>(),
      info<MeanIoU>(),
      info<OneHotIoU>(),
      info<OneHotMeanIoU>(),
  });
  // clang-format on
  return metrics;
}

}  // namespace nacre
