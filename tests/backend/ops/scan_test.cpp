// Loops: order, places, memory, and what a step may read. Gradients are tested with those of all ops.
#include "backend/graph/ops/scan.h"

#include <gtest/gtest.h>

#include "backend/executable.h"
#include "backend/graph/ops/ops.h"
#include "tests/support/paths.h"
#include "tests/support/tensors.h"

namespace nacre::test {

namespace {

class Scan : public testing::TestWithParam<const Backend*> {
 protected:
  std::vector<Tensor> run(const Graph& graph, const std::vector<Tensor>& inputs) const {
    return Executable(graph, *GetParam()).run(inputs);
  }
};

ops::ScanStep running_sum(Graph&, const Values& carry, const Values& item, const Values&) {
  const Value sum = carry[0] + item[0];
  return {{sum}, {sum}};
}

TEST_P(Scan, HandsCarriesOnAndStacksItems) {
  Graph graph;
  const Value start = graph.input("start", {DType::float32, {}}), x = graph.input("x", {DType::float32, {3}});
  const ops::Scanned sums = ops::scan({start}, {x}, {}, false, running_sum);
  graph.output("last", sums.carries[0]);
  graph.output("all", sums.items[0]);
  const auto found = run(graph, {Tensor::scalar(10.f), Tensor::of<float>({3}, {1, 2, 3})});
  EXPECT_TRUE(close(found[0], Tensor::scalar(16.f), 0));
  EXPECT_TRUE(close(found[1], Tensor::of<float>({3}, {11, 13, 16}), 0));
}

TEST_P(Scan, BackwardsItemsKeepTheirPlaces) {
  Graph graph;
  const Value start = graph.input("start", {DType::float32, {}}), x = graph.input("x", {DType::float32, {3}});
  const ops::Scanned sums = ops::scan({start}, {x}, {}, true, running_sum);
  graph.output("last", sums.carries[0]);
  graph.output("all", sums.items[0]);
  graph.output("came in", sums.carries[0].node().out(2));  // the carries as they came into each step
  const auto found = run(graph, {Tensor::scalar(10.f), Tensor::of<float>({3}, {1, 2, 3})});
  EXPECT_TRUE(close(found[0], Tensor::scalar(16.f), 0));
  EXPECT_TRUE(close(found[1], Tensor::of<float>({3}, {16, 15, 13}), 0));
  EXPECT_TRUE(close(found[2], Tensor::of<float>({3}, {15, 13, 10}), 0));
}

TEST_P(Scan, OfNothingGivesTheFirstCarry) {
  Graph graph;
  const Value start = graph.input("start", {DType::float32, {2}}), x = graph.input("x", {DType::float32, {0, 2}});
  const ops::Scanned sums = ops::scan({start}, {x}, {}, false, running_sum);
  graph.output("last", sums.carries[0]);
  graph.output("all", sums.items[0]);
  const auto found = run(graph, {Tensor::of<float>({2}, {4, 5}), Tensor(DType::float32, {0, 2})});
  EXPECT_TRUE(close(found[0], Tensor::of<float>({2}, {4, 5}), 0));
  EXPECT_EQ(found[1].shape(), (Shape{0, 2}));
}

// Two numbers that change places: a step's results must not overwrite what it still reads.
TEST_P(Scan, CarriesMaySwap) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {5}});
  const ops::Scanned result = ops::scan({graph.scalar(1), graph.scalar(2)}, {x}, {}, false,
                                        [](Graph&, const Values& carry, const Values&, const Values&) -> ops::ScanStep {
                                          return {{carry[1], carry[0]}, {carry[0]}};
                                        });
  graph.output("a", result.carries[0]);
  graph.output("b", result.carries[1]);
  graph.output("a at each step", result.items[0]);
  const auto found = run(graph, {Tensor(DType::float32, {5})});
  EXPECT_TRUE(close(found[0], Tensor::scalar(2.f), 0));
  EXPECT_TRUE(close(found[1], Tensor::scalar(1.f), 0));
  EXPECT_TRUE(close(found[2], Tensor::of<float>({5}, {1, 2, 1, 2, 1}), 0));
}

TEST_P(Scan, VariablesOfAStepBecomeFixedOperands) {
  const auto weight = std::make_shared<Variable>("weight", Type{DType::float32, {}}, true);
  weight->assign(Tensor::scalar(2.f));
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {3}});
  const ops::Scanned result = ops::scan({graph.scalar(0)}, {x}, {}, false,
                                        [&](Graph& body, const Values& carry, const Values& item, const Values&) {
                                          return ops::ScanStep{{carry[0] + item[0] * body.variable(weight)}, {}};
                                        });
  graph.output("y", result.carries[0]);
  ASSERT_EQ(graph.variables().size(), 1u);
  EXPECT_EQ(graph.variables()[0].first, weight);
  EXPECT_EQ(result.carries[0].node().inputs().back(), graph.variables()[0].second);
  EXPECT_TRUE(close(run(graph, {Tensor::of<float>({3}, {1, 2, 3})})[0], Tensor::scalar(12.f), 0));
}

TEST_P(Scan, CarriesThatNobodyReadsStackedTakeNoMemory) {
  auto arena = [&](bool read) {
    Graph graph;
    const Value x = graph.input("x", {DType::float32, {1000, 8}});
    const ops::Scanned sums = ops::scan({ops::fill_like(ops::sum(x, {0}), 0)}, {x}, {}, false, running_sum);
    graph.output("last", sums.carries[0]);
    if (read) graph.output("sum", ops::sum(sums.carries[0].node().out(2)));
    return Executable(graph, *GetParam()).statistics().arena_bytes;
  };
  EXPECT_GE(arena(true), arena(false) + 1000 * 8 * sizeof(float) / 2);
  EXPECT_LT(arena(false), 1000 * 8 * sizeof(float) * 3);
}

INSTANTIATE_TEST_SUITE_P(Backends, Scan, testing::ValuesIn(backends().begin(), backends().end()),
                         [](const auto& tested) { return std::string(tested.param->name()); });

TEST(ScanShape, KeepsWhatIsUnknown) {
  Graph graph;
  const Value start = graph.input("start", {DType::float32, {unknown, 4}});
  const Value x = graph.input("x", {DType::float32, {unknown, unknown, 4}});
  const ops::Scanned sums = ops::scan({start}, {x}, {}, false, running_sum);
  EXPECT_EQ(sums.carries[0].shape(), (Shape{unknown, 4}));
  EXPECT_EQ(sums.items[0].shape(), (Shape{unknown, unknown, 4}));
}

TEST(ScanShape, NamesTheLayerWhoseStepChangesACarry) {
  Graph graph;
  const Graph::Label label(graph, "layer 'rnn' (RNN)");
  const Value start = graph.input("start", {DType::float32, {4}}), x = graph.input("x", {DType::float32, {3, 2, 4}});
  EXPECT_EQ(message_of([&] { ops::scan({start}, {x}, {}, false, running_sum); }),
            "layer 'rnn' (RNN): a step turns float32(4,) into float32(2, 4)");
}

}  // namespace

}  // namespace nacre::test
