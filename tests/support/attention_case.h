// Attention and its gradients, as emitted for a backend, for the tests of those that have a kernel.
#pragma once

#include "backend/graph/grad.h"
#include "backend/graph/ops/attention.h"
#include "backend/graph/passes/pipeline.h"
#include "tests/support/random_inputs.h"

namespace nacre::test {

struct AttentionSizes {
  std::int64_t batch, queries, keys, heads, groups, features, value_features;
};

enum class AttentionMask : std::uint8_t { none, random, blind_rows, one_key };

struct AttentionCase {
  AttentionSizes sizes;
  AttentionAttrs attrs;
  AttentionMask mask = AttentionMask::none;
  DType dtype = DType::float32;
  Shape mask_shape{};  // (batch, 1, queries, keys), where it is not said

  Shape sight_shape() const {
    return mask_shape.rank() > 0 ? mask_shape : Shape{sizes.batch, 1, sizes.queries, sizes.keys};
  }

  // y and the gradients of query, key and value.
  std::unique_ptr<Graph> graph(const Backend& backend) const {
    const auto [batch, queries, keys, heads, groups, features, value_features] = sizes;
    Graph forward;
    const Value query = forward.input("query", {dtype, {batch, queries, heads, features}});
    const Value key = forward.input("key", {dtype, {batch, keys, groups, features}});
    const Value value = forward.input("value", {dtype, {batch, keys, groups, value_features}});
    Value sight;
    if (mask != AttentionMask::none) sight = forward.input("sight", {DType::boolean, sight_shape()});
    const Value seed = forward.constant(Tensor::scalar<std::int64_t>(7));
    forward.output("y", ops::attention(query, key, value, sight, seed, seed, attrs));
    auto result = decompose_missing(forward, backend);
    const Value y = result->result("y"), dy = result->input("dy", y.type());
    const Value outputs[] = {y}, cotangents[] = {dy};
    const Values wrt = {result->inputs()[0].value, result->inputs()[1].value, result->inputs()[2].value};
    for (Value gradient : gradients(*result, outputs, cotangents, wrt))
      result->output(fmt::format("d{}", result->outputs().size()), gradient);
    return result;
  }

  std::vector<Tensor> inputs(const Graph& graph) const {
    std::vector<Tensor> tensors = random_inputs(graph);
    if (mask == AttentionMask::none) return tensors;
    RandomStream random(RandomKey::of(3, "sight"));
    std::int64_t i = 0;
    for (bool& seen : tensors[3].writable<bool>()) {
      const std::int64_t query = i / sizes.keys % sizes.queries, key = i % sizes.keys;
      ++i;
      if (mask == AttentionMask::one_key) seen = key == (query * 7 + 3) % sizes.keys;
      else seen = random.below(3) > 0 && !(mask == AttentionMask::blind_rows && query % 3 == 1);
    }
    return tensors;
  }
};

}  // namespace nacre::test
