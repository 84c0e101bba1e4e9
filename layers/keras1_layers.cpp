#include "layers/keras1_layers.h"

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "layers/activation_layers.h"
#include "layers/emit.h"

namespace nacre {

namespace {

// Srivastava et al., "Highway Networks" (2015). The carry starts open: its bias is 1.
class HighwayLayer final : public ConfiguredLayer<HighwayConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;

 protected:
  void check(const std::vector<Shape>& inputs) const override { emit::want_rank(inputs[0], 2); }
  void build(const std::vector<Shape>& inputs) override {
    const std::int64_t size = emit::known_size(inputs[0], -1);
    const WeightOptions kernel{.regularizer = config_.kernel_regularizer, .constraint = config_.kernel_constraint};
    const WeightOptions bias{.regularizer = config_.bias_regularizer, .constraint = config_.bias_constraint};
    kernel_ = add_weight("W", {size, size}, config_.kernel_initializer, kernel);
    carry_kernel_ = add_weight("W_carry", {size, size}, config_.kernel_initializer);
    if (!config_.use_bias) return;
    bias_ = add_weight("b", {size}, "Zeros", bias);
    carry_bias_ = add_weight("b_carry", {size}, "Ones");
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0];
    const auto dense = [&](const VariableRef& kernel, const VariableRef& bias) {
      const Value product = ops::matmul(x, value(context, kernel));
      return bias ? product + value(context, bias) : product;
    };
    const Value share = ops::sigmoid(dense(carry_kernel_, carry_bias_));
    return {share * activated(dense(kernel_, bias_), config_.activation) + (1.0 - share) * x};
  }

 private:
  VariableRef kernel_, carry_kernel_, bias_, carry_bias_;
};

// Goodfellow et al., "Maxout Networks" (2013).
class MaxoutDenseLayer final : public ConfiguredLayer<MaxoutDenseConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;

 protected:
  void check(const std::vector<Shape>& inputs) const override { emit::want_rank(inputs[0], 2); }
  void build(const std::vector<Shape>& inputs) override {
    const std::int64_t size = emit::known_size(inputs[0], -1);
    kernel_ = add_weight("W", {config_.nb_feature, size, config_.units}, config_.kernel_initializer,
                         {.regularizer = config_.kernel_regularizer, .constraint = config_.kernel_constraint});
    if (config_.use_bias)
      bias_ = add_weight("b", {config_.nb_feature, config_.units}, "Zeros",
                         {.regularizer = config_.bias_regularizer, .constraint = config_.bias_constraint});
  }
  // (1, batch, inputs) · (features, inputs, units) = (features, batch, units)
  Values call(Context& context, const CallArguments& arguments) override {
    Value y = ops::matmul(ops::expand_dims(arguments.inputs[0], 0), value(context, kernel_));
    if (bias_) y = y + ops::expand_dims(value(context, bias_), 1);
    return {ops::max(y, {0})};
  }

 private:
  VariableRef kernel_, bias_;
};

// Jin et al., "Deep learning with S-shaped rectified linear activation units" (2015), as keras/layers/advanced_activations.py
// of Keras 1.2.2 has it: the right bend is always to the right of the left one.
class SReLULayer final : public ConfiguredLayer<SReLUConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return true; }

 protected:
  void build(const std::vector<Shape>& inputs) override {
    const Shape shape = activation::parameter_shape(inputs[0], config_.shared_axes);
    t_left_ = add_weight("t_left", shape, config_.t_left_initializer);
    a_left_ = add_weight("a_left", shape, config_.a_left_initializer);
    t_right_ = add_weight("t_right", shape, config_.t_right_initializer);
    a_right_ = add_weight("a_right", shape, config_.a_right_initializer);
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0], left = value(context, t_left_), width = ops::abs(value(context, t_right_));
    const Value from_left = x - left;
    const Value middle = ops::minimum(ops::relu(from_left), width) - value(context, a_left_) * ops::relu(-from_left);
    return {left + middle + ops::relu(from_left - width) * value(context, a_right_)};
  }

 private:
  VariableRef t_left_, a_left_, t_right_, a_right_;
};

