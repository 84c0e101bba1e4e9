// Ops that move elements, on tensors that are large enough for several threads, bit for bit.
#include "backend/graph/ops/shape.h"

#include "backend/graph/ops/gather.h"
#include "tests/backend/onednn/harness.h"

namespace nacre::test {
namespace {

class OneDnnShape : public testing::TestWithParam<DType> {
 protected:
  Value input(Shape shape) {
    return graph.input(fmt::format("x{}", graph.inputs().size()), {GetParam(), std::move(shape)});
  }
  void expect_same_bits() {
    std::vector<Tensor> inputs;
    for (const auto& [name, value] : graph.inputs())
      inputs.push_back(random_tensor(value.type(), inputs.size() + 1, 0, 100));
    const std::vector<Tensor> expected = interpret(graph, inputs, reference_backend());
    Executable executable(graph, onednn_backend());
    EXPECT_EQ(executable.statistics().borrowed, 0);
    const std::vector<Tensor> actual = executable.run(inputs);
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_TRUE(actual[i].identical(expected[i])) << graph.outputs()[i].name;
  }
  Graph graph;
};

TEST_P(OneDnnShape, Transpose) {
  graph.output("matrix", ops::transpose(input({300, 200}), {1, 0}));
  graph.output("middle", ops::transpose(input({20, 30, 10, 8}), {0, 2, 1, 3}));
  graph.output("cycle", ops::transpose(input({20, 30, 40}), {2, 0, 1}));
  graph.output("reversed", ops::transpose(input({9, 8, 7, 6, 5}), {4, 3, 2, 1, 0}));
  expect_same_bits();
}

TEST_P(OneDnnShape, Broadcast) {
  graph.output("rows", ops::broadcast_to(input({200}), {300, 200}));
  graph.output("columns", ops::broadcast_to(input({300, 1}), {300, 200}));
  graph.output("both", ops::broadcast_to(input({30, 1, 20, 1}), {2, 30, 10, 20, 10}));
  graph.output("one", ops::broadcast_to(input({}), {300, 200}));
  expect_same_bits();
}

TEST_P(OneDnnShape, SliceAndItsGradient) {
  const Value x = input({60, 50, 40});
  graph.output("middle", ops::slice(x, {10, 5, 3}, {50, 45, 33}));
  const Value strided = ops::slice(x, {1, 2, 3}, {60, 50, 40}, {2, 3, 5});
  graph.output("strided", strided);
  graph.output("gradient", graph.add(op::slice_gradient, strided.node().attrs<SliceAttrs>(), {strided, x}).out());
  expect_same_bits();
}

TEST_P(OneDnnShape, PadConcatReverse) {
  const Value x = input({30, 40, 20});
  graph.output("pad", ops::pad(x, {1, 2, 3}, {4, 5, 6}, 7));
  graph.output("first", ops::concat({x, input({10, 40, 20})}, 0));
  graph.output("last", ops::concat({x, input({30, 40, 3}), x}, 2));
  graph.output("reverse", ops::reverse(x, {0, 2}));
  expect_same_bits();
}

TEST_P(OneDnnShape, Iota) {
  graph.output("inner", ops::iota(graph, {GetParam(), {300, 100}}, 1));
  graph.output("outer", ops::iota(graph, {GetParam(), {100, 300}}, 0));
  expect_same_bits();
}

INSTANTIATE_TEST_SUITE_P(Types, OneDnnShape,
                         testing::Values(DType::boolean, DType::int32, DType::int64, DType::bfloat16, DType::float32),
                         [](const auto& tested) { return std::string(name_of(tested.param)); });

TEST(OneDnnGather, RowsByIndex) {
  Graph graph;
  const Value table = graph.input("table", {DType::float32, {500, 40}}),
              updates = graph.input("updates", {DType::float32, {2000, 40}});
  const Value scores = graph.input("scores", {DType::float32, {2000, 500}});
  Tensor picked(DType::int32, {2000});
  RandomStream random(RandomKey::of(1, "indices"));
  for (std::int32_t& index : picked.writable<std::int32_t>()) index = static_cast<std::int32_t>(random.below(500));
  const Value indices = graph.constant(picked);
  graph.output("gather", ops::gather(table, indices));
  graph.output("scatter_add", graph.add(op::scatter_add, {500}, {indices, updates}).out());
  const Value taken = ops::take_along(scores, indices, 1);
  graph.output("take_along", taken);
  graph.output("take_along_backward", graph.add(op::take_along_backward, {1}, {scores, indices, taken}).out());
  expect_parity(graph, 1e-6);
}

// Many updates of one row, rows without any, and indices on both sides of the table.
TEST(OneDnnGather, SumsOfHalvesAreRoundedOnceAndStrayIndicesAreDropped) {
  for (const DType dtype : {DType::bfloat16, DType::float16, DType::float32})
    for (const std::int64_t width : {1, 40, 300}) {
      Graph graph;
      Tensor picked(DType::int32, {600});
      RandomStream random(RandomKey::of(2, "indices"));
      for (std::int32_t& index : picked.writable<std::int32_t>())
        index = random.below(3) == 0 ? 7 : static_cast<std::int32_t>(random.below(120)) - 10;
      const Value updates = graph.input("updates", {dtype, {600, width}});
      graph.output("y", graph.add(op::scatter_add, {100}, {graph.constant(picked), updates}).out());
      EXPECT_EQ(Executable(graph, onednn_backend()).statistics().borrowed, 0);
      expect_parity(graph, dtype == DType::float32 ? 1e-6 : dtype == DType::float16 ? 1e-3 : 8e-3);
    }
}

}  // namespace
}  // namespace nacre::test
