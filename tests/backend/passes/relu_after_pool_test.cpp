// Rectifiers go behind poolings, and gradients stay what they were.
#include "backend/graph/passes/relu_after_pool.h"

#include <gtest/gtest.h>

#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/pool.h"
#include "backend/onednn/onednn.h"
#include "tests/backend/passes/check.h"
#include "tests/support/op_cases.h"
#include "tests/support/tensors.h"

namespace nacre {
namespace {

using test::check;
using test::check_unchanged;
using test::floats;

PoolAttrs windows(std::int64_t size, std::int64_t stride, Padding padding) {
  return {.window = {size, size}, .strides = {stride, stride}, .padding = padding};
}

TEST(ReluAfterPool, RectifiesWhatIsPooled) {
  const PoolAttrs pool = windows(2, 2, Padding::valid);
  check(
      relu_after_pool, [&](Graph& g) { g.output("y", ops::max_pool(ops::relu(g.input("x", floats({2, 6, 6, 3}))), pool)); },
      [&](Graph& g) { g.output("y", ops::relu(ops::max_pool(g.input("x", floats({2, 6, 6, 3})), pool))); });
}

TEST(ReluAfterPool, WhatOthersReadStays) {
  check_unchanged(relu_after_pool, [](Graph& g) {
    const Value y = ops::relu(g.input("x", floats({2, 6, 6, 3})));
    g.output("pooled", ops::max_pool(y, windows(2, 2, Padding::valid)));
    g.output("y", y);
  });
  check_unchanged(relu_after_pool, [](Graph& g) {
    g.output("y", ops::average_pool(ops::relu(g.input("x", floats({2, 6, 6, 3}))), windows(2, 2, Padding::valid)));
  });
}

// Windows that overlap and reach over the edge; half of the numbers are small integers, so that several are the largest.
TEST(ReluAfterPool, GradientsStayTheSameBits) {
  RandomStream random(RandomKey::of(1, "pool"));
  for (const PoolAttrs& pool : {windows(2, 2, Padding::valid), windows(3, 2, Padding::same), windows(3, 1, Padding::same)})
    for (const Backend* backend : {&reference_backend(), &onednn_backend()}) {
      const auto run = [&](bool moves, const std::vector<Tensor>& inputs) {
        Graph forward;
        const Value x = forward.input("x", floats({2, 7, 7, 16})), steps = forward.input("steps", floats({2, 7, 7, 16}));
        forward.output("y", ops::max_pool(ops::relu(x + ops::floor(steps)), pool));
        const auto graph = moves ? relu_after_pool(forward, *backend)
                                 : rewrite(forward, [](const Node&, Rewriter&) { return false; });
        const Value y = graph->result("y");
        graph->output("dx", gradients(ops::sum(y * y * y), std::vector{graph->inputs()[0].value})[0]);
        return Executable(*graph, *backend).run(inputs);
      };
      Tensor x = test::draw_tensor(random, floats({2, 7, 7, 16}));
      for (std::size_t i = 0; i < x.writable<float>().size(); i += 2) x.writable<float>()[i] = 0;
      const std::vector<Tensor> inputs{x, test::draw_tensor(random, floats({2, 7, 7, 16}))};
      const auto want = run(false, inputs), got = run(true, inputs);
      for (std::size_t i = 0; i < want.size(); ++i) EXPECT_TRUE(test::close(got[i], want[i], 0)) << backend->name() << i;
    }
}

}  // namespace
}  // namespace nacre
