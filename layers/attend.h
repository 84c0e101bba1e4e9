// What every attention layer computes: weights = softmax(scale · q kᵀ) over the keys in sight, then dropout, then
// weights · v. It is emitted here alone: as one op, or in that op's parts where scores are wanted
// or made in another way.
#pragma once

#include <optional>

#include "backend/graph/ops/attention.h"
#include "layers/layer.h"

namespace nacre::emit {

// scale · q kᵀ over the last two axes: (…, T, d), (…, S, d) → (…, T, S), in ops::score_dtype.
Value scores(Value query, Value key, double scale = 1);

// (T, S), bool: the keys that a query may look at by place. Sizes may be unknown.
Value causal_sight(Graph& graph, std::int64_t queries, std::int64_t keys);  // the keys up to its own
// Keys nearer than that.
Value window_sight(Graph& graph, std::int64_t queries, std::int64_t keys, std::int64_t window);

struct AttentionForm {
  Blind blind = Blind::nothing;
  double dropout = 0;
  std::optional<std::int64_t> seed{};
};

struct Attended {
  Value output;        // (…, T, d), of the values' dtype
  Value weights;       // (…, T, S), likewise
  Value kept_weights;  // what dropout left of them
};

// The same as one op: (batch, T, heads, d), (batch, S, groups, d), (batch, S, groups, e) → (batch, T, heads, e).
Value attend(Context& context, Value query, Value key, Value value, Value sight, bool causal, double scale,
             const AttentionForm& form, const std::string& path);

// `sight`: bool, broadcasts to the scores; null when all keys are in sight. `path` names the stream of random numbers.
Attended attend(Context& context, Value scores, Value value, Value sight, const AttentionForm& form,
                const std::string& path);

}  // namespace nacre::emit
