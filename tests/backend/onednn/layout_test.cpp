// Which orders of axes a training step uses, and where it changes them.
#include <functional>

#include "backend/graph/grad.h"
#include "backend/graph/ops/ops.h"
#include "backend/onednn/onednn.h"
#include "tests/backend/onednn/harness.h"

namespace nacre::test {
namespace {

constexpr double rate = 0.01;

// A training step under construction: trainable variables and their updates by gradient descent with momentum.
struct Step {
  Value variable(Shape shape) {
    auto made =
        std::make_shared<Variable>(fmt::format("w{}", variables.size()), Type{DType::float32, std::move(shape)}, true);
    made->assign(random_tensor(made->type(), variables.size() + 1, -0.2, 0.2));
    variables.push_back(made);
    return graph.variable(made);
  }
  Value conv(Value x, std::int64_t filters, std::int64_t stride = 1, Padding padding = Padding::same) {
    const ConvAttrs attrs{.strides = {stride, stride}, .dilations = {1, 1}, .padding = padding};
    return ops::conv(x, ops::cast(variable({3, 3, x.shape()[-1], filters}), x.dtype()), attrs);
  }
  Value depthwise(Value x, std::int64_t stride = 1) {  // as the layer emits it
    const Value kernel = ops::cast(variable({3, 3, x.shape()[-1], 1}), x.dtype());
    const ConvAttrs attrs{
        .strides = {stride, stride}, .dilations = {1, 1}, .padding = Padding::same, .groups = x.shape()[-1]};
    return ops::conv(x, ops::reshape(kernel, {3, 3, 1, x.shape()[-1]}), attrs);
  }
  Value biased(Value x) { return x + variable({x.shape()[-1]}); }
  Value normalized(Value x) {
    const Value gamma = variable({x.shape()[-1]}), beta = variable({x.shape()[-1]});
    return ops::batch_norm(x, gamma, beta, 1e-3).y;
  }
  void train(Value loss) {
    graph.output("loss", loss);
    Values weights;
    for (const VariableRef& trained : variables) weights.push_back(graph.variable(trained));
    const Values gradient = gradients(loss, weights);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      auto velocity = std::make_shared<Variable>(variables[i]->path() + "/velocity", variables[i]->type(), false);
      velocity->assign(Tensor(velocity->type()));
      const Value next = graph.variable(velocity) * 0.9 - gradient[i] * rate;
      graph.update(velocity, next);
      graph.update(variables[i], weights[i] + next);
    }
  }

