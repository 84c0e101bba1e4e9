#include "layers/activation_layers.h"

#include <numbers>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/ops/softmax.h"
#include "layers/emit.h"

namespace nacre {

namespace activation {

Value leaky_relu(Value x, double negative_slope) {
  return ops::select(ops::greater(x, ops::scalar_like(x, 0)), x, x * negative_slope);
}

Value elu(Value x, double alpha) {
  const Value zero = ops::scalar_like(x, 0);
  return ops::select(ops::less(x, zero), alpha * ops::expm1(ops::minimum(x, zero)), x);
}

Value gelu(Value x) { return 0.5 * x * (1.0 + ops::erf(x * (1 / std::numbers::sqrt2))); }

Value squareplus(Value x, double b) { return 0.5 * (x + ops::sqrt(ops::square(x) + b)); }

Value soft_shrink(Value x, double threshold) {
  const Value far = ops::greater(ops::abs(x), ops::scalar_like(x, threshold));
  return ops::select(far, x - threshold * ops::sign(x), ops::scalar_like(x, 0));
}

Value hard_shrink(Value x, double threshold) {
  return ops::select(ops::greater(ops::abs(x), ops::scalar_like(x, threshold)), x, ops::scalar_like(x, 0));
}

Value threshold(Value x, double threshold, double default_value) {
  return ops::select(ops::greater(x, ops::scalar_like(x, threshold)), x, ops::scalar_like(x, default_value));
}

Value glu(Value x, int axis) {
  const std::int64_t size = x.shape()[axis];
  if (size == unknown) return x;
  need(size % 2 == 0, "got {}, wanted an even size in axis {}", x.shape(), axis);
  return ops::slice_axis(x, axis, 0, size / 2) * ops::sigmoid(ops::slice_axis(x, axis, size / 2, size));
}

Value softmax(Value x, const std::vector<std::int64_t>& axes) {
  if (axes.size() == 1) return ops::softmax(x, static_cast<int>(axes[0]));
  const Value powers = ops::exp(x - ops::stop_gradient(ops::max(x, axes, true)));
  return powers / ops::sum(powers, axes, true);
}

Value log_softmax(Value x, const std::vector<std::int64_t>& axes) {
  if (axes.size() == 1) return ops::log_softmax(x, static_cast<int>(axes[0]));
  const Value below = x - ops::stop_gradient(ops::max(x, axes, true));
  return below - ops::log(ops::sum(ops::exp(below), axes, true));
}

Shape parameter_shape(const Shape& input, const std::optional<std::vector<std::int64_t>>& shared_axes) {
  Shape shape = input.from(1);
  for (std::int64_t axis : shared_axes.value_or(std::vector<std::int64_t>())) {
    // Keras counts negative axes from the end of the parameters' shape, which has no batch, and takes 1 off all alike.
    const std::int64_t place = axis - 1 + (axis < 1 ? shape.rank() : 0);
    need(place >= 0 && place < shape.rank(), "got input {}, which has no axis {} to share parameters along", input,
         axis);
    shape.set(static_cast<int>(place), 1);
  }
  need(shape.known(), "got input {}, wanted known sizes or shared axes", input);
  return shape;
}

}  // namespace activation

namespace {

// A layer that applies one function to one input of any shape.
template <class Config>
class FunctionLayer : public ConfiguredLayer<Config> {
 public:
  using ConfiguredLayer<Config>::ConfiguredLayer;
  bool supports_masking() const override { return true; }

 protected:
  virtual Value apply(Value x) const = 0;
  Values call(Context&, const CallArguments& arguments) override { return {apply(arguments.inputs[0])}; }
};

class ActivationLayerClass final : public FunctionLayer<ActivationConfig> {
 public:
  using FunctionLayer::FunctionLayer;

 protected:
  Value apply(Value x) const override { return activated(x, config_.activation); }
};

class ReLULayer final : public FunctionLayer<ReLUConfig> {
 public:
  using FunctionLayer::FunctionLayer;

