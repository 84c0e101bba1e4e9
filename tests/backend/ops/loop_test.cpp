// Loops that end by a condition, and gradients given by hand. Gradients are tested with those of all ops.
#include "backend/graph/ops/loop.h"

#include <gtest/gtest.h>

#include "backend/core/stop_flag.h"
#include "backend/executable.h"
#include "backend/graph/flops.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/ops.h"
#include "tests/support/paths.h"
#include "tests/support/tensors.h"

namespace nacre::test {

namespace {

class Loop : public testing::TestWithParam<const Backend*> {
 protected:
  std::vector<Tensor> run(const Graph& graph, const std::vector<Tensor>& inputs) const {
    return Executable(graph, *GetParam()).run(inputs);
  }
};

const Type number{DType::float32, {}};

// Doubles its carry while that is below the fixed operand.
ops::Looped doubling(Value start, Value bound, std::int64_t most_steps = unknown) {
  return ops::loop(
      {start}, {bound}, [](Graph&, const Values& carry, const Values& fixed) { return ops::less(carry[0], fixed[0]); },
      [](Graph&, const Values& carry, const Values&) { return Values{carry[0] * 2.0}; }, most_steps);
}

TEST_P(Loop, EndsWhenItsConditionDoesNotHold) {
  Graph graph;
  const Value x = graph.input("x", number), limit = graph.input("bound", number);
  const ops::Looped looped = doubling(x, limit);
  graph.output("x", looped.carries[0]);
  graph.output("steps", looped.steps);
  Executable executable(graph, *GetParam());
  for (const auto& [start, bound, last, steps] :
       {std::tuple{1.F, 100.F, 128.F, 7}, {5.F, 3.F, 5.F, 0}, {1.F, 2.F, 2.F, 1}}) {
    const auto found = executable.run(std::vector{Tensor::scalar(start), Tensor::scalar(bound)});
    EXPECT_EQ(found[0].item(), last);
    EXPECT_EQ(found[1].item(), steps);
  }
}

TEST_P(Loop, EndsAfterTheMostOfItsSteps) {
  for (const std::int64_t most : {0, 1, 2, 3, 100}) {
    Graph graph;
    const Value x = graph.input("x", number), bound = graph.input("bound", number);
    const ops::Looped looped = doubling(x, bound, most);
    graph.output("x", looped.carries[0]);
    graph.output("steps", looped.steps);
    const auto found = run(graph, {Tensor::scalar(1.F), Tensor::scalar(30.F)});
    const auto steps = std::min<std::int64_t>(most, 5);
    EXPECT_EQ(found[1].item(), static_cast<double>(steps));
    EXPECT_EQ(found[0].item(), static_cast<double>(1 << steps));
  }
}

// A step's results must not overwrite what it still reads; one carry stays as it is, one is a fixed operand.
TEST_P(Loop, CarriesMaySwap) {
  Graph graph;
  const Value a = graph.input("a", number), b = graph.input("b", number), c = graph.input("c", number);
  const Value zero = graph.constant(Tensor::scalar<std::int32_t>(0));
  for (const std::int32_t count : {0, 1, 2, 5}) {
    const ops::Looped looped = ops::loop(
        {a, b, c, a, zero}, {b, graph.constant(Tensor::scalar(count))},
        [](Graph&, const Values& carry, const Values& fixed) { return ops::less(carry[4], fixed[1]); },
        [](Graph& body, const Values& carry, const Values& fixed) {
          return Values{carry[1], carry[0], carry[2], fixed[0],
                        carry[4] + body.constant(Tensor::scalar<std::int32_t>(1))};
        });
    for (int i = 0; i < 4; ++i)
      graph.output(fmt::format("{} {}", count, i), looped.carries[static_cast<std::size_t>(i)]);
  }
  const auto found = run(graph, {Tensor::scalar(1.F), Tensor::scalar(2.F), Tensor::scalar(3.F)});
  const std::vector<double> expected = {1, 2, 3, 1, /* 1 */ 2, 1, 3, 2, /* 2 */ 1, 2, 3, 2, /* 5 */ 2, 1, 3, 2};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(found[i].item(), expected[i]) << graph.outputs()[i].name;
}

// d/dx of 2ⁿ·x is 2ⁿ, n the steps that were made.
TEST_P(Loop, GradientsMakeAsManySteps) {
  Graph graph;
  const Value x = graph.input("x", number);
  const ops::Looped looped = doubling(x, graph.input("bound", number), 50);
  graph.output("slope", gradients(looped.carries[0], {&x, 1})[0]);
  Executable executable(graph, *GetParam());
  EXPECT_EQ(executable.run(std::vector{Tensor::scalar(1.F), Tensor::scalar(100.F)})[0].item(), 128);
  EXPECT_EQ(executable.run(std::vector{Tensor::scalar(1.F), Tensor::scalar(0.F)})[0].item(), 1);
}

TEST_P(Loop, StackedCarriesAreZerosBehindTheLastStep) {
  Graph graph;
  const Value x = graph.input("x", number), limit = graph.input("bound", number);
  const ops::Looped looped = doubling(x, limit, 4);
  graph.output("came in", looped.steps.node().out(2));
  Executable executable(graph, *GetParam());
  const auto came_in = [&](float bound) {
    return executable.run(std::vector{Tensor::scalar(1.F), Tensor::scalar(bound)})[0];
  };
  EXPECT_TRUE(close(came_in(1000), Tensor::of<float>({4}, {1, 2, 4, 8}), 0));
  EXPECT_TRUE(close(came_in(3), Tensor::of<float>({4}, {1, 2, 0, 0}), 0));
  EXPECT_TRUE(close(came_in(1), Tensor(DType::float32, {4}), 0));
}

TEST_P(Loop, CarriesThatNobodyReadsStackedTakeNoMemory) {
  Graph graph;
  const ops::Looped looped = doubling(graph.input("x", number), graph.input("bound", number), 1 << 30);
  graph.output("x", looped.carries[0]);
  EXPECT_LT(Executable(graph, *GetParam()).statistics().arena_bytes, std::size_t{1} << 20);
}

TEST_P(Loop, OfConstantsIsAConstant) {
  Graph graph;
  graph.output("x", doubling(graph.scalar(3), graph.scalar(20)).carries[0]);
  EXPECT_EQ(run(graph, {})[0].item(), 24);
}

// Products of all pairs, a loop within a branch within a loop.
TEST_P(Loop, HoldsLoopsAndBranches) {
  Graph graph;
  const Value x = graph.input("x", number);
  const auto one = [](Graph& body) { return body.constant(Tensor::scalar<std::int32_t>(1)); };
  const ops::Looped looped = ops::loop(
      {x, graph.constant(Tensor::scalar<std::int32_t>(0))}, {},
      [](Graph& body, const Values& carry, const Values&) {
        return ops::less(carry[1], body.constant(Tensor::scalar<std::int32_t>(3)));
      },
      [&](Graph&, const Values& carry, const Values&) {
        const Value value = ops::branch(
            carry[1], {carry[0]},
            {[](Graph&, const Values& in) { return Values{in[0] + 1.0}; },
             [](Graph& inner, const Values& in) { return Values{doubling(in[0], inner.scalar(50)).carries[0]}; }})[0];
        return Values{value, carry[1] + one(carry[1].graph())};
      });
  graph.output("y", looped.carries[0]);
  EXPECT_EQ(run(graph, {Tensor::scalar(2.F)})[0].item(), 96);  // 3, then 6, 12, …, 96, which stays
}

INSTANTIATE_TEST_SUITE_P(Backends, Loop, testing::ValuesIn(backends().begin(), backends().end()),
                         [](const auto& tested) { return std::string(tested.param->name()); });

TEST(LoopRules, WithoutAMostOfStepsThereIsNoGradient) {
  Graph graph;
  const Value x = graph.input("x", number);
  const Value y = doubling(x, graph.input("bound", number)).carries[0];
  EXPECT_EQ(message_of([&] {
              gradients(y, {&x, 1});
            }),
            "a loop of any number of steps has no gradient\n"
            "  hint: say how many steps it makes at most (maximum_iterations), or use a for loop");
  const Value stopped = ops::stop_gradient(y) * x;
  EXPECT_TRUE(gradients(stopped, {&x, 1})[0]) << "but where none is wanted of it";
}

TEST(LoopRules, EndlessLoopsEndByAFlag) {
  Graph graph;
  const Value x = graph.input("x", number);
  graph.output(
      "y", ops::loop(
               {x}, {}, [](Graph& body, const Values&, const Values&) { return body.constant(Tensor::scalar(true)); },
               [](Graph&, const Values& carry, const Values&) { return Values{-carry[0]}; })
               .carries[0]);
  Executable executable(graph, backend_for("cpu"));
  const std::atomic<bool> stop{true};
  const StopFlag here(&stop);
  const StopFlag same(nullptr);
  EXPECT_EQ(message_of([&] { executable.run(std::vector{Tensor::scalar(1.F)}); }), "interrupted");
}

TEST(LoopRules, TypesStay) {
  Graph graph;
  const Value x = graph.input("x", number);
  const auto holds = [](Graph& body, const Values&, const Values&) { return body.constant(Tensor::scalar(true)); };
  const auto wider = [](Graph&, const Values& carry, const Values&) { return Values{ops::expand_dims(carry[0], 0)}; };
  const auto same = [](Graph&, const Values& carry, const Values&) { return carry; };
  const auto counts = [](Graph&, const Values& carry, const Values&) { return carry[0]; };
  EXPECT_EQ(message_of([&] { ops::loop({x}, {}, holds, wider); }), "loop: a step turns float32() into float32(1,)");
  EXPECT_EQ(message_of([&] { ops::loop({x}, {}, counts, same); }),
            "loop: got a condition float32(), wanted a bool scalar");
  const Value open = graph.input("open", {DType::float32, {unknown, 3}});
  EXPECT_EQ(ops::loop({open}, {}, holds, same, 5).steps.node().types()[2].shape, (Shape{5, unknown, 3}));
}

TEST(LoopRules, CountsOperationsOfTheMostSteps) {
  Graph graph;
  const Value x = graph.input("x", number), bound = graph.input("bound", number);
  EXPECT_EQ(flops_of(doubling(x, bound).steps.node()), 2);
  EXPECT_EQ(flops_of(doubling(x, bound, 10).steps.node()), 20);
}

// --- gradients by hand --------------------------------------------------------------------------------------------

// y = x³ with the gradient 10·dy·x.
Value cubed(Value x) {
  const auto backward = std::make_shared<Graph>();
  const Value dy = backward->input("dy", x.type()), kept = backward->input("x", x.type());
  backward->output("dx", dy * kept * 10.0);
  return ops::custom_gradient({x * x * x}, {x}, {x}, backward)[0];
}

TEST(CustomGradient, IsTheOneThatIsGivenAlsoAgain) {
  for (const Backend* backend : backends()) {
    Graph graph;
    const Value x = graph.input("x", number);
    const Value y = cubed(x) * 2.0;
    const Value first = gradients(y, {&x, 1})[0];
    graph.output("y", y);
    graph.output("first", first);
    graph.output("second", gradients(first, {&x, 1})[0]);
    const auto found = Executable(graph, *backend).run(std::vector{Tensor::scalar(3.F)});
    EXPECT_EQ(found[0].item(), 54);
    EXPECT_EQ(found[1].item(), 60);
    EXPECT_EQ(found[2].item(), 20);
  }
}

TEST(CustomGradient, WithinALoop) {
  Graph graph;
  const Value x = graph.input("x", number), sequence = graph.input("s", {DType::float32, {2}});
  const ops::Scanned scanned =
      ops::scan({x}, {sequence}, {}, false, [](Graph&, const Values& carry, const Values& item, const Values&) {
        return ops::ScanStep{{cubed(carry[0]) * item[0]}, {}};
      });
  graph.output("slope", gradients(scanned.carries[0], {&x, 1})[0]);
  // 2³·1 = 8; slopes 10·8·1 and 10·2·1.
  const auto found =
      Executable(graph, reference_backend()).run(std::vector{Tensor::scalar(2.F), Tensor::of<float>({2}, {1, 1})});
  EXPECT_EQ(found[0].item(), 1600);
}

}  // namespace

}  // namespace nacre::test