  Graph graph;
  std::vector<VariableRef> variables;
};

// Losses of some steps on the CPU backend and on the reference.
void expect_same_training(const std::function<void(Step&)>& build, int steps = 3) {
  std::vector<double> losses[2];
  const Backend* backends[] = {&onednn_backend(), &reference_backend()};
  for (int i = 0; i < 2; ++i) {
    Step step;
    build(step);
    Executable executable(step.graph, *backends[i]);
    const std::vector<Tensor> inputs = random_inputs(step.graph);
    for (int s = 0; s < steps; ++s) losses[i].push_back(executable.run(inputs)[0].item());
  }
  for (int s = 0; s < steps; ++s)
    EXPECT_NEAR(losses[0][s], losses[1][s], 2e-4 * std::abs(losses[1][s])) << "step " << s;
}

Value half_mean_square(Value x) { return ops::mean(ops::square(x)) * 0.5; }

void blocked_network(Step& step) {
  Value x = step.graph.input("x", {DType::float32, {4, 16, 16, 1}});
  x = ops::relu(step.biased(step.conv(x, 32)));
  x = ops::max_pool(x, {{2, 2}, {2, 2}});
  x = ops::relu(step.normalized(step.conv(x, 64)));
  const Value shortcut = x;
  x = ops::relu(step.normalized(step.conv(x, 64)));
  x = step.conv(x, 64) + shortcut;
  x = ops::average_pool(ops::relu(x), {{2, 2}, {2, 2}});
  x = ops::relu(step.biased(step.conv(x, 32, 2)));
  step.train(half_mean_square(x));
}

TEST(OneDnnLayouts, ABlockedNetworkNeverReordersActivations) {
  Step step;
  blocked_network(step);
  Executable executable(step.graph, onednn_backend());
  const ExecutableStatistics found = executable.statistics();
  EXPECT_EQ(found.activation_reorders, 0) << executable.text();
  EXPECT_LE(found.weight_reorders, 4)
      << executable.text();  // of the five kernels, the first has no gradient of its input
  EXPECT_EQ(found.borrowed, 0) << executable.text();
  expect_same_training(blocked_network);
}

void plain_network(Step& step) {
  Value x = step.graph.input("x", {DType::float32, {4, 16, 16, 3}});
  x = ops::relu(step.normalized(step.conv(x, 24)));
  x = ops::relu(step.normalized(step.conv(x, 32, 2)));
  x = ops::max_pool(x, {{2, 2}, {2, 2}});
  x = ops::relu(step.biased(step.conv(x, 20)));
  step.train(half_mean_square(x));
}

TEST(OneDnnLayouts, PaddingOfAnOpOfItsOwnChangesNoOrder) {
  const auto network = [](Step& step) {
    const auto padded = [](Value x) { return ops::pad(x, {0, 1, 1, 0}, {0, 1, 1, 0}); };
    Value x = step.graph.input("x", {DType::float32, {4, 16, 16, 1}});
    x = ops::relu(step.normalized(step.conv(padded(x), 32, 1, Padding::valid)));
    x = ops::max_pool(padded(x), {{3, 3}, {2, 2}});
    x = ops::relu(step.normalized(step.conv(padded(x), 64, 2, Padding::valid)));
    step.train(half_mean_square(x));
  };
  Step step;
  network(step);
  Executable executable(step.graph, onednn_backend());
  EXPECT_EQ(executable.statistics().activation_reorders, 0) << executable.text();
  EXPECT_LE(executable.statistics().weight_reorders, 1) << executable.text();
  expect_same_training(network);
}

void depthwise_network(Step& step, std::int64_t filters, DType dtype) {
  Value x = ops::cast(step.graph.input("x", {DType::float32, {4, 16, 16, 1}}), dtype);
  x = ops::relu(step.normalized(step.conv(x, filters)));
  x = ops::relu(step.normalized(step.depthwise(x)));
  x = ops::relu(step.normalized(step.depthwise(x, 2)));
  step.train(half_mean_square(ops::cast(x, DType::float32)));
}

// One order of a depthwise kernel serves all three convolutions; the layer's view of its variable has that order too.
TEST(OneDnnLayouts, DepthwiseKernelsAreNeverReordered) {
  for (const std::int64_t filters : {20, 16}) {  // plain, blocked
    const auto network = [&](Step& step) { depthwise_network(step, filters, DType::float32); };
    Step step;
    network(step);
    Executable executable(step.graph, onednn_backend());
    EXPECT_EQ(executable.statistics().activation_reorders, 0) << executable.text();
    EXPECT_EQ(executable.statistics().weight_reorders, 0) << executable.text();
    expect_same_training(network);
  }
}

// Filters in blocks of 16 channels and nothing else: the loops for depthwise convolutions read them, not matrix products
// of padded groups.
TEST(OneDnnLayouts, GradientsOfDepthwiseConvolutionsInBfloat16AreNotPadded) {
  for (const std::int64_t filters : {20, 16}) {  // plain, blocked
    Step step;
    depthwise_network(step, filters, DType::bfloat16);
    const std::string text = Executable(step.graph, onednn_backend()).text();
    int gradients = 0;
    for (std::size_t at = text.find("conv_backward_data("); at != std::string::npos;
         at = text.find("conv_backward_data(", at + 1), ++gradients)
      EXPECT_NE(text.substr(at, text.find('\n', at) - at).find(" cDeab16d "), std::string::npos) << text;
    EXPECT_EQ(gradients, 2) << text;
  }
}

// Casts of kernels read the variable in the order that the convolution wants. In bfloat16 oneDNN has other orders for both
// gradients.
TEST(OneDnnLayouts, CastKernelsHaveTheOrderOfTheirConvolution) {
  for (const std::int64_t channels : {1, 16}) {  // blocked, plain
    const auto network = [&](Step& step) {
      Value x = ops::cast(step.graph.input("x", {DType::float32, {4, 16, 16, channels}}), DType::bfloat16);
      x = ops::relu(step.conv(x, 32));
      x = ops::relu(step.conv(x, 64, 2));
      x = ops::relu(step.conv(x, 32));
      step.train(half_mean_square(ops::cast(x, DType::float32)));
    };
    Step step;
    network(step);
    Executable executable(step.graph, onednn_backend());
    EXPECT_EQ(executable.statistics().activation_reorders, 0) << executable.text();
    EXPECT_LE(executable.statistics().weight_reorders, 5) << executable.text();
  }
}

TEST(OneDnnLayouts, APlainNetworkStaysPlain) {
  Step step;
  plain_network(step);
  Executable executable(step.graph, onednn_backend());
  EXPECT_EQ(executable.statistics().activation_reorders, 0) << executable.text();
  expect_same_training(plain_network);
}

struct LeNet {
  DType dtype = DType::float32;
  std::int64_t filters = 64;
  bool dropped_before = false, dropped_after = false;

