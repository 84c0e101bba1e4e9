#include "layers/normalization.h"

#include <algorithm>
#include <numeric>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/normalization.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"

namespace nacre {

namespace {

// A shape of ones but for the given axes of x, against which a parameter of those axes broadcasts.
Shape beside(const Shape& x, const std::vector<std::int64_t>& axes) {
  Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(x.rank()), 1));
  for (std::int64_t axis : axes) shape.set(static_cast<int>(axis), x[static_cast<int>(axis)]);
  return shape;
}

std::vector<std::int64_t> all_axes_but(const Shape& x, std::int64_t axis) {
  std::vector<std::int64_t> axes(static_cast<std::size_t>(x.rank()));
  std::iota(axes.begin(), axes.end(), 0);
  axes.erase(axes.begin() + axis);
  return axes;
}

Value filled(Graph& graph, std::int64_t size, double value, DType dtype) {
  return ops::broadcast_to(graph.scalar(value, dtype), {size});
}

// (x - mean) / sqrt(variance + epsilon), statistics over the axes.
Value standardised(Value x, const std::vector<std::int64_t>& axes, double epsilon) {
  const Value centred = x - ops::mean(x, axes, true);
  return centred * ops::rsqrt(ops::mean(ops::square(centred), axes, true) + epsilon);
}

// What has a gamma and a beta.
template <class Config>
class Affine : public ConfiguredLayer<Config> {
 public:
  using ConfiguredLayer<Config>::ConfiguredLayer;
  bool supports_masking() const override { return true; }

 protected:
  void add_gamma(const Shape& shape) {
    const auto& c = this->config_;
    gamma_ = this->add_weight("gamma", shape, c.gamma_initializer,
                              {.regularizer = c.gamma_regularizer, .constraint = c.gamma_constraint});
  }
  void add_beta(const Shape& shape) {
    const auto& c = this->config_;
    beta_ = this->add_weight("beta", shape, c.beta_initializer,
                             {.regularizer = c.beta_regularizer, .constraint = c.beta_constraint});
  }
  // gamma and beta in their own dtype (normalisation computes in at least that); 1 and 0 where there is none.
  Value gamma(Graph& graph, std::int64_t size) const {
    return gamma_ ? graph.variable(gamma_) : filled(graph, size, 1, this->dtype().variable());
  }
  Value beta(Graph& graph, std::int64_t size) const {
    return beta_ ? graph.variable(beta_) : filled(graph, size, 0, this->dtype().variable());
  }
  // y · gamma + beta, each in the given shape, where there is one.
  Value transformed(Value y, const Shape& shape) const {
    if (gamma_) y = y * emit::reshape(y.graph().variable(gamma_), shape);
    if (beta_) y = y + emit::reshape(y.graph().variable(beta_), shape);
    return y;
  }

  VariableRef gamma_, beta_;
};

// Ioffe and Szegedy, "Batch normalization" (2015).
class BatchNormalizationLayer final : public Affine<BatchNormalizationConfig> {
 public:
  using Affine::Affine;

