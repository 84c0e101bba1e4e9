#include "layers/keras1_layers.h"

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
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

}  // namespace

LayerRef Highway(HighwayConfig config, LayerOptions options) {
  return std::make_shared<HighwayLayer>(std::move(config), std::move(options));
}
LayerRef MaxoutDense(MaxoutDenseConfig config, LayerOptions options) {
  return std::make_shared<MaxoutDenseLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> keras1_layers() { return {layer_info<HighwayLayer>(""), layer_info<MaxoutDenseLayer>("")}; }

}  // namespace nacre
