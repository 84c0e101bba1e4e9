#include "layers/attend.h"

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/ops/softmax.h"
#include "layers/emit.h"
#include "layers/regularization.h"

namespace nacre::emit {

namespace {

constexpr double hidden = 1e9;  // beyond any score, and far from the end of float32

// (T, S): what `compare` makes of the indices of query and key.
template <class Compare>
Value by_place(Graph& graph, std::int64_t queries, std::int64_t keys, Compare&& compare) {
  if (queries == unknown || keys == unknown) return zeros(graph, {DType::boolean, {queries, keys}});
  return compare(ops::iota(graph, {DType::int32, {queries, 1}}, 0), ops::iota(graph, {DType::int32, {1, keys}}, 1));
}

}  // namespace

DType score_dtype(DType dtype) { return dtype == DType::float64 ? dtype : DType::float32; }

Value scores(Value query, Value key, double scale) {
  const Value products = ops::cast(ops::matmul(query, key, false, true), score_dtype(query.dtype()));
  return scale == 1 ? products : products * scale;
}

Value causal_sight(Graph& graph, std::int64_t queries, std::int64_t keys) {
  return by_place(graph, queries, keys, [](Value query, Value key) { return ops::greater_equal(query, key); });
}

Value window_sight(Graph& graph, std::int64_t queries, std::int64_t keys, std::int64_t window) {
  return by_place(graph, queries, keys, [&](Value query, Value key) {
    const Value ahead = query - key, bound = ops::scalar_like(ahead, static_cast<double>(window));
    return ops::logical_and(ops::less(ahead, bound), ops::less(-ahead, bound));
  });
}

Attended attend(Context& context, Value scores, Value value, Value sight, const AttentionForm& form,
                const std::string& path) {
  if (sight)
    scores = ops::select(sight, scores,
                         form.blind == Blind::nearly_even ? scores - hidden : ops::scalar_like(scores, -hidden));
  Value weights = ops::softmax(scores);
  if (sight && form.blind == Blind::nothing) weights = ops::select(sight, weights, ops::scalar_like(weights, 0));
  weights = ops::cast(weights, value.dtype());
  const Value kept = context.training() && form.dropout > 0
                         ? dropped(context, weights, weights, form.dropout, path, form.seed)
                         : weights;
  return {ops::matmul(kept, value), weights, kept};
}

}  // namespace nacre::emit
