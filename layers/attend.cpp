#include "layers/attend.h"

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/ops/softmax.h"
#include "layers/emit.h"
#include "layers/regularization.h"

namespace nacre::emit {

Value scores(Value query, Value key, double scale) {
  const Value products = ops::cast(ops::matmul(query, key, false, true), ops::score_dtype(query.dtype()));
  return scale == 1 ? products : products * scale;
}

Value causal_sight(Graph& graph, std::int64_t queries, std::int64_t keys) {
  if (queries == unknown || keys == unknown) return zeros(graph, {DType::boolean, {queries, keys}});
  return ops::causal_sight(graph, queries, keys);
}

Value window_sight(Graph& graph, std::int64_t queries, std::int64_t keys, std::int64_t window) {
  if (queries == unknown || keys == unknown) return zeros(graph, {DType::boolean, {queries, keys}});
  const Value ahead =
      ops::iota(graph, {DType::int32, {queries, 1}}, 0) - ops::iota(graph, {DType::int32, {1, keys}}, 1);
  const Value bound = ops::scalar_like(ahead, static_cast<double>(window));
  return ops::logical_and(ops::less(ahead, bound), ops::less(-ahead, bound));
}

Value attend(Context& context, Value query, Value key, Value value, Value sight, bool causal, double scale,
             const AttentionForm& form, const std::string& path) {
  AttentionAttrs attrs{.scale = scale, .causal = causal, .blind = form.blind};
  Value seed, step;
  if (context.training() && form.dropout > 0) {
    const Context::Stream stream = context.random_stream(path, form.seed);
    seed = stream.seed, step = stream.step;
    attrs.dropout = form.dropout;
    attrs.path = path;
    attrs.call = stream.call;
  }
  return ops::attention(query, key, value, sight, seed, step, std::move(attrs));
}

Attended attend(Context& context, Value scores, Value value, Value sight, const AttentionForm& form,
                const std::string& path) {
  const Value weights = ops::cast(ops::attention_weights(scores, sight, form.blind), value.dtype());
  const Value kept = context.training() && form.dropout > 0
                         ? dropped(context, weights, weights, form.dropout, path, form.seed)
                         : weights;
  return {ops::matmul(kept, value), weights, kept};
}

}  // namespace nacre::emit
