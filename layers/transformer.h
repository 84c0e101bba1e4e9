// The blocks of transformers: attention and a network of two dense layers, each with a residual connection and layer
// normalisation. KerasHub's layers.
// A call of the encoder takes inputs (batch, T, d), and may bring padding_mask (batch, T), attention_mask (batch, T, T)
// and return_attention_scores. One of the decoder takes decoder_sequence (batch, T, d), maybe encoder_sequence
// (batch, S, d'), each with a padding_mask and an attention_mask named after it, and use_causal_mask (true by default).
#pragma once

#include "layers/activation.h"
#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

// The fields that both blocks have.
template <class Config>
void describe_transformer(auto&& field) {
  field("intermediate_dim", &Config::intermediate_dim, "size between the two dense layers", at_least(1), required());
  field("num_heads", &Config::num_heads, "number of heads, each of size d / num_heads", at_least(1), required());
  field("dropout", &Config::dropout, "share that is dropped in training, of attention weights and on both branches",
        between(0, 1));
  field("activation", &Config::activation, "between the two dense layers");
  field("layer_norm_epsilon", &Config::layer_norm_epsilon, "added to the variance in layer normalisations", at_least(0));
  field("kernel_initializer", &Config::kernel_initializer, "initial kernels");
  field("bias_initializer", &Config::bias_initializer, "initial biases");
  if constexpr (requires { &Config::kernel_regularizer; }) {
    field("kernel_regularizer", &Config::kernel_regularizer, "penalty on the kernels");
    field("bias_regularizer", &Config::bias_regularizer, "penalty on the biases");
    field("activity_regularizer", &Config::activity_regularizer, "penalty on the result");
  }
  field("normalize_first", &Config::normalize_first,
        "branches begin with layer normalisation (as in GPT-2); false: it comes after each sum (as in BERT)");
}

struct TransformerEncoderConfig {
  static constexpr std::string_view class_name = "TransformerEncoder";
  static constexpr std::string_view doc = "Self-attention and a dense network, as in the encoder of a transformer.";
  std::int64_t intermediate_dim = 0, num_heads = 0;
  double dropout = 0;
  Ref<Activation> activation = "relu";
  double layer_norm_epsilon = 1e-5;
  Ref<Initializer> kernel_initializer = "GlorotUniform", bias_initializer = "Zeros";
  Ref<Regularizer> kernel_regularizer, bias_regularizer, activity_regularizer;
  bool normalize_first = false;
  static void describe(auto&& field) { describe_transformer<TransformerEncoderConfig>(field); }
};

struct TransformerDecoderConfig {
  static constexpr std::string_view class_name = "TransformerDecoder";
  static constexpr std::string_view doc =
      "Causal self-attention, attention to an encoder's sequence where the call brings one, and a dense network, as in "
      "the decoder of a transformer.";
  std::int64_t intermediate_dim = 0, num_heads = 0;
  double dropout = 0;
  Ref<Activation> activation = "relu";
  double layer_norm_epsilon = 1e-5;
  Ref<Initializer> kernel_initializer = "GlorotUniform", bias_initializer = "Zeros";
  bool normalize_first = false;
  std::optional<Shape> decoder_sequence_shape, encoder_sequence_shape;
  static void describe(auto&& field) {
    describe_transformer<TransformerDecoderConfig>(field);
    field("decoder_sequence_shape", &TransformerDecoderConfig::decoder_sequence_shape,
          "the layer is built for this shape at once; null: when it is called first");
    field("encoder_sequence_shape", &TransformerDecoderConfig::encoder_sequence_shape,
          "of the encoder's sequence, with decoder_sequence_shape; null: there is none");
  }
};

LayerRef TransformerEncoder(TransformerEncoderConfig config, LayerOptions options = {});
LayerRef TransformerDecoder(TransformerDecoderConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> transformer_layers();

}  // namespace nacre
