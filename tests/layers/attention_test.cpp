// Attention layers emit one op; asked for the scores they emit its parts, which must mean the same, down to what is
// dropped.
#include "backend/graph/ops/attention.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "backend/executable.h"
#include "backend/graph/passes/pipeline.h"
#include "layers/layers.h"
#include "tests/support/tensors.h"

namespace nacre {
namespace {

Tensor numbers(Shape shape, std::uint32_t which) {
  Tensor tensor = Tensor::uninitialised({DType::float32, std::move(shape)});
  RandomStream random(RandomKey::of(5, "numbers", which));
  for (float& value : tensor.writable<float>()) value = static_cast<float>(random.normal());
  return tensor;
}

struct Sample {
  const char* name;
  LayerRef layer;
  std::vector<Shape> inputs;
  bool causal = false;
};

// The result of a training step's forward pass on a backend, and whether it was made by the op.
std::pair<Tensor, bool> result_of(const Sample& sample, bool scores, const Backend& backend) {
  Graph graph;
  Context context(graph, true, graph.constant(Tensor::scalar<std::int64_t>(4)),
                  graph.constant(Tensor::scalar<std::int64_t>(2)));
  CallArguments arguments;
  for (const Shape& shape : sample.inputs)
    arguments.inputs.push_back(graph.constant(numbers(shape, static_cast<std::uint32_t>(arguments.inputs.size()))));
  arguments.masks.resize(arguments.inputs.size());
  const Shape &query = sample.inputs[0], &value = sample.inputs[1];
  Tensor mask(DType::boolean, query.first(query.rank() - 1));
  for (std::int64_t i = 0; i < mask.size(); ++i) mask.writable<bool>()[static_cast<std::size_t>(i)] = i % 3 != 1;
  if (query.rank() == 3) arguments.masks[0] = graph.constant(mask);
  Tensor value_mask(DType::boolean, value.first(value.rank() - 1));
  for (std::int64_t i = 0; i < value_mask.size(); ++i)
    value_mask.writable<bool>()[static_cast<std::size_t>(i)] = i % 5 != 2;
  if (query.rank() == 3) arguments.masks[1] = graph.constant(value_mask);
  if (scores) arguments.options.set("return_attention_scores", true);
  if (sample.causal) arguments.options.set("use_causal_mask", true);
  graph.output("y", (*sample.layer)(context, std::move(arguments)).outputs.at(0));
  sample.layer->initialize(3);
  const std::vector<const Node*> nodes = graph.nodes();
  const bool whole = std::ranges::any_of(nodes, [](const Node* node) { return node->is(op::attention); });
  return {Executable(*decompose_missing(graph, backend), backend).run()[0], whole};
}

TEST(AttentionOp, MeansWhatItsPartsMean) {
  const std::vector<Shape> inputs = {{2, 6, 5}, {2, 9, 5}}, pictures = {{2, 3, 2, 5}, {2, 3, 4, 5}};
  const Sample samples[] = {
      {"heads", MultiHeadAttention({.num_heads = 3, .key_dim = 4, .dropout = 0.3}), inputs},
      {"causal heads", MultiHeadAttention({.num_heads = 2, .key_dim = 4, .value_dim = 3, .dropout = 0.3}), inputs,
       true},
      {"window", MultiHeadAttention({.num_heads = 1, .key_dim = 2, .dropout = 0.3, .sliding_window = 2}), inputs, true},
      {"gate", MultiHeadAttention({.num_heads = 1, .key_dim = 2, .dropout = 0.3, .use_gate = true}), inputs},
      {"two axes", MultiHeadAttention({.num_heads = 2, .key_dim = 4, .dropout = 0.3}), pictures},
      {"groups", GroupQueryAttention({.head_dim = 4, .num_query_heads = 4, .num_key_value_heads = 2, .dropout = 0.3}),
       inputs, true},
      {"no heads", Attention({.dropout = 0.3, .seed = 8}), inputs},
      {"causal", Attention({.dropout = 0.3}), inputs, true},
  };
  for (const Sample& sample : samples)
    for (const Backend* backend : backends()) {
      SCOPED_TRACE(fmt::format("{} on {}", sample.name, backend->name()));
      const auto [joined, is_op] = result_of(sample, false, *backend);
      const auto [parted, is_still_op] = result_of(sample, true, *backend);
      EXPECT_TRUE(is_op);
      EXPECT_FALSE(is_still_op);
      EXPECT_TRUE(test::close(joined, parted, 2e-5));
    }
}

// What the op does not know of is emitted in parts: other scores, and axes in an order of their own.
TEST(AttentionOp, IsNotEmittedForOtherForms) {
  const std::vector<Shape> inputs = {{2, 6, 5}, {2, 9, 5}}, pictures = {{2, 3, 2, 5}, {2, 3, 2, 5}};
  const Sample samples[] = {
      {"scale", Attention({.use_scale = true}), inputs},
      {"concat", Attention({.score_mode = ScoreMode::concat}), inputs},
      {"additive", AdditiveAttention(), inputs},
      {"other order", MultiHeadAttention({.num_heads = 2, .key_dim = 4, .attention_axes = Axes{{2, 1}}}), pictures},
      {"one axis of two", MultiHeadAttention({.num_heads = 2, .key_dim = 4, .attention_axes = Axes{{2}}}), pictures},
  };
  for (const Sample& sample : samples)
    EXPECT_FALSE(result_of(sample, false, reference_backend()).second) << sample.name;
}

}  // namespace
}  // namespace nacre
