#include "layers/core.h"

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "layers/emit.h"
#include "layers/float8.h"

namespace nacre {

namespace {

class DenseLayer final : public ConfiguredLayer<DenseConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return true; }

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    emit::want_rank_at_least(inputs[0], 2);
    if (kernel_) emit::want_size(inputs[0], -1, kernel_->shape()[0]);
  }
  void build(const std::vector<Shape>& inputs) override {
    if (dtype().is_float8()) float8_.emplace(dtype(), std::bind_front(&DenseLayer::add_weight, this));
    kernel_ = add_weight("kernel", {emit::known_size(inputs[0], -1), config_.units}, config_.kernel_initializer,
                         {.regularizer = config_.kernel_regularizer, .constraint = config_.kernel_constraint});
    if (config_.use_bias)
      bias_ = add_weight("bias", {config_.units}, config_.bias_initializer,
                         {.regularizer = config_.bias_regularizer, .constraint = config_.bias_constraint});
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0], kernel = value(context, kernel_);
    Value y = float8_ ? (*float8_)(context.graph(), x, kernel, ops::dense) : ops::dense(x, kernel);
    if (bias_) y = y + (float8_ ? Float8Product::bias(value(context, bias_)) : value(context, bias_));
    return {activated(y, config_.activation)};
  }

 private:
  VariableRef kernel_, bias_;
  std::optional<Float8Product> float8_;
};

class EmbeddingLayer final : public ConfiguredLayer<EmbeddingConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return config_.mask_zero; }
  bool casts_inputs() const override { return false; }

 protected:
  void build(const std::vector<Shape>&) override {
    embeddings_ =
        add_weight("embeddings", {config_.input_dim, config_.output_dim}, config_.embeddings_initializer,
                   {.regularizer = config_.embeddings_regularizer, .constraint = config_.embeddings_constraint});
  }
  Values call(Context& context, const CallArguments& arguments) override {
    return {embedded(context.graph().latest(embeddings_), arguments.inputs[0], dtype().compute())};
  }
  Values compute_masks(Context&, const CallArguments& arguments, const Values&) override {
    if (!config_.mask_zero) return {Value()};
    const Value indices = arguments.inputs[0];
    return {ops::not_equal(indices, ops::scalar_like(indices, 0))};
  }

 private:
  VariableRef embeddings_;
};

class MaskingLayer final : public ConfiguredLayer<MaskingConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return true; }

 protected:
  Value mask(Value x, bool keepdims) const {
    const Value differs = ops::not_equal(x, ops::scalar_like(x, config_.mask_value));
    return emit::any(differs, {-1}, keepdims);
  }
  void check(const std::vector<Shape>& inputs) const override { emit::want_rank_at_least(inputs[0], 2); }
  Values call(Context&, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0];
    return {ops::select(mask(x, true), x, ops::scalar_like(x, 0))};
  }
  Values compute_masks(Context&, const CallArguments& arguments, const Values&) override {
    return {mask(arguments.inputs[0], false)};
  }
};

class IdentityLayer final : public ConfiguredLayer<IdentityLayerConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return true; }

 protected:
  Values call(Context&, const CallArguments& arguments) override { return arguments.inputs; }
};

}  // namespace

Value embedded(Value table, Value indices, DType dtype) {
  if (indices.dtype() != DType::int32 && indices.dtype() != DType::int64) indices = ops::cast(indices, DType::int32);
  return ops::cast(ops::gather(table, indices), dtype);
}

LayerRef Dense(DenseConfig config, LayerOptions options) {
  return std::make_shared<DenseLayer>(std::move(config), std::move(options));
}
LayerRef Embedding(EmbeddingConfig config, LayerOptions options) {
  return std::make_shared<EmbeddingLayer>(std::move(config), std::move(options));
}
LayerRef Masking(MaskingConfig config, LayerOptions options) {
  return std::make_shared<MaskingLayer>(std::move(config), std::move(options));
}
LayerRef Identity(LayerOptions options) {
  return std::make_shared<IdentityLayer>(IdentityLayerConfig{}, std::move(options));
}

std::vector<ClassInfo<Layer>> core_layers() {
  ClassInfo<Layer> input{InputConfig::class_name,
                         InputConfig::doc,
                         "keras.layers",
                         {&fields_of<InputConfig>()},
                         [](const Tree& tree) { return std::make_shared<InputLayer>(read_config<InputConfig>(tree)); },
                         {"Input"}};
  return {std::move(input), layer_info<DenseLayer>(), layer_info<EmbeddingLayer>(), layer_info<MaskingLayer>(),
          layer_info<IdentityLayer>()};
}

}  // namespace nacre
