#include "layers/regularization.h"

#include <cmath>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/random.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"

namespace nacre {

Value dropped(Context& context, Value x, Value like, double rate, const std::string& path,
              std::optional<std::int64_t> seed) {
  return ops::dropped(x, context.random_uniform(like, path, seed), rate);
}

namespace {

// x cut to size 1 along the axes that share their random choice.
Value shared_along(Value x, const std::vector<std::int64_t>& axes) {
  for (std::int64_t axis : axes) x = ops::slice_axis(x, static_cast<int>(axis), 0, 1);
  return x;
}

Value noise_like(Value x, const std::optional<Shape>& noise_shape) {
  if (!noise_shape) return x;
  need(noise_shape->rank() == x.shape().rank(), "got noise_shape {} for input {}, wanted the same rank", *noise_shape,
       x.shape());
  std::vector<std::int64_t> axes;
  for (int axis = 0; axis < noise_shape->rank(); ++axis) {
    const std::int64_t size = (*noise_shape)[axis];
    need(size == 1 || same(size, x.shape()[axis]),
         "got noise_shape {} for input {}, wanted 1, null or the same size in axis {}", *noise_shape, x.shape(), axis);
    if (size == 1) axes.push_back(axis);
  }
  return shared_along(x, axes);
}

// A layer that changes its input in training, unless its rate is 0.
template <class Config>
class Noise : public ConfiguredLayer<Config> {
 public:
  using ConfiguredLayer<Config>::ConfiguredLayer;
  bool supports_masking() const override { return true; }

 protected:
  bool active() const {
    if constexpr (requires { this->config_.rate; }) return this->config_.rate > 0;
    else return this->config_.stddev > 0;
  }
  virtual Value disturbed(Context& context, Value x) const = 0;
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0];
    return {context.training() && active() ? disturbed(context, x) : x};
  }
};

// Srivastava et al., "Dropout" (2014).
class DropoutLayer final : public Noise<DropoutConfig> {
 public:
  using Noise::Noise;

 protected:
  Value disturbed(Context& context, Value x) const override {
    return dropped(context, x, noise_like(x, config_.noise_shape), config_.rate, path(), config_.seed);
  }
};

template <class Config, int rank>
class SpatialDropoutLayer final : public Noise<Config> {
 public:
  using Noise<Config>::Noise;
  Tree config_tree(Style style) const override {
    Tree tree = Noise<Config>::config_tree(style);
    if (style == Style::keras) tree.erase("trainable");  // which Keras refuses here
    return tree;
  }

 protected:
  void check(const std::vector<Shape>& inputs) const override { emit::want_rank(inputs[0], rank + 2); }
  Value disturbed(Context& context, Value x) const override {
    int first = 1;  // of the spatial axes
    if constexpr (rank > 1) first = this->config_.data_format == DataFormat::channels_first ? 2 : 1;
    std::vector<std::int64_t> axes;
    for (int axis = first; axis < first + rank; ++axis) axes.push_back(axis);
    return dropped(context, x, shared_along(x, axes), this->config_.rate, this->path(), this->config_.seed);
  }
};

class GaussianNoiseLayer final : public Noise<GaussianNoiseConfig> {
 public:
  using Noise::Noise;

 protected:
  Value disturbed(Context& context, Value x) const override {
    return x + ops::cast(context.random_normal(x, path(), config_.seed) * config_.stddev, x.dtype());
  }
};

class GaussianDropoutLayer final : public Noise<GaussianDropoutConfig> {
 public:
  using Noise::Noise;

 protected:
  Value disturbed(Context& context, Value x) const override {
    const double deviation = std::sqrt(config_.rate / (1 - config_.rate));
    return x * ops::cast(1.0 + context.random_normal(x, path(), config_.seed) * deviation, x.dtype());
  }
};

// Klambauer et al., "Self-normalizing neural networks" (2017).
class AlphaDropoutLayer final : public Noise<AlphaDropoutConfig> {
 public:
  using Noise::Noise;

 protected:
  Value disturbed(Context& context, Value x) const override {
    constexpr double limit = -1.0507009873554805 * 1.6732632423543772;  // of selu for small x
    const double rate = config_.rate, a = 1 / std::sqrt((1 - rate) * (1 + rate * limit * limit)), b = -a * limit * rate;
    const Value random = context.random_uniform(noise_like(x, config_.noise_shape), path(), config_.seed);
    const Value kept = ops::greater_equal(random, ops::scalar_like(random, rate));
    return ops::select(kept, x, ops::scalar_like(x, limit)) * a + b;
  }
};

class ActivityRegularizationLayer final : public ConfiguredLayer<ActivityRegularizationConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return true; }
  Ref<Regularizer> activity_regularizer() const override {
    Tree factors, penalty;
    factors.set("l1", config_.l1);
    factors.set("l2", config_.l2);
    penalty.set("L1L2", std::move(factors));
    return read_object<Regularizer>(penalty);
  }

 protected:
  Values call(Context&, const CallArguments& arguments) override { return arguments.inputs; }
};

}  // namespace

LayerRef Dropout(DropoutConfig config, LayerOptions options) {
  return std::make_shared<DropoutLayer>(std::move(config), std::move(options));
}
LayerRef SpatialDropout1D(SpatialDropout1DConfig config, LayerOptions options) {
  return std::make_shared<SpatialDropoutLayer<SpatialDropout1DConfig, 1>>(std::move(config), std::move(options));
}
LayerRef SpatialDropout2D(SpatialDropoutConfig<2> config, LayerOptions options) {
  return std::make_shared<SpatialDropoutLayer<SpatialDropoutConfig<2>, 2>>(std::move(config), std::move(options));
}
LayerRef SpatialDropout3D(SpatialDropoutConfig<3> config, LayerOptions options) {
  return std::make_shared<SpatialDropoutLayer<SpatialDropoutConfig<3>, 3>>(std::move(config), std::move(options));
}
LayerRef GaussianNoise(GaussianNoiseConfig config, LayerOptions options) {
  return std::make_shared<GaussianNoiseLayer>(std::move(config), std::move(options));
}
LayerRef GaussianDropout(GaussianDropoutConfig config, LayerOptions options) {
  return std::make_shared<GaussianDropoutLayer>(std::move(config), std::move(options));
}
LayerRef AlphaDropout(AlphaDropoutConfig config, LayerOptions options) {
  return std::make_shared<AlphaDropoutLayer>(std::move(config), std::move(options));
}
LayerRef ActivityRegularization(ActivityRegularizationConfig config, LayerOptions options) {
  return std::make_shared<ActivityRegularizationLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> regularization_layers() {
  return {layer_info<DropoutLayer>(),
          layer_info<SpatialDropoutLayer<SpatialDropout1DConfig, 1>>(),
          layer_info<SpatialDropoutLayer<SpatialDropoutConfig<2>, 2>>(),
          layer_info<SpatialDropoutLayer<SpatialDropoutConfig<3>, 3>>(),
          layer_info<GaussianNoiseLayer>(),
          layer_info<GaussianDropoutLayer>(),
          layer_info<AlphaDropoutLayer>(),
          layer_info<ActivityRegularizationLayer>()};
}

}  // namespace nacre
