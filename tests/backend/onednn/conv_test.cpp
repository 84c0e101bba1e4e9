// Convolutions of shapes that real networks have, in the layouts that oneDNN chooses for them.
#include "backend/graph/ops/conv.h"

#include "backend/core/parallel.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/elementwise.h"
#include "tests/backend/onednn/harness.h"

namespace nacre::test {
namespace {

struct Case {
  const char* name;
  Shape x, kernel;
  ConvAttrs attrs;
};
ConvAttrs attributes(std::vector<std::int64_t> strides, Padding padding, std::int64_t groups = 1,
                     std::int64_t dilation = 1) {
  const std::vector<std::int64_t> dilations(strides.size(), dilation);
  return {.strides = std::move(strides), .dilations = dilations, .padding = padding, .groups = groups};
}
ConvAttrs padded(ConvAttrs attrs, std::vector<std::int64_t> before, std::vector<std::int64_t> after) {
  attrs.before = std::move(before);
  attrs.after = std::move(after);
  return attrs;
}
const Case cases[] = {
    {"zeros after", {2, 12, 12, 32}, {3, 3, 32, 16}, padded(attributes({2, 2}, Padding::valid), {0, 0}, {1, 1})},
    {"zeros after, depthwise",
     {2, 12, 12, 32},
     {3, 3, 1, 32},
     padded(attributes({2, 2}, Padding::valid, 32), {0, 0}, {1, 1})},
    {"zeros around a picture",
     {2, 16, 16, 3},
     {7, 7, 3, 64},
     padded(attributes({2, 2}, Padding::valid), {3, 2}, {3, 1})},
    {"causal", {2, 20, 16}, {3, 16, 16}, padded(attributes({1}, Padding::valid, 1, 4), {8}, {})},
    {"first of one channel", {4, 14, 14, 1}, {3, 3, 1, 32}, attributes({1, 1}, Padding::valid)},
    {"first of a picture", {3, 15, 15, 3}, {7, 7, 3, 64}, attributes({2, 2}, Padding::same)},
    {"first, few filters", {3, 15, 15, 3}, {3, 3, 3, 16}, attributes({1, 1}, Padding::same)},
    {"wide", {2, 9, 11, 32}, {3, 3, 32, 64}, attributes({1, 1}, Padding::same)},
    {"by Winograd's algorithm", {2, 33, 30, 32}, {3, 3, 32, 48}, attributes({1, 1}, Padding::same)},
    {"likewise, zeros around",
     {3, 25, 26, 48},
     {3, 3, 48, 32},
     padded(attributes({1, 1}, Padding::valid), {1, 2}, {0, 1})},
    {"1×1 with strides", {2, 9, 9, 64}, {1, 1, 64, 32}, attributes({2, 2}, Padding::valid)},
    {"odd sizes", {2, 9, 11, 20}, {5, 2, 20, 10}, attributes({2, 1}, Padding::same)},
    {"dilated", {2, 12, 12, 8}, {3, 3, 8, 10}, attributes({1, 1}, Padding::same, 1, 2)},
    {"depthwise", {2, 9, 11, 32}, {3, 3, 1, 32}, attributes({1, 1}, Padding::same, 32)},
    {"depthwise, two filters each", {2, 9, 11, 16}, {3, 3, 1, 32}, attributes({2, 2}, Padding::same, 16)},
    {"groups", {2, 9, 11, 16}, {3, 3, 4, 24}, attributes({1, 1}, Padding::valid, 4)},
    {"groups of odd sizes", {2, 9, 11, 6}, {3, 3, 2, 9}, attributes({1, 1}, Padding::valid, 3)},
    {"one axis", {3, 20, 5}, {4, 5, 7}, attributes({2}, Padding::same)},
    {"three axes", {2, 6, 7, 8, 3}, {3, 2, 3, 3, 5}, attributes({1, 2, 1}, Padding::same)},
};

TEST(OneDnnConv, ForwardAndBackward) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Graph graph;
    const Value x = graph.input("x", {DType::float32, c.x}), kernel = graph.input("kernel", {DType::float32, c.kernel});
    const Value y = ops::conv(x, kernel, c.attrs);
    const Value dy = graph.input("dy", y.type());
    graph.output("y", y);
    const Values gradient = gradients(graph, {{y}}, {{dy}}, {{x, kernel}});
    graph.output("dx", gradient[0]);
    graph.output("dkernel", gradient[1]);
    const Node& weights = graph.add(op::conv_backward_weights, {c.attrs, c.kernel, true}, {x, dy});
    graph.output("dkernel beside dbias", weights.out(0));
    graph.output("dbias", weights.out(1));
    expect_parity(graph);
  }
}

TEST(OneDnnConv, Epilogues) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Graph graph;
    const Value x = graph.input("x", {DType::float32, c.x}), kernel = graph.input("kernel", {DType::float32, c.kernel});
    const Value bias = graph.input("bias", {DType::float32, {c.kernel[-1]}});
    const Value residual = graph.input("residual", ops::conv(x, kernel, c.attrs).type());
    for (int kind = 0; kind < std::ssize(EnumNames<EpilogueKind>::names); ++kind)
      for (bool with_bias : {false, true})
        for (bool with_residual : {false, true}) {
          ConvAttrs attrs = c.attrs;
          attrs.epilogue = {with_bias, with_residual, static_cast<EpilogueKind>(kind), -2, 3};
          Values operands = {x, kernel};
          if (with_bias) operands.push_back(bias);
          if (with_residual) operands.push_back(residual);
          graph.output(text_of(attrs.epilogue), graph.add(op::conv, attrs, operands).out());
        }
    expect_parity(graph, 4e-5);  // rounding errors are in proportion to what was not yet bounded
  }
}

// The residual is added to what the result's memory holds: it may be overwritten only when nobody else wants it.
TEST(OneDnnConv, ResidualIsKeptForOthers) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {2, 8, 8, 1}}),
              kernel = graph.input("kernel", {DType::float32, {3, 3, 1, 32}});
  ConvAttrs attrs = attributes({1, 1}, Padding::same);
  const Value residual = ops::conv(x, kernel, attrs);
  attrs.epilogue.residual = true;
  const Value y = graph.add(op::conv, attrs, {x, kernel, residual}).out();
  graph.output("only", y);
  graph.output("again", graph.add(op::conv, attrs, {x, kernel, y}).out() + residual);
  expect_parity(graph);
}

TEST(OneDnnConv, AnyNumberOfThreads) {
  const Case& c = cases[3];
  Graph graph;
  const Value x = graph.input("x", {DType::float32, c.x}), kernel = graph.input("kernel", {DType::float32, c.kernel});
  const Value y = ops::conv(x, kernel, c.attrs);
  graph.output("y", y);
  graph.output("dkernel", gradients(graph, {{y}}, {{y}}, {{kernel}})[0]);
  for (int count : {1, 2, 5}) {
    set_threads(count);
    expect_parity(graph);
  }
  set_threads(0);
}

}  // namespace
}  // namespace nacre::test
