#include "layers/residual.h"

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"
#include "layers/regularization.h"

namespace nacre {

namespace {

// Touvron et al., "Going deeper with image transformers" (2021).
class LayerScaleLayer final : public ConfiguredLayer<LayerScaleConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    emit::want_rank_at_least(inputs[0], 1);
    emit::want_size(inputs[0], -1, config_.projection_dim);
  }
  void build(const std::vector<Shape>&) override {
    Tree factors, initializer;
    factors.set("value", config_.init_values);
    initializer.set("Constant", std::move(factors));
    gamma_ = add_weight("variable", {config_.projection_dim}, read_object<Initializer>(initializer));  // Keras's name
  }
  Values call(Context& context, const CallArguments& arguments) override {
    return {arguments.inputs[0] * value(context, gamma_)};
  }

 private:
  VariableRef gamma_;
};

// Huang et al., "Deep networks with stochastic depth" (2016).
class StochasticDepthLayer final : public ConfiguredLayer<StochasticDepthConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;

 protected:
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0];
    if (!context.training() || config_.drop_path_rate == 0) return {x};
    Value one_each = x;
    for (int axis = 1; axis < x.shape().rank(); ++axis) one_each = ops::slice_axis(one_each, axis, 0, 1);
    return {dropped(context, x, one_each, config_.drop_path_rate, path(), {})};
  }
};

// Szegedy et al., "Inception-v4, Inception-ResNet and the impact of residual connections on learning" (2016).
class ScaledSumLayer final : public ConfiguredLayer<CustomScaleLayerConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  int input_count() const override { return 2; }

 protected:
  Values call(Context&, const CallArguments& arguments) override {
    return {arguments.inputs[0] + arguments.inputs[1] * config_.scale};
  }
};

}  // namespace

LayerRef LayerScale(LayerScaleConfig config, LayerOptions options) {
  return std::make_shared<LayerScaleLayer>(std::move(config), std::move(options));
}
LayerRef StochasticDepth(StochasticDepthConfig config, LayerOptions options) {
  return std::make_shared<StochasticDepthLayer>(std::move(config), std::move(options));
}
LayerRef CustomScaleLayer(CustomScaleLayerConfig config, LayerOptions options) {
  return std::make_shared<ScaledSumLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> residual_layers() {
  constexpr std::string_view convnext = "keras.src.applications.convnext";
  return {layer_info<LayerScaleLayer>(convnext), layer_info<StochasticDepthLayer>(convnext),
          layer_info<ScaledSumLayer>("keras.src.applications.inception_resnet_v2")};
}

}  // namespace nacre
