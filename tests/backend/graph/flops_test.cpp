#include "backend/graph/flops.h"

#include <gtest/gtest.h>

#include "backend/graph/ops/ops.h"

namespace nacre {
namespace {

Value input(Graph& graph, Shape shape) {
  return graph.input("x" + std::to_string(graph.inputs().size()), {DType::float32, std::move(shape)});
}

TEST(Flops, ProductsCountTwoForEachTerm) {
  Graph graph;
  const Value product = ops::matmul(input(graph, {5, 7}), input(graph, {7, 3}));
  EXPECT_EQ(flops_of(product.node()), 2 * 5 * 7 * 3);
  const Value transposed = ops::matmul(input(graph, {7, 5}), input(graph, {7, 3}), true);
  EXPECT_EQ(flops_of(transposed.node()), 2 * 5 * 7 * 3);
  const ConvAttrs attrs{.strides = {1, 1}, .dilations = {1, 1}};
  const Value conv = ops::conv(input(graph, {2, 8, 8, 3}), input(graph, {3, 3, 3, 4}), attrs);
  EXPECT_EQ(flops_of(conv.node()), 2 * (2 * 6 * 6 * 4) * (3 * 3 * 3));
}

TEST(Flops, EpiloguesAndGroupsCountWhatIsFusedIntoThem) {
  Graph graph;
  const MatMulAttrs attrs{.epilogue = {.bias = true, .residual = true, .activation = EpilogueKind::relu}};
  const Node& product = graph.add(
      op::matmul, attrs, {input(graph, {5, 7}), input(graph, {7, 3}), input(graph, {3}), input(graph, {5, 3})});
  EXPECT_EQ(flops_of(product), 2 * 5 * 7 * 3 + 3 * 5 * 3);
  auto body = std::make_shared<Graph>();
  const Value x = body->input("x", {DType::float32, {10}});
  body->output("y", ops::exp(x) * x);
  EXPECT_EQ(flops_of(graph.add(op::fused, FusedAttrs{body}, {input(graph, {10})})), 20);
}

// As many as the products, the scale and the softmax that attention decomposes into, and those of its gradient.
TEST(Flops, OfAttentionAreThoseOfItsParts) {
  Graph graph;
  const Value query = input(graph, {2, 7, 4, 3}), key = input(graph, {2, 9, 2, 3}), value = input(graph, {2, 9, 2, 5});
  const Value y = ops::attention(query, key, value, {}, {}, {}, {.scale = 0.5});
  const std::int64_t scores = 2 * 4 * 7 * 9;
  EXPECT_EQ(flops_of(y.node()), scores * (2 * 3 + 1 + 5 + 2 * 5));
  const Values operands = {query, key, value, y, y.node().out(1), y.node().out(2), y};
  EXPECT_EQ(flops_of(graph.add(op::attention_backward, AttentionAttrs{.scale = 0.5}, operands)),
            scores * (2 * (3 * 3 + 2 * 5) + 6));
}

TEST(Flops, MovingElementsIsFree) {
  Graph graph;
  const Value x = input(graph, {4, 6});
  EXPECT_EQ(flops_of(ops::transpose(x, {1, 0}).node()), 0);
  EXPECT_EQ(flops_of(ops::cast(x, DType::bfloat16).node()), 0);
  EXPECT_EQ(flops_of(x.node()), 0);
}

}  // namespace
}  // namespace nacre