  void operator()(Step& step) const {
    const auto dropped = [&](Value x) {
      const auto whole = [&](std::int64_t number) {
        return step.graph.constant(Tensor::of<std::int64_t>({}, {number}));
      };
      const Value random = ops::random_uniform(whole(3), whole(5), x, "dropout", x.shape().rank());
      return ops::dropped(x, ops::cast(random, x.dtype()), 0.25);
    };
    const auto dense = [&](Value x, std::int64_t units) {
      return ops::dense(x, ops::cast(step.variable({x.shape()[-1], units}), x.dtype()));
    };
    Value x = ops::cast(step.graph.input("x", {DType::float32, {4, 28, 28, 1}}), dtype);
    x = ops::relu(step.conv(x, 32));
    x = ops::relu(step.conv(x, filters));
    x = ops::max_pool(x, {{2, 2}, {2, 2}});
    if (dropped_before) x = dropped(x);
    x = ops::reshape(x, {4, 14 * 14 * filters});
    if (dropped_after) x = dropped(x);
    x = ops::relu(dense(x, 32));
    x = ops::cast(dense(x, 10), DType::float32);
    step.train(ops::mean(ops::slice_axis(ops::log_softmax(x), 1, 3, 4)) * -0.1);
  }
};

// The rows of a dense layer's weights lie as the flattened blocks do, and its optimizer's numbers likewise.
TEST(OneDnnLayouts, FlattenReordersNothing) {
  for (const bool dropped : {false, true}) {  // after it, before it
    const LeNet lenet{.dropped_before = dropped, .dropped_after = !dropped};
    Step step;
    lenet(step);
    Executable executable(step.graph, onednn_backend());
    EXPECT_EQ(executable.statistics().activation_reorders, 0) << executable.text();
    EXPECT_EQ(executable.statistics().weight_reorders, 0) << executable.text();
    EXPECT_EQ(executable.text().find("conv_backward_data"), executable.text().rfind("conv_backward_data"));
    expect_same_training(lenet);
  }
}

TEST(OneDnnLayouts, FlattenReordersNothingInBfloat16) {
  if (!onednn_backend().has_instructions(DType::bfloat16)) GTEST_SKIP() << "bfloat16 is float32 here";
  Step step;
  LeNet{.dtype = DType::bfloat16, .dropped_after = true}(step);
  Executable executable(step.graph, onednn_backend());
  EXPECT_EQ(executable.statistics().activation_reorders, 0) << executable.text();
  EXPECT_EQ(executable.statistics().weight_reorders, 0) << executable.text();
}

// One block is the row-major order on the way there; blocks that are not full are none of a matrix.
TEST(OneDnnLayouts, FlattenOfOneBlockAndOfBlocksThatAreNotFull) {
  for (const std::int64_t filters : {16, 20}) {
    const LeNet lenet{.filters = filters, .dropped_after = true};
    Step step;
    lenet(step);
    Executable executable(step.graph, onednn_backend());
    EXPECT_LE(executable.statistics().activation_reorders, 2) << executable.text();
    expect_same_training(lenet);
  }
}

// Weights in the order of flattened blocks are read, and written, as any others.
TEST(OneDnnLayouts, WeightsOfFlattenedBlocksAreReadAndWritten) {
  std::vector<Tensor> weights[2], read[2];
  const Backend* backends[] = {&onednn_backend(), &reference_backend()};
  for (int i = 0; i < 2; ++i) {
    Step step;
    LeNet()(step);
    Executable executable(step.graph, *backends[i]);
    const std::vector<Tensor> inputs = random_inputs(step.graph);
    const VariableRef dense = step.variables[2];
    ASSERT_EQ(dense->shape(), (Shape{14 * 14 * 64, 32}));
    executable.run(inputs);
    const Tensor given = random_tensor(dense->type(), 77, -0.2, 0.2);
    dense->assign(given);
    EXPECT_TRUE(dense->value().identical(given));
    executable.run(inputs);
    for (const VariableRef& variable : step.variables) weights[i].push_back(variable->value());
    Graph reader;  // wants them in another order
    reader.output("w", ops::sum(ops::reshape(reader.variable(dense), {14 * 14, 64, 32}), {0}));
    read[i] = Executable(reader, *backends[i]).run();
  }
  for (std::size_t i = 0; i < weights[0].size(); ++i)
    EXPECT_TRUE(close_to_scale(weights[0][i], weights[1][i], 1e-4)) << i;
  EXPECT_TRUE(close_to_scale(read[0][0], read[1][0], 1e-3));
}

// Element-wise groups keep to the blocks, also beside operands that are repeated along some axes.
TEST(OneDnnLayouts, GroupsOverBlocks) {
  Graph graph;
  const ConvAttrs attrs{.strides = {1, 1}, .dilations = {1, 1}, .padding = Padding::same};
  auto input = [&](Shape shape) {
    return graph.input(fmt::format("x{}", graph.inputs().size()), {DType::float32, std::move(shape)});
  };
  Value y = ops::conv(input({2, 9, 7, 1}), input({3, 3, 1, 32}), attrs);
  y = ops::max_pool(y * input({32}) + input({1, 1, 1, 32}), {{2, 2}, {2, 2}});
  y = ops::average_pool(ops::tanh(y) * input({2, 1, 1, 32}) + input({4, 3, 1}), {{2, 2}, {1, 1}});
  const Value mask = ops::greater(y, ops::scalar_like(y, 0.1));
  y = ops::average_pool(ops::select(mask, y, ops::square(y) * input({2, 1, 1, 1})), {{2, 2}, {1, 1}});
  graph.output("y", ops::max(y, {1, 2}));
  graph.output("channels", ops::sum(ops::cast(mask, DType::float32), {0, 1, 2}));
  EXPECT_EQ(Executable(graph, onednn_backend()).statistics().activation_reorders, 1);  // the kernel
  expect_parity(graph);
}

// 20 channels leave blocks half full; what would spoil the zeros there, or cannot skip them, takes plain tensors.
TEST(OneDnnLayouts, BlocksThatAreNotFull) {
  Graph graph;
  const ConvAttrs attrs{.strides = {1, 1}, .dilations = {1, 1}, .padding = Padding::same};
  auto input = [&](Shape shape) {
    return graph.input(fmt::format("x{}", graph.inputs().size()), {DType::float32, std::move(shape)});
  };
  const Value first = ops::conv(input({2, 9, 7, 1}), input({3, 3, 1, 32}), attrs);
  const Value kernel = input({3, 3, 32, 20}), y = ops::conv(first, kernel, attrs), gamma = input({20}),
              beta = input({20});
  const Value normal = ops::batch_norm(y, gamma, beta, 1e-3).y;
  const Value z = ops::conv(ops::relu(normal) + ops::tanh(y), input({3, 3, 20, 16}), attrs);
  graph.output("keeps zeros", ops::max_pool(ops::relu(y), {{2, 2}, {2, 2}}));
  graph.output("spoils zeros", ops::exp(y) * gamma);
  graph.output("sum", ops::sum(y));
  graph.output("mean", ops::mean(y * 2.0));
  graph.output("largest", ops::max(y - 9.0));
  graph.output("per channel", ops::sum(y, {0, 1, 2}));
  graph.output("transposed", ops::transpose(y, {3, 0, 1, 2}));
  graph.output("z", z);
  const Values gradient = gradients(graph, {{z}}, {{z}}, {{kernel, gamma, beta, first}});
  for (Value value : gradient) graph.output(fmt::format("gradient {}", graph.outputs().size()), value);
  expect_parity(graph, 2e-5);
}

// Pooling keeps its places in bytes.
TEST(OneDnnLayouts, PoolingWorkspaceIsSmall) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {2, 8, 8, 16}});
  const Node& pool = ops::max_pool(x, {{2, 2}, {2, 2}}).node();
  const Layout plain = Layout::plain();
  const KernelPlan plan =
      onednn_backend().row(pool)->build({.node = pool, .inputs = {&plain, 1}, .backend = onednn_backend()});
  EXPECT_EQ(plan.outputs[1].bytes(pool.types()[1]), 2u * 4 * 4 * 16);
  const Node& large = ops::max_pool(x, {{8, 8}, {8, 8}}).node();
  EXPECT_EQ(onednn_backend()
                .row(large)
                ->build({.node = large, .inputs = {&plain, 1}, .backend = onednn_backend()})
                .outputs[1]
                .bytes(large.types()[1]),
            2u * 16);
}