 protected:
  std::int64_t axis_of(const Shape& x) const { return Axes(config_.axis).in(x)[0]; }
  void check(const std::vector<Shape>& inputs) const override {
    emit::want_rank_at_least(inputs[0], 2);
    if (built()) emit::want_size(inputs[0], static_cast<int>(axis_of(inputs[0])), moving_mean_->shape()[0]);
  }
  void build(const std::vector<Shape>& inputs) override {
    const Shape channels{emit::known_size(inputs[0], static_cast<int>(axis_of(inputs[0])))};
    if (config_.scale) add_gamma(channels);
    if (config_.center) add_beta(channels);
    moving_mean_ = add_weight("moving_mean", channels, config_.moving_mean_initializer, {.trainable = false});
    moving_variance_ =
        add_weight("moving_variance", channels, config_.moving_variance_initializer, {.trainable = false});
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0];
    // A frozen layer keeps its statistics.
    if (!context.training() || !trainable()) return {inferred(context.graph(), x)};
    return {arguments.masks[0] ? masked(context.graph(), x, arguments.masks[0]) : trained(context.graph(), x)};
  }

 private:
  // x · scale + shift, where scale and shift depend on variables alone.
  Value inferred(Graph& graph, Value x) const {
    Value scale = ops::rsqrt(graph.latest(moving_variance_) + config_.epsilon);
    if (gamma_) scale = scale * graph.variable(gamma_);
    const Value mean = graph.latest(moving_mean_);
    const Value shift = beta_ ? graph.variable(beta_) - mean * scale : -(mean * scale);
    const std::int64_t axis = axis_of(x.shape());
    const auto place = [&](Value v) {
      return axis == x.shape().rank() - 1 ? v : ops::reshape(v, beside(x.shape(), {axis}));
    };
    return ops::cast(ops::cast(x, scale.dtype()) * place(scale) + place(shift), x.dtype());
  }
  Value trained(Graph& graph, Value x) const {
    const std::int64_t axis = axis_of(x.shape()), size = x.shape()[static_cast<int>(axis)];
    std::vector<std::int64_t> forth = all_axes_but(x.shape(), axis), back(forth.size() + 1);
    forth.push_back(axis);
    for (std::size_t i = 0; i < forth.size(); ++i)
      back[static_cast<std::size_t>(forth[i])] = static_cast<std::int64_t>(i);
    const bool last = axis == x.shape().rank() - 1;
    const auto [y, mean, variance] =
        ops::batch_norm(last ? x : ops::transpose(x, forth), gamma(graph, size), beta(graph, size), config_.epsilon);
    update(graph, mean, variance);
    return last ? y : ops::transpose(y, back);
  }
  // Statistics of the places that count alone.
  Value masked(Graph& graph, Value x, Value mask) const {
    const std::int64_t axis = axis_of(x.shape());
    need(mask.shape().rank() == x.shape().rank() - 1, "got a mask {} for input {}, wanted one axis less", mask.shape(),
         x.shape());
    const Value wide = ops::cast(x, dtype().variable()), zero = ops::scalar_like(wide, 0);
    const Value counts = emit::broadcast(ops::expand_dims(mask, mask.shape().rank()), x.shape());
    const std::vector<std::int64_t> axes = all_axes_but(x.shape(), axis);
    const Value total = ops::sum(ops::cast(counts, wide.dtype()), axes, true) + 1e-7;
    const Value mean = ops::sum(ops::select(counts, wide, zero), axes, true) / total;
    const Value variance = ops::sum(ops::select(counts, ops::square(wide - mean), zero), axes, true) / total;
    const Shape channels{x.shape()[static_cast<int>(axis)]};
    update(graph, ops::reshape(mean, channels), ops::reshape(variance, channels));
    const Value y = transformed((wide - mean) * ops::rsqrt(variance + config_.epsilon), beside(x.shape(), {axis}));
    return ops::cast(y, x.dtype());
  }
  void update(Graph& graph, Value mean, Value variance) const {
    const auto move = [&](const VariableRef& average, Value now) {
      graph.update(average, graph.latest(average) * config_.momentum + now * (1 - config_.momentum));
    };
    move(moving_mean_, mean);
    move(moving_variance_, variance);
  }

  VariableRef moving_mean_, moving_variance_;
};

// Ba et al., "Layer normalization" (2016).
class LayerNormalizationLayer final : public Affine<LayerNormalizationConfig> {
 public:
  using Affine::Affine;

 protected:
  void check(const std::vector<Shape>& inputs) const override { config_.axis.in(inputs[0]); }
  void build(const std::vector<Shape>& inputs) override {
    Shape features;
    for (std::int64_t axis : config_.axis.in(inputs[0]))
      features.append(emit::known_size(inputs[0], static_cast<int>(axis)));
    if (config_.scale || config_.rms_scaling) add_gamma(features);
    if (config_.center && !config_.rms_scaling) add_beta(features);
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0];
    const std::vector<std::int64_t> axes = config_.axis.in(x.shape());
    const bool last = axes.size() == 1 && axes[0] == x.shape().rank() - 1 && x.shape().rank() >= 2;
    if (last && !config_.rms_scaling) {
      Graph& graph = context.graph();
      return {ops::layer_norm(x, gamma(graph, x.shape()[-1]), beta(graph, x.shape()[-1]), config_.epsilon).y};
    }
    const Value wide = ops::cast(x, dtype().variable());
    Value y;
    if (config_.rms_scaling) {
      const Value variance = ops::mean(ops::square(wide - ops::mean(wide, axes, true)), axes, true);
      y = wide * ops::rsqrt(variance + config_.epsilon);
    } else {
      y = standardised(wide, axes, config_.epsilon);
    }
    return {ops::cast(transformed(y, beside(x.shape(), axes)), x.dtype())};
  }
};

