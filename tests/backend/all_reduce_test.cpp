// Sums over processes, which are threads here.
#include <gtest/gtest.h>

#include "backend/executable.h"
#include "backend/graph/ops/ops.h"
#include "tests/support/thread_processes.h"

namespace nacre::test {
namespace {

class AllReduceThreads : public testing::TestWithParam<const Backend*> {};
INSTANTIATE_TEST_SUITE_P(Backends, AllReduceThreads, testing::ValuesIn(backends().begin(), backends().end()),
                         [](const auto& row) { return std::string(row.param->name()); });

TEST_P(AllReduceThreads, EveryProcessGetsTheSums) {
  ThreadProcesses processes(3);
  std::vector<std::vector<Tensor>> results(3);
  processes.run([&](int rank, const CollectiveRef& collective) {
    Graph graph;
    const Value x = graph.input("x", {DType::float32, {2, 2}});
    const Values sums = ops::all_reduce(collective, {x, ops::sum(x), x * 2.0});
    const Value again = ops::all_reduce(collective, {sums[1]}, sums[0])[0];
    for (std::size_t i = 0; i < sums.size(); ++i) graph.output(std::to_string(i), sums[i]);
    graph.output("again", again);
    Executable executable(graph, *GetParam());
    const auto own = static_cast<float>(rank + 1);
    const std::vector<Tensor> input{Tensor::of<float>({2, 2}, {own, 2 * own, 0, -own})};
    executable.run(input);
    results[static_cast<std::size_t>(rank)] = executable.run(input);
  });
  EXPECT_EQ(processes.exchanges(), (std::vector<std::size_t>{9, 1, 9, 1}));
  for (const std::vector<Tensor>& own : results) {
    ASSERT_EQ(own.size(), 4u);
    EXPECT_TRUE(own[0].identical(Tensor::of<float>({2, 2}, {6, 12, 0, -6})));
    EXPECT_TRUE(own[1].identical(Tensor::scalar(12.0f)));
    EXPECT_TRUE(own[2].identical(Tensor::of<float>({2, 2}, {12, 24, 0, -12})));
    EXPECT_TRUE(own[3].identical(Tensor::scalar(36.0f)));
  }
}

// Others wait for it: it happens in every run, and not while a graph is compiled.
TEST_P(AllReduceThreads, HappensInEveryRunWhateverItsOperandsAre) {
  ThreadProcesses processes(2);
  processes.run([&](int, const CollectiveRef& collective) {
    const auto weight = std::make_shared<Variable>("weight", Type{DType::float32, {2}}, true);
    weight->assign(Tensor::of<float>({2}, {1, 2}));
    Graph graph;
    const Value constant = ops::all_reduce(collective, {graph.scalar(1)})[0];
    const Value fixed = ops::all_reduce(collective, {graph.variable(weight)}, constant)[0];
    graph.output("y", fixed * constant);
    Executable executable(graph, *GetParam());
    for (int run = 0; run < 2; ++run) EXPECT_TRUE(executable.run()[0].identical(Tensor::of<float>({2}, {4, 8})));
  });
  EXPECT_EQ(processes.exchanges(), (std::vector<std::size_t>{1, 2, 1, 2}));
}

TEST_P(AllReduceThreads, AProcessThatIsGoneIsToldOf) {
  ThreadProcesses processes(2);
  std::string told;
  const auto work = [&](int rank, const CollectiveRef& collective) {
    if (rank == 0) throw std::runtime_error("out of paper");
    Graph graph;
    graph.output("y", ops::all_reduce(collective, {graph.scalar(1)})[0]);
    Executable executable(graph, *GetParam());
    try {
      executable.run();
    } catch (const Error& error) {
      told = error.what();
    }
  };
  EXPECT_THROW(processes.run(work), std::runtime_error);
  EXPECT_EQ(told, "the processes that train together have lost each other: a process is gone");
}

TEST(AllReduce, WantsFloats) {
  Graph graph;
  ThreadProcesses(1).run([&](int, const CollectiveRef& collective) {
    EXPECT_THROW(ops::all_reduce(collective, {graph.scalar(1, DType::int32)}), Error);
    EXPECT_THROW(ops::all_reduce(collective, {graph.scalar(1), graph.scalar(1, DType::float64)}), Error);
  });
}

}  // namespace
}  // namespace nacre::test