TEST(OneDnnLayouts, PoolingWorkspaceReadsAsPlacesInWindows) {
  for (const auto& [shape, window] : {std::pair<Shape, std::int64_t>{{2, 9, 9, 5}, 3}, {{1, 40, 40, 3}, 20}}) {
    Graph graph;
    const Value x = ops::round(graph.input("x", {DType::float32, shape}) * 3.0);  // many equal elements
    const Value y = ops::max_pool(x, {{window, window}, {window - 1, window - 1}, Padding::same});
    graph.output("y", y);
    graph.output("places", y.node().out(1));
    const Value dy = graph.input("dy", y.type());
    graph.output("dx", gradients(graph, {{y}}, {{dy}}, {{x}})[0]);
    expect_parity(graph);
  }
}

// What has no kernel for an element type on this machine, or nothing to compute, is the reference's.
TEST(OneDnnLayouts, BorrowsWhereOneDnnHasNothing) {
  Graph graph;
  const Value a = graph.input("a", {DType::float32, {3, 0}}), b = graph.input("b", {DType::float32, {0, 4}});
  graph.output("y", ops::matmul(a, b));
  Executable executable(graph, onednn_backend());
  EXPECT_EQ(executable.statistics().borrowed, 1);
  const std::vector<Tensor> inputs = random_inputs(graph);
  EXPECT_TRUE(executable.run(inputs)[0].identical(Tensor(DType::float32, {3, 4})));
}

TEST(OneDnnLayouts, Float64IsRefused) {
  Graph graph;
  const Value x = graph.input("x", {DType::float64, {3}});
  EXPECT_FALSE(onednn_backend().supports(ops::exp(x).node()));
}

}  // namespace
}  // namespace nacre::test