// Wu and He, "Group normalization" (2018).
class GroupNormalizationLayer final : public Affine<GroupNormalizationConfig> {
 public:
  using Affine::Affine;

 protected:
  std::int64_t axis_of(const Shape& x) const { return Axes(config_.axis).in(x)[0]; }
  std::int64_t groups(std::int64_t channels) const { return config_.groups == -1 ? channels : config_.groups; }
  void check(const std::vector<Shape>& inputs) const override {
    emit::want_rank_at_least(inputs[0], 2);
    const std::int64_t channels = emit::known_size(inputs[0], static_cast<int>(axis_of(inputs[0])));
    need(groups(channels) >= 1 && channels % groups(channels) == 0,
         "got input {}, wanted a number of channels that {} groups divide", inputs[0], config_.groups);
  }
  void build(const std::vector<Shape>& inputs) override {
    const Shape channels{inputs[0][static_cast<int>(axis_of(inputs[0]))]};
    if (config_.scale) add_gamma(channels);
    if (config_.center) add_beta(channels);
  }
  Values call(Context&, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0];
    const auto axis = static_cast<int>(axis_of(x.shape()));
    const std::int64_t channels = x.shape()[axis];
    const Shape split =
        x.shape().first(axis) + Shape{groups(channels), channels / groups(channels)} + x.shape().from(axis + 1);
    std::vector<std::int64_t> axes = all_axes_but(split, axis);
    axes.erase(axes.begin());
    const Value y = standardised(emit::reshape(ops::cast(x, dtype().variable()), split), axes, config_.epsilon);
    return {ops::cast(transformed(emit::reshape(y, x.shape()), beside(x.shape(), {axis})), x.dtype())};
  }
};

// Zhang and Sennrich, "Root mean square layer normalization" (2019).
class RMSNormalizationLayer final : public ConfiguredLayer<RMSNormalizationConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;

 protected:
  void check(const std::vector<Shape>& inputs) const override { config_.axis.in(inputs[0]); }
  void build(const std::vector<Shape>& inputs) override {
    Shape features;
    for (std::int64_t axis : config_.axis.in(inputs[0]))
      features.append(emit::known_size(inputs[0], static_cast<int>(axis)));
    scale_ = add_weight("scale", features, "Ones");
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0], wide = ops::cast(x, dtype().variable());
    const std::vector<std::int64_t> axes = config_.axis.in(x.shape());
    const Value y = wide * ops::rsqrt(ops::mean(ops::square(wide), axes, true) + config_.epsilon);
    return {ops::cast(y * ops::reshape(context.graph().variable(scale_), beside(x.shape(), axes)), x.dtype())};
  }

 private:
  VariableRef scale_;
};

class UnitNormalizationLayer final : public ConfiguredLayer<UnitNormalizationConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return true; }

 protected:
  void check(const std::vector<Shape>& inputs) const override { config_.axis.in(inputs[0]); }
  Values call(Context&, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0];
    const Value square = ops::sum(ops::square(x), config_.axis.in(x.shape()), true);
    return {x * ops::rsqrt(ops::maximum(square, ops::scalar_like(square, 1e-24)))};
  }
};

}  // namespace

LayerRef BatchNormalization(BatchNormalizationConfig config, LayerOptions options) {
  return std::make_shared<BatchNormalizationLayer>(std::move(config), std::move(options));
}
LayerRef LayerNormalization(LayerNormalizationConfig config, LayerOptions options) {
  return std::make_shared<LayerNormalizationLayer>(std::move(config), std::move(options));
}
LayerRef GroupNormalization(GroupNormalizationConfig config, LayerOptions options) {
  return std::make_shared<GroupNormalizationLayer>(std::move(config), std::move(options));
}
LayerRef RMSNormalization(RMSNormalizationConfig config, LayerOptions options) {
  return std::make_shared<RMSNormalizationLayer>(std::move(config), std::move(options));
}
LayerRef UnitNormalization(UnitNormalizationConfig config, LayerOptions options) {
  return std::make_shared<UnitNormalizationLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> normalization_layers() {
  return {layer_info<BatchNormalizationLayer>(), layer_info<LayerNormalizationLayer>(),
          layer_info<GroupNormalizationLayer>(), layer_info<RMSNormalizationLayer>(),
          layer_info<UnitNormalizationLayer>()};
}

}  // namespace nacre
