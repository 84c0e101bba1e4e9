// Dead code, constant folding, common subexpressions.
#include "backend/graph/passes/common_subexpressions.h"
#include "backend/graph/passes/constant_folding.h"
#include "backend/graph/passes/dead_code.h"
#include "tests/backend/passes/check.h"

namespace nacre {
namespace {

using test::check;
using test::check_unchanged;
using test::floats;

TEST(DeadCode, NodesThatNothingNeedsGo) {
  Graph graph;
  const Value x = graph.input("x", floats({2})), unused = graph.input("unused", floats({2}));
  ops::exp(unused);
  graph.output("y", ops::tanh(x));
  ops::tanh(ops::exp(x));
  const auto result = remove_dead_code(graph, reference_backend());
  EXPECT_EQ(result->text(),
            "%0 = input{name=x}()  float32(2,)\n"
            "%1 = input{name=unused}()  float32(2,)\n"
            "%2 = tanh(%0)  float32(2,)\n"
            "output y = %2\n");
}

TEST(DeadCode, UpdatesAreNeeded) {
  const auto w = std::make_shared<Variable>("w", floats({2}), true);
  check_unchanged(remove_dead_code, [&](Graph& g) { g.update(w, g.variable(w) * 2.0); });
}

TEST(ConstantFolding, WhatDependsOnConstantsIsComputed) {
  check(
      fold_constants,
      [](Graph& g) {
        const Value two = g.constant(Tensor::of<float>({2}, {1, 3}));
        g.output("y", g.input("x", floats({2})) * (two + 1.0));
        g.output("z", ops::sum(two));
      },
      [](Graph& g) {
        g.output("y", g.input("x", floats({2})) * g.constant(Tensor::of<float>({2}, {2, 4})));
        g.output("z", g.constant(Tensor::scalar(4.0f)));
      });
}

TEST(ConstantFolding, NothingGrowsBig) {
  check_unchanged(fold_constants, [](Graph& g) { g.output("y", ops::broadcast_to(g.scalar(1), {1000, 1000})); });
  check_unchanged(fold_constants, [](Graph& g) { g.output("y", ops::iota(g, floats({1000, 1000}), 0)); });
  check(
      fold_constants, [](Graph& g) { g.output("y", ops::broadcast_to(g.scalar(1), {2})); },
      [](Graph& g) {
        g.output("y", g.constant(Tensor::of<float>({2}, {1, 1})));
      });
}

TEST(CommonSubexpressions, EqualNodesAreOne) {
  check(
      merge_common_subexpressions,
      [](Graph& g) {
        const Value x = g.input("x", floats({2}));
        g.output("y", ops::tanh(x * g.scalar(2)) + ops::tanh(x * g.scalar(2)));
      },
      [](Graph& g) {
        const Value t = ops::tanh(g.input("x", floats({2})) * g.scalar(2));
        g.output("y", t + t);
      });
}

TEST(CommonSubexpressions, AttributesAndOperandsCount) {
  check_unchanged(merge_common_subexpressions, [](Graph& g) {
    const Value x = g.input("x", floats({2, 2})), y = g.input("y", floats({2, 2}));
    g.output("a", ops::sum(x, {0}));
    g.output("b", ops::sum(x, {1}));
    g.output("c", ops::sum(y, {0}));
    g.output("d", x - y);
    g.output("e", y - x);
    g.output("f", x * 2.0);
    g.output("g", x * 3.0);
  });
}

TEST(CommonSubexpressions, RandomNumbersOfOneKeyAreEqualThoseOfTwoAreNot) {
  const auto random = [](Graph& g, const char* path, std::int64_t call, Value x) {
    const Value seed = g.input("seed" + std::string(path) + std::to_string(call) + std::to_string(g.inputs().size()),
                               {DType::int64, {}});
    return ops::random_uniform(seed, seed, x, path, call);
  };
  check_unchanged(merge_common_subexpressions, [&](Graph& g) {
    const Value x = g.input("x", floats({2}));
    g.output("a", random(g, "dropout", 0, x));
    g.output("b", random(g, "dropout", 1, x));
    g.output("c", random(g, "noise", 0, x));
  });
  check(
      merge_common_subexpressions,
      [&](Graph& g) {
        const Value x = g.input("x", floats({2})), seed = g.input("seed", {DType::int64, {}});
        g.output("a", ops::random_uniform(seed, seed, x, "dropout", 0));
        g.output("b", ops::random_uniform(seed, seed, x, "dropout", 0));
      },
      [&](Graph& g) {
        const Value x = g.input("x", floats({2})), seed = g.input("seed", {DType::int64, {}});
        const Value r = ops::random_uniform(seed, seed, x, "dropout", 0);
        g.output("a", r);
        g.output("b", r);
      });
}

}  // namespace
}  // namespace nacre
