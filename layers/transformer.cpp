#include "layers/transformer.h"

#include <algorithm>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "layers/arguments.h"
#include "layers/core.h"
#include "layers/emit.h"
#include "layers/multi_head_attention.h"
#include "layers/normalization.h"
#include "layers/regularization.h"

namespace nacre {

namespace {

using LayerPointer = std::shared_ptr<Layer>;

// A branch of a block with what surrounds it: the sum with the input, dropout and layer normalisation.
struct Residual {
  LayerPointer norm, dropout;
};

// Vaswani et al., "Attention is all you need" (2017).
template <class Config>
class TransformerBlock : public ConfiguredLayer<Config> {
 public:
  using ConfiguredLayer<Config>::ConfiguredLayer;
  bool supports_masking() const override { return true; }
  int input_count() const override { return 0; }

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    need(!inputs.empty(), "got no input");
    emit::want_rank(inputs[0], 3);
    need(emit::known_size(inputs[0], -1) >= this->config_.num_heads, "got input {} for {} heads, wanted a feature for each",
         inputs[0], this->config_.num_heads);
  }
  Values compute_masks(Context&, const CallArguments& arguments, const Values& outputs) override {
    Values masks(outputs.size());
    masks[0] = arguments.masks[0];
    return masks;
  }

  LayerOptions named(std::string name) const { return {.name = std::move(name), .dtype = this->dtype()}; }
  LayerPointer attention(std::string name, const Shape& query, const Shape& value) const {
    const Config& c = this->config_;
    MultiHeadAttentionConfig config{.num_heads = c.num_heads,
                                    .key_dim = query[-1] / c.num_heads,
                                    .dropout = c.dropout,
                                    .kernel_initializer = c.kernel_initializer,
                                    .bias_initializer = c.bias_initializer};
    if constexpr (requires { c.kernel_regularizer; }) {
      config.kernel_regularizer = c.kernel_regularizer;
      config.bias_regularizer = c.bias_regularizer;
    }
    auto layer = MultiHeadAttention(std::move(config), named(std::move(name))).share();
    layer->ensure_built({query, value});
    return layer;
  }
  LayerPointer dense(std::string name, std::int64_t units, Ref<Activation> activation, const Shape& input) const {
    const Config& c = this->config_;
    DenseConfig config{.units = units,
                       .activation = std::move(activation),
                       .kernel_initializer = c.kernel_initializer,
                       .bias_initializer = c.bias_initializer};
    if constexpr (requires { c.kernel_regularizer; }) {
      config.kernel_regularizer = c.kernel_regularizer;
      config.bias_regularizer = c.bias_regularizer;
    }
    auto layer = Dense(std::move(config), named(std::move(name))).share();
    layer->ensure_built({input});
    return layer;
  }
  Residual residual(const std::string& name, const Shape& shape) const {
    Residual residual{LayerNormalization({.epsilon = this->config_.layer_norm_epsilon}, named(name + "_layer_norm")).share(),
                      Dropout({.rate = this->config_.dropout}, named(name + "_dropout")).share()};
    residual.norm->ensure_built({shape});
    return residual;
  }
  void build_feedforward(const Shape& input) {
    Shape between = input;
    between.set(-1, this->config_.intermediate_dim);
    feedforward_ = residual("feedforward", input);
    intermediate_ = dense("feedforward_intermediate_dense", between[-1], this->config_.activation, input);
    output_ = dense("feedforward_output_dense", input[-1], "linear", between);
  }

  static Value apply(Context& context, Layer& layer, Value x) {
    return layer(context, {.inputs = {x}}).outputs.front();
  }
  // x + dropout(branch(x)), normalised before the branch or after the sum.
  template <class Branch>
  Value with_residual(Context& context, const Residual& around, Value x, Branch&& branch) const {
    const bool first = this->config_.normalize_first;
    const Value y = branch(first ? apply(context, *around.norm, x) : x);
    const Value sum = apply(context, *around.dropout, y) + x;
    return first ? sum : apply(context, *around.norm, sum);
  }
  Value feedforward(Context& context, Value x) const {
    return with_residual(context, feedforward_, x, [&](Value y) {
      return apply(context, *output_, apply(context, *intermediate_, y));
    });
  }

