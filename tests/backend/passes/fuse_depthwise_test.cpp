// A pointwise convolution goes into the depthwise one that alone reads it.
#include "backend/graph/passes/fuse_depthwise.h"

#include <gtest/gtest.h>

#include "backend/core/parallel.h"
#include "backend/executable.h"
#include "backend/graph/passes/pipeline.h"
#include "backend/onednn/onednn.h"
#include "tests/backend/onednn/harness.h"
#include "tests/backend/passes/check.h"

namespace nacre {
namespace {

using test::check;
using test::check_unchanged;
using test::floats;

// As MobileNetV2 begins a block, after its normalisations are folded.
struct Block {
  Shape x{4, 80, 80, 24};
  std::int64_t filters = 48, window = 3;
  ConvAttrs pointwise{.strides = {1, 1}, .dilations = {1, 1}},
      depthwise{.strides = {1, 1}, .dilations = {1, 1}, .padding = Padding::same};

  Block() {
    pointwise.epilogue = depthwise.epilogue = {.bias = true, .activation = EpilogueKind::clip, .alpha = 0, .beta = 6};
  }
  PointwiseDepthwiseAttrs attrs() const {
    PointwiseDepthwiseAttrs result{pointwise, depthwise};
    result.depthwise.groups = filters;
    return result;
  }
  Values operands(Graph& g) const {
    return {g.input("x", floats(x)), g.input("k", floats({1, 1, x[-1], filters})), g.input("b", floats({filters})),
            g.input("dk", floats({window, window, 1, filters})), g.input("db", floats({filters}))};
  }
  Values apart(Graph& g) const {
    const Values in = operands(g);
    const Value between = g.add(op::conv, pointwise, {in[0], in[1], in[2]}).out();
    return {between, g.add(op::conv, attrs().depthwise, {between, in[3], in[4]}).out()};
  }
};

TEST(FuseDepthwise, JoinsTheTwo) {
  const Block block;
  check(
      fuse_depthwise, [&](Graph& g) { g.output("y", block.apart(g)[1]); },
      [&](Graph& g) { g.output("y", g.add(op::pointwise_depthwise, block.attrs(), block.operands(g)).out()); },
      onednn_backend());
}

TEST(FuseDepthwise, WhatOthersReadOrNoKernelServesStays) {
  const auto unchanged = [](const Block& block, const Backend& backend = onednn_backend()) {
    check_unchanged(
        fuse_depthwise, [&](Graph& g) { g.output("y", block.apart(g)[1]); }, backend);
  };
  unchanged({}, reference_backend());
  check_unchanged(
      fuse_depthwise,
      [](Graph& g) {
        const Values both = Block().apart(g);
        g.output("between", both[0]);
        g.output("y", both[1]);
      },
      onednn_backend());
  Block other;
  other.filters = 40;  // not whole registers
  unchanged(other);
  other = {};
  other.x = {4, 8, 8, 24};  // stays in caches
  unchanged(other);
  other = {};
  other.window = 4;
  unchanged(other);
  other = {};
  other.pointwise.epilogue.activation = EpilogueKind::tanh;
  unchanged(other);
  other = {};
  other.depthwise.dilations = {2, 2};
  unchanged(other);
  other = {};
  other.depthwise.strides = {1, 2};
  unchanged(other);
  other = {};
  other.pointwise.strides = {2, 2};
  unchanged(other);
}

// Strips, panels of one and two groups, zeros of every side, blocked and plain.
TEST(FuseDepthwise, GivesWhatTheTwoGiveParallel) {
  struct Case {
    Shape x;
    std::int64_t filters, window, stride;
    std::vector<std::int64_t> before, after;
  };
  const Case cases[] = {
      {{2, 12, 12, 24}, 48, 3, 1, {1, 1}, {1, 1}},    {{1, 56, 56, 16}, 96, 3, 2, {0, 0}, {1, 1}},
      {{3, 7, 9, 40}, 80, 5, 1, {2, 2}, {2, 2}},      {{2, 11, 8, 16}, 16, 5, 2, {3, 1}, {0, 4}},
      {{1, 130, 70, 8}, 64, 3, 1, {1, 1}, {1, 1}},    {{2, 5, 5, 32}, 32, 3, 1, {0, 0}, {0, 0}},
      {{1, 112, 112, 16}, 32, 3, 1, {0, 0}, {20, 0}}, {{1, 40, 300, 24}, 32, 3, 2, {20, 9}, {25, 7}},
  };
  for (const Case& c : cases)
    for (const bool blocked : {false, true})
      for (const int count : {1, 3}) {
        SCOPED_TRACE(fmt::format("{} → {}, window {}, {}, {} threads", c.x, c.filters, c.window,
                                 blocked ? "blocked" : "plain", count));
        Block block;
        block.x = c.x;
        block.filters = c.filters;
        block.window = c.window;
        block.depthwise = {.strides = {c.stride, c.stride}, .dilations = {1, 1}, .before = c.before, .after = c.after};
        block.depthwise.epilogue = {.bias = true, .activation = EpilogueKind::relu};
        Graph graph;
        Values operands = block.operands(graph);
        if (blocked) {  // a convolution that reads a picture begins the blocks
          const Value picture = graph.input("picture", floats(c.x.first(3) + Shape{3})),
                      kernel = graph.input("first", floats({1, 1, 3, 32}));
          operands[0] = ops::conv(picture, kernel, {.strides = {1, 1}, .dilations = {1, 1}});
          operands[1] = graph.input("wide", floats({1, 1, 32, c.filters}));
        }
        graph.output("y", graph.add(op::pointwise_depthwise, block.attrs(), operands).out());
        set_threads(count);
        Executable joined(graph, onednn_backend());
        EXPECT_NE(joined.text().find("pointwise_depthwise"), std::string::npos) << joined.text();
        const std::vector<Tensor> inputs = test::random_inputs(graph);
        const Tensor apart = interpret(*decompose_missing(graph, reference_backend()), inputs, reference_backend())[0];
        EXPECT_TRUE(test::close_to_scale(joined.run(inputs)[0], apart, 1e-5));
        set_threads(0);
      }
}

}  // namespace
}  // namespace nacre
