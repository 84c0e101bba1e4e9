// What every attention layer computes: weights = softmax(scale · q kᵀ) over the keys in sight, then dropout, then
// weights · v. It is emitted here alone, always in the same form (matmul, multiply, select, softmax, matmul), so that a
// backend can recognise it.
#pragma once

#include <optional>

#include "layers/layer.h"

namespace nacre::emit {

// The dtype in which scores and weights are computed: never below float32.
DType score_dtype(DType dtype);
// scale · q kᵀ over the last two axes: (…, T, d), (…, S, d) → (…, T, S), in score_dtype.
Value scores(Value query, Value key, double scale = 1);

// (T, S), bool: the keys that a query may look at by place. Sizes may be unknown.
Value causal_sight(Graph& graph, std::int64_t queries, std::int64_t keys);                          // keys up to it
Value window_sight(Graph& graph, std::int64_t queries, std::int64_t keys, std::int64_t window);  // keys nearer than that

// What a query gets that has no key in sight. With any in sight, those that are hidden have no weight in all three.
enum class Blind : std::uint8_t {
  nearly_even,  // hidden scores are 1e9 lower: about the mean of all values
  even,         // hidden scores are all the same: the mean of all values
  nothing,      // hidden weights are 0
};

struct AttentionForm {
  Blind blind = Blind::nothing;
  double dropout = 0;
  std::optional<std::int64_t> seed{};
};

struct Attended {
  Value output;         // (…, T, d), of the values' dtype
  Value weights;        // (…, T, S), likewise
  Value kept_weights;   // what dropout left of them
};

// `sight`: bool, broadcasts to the scores; null when all keys are in sight. `path` names the stream of random numbers.
Attended attend(Context& context, Value scores, Value value, Value sight, const AttentionForm& form,
                const std::string& path);

}  // namespace nacre::emit