  // (batch, T or 1, S): where both masks are true; null when there is none. `padding`: (batch, S).
  static Value merged(Value padding, Value attention) {
    if (attention) {
      need(attention.shape().rank() == 3, "got an attention mask {}, wanted (batch, T, S)", attention.shape());
      attention = ops::cast(attention, DType::boolean);
    }
    if (!padding) return attention;
    need(padding.shape().rank() == 2, "got a padding mask {}, wanted (batch, S)", padding.shape());
    padding = ops::expand_dims(ops::cast(padding, DType::boolean), 1);
    return attention ? ops::logical_and(padding, attention) : padding;
  }

  Residual feedforward_;
  LayerPointer intermediate_, output_;
};

class TransformerEncoderLayer final : public TransformerBlock<TransformerEncoderConfig> {
 public:
  using TransformerBlock::TransformerBlock;
  std::vector<std::string_view> argument_names() const override { return {"inputs", "padding_mask", "attention_mask"}; }
  // The attention inside takes them off its query, which is the input itself unless that is normalised first.
  bool removes_masks() const override { return !config_.normalize_first; }
  std::vector<std::string_view> keyword_names() const override { return {"return_attention_scores"}; }
  std::vector<LayerPointer> sublayers() const override {
    if (!attention_) return {};
    return {attention_,        around_.norm,  around_.dropout, feedforward_.norm,
            intermediate_, output_, feedforward_.dropout};
  }
  Tree config_tree(Style style) const override {
    Tree tree = TransformerBlock::config_tree(style);
    if (style == Style::keras)  // older versions do not know them
      for (const std::string_view key : {"kernel_regularizer", "bias_regularizer", "activity_regularizer"})
        if (tree[key].is_null()) tree.erase(key);
    return tree;
  }

 protected:
  void build(const std::vector<Shape>& inputs) override {
    attention_ = attention("self_attention_layer", inputs[0], inputs[0]);
    around_ = residual("self_attention", inputs[0]);
    build_feedforward(inputs[0]);
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value own_mask = arguments.masks[0], given = argument(*this, arguments, "padding_mask");
    const Value sight = merged(given ? given : own_mask, argument(*this, arguments, "attention_mask"));
    Values weights;
    const Value x = with_residual(context, around_, arguments.inputs[0], [&](Value y) {
      CallArguments inner{.inputs = {y, y}, .masks = {own_mask, own_mask}};
      if (sight) inner.named["attention_mask"] = {sight};
      if (const Tree* wish = arguments.options.find("return_attention_scores"))
        inner.options.set("return_attention_scores", *wish);
      Values outputs = (*attention_)(context, std::move(inner)).outputs;
      weights.assign(outputs.begin() + 1, outputs.end());
      return outputs.front();
    });
    weights.insert(weights.begin(), feedforward(context, x));
    return weights;
  }