 protected:
  Value apply(Value x) const override {
    const auto [max_value, slope, threshold] = config_;
    if (slope == 0 && threshold == 0) return max_value ? ops::clip(x, 0, *max_value) : ops::relu(x);
    const Value y = ops::select(ops::greater(x, ops::scalar_like(x, threshold)), x, slope * (x - threshold));
    return max_value ? ops::minimum(y, ops::scalar_like(y, *max_value)) : y;
  }
};

class LeakyReLULayer final : public FunctionLayer<LeakyReLUConfig> {
 public:
  using FunctionLayer::FunctionLayer;

 protected:
  Value apply(Value x) const override { return activation::leaky_relu(x, config_.negative_slope); }
};

class ELULayer final : public FunctionLayer<ELUConfig> {
 public:
  using FunctionLayer::FunctionLayer;

 protected:
  Value apply(Value x) const override { return activation::elu(x, config_.alpha); }
};

class ThresholdedReLULayer final : public FunctionLayer<ThresholdedReLUConfig> {
 public:
  using FunctionLayer::FunctionLayer;

 protected:
  Value apply(Value x) const override { return activation::threshold(x, config_.theta, 0); }
};

class PReLULayer final : public ConfiguredLayer<PReLUConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return true; }

 protected:
  void build(const std::vector<Shape>& inputs) override {
    alpha_ = add_weight("alpha", activation::parameter_shape(inputs[0], config_.shared_axes), config_.alpha_initializer,
                        {.regularizer = config_.alpha_regularizer, .constraint = config_.alpha_constraint});
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0];
    return {ops::select(ops::greater(x, ops::scalar_like(x, 0)), x, value(context, alpha_) * x)};
  }

 private:
  VariableRef alpha_;
};

class SoftmaxLayer final : public ConfiguredLayer<SoftmaxConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return true; }

 protected:
  Values call(Context&, const CallArguments& arguments) override {
    Value x = arguments.inputs[0];
    const Value mask = arguments.masks[0];
    if (mask) x = ops::select(mask, x, ops::scalar_like(x, x.dtype() == DType::float16 ? -3e4 : -1e9));
    const Value y = activation::softmax(x, config_.axis.in(x.shape()));
    return {mask ? ops::select(mask, y, ops::scalar_like(y, 0)) : y};
  }
};

}  // namespace

LayerRef ActivationLayer(ActivationConfig config, LayerOptions options) {
  return std::make_shared<ActivationLayerClass>(std::move(config), std::move(options));
}
LayerRef ReLU(ReLUConfig config, LayerOptions options) {
  return std::make_shared<ReLULayer>(std::move(config), std::move(options));
}
LayerRef LeakyReLU(LeakyReLUConfig config, LayerOptions options) {
  return std::make_shared<LeakyReLULayer>(std::move(config), std::move(options));
}
LayerRef PReLU(PReLUConfig config, LayerOptions options) {
  return std::make_shared<PReLULayer>(std::move(config), std::move(options));
}
LayerRef ELU(ELUConfig config, LayerOptions options) {
  return std::make_shared<ELULayer>(std::move(config), std::move(options));
}
LayerRef ThresholdedReLU(ThresholdedReLUConfig config, LayerOptions options) {
  return std::make_shared<ThresholdedReLULayer>(std::move(config), std::move(options));
}
LayerRef Softmax(SoftmaxConfig config, LayerOptions options) {
  return std::make_shared<SoftmaxLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> activation_layers() {
  return {layer_info<ActivationLayerClass>(),
          layer_info<ReLULayer>(),
          layer_info<LeakyReLULayer>(),
          layer_info<PReLULayer>(),
          layer_info<ELULayer>(),
          layer_info<ThresholdedReLULayer>("keras._legacy.layers"),
          layer_info<SoftmaxLayer>()};
}

}  // namespace nacre
