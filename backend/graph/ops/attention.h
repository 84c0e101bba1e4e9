// Scaled dot-product attention, for backends that compute it in tiles, without a matrix of all scores in memory: Dao et
// al., "FlashAttention" (2022), algorithms 1 and 2. It decomposes into products and a softmax elsewhere; that takes
// place before gradients are taken, so only backends that have the forward kernel need the backward one.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

// What a query gets that has no key in sight. With any in sight, those that are hidden have no weight in all three.
enum class Blind : std::uint8_t {
  nearly_even,  // hidden scores are 1e9 lower: about the mean of all values
  even,         // hidden scores are all the same: the mean of all values
  nothing,      // hidden weights are 0
};
template <>
struct EnumNames<Blind> {
  static constexpr std::string_view names[] = {"nearly_even", "even", "nothing"};
};

inline constexpr double hidden_score = 1e9;  // beyond any score, and far from the end of float32

struct AttentionAttrs {
  double scale = 1;
  bool sight = false;  // there is an operand of that name
  bool causal = false;
  Blind blind = Blind::nothing;
  double dropout = 0;  // above 0 there are the operands seed and step
  std::string path;    // of the layer, and the index of its call, for the random numbers
  std::int64_t call = 0;
  bool operator==(const AttentionAttrs&) const = default;
  static void describe(auto&& field) {
    field("scale", &AttentionAttrs::scale, "of the scores");
    field("sight", &AttentionAttrs::sight, "an operand says which keys each query may look at");
    field("causal", &AttentionAttrs::causal, "a query looks at the keys up to its own place alone");
    field("blind", &AttentionAttrs::blind, "what a query without any key gets");
    field("dropout", &AttentionAttrs::dropout, "share of the weights that is dropped");
    field("path", &AttentionAttrs::path, "of the layer");
    field("call", &AttentionAttrs::call, "index of the layer's call");
  }
};

namespace op {
// (query (batch, T, heads, d), key (batch, S, groups, d), value (batch, S, groups, e) [, sight] [, seed, step])
//   → y (batch, T, heads, e), maximum, total (batch, heads, T).
// weights = softmax(scale · q kᵀ) over the keys in sight, then dropout; y = weights · v. Heads that follow each other
// share a key and a value where there are fewer groups than heads. sight: bool, broadcasts to (batch, heads, T, S).
// seed and step: int64 scalars, of a stream of random numbers whose index is that of (batch, heads, T, S). maximum and
// total: the largest score of each query and Σ exp(score - maximum), never below float32, or another pair for which
// exp(score - maximum) / total are the weights; no gradient flows through them.
extern const OpDef<AttentionAttrs> attention;
// (query, key, value, y, maximum, total, dy [, sight] [, seed, step]) → dquery, dkey, dvalue.
extern const OpDef<AttentionAttrs> attention_backward;
}  // namespace op

namespace ops {
// Their meaning as in op::attention; null where there is none. `attrs.sight` follows from the operand.
Value attention(Value query, Value key, Value value, Value sight, Value seed, Value step, AttentionAttrs attrs);

// The dtype in which scores and weights are computed: never below float32.
DType score_dtype(DType dtype);
// (T, S), bool: the keys up to the query's own place. Sizes are known.
Value causal_sight(Graph& graph, std::int64_t queries, std::int64_t keys);
// softmax of scores (…, T, S) over the keys in sight; a null `sight` means all.
Value attention_weights(Value scores, Value sight, Blind blind);
}  // namespace ops

}  // namespace nacre