 private:
  LayerPointer attention_;
  Residual around_;
};

class TransformerDecoderLayer final : public TransformerBlock<TransformerDecoderConfig> {
 public:
  explicit TransformerDecoderLayer(TransformerDecoderConfig config = {}, LayerOptions options = {})
      : TransformerBlock(std::move(config), std::move(options)) {
    if (!config_.decoder_sequence_shape) return;
    std::vector<Shape> shapes{*config_.decoder_sequence_shape};
    if (config_.encoder_sequence_shape) shapes.push_back(*config_.encoder_sequence_shape);
    ensure_built(shapes);
  }
  std::vector<std::string_view> argument_names() const override {
    return {"decoder_sequence",     "encoder_sequence",     "decoder_padding_mask", "decoder_attention_mask",
            "encoder_padding_mask", "encoder_attention_mask"};
  }
  std::vector<std::string_view> keyword_names() const override { return {"use_causal_mask"}; }
  std::vector<LayerPointer> sublayers() const override {
    std::vector<LayerPointer> all;
    for (const LayerPointer& layer :
         {self_attention_, around_self_.norm, around_self_.dropout, cross_attention_, around_cross_.norm,
          around_cross_.dropout, intermediate_, output_, feedforward_.norm, feedforward_.dropout})
      if (layer) all.push_back(layer);
    return all;
  }
  Tree config_tree(Style style) const override {
    Tree tree = TransformerBlock::config_tree(style);
    if (style == Style::keras && built()) {
      tree.set("decoder_sequence_shape", FieldKind<Shape>::write(built_shapes()[0], style));
      if (cross_attention_) tree.set("encoder_sequence_shape", FieldKind<Shape>::write(built_shapes()[1], style));
    }
    return tree;
  }

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    TransformerBlock::check(inputs);
    if (inputs.size() > 1) emit::want_rank(inputs[1], 3);
    if (built())
      need((inputs.size() > 1) == (cross_attention_ != nullptr), "was built {} encoder_sequence and is called {} one",
           cross_attention_ ? "with" : "without", cross_attention_ ? "without" : "with");
  }
  void build(const std::vector<Shape>& inputs) override {
    self_attention_ = attention("self_attention", inputs[0], inputs[0]);
    around_self_ = residual("self_attention", inputs[0]);
    if (inputs.size() > 1) {
      cross_attention_ = attention("cross_attention", inputs[0], inputs[1]);
      around_cross_ = residual("cross_attention", inputs[0]);
    }
    build_feedforward(inputs[0]);
  }
  Values call(Context& context, const CallArguments& arguments) override {
    for (const char* cache : {"self_attention_cache", "cross_attention_cache"})
      need(!arguments.named.contains(cache), "got {}, which is not supported: call it with whole sequences", cache);
    const Value decoder_sequence = arguments.inputs[0];
    const auto sight_of = [&](const std::string& side, std::size_t input) {
      const Value given = argument(*this, arguments, side + "_padding_mask");
      return merged(given ? given : arguments.masks[input], argument(*this, arguments, side + "_attention_mask"));
    };
    const auto attend = [&](Layer& layer, Value query, Value value, Value mask, bool causal) {
      CallArguments inner{.inputs = {query, value}};
      if (mask) inner.named["attention_mask"] = {mask};
      if (causal) inner.options.set("use_causal_mask", Tree(true));
      return layer(context, std::move(inner)).outputs.front();
    };
    Value x = with_residual(context, around_self_, decoder_sequence, [&](Value y) {
      return attend(*self_attention_, y, y, sight_of("decoder", 0), flag(arguments, "use_causal_mask", true));
    });
    if (cross_attention_)
      x = with_residual(context, around_cross_, x, [&](Value y) {
        return attend(*cross_attention_, y, arguments.inputs[1], sight_of("encoder", 1), false);
      });
    return {feedforward(context, x)};
  }

 private:
  LayerPointer self_attention_, cross_attention_;
  Residual around_self_, around_cross_;
};

}  // namespace

LayerRef TransformerEncoder(TransformerEncoderConfig config, LayerOptions options) {
  return std::make_shared<TransformerEncoderLayer>(std::move(config), std::move(options));
}
LayerRef TransformerDecoder(TransformerDecoderConfig config, LayerOptions options) {
  return std::make_shared<TransformerDecoderLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> transformer_layers() {
  return {layer_info<TransformerEncoderLayer>("keras_hub.src.layers.modeling.transformer_encoder",
                                              {"keras_hub>TransformerEncoder", "keras_nlp>TransformerEncoder"}),
          layer_info<TransformerDecoderLayer>("keras_hub.src.layers.modeling.transformer_decoder",
                                              {"keras_hub>TransformerDecoder", "keras_nlp>TransformerDecoder"})};
}

}  // namespace nacre
