#include "layers/position.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/shape.h"
#include "layers/arguments.h"
#include "layers/emit.h"

namespace nacre {

namespace {

// A layer whose result has the input's shape and depends on the positions of its steps.
template <class Config>
class PositionLayer : public ConfiguredLayer<Config> {
 public:
  using ConfiguredLayer<Config>::ConfiguredLayer;
  std::vector<std::string_view> argument_names() const override { return {"inputs", "start_index", "positions"}; }
  int input_count() const override { return 0; }

 protected:
  // The axes of steps and features.
  virtual std::pair<int, int> axes(const Shape& input) const {
    emit::want_rank_at_least(input, 2);
    return {input.rank() - 2, input.rank() - 1};
  }
  virtual std::int64_t longest_sequence() const { return std::numeric_limits<std::int64_t>::max(); }
  // `positions`: (1 or batch, T), float32.
  virtual Value at(Context& context, Value x, Value positions) const = 0;

  void check(const std::vector<Shape>& inputs) const override {
    need(!inputs.empty(), "got no input");
    axes(inputs[0]);
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0];
    const auto [step_axis, feature_axis] = axes(x.shape());
    if (x.shape()[step_axis] == unknown || x.shape()[feature_axis] == unknown)
      return {emit::zeros(context.graph(), {this->dtype().compute(), x.shape()})};
    return {emit::broadcast(at(context, x, positions(context, arguments, x.shape()[step_axis])), x.shape())};
  }

 private:
  Value positions(Context& context, const CallArguments& arguments, std::int64_t steps) const {
    if (const Value given = argument(*this, arguments, "positions")) {
      const Value positions = ops::cast(given, DType::float32);
      return positions.shape().rank() == 1 ? ops::expand_dims(positions, 0) : positions;
    }
    need(steps <= longest_sequence(), "got {} steps, wanted at most {}", steps, longest_sequence());
    const Value counted = ops::iota(context.graph(), {DType::float32, {1, steps}}, 1);
    if (const Value start = argument(*this, arguments, "start_index")) return counted + ops::cast(start, DType::float32);
    const Tree* start = arguments.options.find("start_index");
    return start && !start->is_null() ? counted + start->as_number() : counted;
  }
};

Value constant(Graph& graph, const std::vector<double>& values) {
  Tensor tensor = Tensor::uninitialised({DType::float32, {static_cast<std::int64_t>(values.size())}});
  std::transform(values.begin(), values.end(), tensor.writable<float>().begin(),
                 [](double value) { return static_cast<float>(value); });
  return graph.constant(std::move(tensor));
}

class PositionEmbeddingLayer final : public PositionLayer<PositionEmbeddingConfig> {
 public:
  using PositionLayer::PositionLayer;

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    PositionLayer::check(inputs);
    if (embeddings_) emit::want_size(inputs[0], -1, embeddings_->shape()[1]);
  }
  void build(const std::vector<Shape>& inputs) override {
    embeddings_ = add_weight("embeddings", {config_.sequence_length, emit::known_size(inputs[0], -1)},
                             config_.initializer);
  }
  std::int64_t longest_sequence() const override { return config_.sequence_length; }
  Value at(Context& context, Value x, Value positions) const override {
    const Value rows = ops::gather(value(context, embeddings_), ops::cast(positions, DType::int32));  // (1 or batch, T, d)
    return x.shape().rank() == 2 ? ops::squeeze(rows, 0) : rows;
  }

 private:
  VariableRef embeddings_;
};

// Vaswani et al., "Attention is all you need" (2017).
class SinePositionEncodingLayer final : public PositionLayer<SinePositionEncodingConfig> {
 public:
  using PositionLayer::PositionLayer;

 protected:
  Value at(Context& context, Value x, Value positions) const override {
    const std::int64_t size = x.shape()[-1];
    std::vector<double> speeds, sines;
    for (std::int64_t i = 0; i < size; ++i) {
      speeds.push_back(std::pow(config_.max_wavelength, -static_cast<double>(i / 2 * 2) / static_cast<double>(size)));
      sines.push_back(i % 2 == 0 ? 1 : 0);
    }
    const Value angles = ops::expand_dims(positions, 2) * constant(context.graph(), speeds);
    const Value is_sine = ops::cast(constant(context.graph(), sines), DType::boolean);
    const Value waves = ops::cast(ops::select(is_sine, ops::sin(angles), ops::cos(angles)), dtype().compute());
    return x.shape().rank() == 2 ? ops::squeeze(waves, 0) : waves;
  }
};

// Su et al., "RoFormer" (2021); yarn: Peng et al., "YaRN" (2023).
class RotaryEmbeddingLayer final : public PositionLayer<RotaryEmbeddingConfig> {
 public:
  using PositionLayer::PositionLayer;