// keras/layers/advanced_activations.py of Keras 1.2.2.
class ParametricSoftplusLayer final : public ConfiguredLayer<ParametricSoftplusConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return true; }

 protected:
  void build(const std::vector<Shape>& inputs) override {
    const Shape shape = activation::parameter_shape(inputs[0], config_.shared_axes);
    const auto constant = [](double number) {
      Tree config, tree;
      config.set("value", number);
      tree.set("Constant", std::move(config));
      return read_object<Initializer>(tree);
    };
    alpha_ = add_weight("alpha", shape, constant(config_.alpha));
    beta_ = add_weight("beta", shape, constant(config_.beta));
  }
  Values call(Context& context, const CallArguments& arguments) override {
    return {(*Ref<Activation>("softplus"))(value(context, beta_) * arguments.inputs[0]) * value(context, alpha_)};
  }

 private:
  VariableRef alpha_, beta_;
};

// keras/layers/advanced_activations.py of Keras 0.3.
class ThresholdedLinearLayer final : public ConfiguredLayer<ThresholdedLinearConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return true; }

 protected:
  Values call(Context&, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0], none = ops::scalar_like(x, 0);
    return {ops::select(ops::less(ops::abs(x), ops::scalar_like(x, config_.theta)), none, x)};
  }
};

// keras/layers/normalization.py of Keras 1.2.2.
class BatchNormalizationKeras1Layer final : public ConfiguredLayer<BatchNormalizationKeras1Config> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return true; }

 protected:
  int axis_of(const Shape& x) const { return static_cast<int>(Axes(config_.axis).in(x)[0]); }
  void check(const std::vector<Shape>& inputs) const override {
    emit::want_rank_at_least(inputs[0], 2);
    axis_of(inputs[0]);
  }
  void build(const std::vector<Shape>& inputs) override {
    const Shape channels{emit::known_size(inputs[0], axis_of(inputs[0]))};
    gamma_ = add_weight("gamma", channels, config_.gamma_initializer, {.regularizer = config_.gamma_regularizer});
    beta_ = add_weight("beta", channels, config_.beta_initializer, {.regularizer = config_.beta_regularizer});
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0];
    const int axis = axis_of(x.shape()), rank = x.shape().rank();
    if (config_.mode == 1) {  // gamma and beta stand along the last axis, whichever they were made for
      const Value centred = x - ops::mean(x, {-1}, true);
      const Value deviation = ops::sqrt(ops::mean(ops::square(centred), {-1}, true) + config_.epsilon);
      return {centred / (deviation + config_.epsilon) * value(context, gamma_) + value(context, beta_)};
    }
    std::vector<std::int64_t> others;
    Shape beside;
    for (int i = 0; i < rank; ++i) {
      if (i != axis) others.push_back(i);
      beside.append(i == axis ? x.shape()[axis] : 1);
    }
    const Value centred = x - ops::mean(x, others, true);
    const Value scale = ops::rsqrt(ops::mean(ops::square(centred), others, true) + config_.epsilon);
    return {centred * scale * ops::reshape(value(context, gamma_), beside) + ops::reshape(value(context, beta_), beside)};
  }

 private:
  VariableRef gamma_, beta_;
};

}  // namespace

LayerRef SReLU(SReLUConfig config, LayerOptions options) { return std::make_shared<SReLULayer>(std::move(config), std::move(options)); }
LayerRef ParametricSoftplus(ParametricSoftplusConfig config, LayerOptions options) {
  return std::make_shared<ParametricSoftplusLayer>(std::move(config), std::move(options));
}
LayerRef ThresholdedLinear(ThresholdedLinearConfig config, LayerOptions options) {
  return std::make_shared<ThresholdedLinearLayer>(std::move(config), std::move(options));
}
LayerRef BatchNormalizationKeras1(BatchNormalizationKeras1Config config, LayerOptions options) {
  return std::make_shared<BatchNormalizationKeras1Layer>(std::move(config), std::move(options));
}
LayerRef Highway(HighwayConfig config, LayerOptions options) {
  return std::make_shared<HighwayLayer>(std::move(config), std::move(options));
}
LayerRef MaxoutDense(MaxoutDenseConfig config, LayerOptions options) {
  return std::make_shared<MaxoutDenseLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> keras1_layers() {
  return {layer_info<HighwayLayer>(""),           layer_info<MaxoutDenseLayer>(""),       layer_info<SReLULayer>(""),
          layer_info<ParametricSoftplusLayer>(""), layer_info<ThresholdedLinearLayer>(""), layer_info<BatchNormalizationKeras1Layer>("")};
}

}  // namespace nacre
