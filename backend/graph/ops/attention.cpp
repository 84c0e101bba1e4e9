#include "backend/graph/ops/attention.h"

#include "backend/graph/grad.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/random.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/ops/softmax.h"

namespace nacre {

namespace {

std::size_t extra_count(const AttentionAttrs& p) { return (p.sight ? 1u : 0u) + (p.dropout > 0 ? 2u : 0u); }

// The operands that follow the `first` tensors.
struct Extras {
  Value sight, seed, step;
  Extras(const AttentionAttrs& p, const Values& in, std::size_t first) {
    if (p.sight) sight = in[first++];
    if (p.dropout > 0) seed = in[first], step = in[first + 1];
  }
};

// (batch, heads, T, S)
Shape scores_shape(const Types& in) {
  const Shape &query = in[0].shape, &key = in[1].shape;
  return {query[0], query[2], query[1], key[1]};
}

void check_operands(const AttentionAttrs& p, const Types& in, std::size_t tensors) {
  ensure(in.size() == tensors + extra_count(p), "attention with {} operands", in.size());
  const Type &query = in[0], &key = in[1], &value = in[2];
  need(is_floating(query.dtype), "needs a floating dtype, got {}", query);
  for (const Type& type : {query, key, value}) {
    need(type.dtype == query.dtype, "operands have different dtypes: {} and {}", query, type);
    need(type.shape.rank() == 4, "got {}, wanted (batch, places, heads, features)", type);
    need(same(type.shape[0], query.shape[0]), "got batches of different sizes: {} and {}", query.shape, type.shape);
  }
  need(same(query.shape[3], key.shape[3]), "got query {} and key {}, wanted as many features", query.shape, key.shape);
  need(same(key.shape[1], value.shape[1]) && same(key.shape[2], value.shape[2]), "got key {} and value {}", key.shape,
       value.shape);
  const std::int64_t heads = query.shape[2], groups = key.shape[2];
  need(heads == unknown || groups == unknown || (groups > 0 && heads % groups == 0),
       "got {} heads of queries and {} of keys, wanted a multiple", heads, groups);
  if (p.sight) {
    const Type& sight = in[tensors];
    const Shape scores = scores_shape(in);
    need(sight.dtype == DType::boolean && sight.shape.rank() <= 4 && same(broadcast(sight.shape, scores), scores),
         "got {}, wanted bool that broadcasts to {}", sight, scores);
  }
  const Type number{DType::int64, {}};
  if (p.dropout > 0)
    need(in[in.size() - 2] == number && in.back() == number, "seed and step must be {}, got {} and {}", number,
         in[in.size() - 2], in.back());
}

Type statistics_type(const Types& in) {
  return {ops::score_dtype(in[0].dtype), {in[0].shape[0], in[0].shape[2], in[0].shape[1]}};
}
Type result_type(const Types& in) { return {in[0].dtype, in[0].shape.first(3) + Shape{in[2].shape[3]}}; }

Types infer_attention(const AttentionAttrs& p, const Types& in) {
  check_operands(p, in, 3);
  return {result_type(in), statistics_type(in), statistics_type(in)};
}

Types infer_backward(const AttentionAttrs& p, const Types& in) {
  check_operands(p, in, 7);
  const Type y = result_type(in), statistics = statistics_type(in);
  for (const auto& [got, wanted] : {std::pair{in[3], y}, {in[4], statistics}, {in[5], statistics}, {in[6], y}})
    need(got.dtype == wanted.dtype && same(got.shape, wanted.shape), "got {}, wanted {}", got, wanted);
  return {in[0], in[1], in[2]};
}

Gradients grad_attention(const AttentionAttrs& p, const Node& n, const Cotangents& d) {
  ensure(!d[1] && !d[2], "a gradient through the statistics of attention");
  Values operands = {n.in(0), n.in(1), n.in(2), n.out(0), n.out(1), n.out(2), d[0]};
  operands.insert(operands.end(), n.inputs().begin() + 3, n.inputs().end());
  const Node& found = n.graph().add(op::attention_backward, p, std::move(operands));
  Gradients result(n.inputs().size());
  for (int i = 0; i < 3; ++i) result[static_cast<std::size_t>(i)] = found.out(i);
  return result;
}

// Scores that softmax takes for hidden ones where they are.
Value lowered(Value scores, Value sight, Blind blind) {
  if (!sight) return scores;
  return ops::select(sight, scores,
                     blind == Blind::nearly_even ? scores - hidden_score : ops::scalar_like(scores, -hidden_score));
}
Value without_hidden(Value weights, Value sight, Blind blind) {
  return sight && blind == Blind::nothing ? ops::select(sight, weights, ops::scalar_like(weights, 0)) : weights;
}

// (batch, places, groups, features) → (batch, heads, places, features)
Value rows(Value x, std::int64_t heads) {
  const Shape shape = x.shape();
  if (const std::int64_t repeats = heads / shape[2]; repeats > 1) {
    x = ops::broadcast_to(ops::expand_dims(x, 3), shape.first(3) + Shape{repeats, shape[3]});
    x = ops::reshape(x, {shape[0], shape[1], heads, shape[3]});
  }
  return ops::transpose(x, {0, 2, 1, 3});
}

Values decompose_attention(const AttentionAttrs& p, const Node&, const Values& in) {
  const Extras extras(p, in, 3);
  const Value query = in[0], key = in[1], value = in[2];
  const std::int64_t heads = query.shape()[2];
  ensure(heads != unknown && key.shape()[2] != unknown, "attention with an unknown number of heads");
  Value scores = ops::matmul(rows(query, heads), rows(key, heads), false, true);
  scores = ops::cast(scores, ops::score_dtype(query.dtype())) * p.scale;
  Value sight = extras.sight;
  if (p.causal) {
    const Value causal = ops::causal_sight(query.graph(), query.shape()[1], key.shape()[1]);
    sight = sight ? ops::logical_and(sight, causal) : causal;
  }
  Value weights = ops::cast(ops::attention_weights(scores, sight, p.blind), value.dtype());
  if (p.dropout > 0)
    weights = ops::dropped(weights, ops::random_uniform(extras.seed, extras.step, weights, p.path, p.call), p.dropout);
  const Value y = ops::transpose(ops::matmul(weights, rows(value, heads)), {0, 2, 1, 3});
  scores = lowered(scores, sight, p.blind);
  const Value maximum = ops::max(scores, {-1}, true);
  const Value total = ops::sum(without_hidden(ops::exp(scores - maximum), sight, p.blind), {-1});
  return {y, ops::squeeze(maximum, -1), total};
}

// The gradients of the decomposition, which computes the scores again.
Values decompose_backward(const AttentionAttrs& p, const Node& node, const Values& in) {
  Values operands = {in[0], in[1], in[2]};
  operands.insert(operands.end(), in.begin() + 7, in.end());
  Types types;
  for (Value value : operands) types.push_back(value.type());
  const Pullback pullback(types, node.label(), {true, false, false},
                          [&](Graph&, const Values& inputs) { return decompose_attention(p, node, inputs); });
  Gradients found = pullback(in[0].graph(), operands, {in[6]});
  found.resize(3);
  return found;
}

Gradients grad_backward(const AttentionAttrs&, const Node& node, const Cotangents& d) {
  return gradients_of_decomposition(node, d);
}

}  // namespace

namespace op {
constinit const OpDef<AttentionAttrs> attention{
    {.name = "attention", .doc = "y = dropout(softmax(scale · q kᵀ)) · v over the keys in sight"},
    infer_attention,
    grad_attention,
    decompose_attention};
constinit const OpDef<AttentionAttrs> attention_backward{
    {.name = "attention_backward", .doc = "the gradients of attention"},
    infer_backward,
    grad_backward,
    decompose_backward};
}  // namespace op

namespace ops {

Value attention(Value query, Value key, Value value, Value sight, Value seed, Value step, AttentionAttrs attrs) {
  attrs.sight = static_cast<bool>(sight);
  Values operands = {query, key, value};
  if (sight) operands.push_back(sight);
  if (attrs.dropout > 0) operands.insert(operands.end(), {seed, step});
  return query.graph().add(op::attention, std::move(attrs), std::move(operands)).out();
}

DType score_dtype(DType dtype) { return dtype == DType::float64 ? dtype : DType::float32; }

Value causal_sight(Graph& graph, std::int64_t queries, std::int64_t keys) {
  ensure(queries != unknown && keys != unknown, "a causal mask of unknown size");
  return greater_equal(iota(graph, {DType::int32, {queries, 1}}, 0), iota(graph, {DType::int32, {1, keys}}, 1));
}

Value attention_weights(Value scores, Value sight, Blind blind) {
  return without_hidden(softmax(lowered(scores, sight, blind)), sight, blind);
}

}  // namespace ops

}  // namespace nacre
