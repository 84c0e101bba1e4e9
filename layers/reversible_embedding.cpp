#include "layers/reversible_embedding.h"

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"
#include "layers/arguments.h"
#include "layers/core.h"
#include "layers/emit.h"

namespace nacre {

namespace {

DType wider(DType a, DType b) {
  if (a == b) return a;
  return a == DType::float64 || b == DType::float64 ? DType::float64 : DType::float32;
}

// Press and Wolf, "Using the output embedding to improve language models" (2017).
class ReversibleEmbeddingLayer final : public ConfiguredLayer<ReversibleEmbeddingConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return config_.mask_zero; }
  bool casts_inputs() const override { return false; }
  std::vector<std::string_view> keyword_names() const override { return {"reverse"}; }

 protected:
  void build(const std::vector<Shape>&) override {
    embeddings_ =
        add_weight("embeddings", {config_.input_dim, config_.output_dim}, config_.embeddings_initializer,
                   {.regularizer = config_.embeddings_regularizer, .constraint = config_.embeddings_constraint});
    if (!config_.tie_weights)
      reverse_embeddings_ =
          add_weight("reverse_embeddings", {config_.output_dim, config_.input_dim}, config_.embeddings_initializer);
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0], table = context.graph().latest(embeddings_);
    if (flag(arguments, "reverse")) return {logits(context, x, table)};
    return {embedded(table, x, dtype().compute())};
  }
  Values compute_masks(Context&, const CallArguments& arguments, const Values&) override {
    const Value indices = arguments.inputs[0];
    if (!config_.mask_zero || flag(arguments, "reverse")) return {Value()};
    return {ops::not_equal(indices, ops::scalar_like(indices, 0))};
  }

 private:
  Value logits(Context& context, Value x, Value table) const {
    emit::want_rank_at_least(x.shape(), 2);
    emit::want_size(x.shape(), -1, config_.output_dim);
    const Value matrix = reverse_embeddings_ ? context.graph().latest(reverse_embeddings_) : table;
    const DType dtype = config_.reverse_dtype.value_or(wider(x.dtype(), matrix.dtype()));
    const Value products = ops::matmul(ops::cast(x, dtype), ops::cast(matrix, dtype), false, config_.tie_weights);
    const auto cap = config_.logit_soft_cap;
    return cap ? ops::tanh(products / *cap) * *cap : products;
  }

  VariableRef embeddings_, reverse_embeddings_;
};

}  // namespace

LayerRef ReversibleEmbedding(ReversibleEmbeddingConfig config, LayerOptions options) {
  return std::make_shared<ReversibleEmbeddingLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> reversible_embedding_layers() {
  return {layer_info<ReversibleEmbeddingLayer>("keras.layers",
                                               {"keras_hub>ReversibleEmbedding", "keras_nlp>ReversibleEmbedding"})};
}

}  // namespace nacre
