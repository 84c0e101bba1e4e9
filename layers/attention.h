// Attention without projections: queries, values and keys are compared as they come, as a list of inputs
// [query (batch, T, d), value (batch, S, d), key (batch, S, d)]; without a key the values are keys too.
// Arguments of a call: return_attention_scores (a second output, (batch, T, S)), use_causal_mask.
#pragma once

#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

enum class ScoreMode : std::uint8_t { dot, concat };
template <>
struct EnumNames<ScoreMode> {
  static constexpr std::string_view names[] = {"dot", "concat"};
};

struct AttentionConfig {
  static constexpr std::string_view class_name = "Attention";
  static constexpr std::string_view doc =
      "For each query the mean of the values, weighted by how well their keys fit the query (Luong's attention).";
  bool use_scale = false;
  ScoreMode score_mode = ScoreMode::dot;
  double dropout = 0;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("use_scale", &AttentionConfig::use_scale, "learn a factor of the scores");
    field("score_mode", &AttentionConfig::score_mode,
          "how query and key are compared: dot is q · k, concat a learned factor times Σ tanh(q + k)");
    field("dropout", &AttentionConfig::dropout, "share of the weights that is dropped in training", between(0, 1));
    field("seed", &AttentionConfig::seed, "of the dropout; null: that of the experiment");
  }
};

struct AdditiveAttentionConfig {
  static constexpr std::string_view class_name = "AdditiveAttention";
  static constexpr std::string_view doc =
      "For each query the mean of the values, weighted by Σ scale · tanh(query + key) (Bahdanau's attention).";
  bool use_scale = true;
  double dropout = 0;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("use_scale", &AdditiveAttentionConfig::use_scale, "learn a factor for each feature");
    field("dropout", &AdditiveAttentionConfig::dropout, "share of the weights that is dropped in training",
          between(0, 1));
    field("seed", &AdditiveAttentionConfig::seed, "of the dropout; null: that of the experiment");
  }
};

LayerRef Attention(AttentionConfig config = {}, LayerOptions options = {});
LayerRef AdditiveAttention(AdditiveAttentionConfig config = {}, LayerOptions options = {});

std::vector<ClassInfo<Layer>> attention_layers();

}  // namespace nacre
