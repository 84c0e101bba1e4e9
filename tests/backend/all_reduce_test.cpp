// Sums over processes, which are threads here.
#include <gtest/gtest.h>

#include "backend/cudnn/backend.h"
#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/ops.h"
#include "backend/onednn/onednn.h"
#include "tests/support/emulated_gpu.h"
#include "tests/support/thread_processes.h"

namespace nacre::test {
namespace {

// Those that there are, and an emulated GPU, which exchanges by way of the host.
std::vector<const Backend*> tested_backends() {
  std::vector<const Backend*> all(backends().begin(), backends().end());
  if (all.back()->name() != "gpu" && emulated_gpu_backend()) all.push_back(emulated_gpu_backend());
  return all;
}

class AllReduceThreads : public testing::TestWithParam<const Backend*> {
 protected:
  // Each process has a GPU of its own.
  static const Backend& backend() {
    if (GetParam() != emulated_gpu_backend()) return *GetParam();
    static thread_local const std::unique_ptr<Backend> own = gpu::backend_on(emulated_gpu());
    return *own;
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, AllReduceThreads, testing::ValuesIn(tested_backends()),
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
    Executable executable(graph, backend());
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
    Executable executable(graph, backend());
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
    Executable executable(graph, backend());
    try {
      executable.run();
    } catch (const Error& error) {
      told = error.what();
    }
  };
  EXPECT_THROW(processes.run(work), std::runtime_error);
  EXPECT_EQ(told, "the processes that train together have lost each other: a process is gone");
}

// Three layers of which each has an exchange of its gradient, as the backward pass comes to them, and an update.
struct Backward {
  static constexpr std::int64_t units = 160;  // 100 KiB of gradient
  Graph graph;
  std::vector<VariableRef> weights;
  explicit Backward(const CollectiveRef& collective) {
    Value x = graph.input("x", {DType::float32, {4, units}});
    Values values;
    for (int i = 0; i < 3; ++i) {
      weights.push_back(std::make_shared<Variable>(fmt::format("w{}", i), Type{DType::float32, {units, units}}, true));
      Tensor start(weights.back()->type());
      for (std::int64_t k = 0; k < start.size(); ++k)
        start.writable<float>()[static_cast<std::size_t>(k)] = 0.01f * static_cast<float>((k * 7 + i) % 19 - 9);
      weights.back()->assign(start);
      values.push_back(graph.variable(weights.back()));
      x = ops::tanh(ops::matmul(x, values.back()));
    }
    const Value loss = ops::mean(ops::square(x));
    Values slopes = gradients(loss, values);
    Value earlier = ops::all_reduce(collective, {loss})[0];
    graph.output("loss", earlier);
    for (std::size_t i = 3; i-- > 0;) slopes[i] = earlier = ops::all_reduce(collective, {slopes[i]}, earlier)[0];
    for (std::size_t i = 0; i < 3; ++i) graph.update(weights[i], values[i] - slopes[i] * 0.1);
  }
  static Tensor input(float scale) {
    Tensor x(DType::float32, {4, units});
    for (std::int64_t k = 0; k < x.size(); ++k)
      x.writable<float>()[static_cast<std::size_t>(k)] = scale * static_cast<float>(k % 11 - 5);
    return x;
  }
};

// An exchange begins when its gradient is there, and goes on while the next one's is computed.
TEST(AllReduceThreads, GoOnWhileGradientsAreComputed) {
  ThreadProcesses(1).run([](int, const CollectiveRef& collective) {
    const Backward step(collective);
    const std::string text = Executable(step.graph, onednn_backend()).text();
    std::vector<std::string> order;
    for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
      const std::string name = text.substr(at, text.find_first_of("( ", at) - at);
      if (name == "all_reduce" || name == "wait" || name == "matmul") order.push_back(name);
    }
    const auto first = std::ranges::find(order, "all_reduce");
    EXPECT_EQ(std::vector(first, order.end()),
              // The loss; the gradients of the last layer, of the second, and of the first, whose input has none.
              (std::vector<std::string>{"all_reduce", "matmul", "matmul", "all_reduce", "matmul", "matmul",
                                        "all_reduce", "wait", "matmul", "all_reduce", "wait", "wait", "wait"}))
        << text;
  });
}

TEST_P(AllReduceThreads, UpdateAsIfTheGradientsHadBeenThereAtOnce) {
  ThreadProcesses processes(2);
  std::vector<std::vector<Tensor>> weights(2);
  processes.run([&](int rank, const CollectiveRef& collective) {
    const Backward step(collective);
    Executable executable(step.graph, backend());
    const std::vector<Tensor> x{Backward::input(rank == 0 ? 0.1f : 0.3f)};
    for (int run = 0; run < 3; ++run) executable.run(x);
    for (const VariableRef& weight : step.weights) weights[static_cast<std::size_t>(rank)].push_back(weight->value());
  });
  // In turn: the sums of the gradients that both have.
  const CollectiveRef alone = [] {
    CollectiveRef one;
    ThreadProcesses(1).run([&](int, const CollectiveRef& collective) { one = collective; });
    return one;
  }();
  Graph graph;
  Values losses, values;
  std::vector<VariableRef> expected;
  {
    const Backward start(alone);
    for (const VariableRef& weight : start.weights) {
      expected.push_back(std::make_shared<Variable>(weight->path(), weight->type(), true));
      expected.back()->assign(weight->value());
      values.push_back(graph.variable(expected.back()));
    }
  }
  for (const char* name : {"a", "b"}) {
    Value x = graph.input(name, {DType::float32, {4, Backward::units}});
    for (const Value value : values) x = ops::tanh(ops::matmul(x, value));
    losses.push_back(ops::mean(ops::square(x)));
  }
  const Values slopes = gradients(losses[0] + losses[1], values);
  for (std::size_t i = 0; i < 3; ++i) graph.update(expected[i], values[i] - slopes[i] * 0.1);
  graph.output("loss", losses[0] + losses[1]);
  Executable executable(graph, *GetParam());
  for (int run = 0; run < 3; ++run) executable.run(std::vector<Tensor>{Backward::input(0.1f), Backward::input(0.3f)});
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(weights[0][i].identical(weights[1][i])) << i;
    const Tensor want = expected[i]->value();
    for (std::int64_t k = 0; k < want.size(); ++k) ASSERT_NEAR(weights[0][i].at(k), want.at(k), 1e-5) << i << " " << k;
  }
}

