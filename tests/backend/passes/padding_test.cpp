// Zeros put around what a convolution or pooling reads.
#include <gtest/gtest.h>

#include <algorithm>

#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/passes/fold_padding.h"
#include "backend/graph/passes/pipeline.h"
#include "backend/onednn/onednn.h"
#include "tests/backend/onednn/harness.h"
#include "tests/backend/passes/check.h"
#include "tests/support/op_cases.h"

namespace nacre {
namespace {

using test::check;
using test::check_unchanged;
using test::floats;

const ConvAttrs plain_conv{.strides = {2, 2}, .dilations = {1, 1}};
const ConvAttrs padded_conv{.strides = {2, 2}, .dilations = {1, 1}, .before = {0, 1}, .after = {1, 1}};
const PoolAttrs plain_pool{.window = {3, 3}, .strides = {2, 2}};

Value x_of(Graph& g) { return g.input("x", floats({2, 6, 6, 3})); }
Value kernel_of(Graph& g) { return g.input("kernel", floats({3, 3, 3, 4})); }
Value padded(Value x) { return ops::pad(x, {0, 0, 1, 0}, {0, 1, 1, 0}); }

TEST(FoldPadding, IntoTheConvolution) {
  check(
      fold_padding,
      [&](Graph& g) {
        const Value x = x_of(g);
        g.output("y", ops::conv(padded(x), kernel_of(g), plain_conv));
      },
      [&](Graph& g) {
        const Value x = x_of(g);
        g.output("y", ops::conv(x, kernel_of(g), padded_conv));
      });
}

TEST(FoldPadding, IntoBothGradients) {
  const ConvBackwardWeightsAttrs weights{plain_conv, {3, 3, 3, 4}, true},
      folded_weights{padded_conv, {3, 3, 3, 4}, true};
  check(
      fold_padding,
      [&](Graph& g) {
        const Value x = padded(x_of(g)), dy = g.input("dy", floats({2, 3, 3, 4})), kernel = kernel_of(g);
        const Node& both = g.add(op::conv_backward_weights, weights, {x, dy});
        g.output("dkernel", both.out(0));
        g.output("dbias", both.out(1));
        g.output("dx", ops::slice(ops::conv_transpose(dy, kernel, plain_conv, x.shape()), {0, 0, 1, 0}, {2, 6, 7, 3}));
      },
      [&](Graph& g) {
        const Value x = x_of(g), dy = g.input("dy", floats({2, 3, 3, 4})), kernel = kernel_of(g);
        const Node& both = g.add(op::conv_backward_weights, folded_weights, {x, dy});
        g.output("dkernel", both.out(0));
        g.output("dbias", both.out(1));
        g.output("dx", ops::conv_transpose(dy, kernel, padded_conv, x.shape()));
      });
}

TEST(FoldPadding, OtherPaddingStays) {
  const auto unchanged = [](std::vector<std::int64_t> before, std::vector<std::int64_t> after, double value) {
    check_unchanged(fold_padding, [&](Graph& g) {
      const Value x = ops::pad(g.input("x", floats({2, 6, 6, 2})), before, after, value);
      g.output("y", ops::conv(x, g.input("kernel", floats({3, 3, 3, 4})), plain_conv));
    });
  };
  unchanged({0, 0, 0, 1}, {0, 1, 1, 0}, 0);     // of channels
  unchanged({1, 0, 0, 1}, {0, 0, 0, 0}, 0);     // of the batch
  unchanged({0, 1, 1, 1}, {0, 1, 1, 0}, 1);     // not of zeros
  check_unchanged(fold_padding, [](Graph& g) {  // more than half a window
    g.output("y", ops::conv(ops::pad(x_of(g), {0, 2, 0, 0}, {0, 0, 0, 0}), kernel_of(g), plain_conv));
  });
  check_unchanged(fold_padding, [](Graph& g) {  // likewise, with what the convolution puts there itself
    ConvAttrs same = plain_conv;
    same.padding = Padding::same;
    g.output("y", ops::conv(padded(x_of(g)), kernel_of(g), same));
  });
  check_unchanged(fold_padding, [](Graph& g) {  // others read the whole gradient
    const Value whole =
        ops::conv_transpose(g.input("dy", floats({2, 3, 3, 4})), kernel_of(g), plain_conv, {2, 7, 8, 3});
    g.output("whole", whole);
    g.output("part", ops::slice(whole, {0, 0, 1, 0}, {2, 6, 7, 3}));
  });
}

TEST(FoldPadding, IntoAPoolingOfWhatIsNowhereNegative) {
  PoolAttrs folded = plain_pool;
  folded.before = {0, 1};
  folded.after = {1, 1};
  for (const auto function : {ops::relu, ops::sigmoid, +[](Value x) { return ops::clip(x, 0, 6); },
                              +[](Value x) { return ops::relu(x) + ops::square(x); }})
    check(
        fold_padding, [&](Graph& g) { g.output("y", ops::max_pool(padded(function(x_of(g))), plain_pool)); },
        [&](Graph& g) { g.output("y", ops::max_pool(function(x_of(g)), folded)); });
  for (const auto function : {ops::tanh, +[](Value x) { return ops::relu(x) + x; },
                              +[](Value x) { return ops::clip(x, -1, 1); }, +[](Value x) { return x; }})
    check_unchanged(fold_padding,
                    [&](Graph& g) { g.output("y", ops::max_pool(padded(function(x_of(g))), plain_pool)); });
  check_unchanged(fold_padding,
                  [](Graph& g) { g.output("y", ops::average_pool(padded(ops::relu(x_of(g))), plain_pool)); });
}

// y, dx: the gradient passes the relu, or it is wanted as it comes from the pooling.
std::unique_ptr<Graph> pooling(bool through_relu) {
  auto graph = std::make_unique<Graph>();
  const Value x = graph->input("x", floats({2, 8, 8, 16})), positive = ops::relu(x);
  const Value y = ops::max_pool(ops::pad(positive, {0, 1, 1, 0}, {0, 1, 1, 0}), plain_pool);
  graph->output("y", y);
  const Value dy = graph->input("dy", y.type());
  graph->output("dx", gradients(*graph, {{y}}, {{dy}}, {{through_relu ? x : positive}})[0]);
  return graph;
}

int count(const Graph& graph, const Op& op) {
  const auto nodes = graph.nodes();
  return static_cast<int>(std::count_if(nodes.begin(), nodes.end(), [&](const Node* node) { return node->is(op); }));
}

TEST(FoldPadding, GradientsOfAPoolingGoThroughItsRelu) {
  const auto folded = run_passes(*pooling(true), onednn_backend(), fusing_passes());
  EXPECT_EQ(count(*folded, op::pad) + count(*folded, op::slice), 0) << folded->text();
  // Which of several zeros has the gradient would show.
  const auto kept = run_passes(*pooling(false), onednn_backend(), fusing_passes());
  EXPECT_EQ(count(*kept, op::pad), 1) << kept->text();
  for (const bool through_relu : {true, false}) test::expect_parity(*pooling(through_relu));
}

// Networks of convolutions, poolings and activations with padding of any kind before them, whose values may have other
// users, and their gradients.
std::unique_ptr<Graph> random_network(RandomStream& random) {
  auto graph = std::make_unique<Graph>();
  const auto up_to = [&](std::int64_t most) { return test::draw(random, 0, most); };
  const int axes = static_cast<int>(1 + up_to(1));
  Shape shape{2};
  for (int axis = 0; axis < axes; ++axis) shape.append(4 + up_to(4));
  shape.append(1 + up_to(2));
  Values wrt{graph->input("x", floats(shape))}, ends;
  Value x = wrt[0];
  for (std::int64_t step = 0, steps = 1 + up_to(3); step < steps; ++step) {
    switch (up_to(4)) {
      case 0: x = ops::sigmoid(x); break;
      case 1: x = ops::clip(x, 0, 0.5); break;
      case 2: break;
      default: x = ops::relu(x); break;
    }
    if (up_to(5) == 0) ends.push_back(x);
    if (up_to(5) > 0) {
      std::vector<std::int64_t> before(static_cast<std::size_t>(axes) + 2, 0), after = before;
      for (int axis = 1; axis <= axes; ++axis)
        before[static_cast<std::size_t>(axis)] = up_to(2), after[static_cast<std::size_t>(axis)] = up_to(2);
      if (up_to(9) == 0) after.back() = 1;
      x = ops::pad(x, before, after, up_to(9) == 0 ? 1 : 0);
      if (up_to(5) == 0) ends.push_back(x);
    }
    std::vector<std::int64_t> window, strides, dilations;
    for (int axis = 1; axis <= axes; ++axis) {
      window.push_back(1 + up_to(std::min<std::int64_t>(x.shape()[axis], 3) - 1));
      strides.push_back(1 + up_to(1)), dilations.push_back(window.back() <= x.shape()[axis] / 2 ? 1 + up_to(1) : 1);
    }
    const Padding padding = up_to(1) ? Padding::same : Padding::valid;
    switch (up_to(3)) {
      case 0: x = ops::average_pool(x, {.window = window, .strides = strides, .padding = padding}); break;
      case 1: x = ops::max_pool(x, {.window = window, .strides = strides, .padding = padding}); break;
      default: {
        Shape kernel(window);
        kernel.append(x.shape()[-1]), kernel.append(1 + up_to(2));
        wrt.push_back(graph->input("k" + std::to_string(step), floats(kernel)));
        x = ops::conv(x, wrt.back(), {.strides = strides, .dilations = dilations, .padding = padding});
      }
    }
  }
  ends.push_back(x);
  Value total = ops::sum(ops::square(ends[0]));
  for (std::size_t i = 1; i < ends.size(); ++i) total = total + ops::sum(ends[i]);
  for (std::size_t i = 0; i < ends.size(); ++i) graph->output("y" + std::to_string(i), ends[i]);
  const Values d = gradients(total, wrt);
  for (std::size_t i = 0; i < d.size(); ++i)
    if (d[i]) graph->output("d" + std::to_string(i), d[i]);
  return graph;
}

TEST(FoldPadding, RandomNetworksComputeTheSame) {
  int folded_ones = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    RandomStream random(RandomKey::of(seed, "padding"));
    const auto graph = random_network(random);
    const auto plain = run_passes(*graph, reference_backend(), common_passes());
    const auto folded = fold_padding(*plain, reference_backend());
    folded->verify();
    const auto made = run_passes(*folded, reference_backend(), common_passes());
    folded_ones += count(*made, op::pad) < count(*plain, op::pad);
    const std::vector<Tensor> inputs = test::random_inputs(*graph);
    const std::vector<Tensor> wanted = interpret(*graph, inputs, reference_backend()),
                              found = interpret(*folded, inputs, reference_backend());
    for (std::size_t i = 0; i < wanted.size(); ++i)
      ASSERT_TRUE(test::close(found[i], wanted[i], 1e-6)) << "seed " << seed << ", " << graph->outputs()[i].name << "\n"
                                                          << graph->text();
    if (seed % 4 == 0) test::expect_parity(*graph);
  }
  EXPECT_GT(folded_ones, 20);
}

TEST(FoldPadding, ATrainedNetworkHasNoCopies) {
  Graph graph;
  const Value x = x_of(graph), kernel = kernel_of(graph), next = graph.input("next", floats({3, 3, 1, 4}));
  ConvAttrs depthwise = plain_conv;
  depthwise.groups = 4;
  const Value y = ops::conv(padded(ops::relu(ops::conv(padded(x), kernel, plain_conv))), next, depthwise);
  graph.output("y", y);
  const Values d = gradients(ops::sum(ops::square(y)), Values{x, kernel, next});
  for (std::size_t i = 0; i < d.size(); ++i) graph.output(std::to_string(i), d[i]);
  const auto folded = run_passes(graph, onednn_backend(), fusing_passes());
  EXPECT_EQ(count(*folded, op::pad) + count(*folded, op::slice), 0) << folded->text();
  test::expect_parity(graph);
}

}  // namespace
}  // namespace nacre
