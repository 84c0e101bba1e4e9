// Attention of several heads, each on projections of its own.
// Calls take query (batch, T, d), value (batch, S, d') and maybe key (batch, S, d''), each an argument of its own, and by
// name: attention_mask (bool, broadcasts to (batch, T, S)), query_mask, value_mask, key_mask, use_causal_mask,
// return_attention_scores (a second output, (batch, heads, T, S)).
#pragma once

#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

// The fields that both layers have, besides those that count and size the heads.
template <class Config>
void describe_projections(auto&& field) {
  field("dropout", &Config::dropout, "share of the attention weights that is dropped in training", between(0, 1));
  field("use_bias", &Config::use_bias, "the projections add learned offsets");
  field("use_gate", &Config::use_gate, "the result is gated by sigmoid(a projection of the query)");
  field("sliding_window", &Config::sliding_window,
        "a query looks at keys nearer than this many steps alone; null: at all", at_least(1));
  field("flash_attention", &Config::flash_attention,
        "true asks for a computation without the matrix of all weights, so that there is no dropout of them and they "
        "cannot be returned; which way is taken is the backend's choice");
  field("kernel_initializer", &Config::kernel_initializer, "initial kernels of the projections");
  field("bias_initializer", &Config::bias_initializer, "initial biases");
  field("kernel_regularizer", &Config::kernel_regularizer, "penalty on the kernels");
  field("bias_regularizer", &Config::bias_regularizer, "penalty on the biases");
  field("activity_regularizer", &Config::activity_regularizer, "penalty on the result of each projection");
  field("kernel_constraint", &Config::kernel_constraint, "applied to the kernels after each update");
  field("bias_constraint", &Config::bias_constraint, "applied to the biases after each update");
  field("seed", &Config::seed, "of the dropout; null: that of the experiment");
}

struct MultiHeadAttentionConfig {
  static constexpr std::string_view class_name = "MultiHeadAttention";
  static constexpr std::string_view doc =
      "Attention of several heads: each projects queries, keys and values, attends, and a last projection joins them.";
  std::int64_t num_heads = 0, key_dim = 0;
  std::optional<std::int64_t> value_dim;
  std::optional<Shape> output_shape;
  std::optional<Axes> attention_axes;
  double dropout = 0;
  bool use_bias = true, use_gate = false;
  std::optional<std::int64_t> sliding_window;
  std::optional<bool> flash_attention;
  Ref<Initializer> kernel_initializer = "GlorotUniform", bias_initializer = "Zeros";
  Ref<Regularizer> kernel_regularizer, bias_regularizer, activity_regularizer;
  Ref<WeightConstraint> kernel_constraint, bias_constraint;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("num_heads", &MultiHeadAttentionConfig::num_heads, "number of heads", at_least(1), required());
    field("key_dim", &MultiHeadAttentionConfig::key_dim, "size of a projected query or key", at_least(1), required());
    field("value_dim", &MultiHeadAttentionConfig::value_dim, "size of a projected value; null: key_dim", at_least(1));
    field("output_shape", &MultiHeadAttentionConfig::output_shape,
          "of the result's features; null: as many as the query has");
    field("attention_axes", &MultiHeadAttentionConfig::attention_axes,
          "axes of the inputs along which queries look for keys; null: all but the batch and the features");
    describe_projections<MultiHeadAttentionConfig>(field);
  }
};

struct GroupQueryAttentionConfig {
  static constexpr std::string_view class_name = "GroupQueryAttention";
  static constexpr std::string_view doc = "Attention of several heads, where groups of queries share keys and values.";
  std::int64_t head_dim = 0, num_query_heads = 0, num_key_value_heads = 0;
  double dropout = 0;
  bool use_bias = true, use_gate = false;
  std::optional<std::int64_t> sliding_window;
  std::optional<bool> flash_attention;
  Ref<Initializer> kernel_initializer = "GlorotUniform", bias_initializer = "Zeros";
  Ref<Regularizer> kernel_regularizer, bias_regularizer, activity_regularizer;
  Ref<WeightConstraint> kernel_constraint, bias_constraint;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("head_dim", &GroupQueryAttentionConfig::head_dim, "size of a projected query, key or value", at_least(1),
          required());
    field("num_query_heads", &GroupQueryAttentionConfig::num_query_heads, "number of heads of queries", at_least(1),
          required());
    field("num_key_value_heads", &GroupQueryAttentionConfig::num_key_value_heads,
          "number of heads of keys and values, which divides that of the queries", at_least(1), required());
    describe_projections<GroupQueryAttentionConfig>(field);
  }
};

LayerRef MultiHeadAttention(MultiHeadAttentionConfig config, LayerOptions options = {});
LayerRef GroupQueryAttention(GroupQueryAttentionConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> multi_head_attention_layers();

}  // namespace nacre
