// Reductions of tensors that are large enough for several threads, tiles and chunks.
#include "backend/graph/ops/reduce.h"

#include "backend/core/parallel.h"
#include "backend/graph/ops/conv.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "tests/backend/onednn/harness.h"

namespace nacre::test {
namespace {

struct Case {
  Shape shape;
  std::vector<std::int64_t> axes;
};
const Case cases[] = {
    {{10, 26, 26, 32}, {0, 1, 2}},
    {{128, 1100}, {0}},
    {{128, 10}, {1}},
    {{100, 512}, {1}},
    {{100003}, {0}},
    {{6, 7, 7, 600}, {1, 2}},
    {{64, 3, 50, 5}, {0, 2}},
    {{64, 30, 7, 5}, {1, 3}},
    {{70, 2500}, {0}},
    {{3, 1000, 40}, {1}},
    {{7, 11, 13, 3}, {0, 1, 2, 3}},
    {{4, 1, 6}, {1}},
};

void emit_all(Graph& graph, Value x, const std::vector<std::int64_t>& axes) {
  graph.output("sum", ops::sum(x, axes));
  graph.output("mean", ops::mean(x, axes, true));
  graph.output("max", ops::max(x, axes));
  graph.output("min", ops::min(x, axes));
  graph.output("product", ops::product(x * 0.01 + 1.0, axes));
}

TEST(OneDnnReduce, AgreesWithTheReference) {
  for (const auto& [shape, axes] : cases) {
    SCOPED_TRACE(shape.text());
    Graph graph;
    emit_all(graph, graph.input("x", {DType::float32, shape}), axes);
    expect_parity(graph, 1e-5);
  }
}

TEST(OneDnnReduce, DoesNotDependOnTheNumberOfThreads) {
  for (const auto& [shape, axes] : cases) {
    SCOPED_TRACE(shape.text());
    Graph graph;
    emit_all(graph, graph.input("x", {DType::float32, shape}), axes);
    const std::vector<Tensor> inputs = random_inputs(graph);
    std::vector<std::vector<Tensor>> results;
    for (int count : {1, 2, 3}) {
      set_threads(count);
      results.push_back(Executable(graph, onednn_backend()).run(inputs));
    }
    set_threads(0);
    for (std::size_t i = 0; i < results[0].size(); ++i) {
      EXPECT_TRUE(results[0][i].identical(results[1][i]));
      EXPECT_TRUE(results[0][i].identical(results[2][i]));
    }
  }
}

TEST(OneDnnReduce, SumsToNarrowerShapes) {
  const std::pair<Shape, Shape> shapes[] = {
      {{40, 30, 20}, {20}}, {{40, 30, 20}, {30, 1}}, {{40, 30, 20}, {40, 1, 20}}, {{50, 20}, {}}};
  for (const auto& [wide, narrow] : shapes) {
    Graph graph;
    const Value x = graph.input("x", {DType::float32, wide}), like = graph.input("like", {DType::float32, narrow});
    graph.output("y", ops::sum_like(x, like));
    expect_parity(graph);
  }
}

// A convolution's blocked result is reduced where it lies: over the places of each channel, and altogether.
TEST(OneDnnReduce, ReadsBlockedLayouts) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {4, 9, 9, 1}}),
              kernel = graph.input("k", {DType::float32, {3, 3, 1, 32}});
  const Value y = ops::conv(x, kernel, {.strides = {1, 1}, .dilations = {1, 1}});
  graph.output("per channel", ops::sum(y, {0, 1, 2}));
  graph.output("per picture", ops::mean(y, {1, 2}));
  graph.output("largest", ops::max(y, {1, 2}));
  graph.output("all", ops::sum(y));
  const std::vector<Tensor> inputs = random_inputs(graph);
  Executable executable(graph, onednn_backend());
  EXPECT_EQ(executable.statistics().activation_reorders, 1) << executable.text();  // the kernel
  const std::vector<Tensor> expected = interpret(graph, inputs, reference_backend()), actual = executable.run(inputs);
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(close_to_scale(actual[i], expected[i], 1e-5));
}

TEST(OneDnnReduce, ArgmaxTakesTheFirstOfEqualOnes) {
  for (const auto& [shape, axis] : {std::pair<Shape, int>{{300, 50}, 1}, {{50, 300}, 0}, {{20, 30, 40}, 1}}) {
    Graph graph;
    graph.output("y", ops::argmax(ops::round(graph.input("x", {DType::float32, shape}) * 3.0), axis));
    const std::vector<Tensor> inputs = random_inputs(graph);
    EXPECT_TRUE(
        Executable(graph, onednn_backend()).run(inputs)[0].identical(interpret(graph, inputs, reference_backend())[0]));
  }
}

TEST(OneDnnReduce, BFloat16) {
  Graph graph;
  graph.output("y", ops::sum(graph.input("x", {DType::bfloat16, {400, 70}}), {0}));
  expect_parity(graph, 1e-2);
}

}  // namespace
}  // namespace nacre::test