// However many values there are.
TEST(AllReduceThreads, ValuesComeTogetherByOneKernelOnAGpu) {
  const auto device = emulated_gpu();
  if (!device) GTEST_SKIP() << "no compiler to emulate a GPU with";
  const auto backend = gpu::backend_on(device);
  ThreadProcesses(1).run([&](int, const CollectiveRef& collective) {
    Graph graph;
    const Value x = graph.input("x", {DType::float32, {30}});
    Values values;
    for (std::int64_t i = 1; i <= 20; ++i) values.push_back(ops::slice_axis(x, 0, i, i + i % 7 + 1) * static_cast<double>(i));
    const Values sums = ops::all_reduce(collective, values);
    for (std::size_t i = 0; i < sums.size(); ++i) graph.output(std::to_string(i), sums[i]);
    Executable tested(graph, *backend), specification(graph, onednn_backend());
    Tensor numbers(DType::float32, {30});
    for (std::int64_t i = 0; float& value : numbers.writable<float>()) value = static_cast<float>(i++);
    const std::vector<Tensor> input{numbers}, expected = specification.run(input);
    for (int run = 0; run < 3; ++run) {
      const std::size_t before = device->counts().order.size();
      const std::vector<Tensor> got = tested.run(input);
      for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i].identical(expected[i])) << i;
      if (run < 2) continue;
      // The input, the values; together, to the host and back, apart again; the results.
      EXPECT_EQ(device->counts().order.substr(before), "br" "bcWbb" + std::string(20, 'c') + "W") << tested.text();
    }
  });
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