 protected:
  std::pair<int, int> axes(const Shape& input) const override {
    const auto steps = static_cast<int>(Axes(config_.sequence_axis).in(input)[0]);
    const auto features = static_cast<int>(Axes(config_.feature_axis).in(input)[0]);
    need(steps != features, "sequence_axis and feature_axis are the same");
    need(input[features] == unknown || input[features] % 2 == 0, "got input {}, wanted an even number of features in axis {}",
         input, features);
    return {steps, features};
  }
  Value at(Context& context, Value x, Value positions) const override {
    // As (batch, T, …, d), then back: the batch is the first of the other axes.
    const auto [steps, features] = axes(x.shape());
    const int rank = x.shape().rank();
    std::vector<std::int64_t> order;
    for (int axis = 0; axis < rank; ++axis)
      if (axis != steps && axis != features) order.push_back(axis);
    order.insert(order.begin() + std::min<std::ptrdiff_t>(1, std::ssize(order)), steps);
    order.push_back(features);
    std::vector<std::int64_t> back(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) back[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);

    const Value turned = ops::transpose(x, order);
    if (config_.rope_type == RopeType::yarn && config_.truncate)
      positions = ops::minimum(
          positions, ops::scalar_like(positions, static_cast<double>(config_.original_max_position_embeddings)));
    const std::vector<double> speeds = this->speeds(x.shape()[features]);
    Value angles = ops::expand_dims(positions, 2) * constant(context.graph(), speeds);  // (1 or batch, T, d / 2)
    angles = ops::concat({angles, angles}, 2);
    for (int axis = 2; axis < rank - 1; ++axis) angles = ops::expand_dims(angles, axis);
    if (rank == 2) angles = ops::squeeze(angles, 0);
    const double stretch = config_.rope_type == RopeType::yarn ? 0.1 * std::log(config_.scaling_factor) + 1 : 1;
    const auto wave = [&](Value values) {
      const Value cast = ops::cast(values, x.dtype());
      return stretch == 1 ? cast : cast * stretch;
    };
    const auto half = static_cast<std::int64_t>(speeds.size());
    const Value a = ops::slice_axis(turned, -1, 0, half), b = ops::slice_axis(turned, -1, half, 2 * half);
    return ops::transpose(turned * wave(ops::cos(angles)) + ops::concat({-b, a}, rank - 1) * wave(ops::sin(angles)),
                          back);
  }

 private:
  // In radians per step, for each pair of features.
  std::vector<double> speeds(std::int64_t features) const {
    const auto d = static_cast<double>(features);
    std::vector<double> speeds;
    for (std::int64_t pair = 0; pair < features / 2; ++pair)
      speeds.push_back(scaled(std::pow(config_.max_wavelength, -2 * static_cast<double>(pair) / d),
                              static_cast<double>(pair), d));
    return speeds;
  }
  double scaled(double speed, double pair, double d) const {
    const double factor = config_.scaling_factor;
    if (config_.rope_type == RopeType::linear) return speed / factor;
    if (config_.rope_type == RopeType::dynamic) return speed / std::pow(factor, d / std::max(1.0, d - 2));
    // The pair that makes so many turns within the sequences trained on.
    const auto pair_of = [&](double turns) {
      return d * std::log(static_cast<double>(config_.original_max_position_embeddings) / (turns * 2 * std::numbers::pi)) /
             (2 * std::log(config_.max_wavelength));
    };
    double low = pair_of(config_.beta_fast), high = pair_of(config_.beta_slow);
    if (config_.truncate) low = std::floor(low), high = std::ceil(high);
    low = std::max(low, 0.0), high = std::min(high, std::floor(d / 2) - 1);
    const double share = std::clamp((pair - low) / std::max(high - low, 0.001), 0.0, 1.0);  // that is scaled
    return speed / factor * share + speed * (1 - share);
  }
};

}  // namespace

LayerRef PositionEmbedding(PositionEmbeddingConfig config, LayerOptions options) {
  return std::make_shared<PositionEmbeddingLayer>(std::move(config), std::move(options));
}
LayerRef SinePositionEncoding(SinePositionEncodingConfig config, LayerOptions options) {
  return std::make_shared<SinePositionEncodingLayer>(std::move(config), std::move(options));
}
LayerRef RotaryEmbedding(RotaryEmbeddingConfig config, LayerOptions options) {
  return std::make_shared<RotaryEmbeddingLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> position_layers() {
  return {layer_info<PositionEmbeddingLayer>("keras_hub.src.layers.modeling.position_embedding",
                                             {"keras_hub>PositionEmbedding", "keras_nlp>PositionEmbedding"}),
          layer_info<SinePositionEncodingLayer>("keras_hub.src.layers.modeling.sine_position_encoding",
                                                {"keras_hub>SinePositionEncoding", "keras_nlp>SinePositionEncoding"}),
          layer_info<RotaryEmbeddingLayer>("keras_hub.src.layers.modeling.rotary_embedding",
                                           {"keras_hub>RotaryEmbedding", "keras_nlp>RotaryEmbedding"})};
}

}  // namespace nacre
