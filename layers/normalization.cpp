#include "layers/normalization.h"

#include <algorithm>
#include <cmath>
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

// The shape of a parameter of these axes, as Keras has it: in the order of the axes' numbers, negative ones first. It
// is read as if it had the order of the input's axes.
Shape sizes_along(const Axes& axes, const Shape& x) {
  std::vector<std::int64_t> ordered = axes.axes;
  std::ranges::sort(ordered);
  Shape sizes;
  for (std::int64_t axis : ordered) sizes.append(emit::known_size(x, static_cast<int>(axis)));
  return sizes;
}

// Keras writes the axes of these layers as a list, also when there is one.
Tree with_listed_axes(Tree config, Style style) {
  if (style == Style::keras && !config["axis"].is_sequence()) config.set("axis", Tree::Sequence{config["axis"]});
  return config;
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

// Ioffe and Szegedy, "Batch normalization" (2015); Ioffe, "Batch renormalization" (2017).
class BatchNormalizationLayer final : public Affine<BatchNormalizationConfig> {
 public:
  explicit BatchNormalizationLayer(BatchNormalizationConfig config = {}, LayerOptions options = {})
      : Affine(std::move(config), std::move(options)) {
    if (const auto& clipping = config_.renorm_clipping; clipping && clipping->rmin && clipping->rmax)
      if (*clipping->rmin > *clipping->rmax)
        throw Error("got rmin = {} above rmax = {}", *clipping->rmin, *clipping->rmax)
            .about("'renorm_clipping'")
            .usage();
  }

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
    const Ref<Initializer>& mean = config_.moving_mean_initializer;
    const Ref<Initializer>& variance = config_.moving_variance_initializer;
    const auto add = [&](std::string name, const Ref<Initializer>& initializer) {
      return add_weight(std::move(name), channels, initializer, {.trainable = false});
    };
    moving_mean_ = add("moving_mean", mean);
    moving_variance_ = add("moving_variance", variance);
    if (!config_.renorm) return;
    const Ref<Initializer> deviation = std::make_shared<SquareRoot>(variance);
    moving_stddev_ = add("moving_stddev", deviation);
    renorm_mean_ = add("renorm_mean", mean);
    renorm_stddev_ = add("renorm_stddev", deviation);
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0], mask = arguments.masks[0];
    // A frozen layer keeps its statistics.
    if (!context.training() || !trainable()) return {inferred(context.graph(), x)};
    if (!mask && !config_.renorm) return {trained(context.graph(), x)};
    return {trained_in_parts(context.graph(), x, mask)};
  }

 private:
  // The roots of what another initializer gives.
  class SquareRoot final : public Initializer {
   public:
    explicit SquareRoot(Ref<Initializer> of) : of_(std::move(of)) {}
    std::string_view class_name() const override { return of_->class_name(); }
    Tree config_tree(Style style) const override { return of_->config_tree(style); }
    Tensor operator()(const Shape& shape, DType dtype, RandomKey key) const override {
      Tensor tensor = (*of_)(shape, dtype, key);
      visit(dtype, [&]<class T>(T*) {
        for (T& value : tensor.writable<T>()) value = convert<T>(std::sqrt(convert<double>(value)));
      });
      return tensor;
    }

   private:
    Ref<Initializer> of_;
  };

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
  // The usual case, one op.
  Value trained(Graph& graph, Value x) const {
    const auto axis = static_cast<int>(axis_of(x.shape()));
    const bool last = axis == x.shape().rank() - 1;
    const std::int64_t size = x.shape()[axis];
    const auto [y, mean, variance] = ops::batch_norm(last ? x : emit::move_axis(x, axis, -1), gamma(graph, size),
                                                     beta(graph, size), config_.epsilon);
    move(moving_mean_, mean, config_.momentum);
    move(moving_variance_, variance, config_.momentum);
    return last ? y : emit::move_axis(y, -1, axis);
  }
  // With statistics of the places that count alone, or corrected ones.
  Value trained_in_parts(Graph& graph, Value x, Value mask) const {
    const std::int64_t axis = axis_of(x.shape());
    const std::vector<std::int64_t> axes = all_axes_but(x.shape(), axis);
    const Value wide = ops::cast(x, dtype().variable());
    Value counts, total;
    if (mask) {
      need(mask.shape().rank() == x.shape().rank() - 1, "got a mask {} for input {}, wanted one axis less",
           mask.shape(), x.shape());
      counts = emit::broadcast(ops::expand_dims(mask, mask.shape().rank()), x.shape());
      total = ops::sum(ops::cast(counts, wide.dtype()), axes, true) + 1e-7;
    }
    const auto mean_of = [&](Value value) {
      if (!mask) return ops::mean(value, axes, true);
      return ops::sum(ops::select(counts, value, ops::scalar_like(value, 0)), axes, true) / total;
    };
    const Value mean = mean_of(wide), variance = mean_of(ops::square(wide - mean));
    const Value standard = (wide - mean) * ops::rsqrt(variance + config_.epsilon);
    const Shape channels{x.shape()[static_cast<int>(axis)]}, place = beside(x.shape(), {axis});
    if (!config_.renorm) {
      move(moving_mean_, ops::reshape(mean, channels), config_.momentum);
      move(moving_variance_, ops::reshape(variance, channels), config_.momentum);
      return ops::cast(transformed(standard, place), x.dtype());
    }
    const auto [r, d] = corrections(graph, ops::reshape(mean, channels), ops::reshape(variance, channels));
    const Value corrected = standard * ops::reshape(r, place) + ops::reshape(d, place);
    return ops::cast(transformed(corrected, place), x.dtype());
  }
  // The factor and the shift that lead from the batch's statistics to the moving ones; these then take the batch's in.
  std::pair<Value, Value> corrections(Graph& graph, Value mean, Value variance) const {
    const Value deviation = ops::sqrt(variance + config_.epsilon);
    const Value before = graph.latest(renorm_stddev_);
    const Value reference = ops::maximum(before, ops::scalar_like(before, std::sqrt(config_.epsilon)));
    Value r = deviation / reference, d = (mean - graph.latest(renorm_mean_)) / reference;
    const RenormClipping clipping = config_.renorm_clipping.value_or(RenormClipping());
    if (clipping.rmin) r = ops::maximum(r, ops::scalar_like(r, *clipping.rmin));
    if (clipping.rmax) r = ops::minimum(r, ops::scalar_like(r, *clipping.rmax));
    if (clipping.dmax) d = ops::clip(d, -*clipping.dmax, *clipping.dmax);

    move(renorm_mean_, mean, config_.renorm_momentum);
    move(renorm_stddev_, deviation, config_.renorm_momentum);
    move(moving_mean_, mean, config_.momentum);
    move(moving_stddev_, deviation, config_.momentum);
    graph.update(moving_variance_, ops::relu(ops::square(graph.latest(moving_stddev_)) - config_.epsilon));
    return {ops::stop_gradient(r), ops::stop_gradient(d)};
  }
  static void move(const VariableRef& average, Value now, double momentum) {
    Graph& graph = now.graph();
    graph.update(average, graph.latest(average) * momentum + now * (1 - momentum));
  }

  VariableRef moving_mean_, moving_variance_;
  VariableRef moving_stddev_, renorm_mean_, renorm_stddev_;  // of renormalisation
};

// Ba et al., "Layer normalization" (2016).
class LayerNormalizationLayer final : public Affine<LayerNormalizationConfig> {
 public:
  using Affine::Affine;
  Tree config_tree(Style style) const override { return with_listed_axes(Affine::config_tree(style), style); }

 protected:
  void check(const std::vector<Shape>& inputs) const override { config_.axis.in(inputs[0]); }
  void build(const std::vector<Shape>& inputs) override {
    const Shape features = sizes_along(config_.axis, inputs[0]);
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
  Tree config_tree(Style style) const override { return with_listed_axes(ConfiguredLayer::config_tree(style), style); }

 protected:
  void check(const std::vector<Shape>& inputs) const override { config_.axis.in(inputs[0]); }
  void build(const std::vector<Shape>& inputs) override {
    const Shape features = sizes_along(config_.axis, inputs[0]);
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
