// Winograd's convolutions give what direct ones give, for every instruction set, order of memory and share of work.
#include "backend/onednn/convolution/winograd.h"

#include "backend/core/parallel.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/conv.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/reduce.h"
#include "tests/backend/onednn/harness.h"
#include "tests/backend/onednn/instruction_sets.h"

namespace nacre::test {
namespace {

using onednn::Desc;
using Tag = dnnl::memory::format_tag;

struct Case {
  const char* name;
  std::int64_t samples, height, width, channels, filters, top, left, bottom, right;  // zeros around the picture
};
const Case cases[] = {
    {"even", 2, 8, 12, 32, 32, 1, 1, 1, 1},
    {"odd sizes, one group more than a panel", 3, 7, 9, 16, 48, 1, 1, 1, 1},
    {"no zeros", 2, 9, 8, 48, 16, 0, 0, 0, 0},
    {"zeros after", 2, 6, 7, 32, 32, 0, 0, 2, 2},
    {"many zeros", 1, 5, 4, 16, 32, 2, 2, 2, 2},
    {"more channels and filters than a part of the sums", 1, 6, 6, 96, 192, 1, 1, 1, 1},
    {"many tiles", 2, 33, 31, 32, 16, 1, 1, 1, 1},
    {"fewer parts than threads", 1, 12, 12, 96, 16, 1, 1, 1, 1},
    {"one pixel", 1, 1, 1, 16, 16, 1, 1, 1, 1},
};

// Calls body() with one, three and eight threads.
template <class Body>
void for_thread_counts(Body&& body) {
  for (int count : {1, 3, 8}) {
    SCOPED_TRACE(fmt::format("{} threads", count));
    set_threads(count);
    body();
  }
  set_threads(0);
}

Tensor copied(const Type& type, const Layout& from, const Layout& to, const Tensor& source) {
  Tensor result(DType::float32, {static_cast<std::int64_t>(to.bytes(type) / sizeof(float))});
  const void* inputs[] = {source.data<float>().data()};
  void* outputs[] = {result.writable<float>().data()};
  onednn::reorder(type, from, to)->run({inputs, outputs, nullptr});
  return result;
}

// One convolution's tensors and what the reference makes of them.
struct Expected {
  explicit Expected(const Case& c) {
    const ConvAttrs attrs{.strides = {1, 1},
                          .dilations = {1, 1},
                          .padding = Padding::valid,
                          .before = {c.top, c.left},
                          .after = {c.bottom, c.right}};
    Graph graph;
    const Value x_in = graph.input("x", {DType::float32, {c.samples, c.height, c.width, c.channels}}),
                kernel_in = graph.input("kernel", {DType::float32, {3, 3, c.channels, c.filters}}),
                bias_in = graph.input("bias", {DType::float32, {c.filters}});
    const Value y_out = ops::conv(x_in, kernel_in, attrs), dy_in = graph.input("dy", y_out.type());
    graph.output("y", y_out);
    const Values gradient = gradients(graph, {{y_out}}, {{dy_in}}, {{x_in, kernel_in}});
    graph.output("dx", gradient[0]);
    graph.output("dkernel", gradient[1]);
    graph.output("dbias", ops::sum(dy_in, {0, 1, 2}, false));
    graph.output("fused", ops::relu(y_out + bias_in + dy_in));
    inputs = random_inputs(graph);
    outputs = interpret(graph, inputs, reference_backend());
  }
  std::vector<Tensor> inputs, outputs;
  const Tensor& x() const { return inputs[0]; }
  const Tensor& kernel() const { return inputs[1]; }
  const Tensor& bias() const { return inputs[2]; }
  const Tensor& dy() const { return inputs[3]; }
};

// The tensors of a case in one order of memory.
struct Order {
  Desc x, kernel, y;
  Layout x_layout, kernel_layout, y_layout;

  Order(const Case& c, const Expected& expected, Tag activations, Tag kernels)
      : x(onednn::channels_first(expected.x().shape()), dnnl::memory::data_type::f32, activations),
        kernel({c.filters, c.channels, 3, 3}, dnnl::memory::data_type::f32, kernels),
        y(onednn::channels_first(expected.dy().shape()), dnnl::memory::data_type::f32, activations),
        x_layout(onednn::layout_of(onednn::channels_last(x), expected.x().type())),
        kernel_layout(onednn::layout_of(kernel.permute_axes(onednn::inverse(onednn::weights_permutation(4, false))),
                                        expected.kernel().type())),
        y_layout(onednn::layout_of(onednn::channels_last(y), expected.dy().type())) {}
};

// Runs a kernel on operands in their layouts and gives its results in plain order.
struct Operand {
  const Tensor& tensor;
  Layout layout;
};
// `in_place`: of result 0, over the last operand.
std::vector<Tensor> results(onednn::WinogradKernel& kernel, const std::vector<Operand>& operands,
                            const std::vector<std::pair<Type, Layout>>& wanted, bool in_place = false) {
  std::vector<Tensor> in, out;
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  for (const Operand& operand : operands)
    in.push_back(copied(operand.tensor.type(), Layout::plain(), operand.layout, operand.tensor));
  for (const Tensor& tensor : in) inputs.push_back(tensor.data<float>().data());
  for (const auto& [type, layout] : wanted)
    out.emplace_back(DType::float32, Shape{static_cast<std::int64_t>(layout.bytes(type) / sizeof(float))});
  for (Tensor& tensor : out) outputs.push_back(tensor.writable<float>().data());
  if (in_place) {
    out[0] = in.back();
    inputs.back() = outputs[0] = out[0].writable<float>().data();
  }
  constexpr float guard = 12345;
  std::vector<float> scratch(kernel.scratch_bytes() / sizeof(float), std::numeric_limits<float>::quiet_NaN());
  scratch.push_back(guard);
  kernel.run({inputs, outputs, scratch.data()});
  EXPECT_EQ(scratch.back(), guard);
  std::vector<Tensor> plain;
  for (std::size_t i = 0; i < out.size(); ++i)
    plain.push_back(copied(wanted[i].first, wanted[i].second, Layout::plain(), out[i]).reshaped(wanted[i].first.shape));
  return plain;
}

TEST(Winograd, GivesWhatDirectConvolutionsGiveParallel) {
  constexpr std::pair<Tag, Tag> orders[] = {
      {Tag::nhwc, Tag::hwio}, {Tag::nChw16c, Tag::OIhw16i16o}, {Tag::nChw16c, Tag::Ohwi16o}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const Expected expected(c);
    const auto close = [](const Tensor& actual, const Tensor& wanted) { return close_to_scale(actual, wanted, 1e-5); };
    for (const auto& [activations, kernels] : orders) {
      const Order at(c, expected, activations, kernels);
      SCOPED_TRACE(at.x_layout.text() + ", " + at.kernel_layout.text());
      const onednn::WinogradShape shape{at.x, at.kernel, at.y, c.top, c.left};
      for (const onednn::ConvolutionLoops* loops : convolution_instruction_sets()) {
        SCOPED_TRACE(fmt::format("registers of {}", loops->group));
        for_thread_counts([&] {
          const Operand x{expected.x(), at.x_layout}, kernel{expected.kernel(), at.kernel_layout},
              dy{expected.dy(), at.y_layout}, bias{expected.bias(), Layout::plain()};
          const auto forward = onednn::winograd_forward(shape, {}, false, *loops);
          ASSERT_TRUE(forward);
          EXPECT_TRUE(
              close(results(*forward, {x, kernel}, {{expected.dy().type(), at.y_layout}})[0], expected.outputs[0]));
          const auto fused = onednn::winograd_forward(
              shape, {.bias = true, .residual = true, .activation = EpilogueKind::relu}, false, *loops);
          ASSERT_TRUE(fused);
          for (const bool in_place : {false, true})
            EXPECT_TRUE(
                close(results(*fused, {x, kernel, bias, dy}, {{expected.dy().type(), at.y_layout}}, in_place)[0],
                      expected.outputs[4]));
          const auto of_transformed = onednn::winograd_forward(shape, {}, true, *loops);
          ASSERT_TRUE(of_transformed);
          const Operand transformed{expected.kernel(), onednn::winograd_layout(shape, *loops)};
          EXPECT_TRUE(close(results(*of_transformed, {x, transformed}, {{expected.dy().type(), at.y_layout}})[0],
                            expected.outputs[0]));
          const auto by_data = onednn::winograd_backward_data(shape, *loops);
          ASSERT_TRUE(by_data);
          EXPECT_TRUE(
              close(results(*by_data, {dy, kernel}, {{expected.x().type(), at.x_layout}})[0], expected.outputs[1]));
          const auto by_weights = onednn::winograd_backward_weights(shape, true, *loops);
          ASSERT_TRUE(by_weights);
          const auto gradient =
              results(*by_weights, {x, dy},
                      {{expected.kernel().type(), at.kernel_layout}, {expected.bias().type(), Layout::plain()}});
          EXPECT_TRUE(close(gradient[0], expected.outputs[2]));
          EXPECT_TRUE(close(gradient[1], expected.outputs[3]));
        });
      }
    }
  }
}

TEST(Winograd, RefusesWhatItDoesNotServe) {
  const auto f32 = dnnl::memory::data_type::f32;
  const Desc x({2, 32, 8, 8}, f32, Tag::nhwc), y({2, 32, 8, 8}, f32, Tag::nhwc), kernel({32, 32, 3, 3}, f32, Tag::hwio);
  ASSERT_TRUE(onednn::winograd_forward({x, kernel, y, 1, 1}, {}));
  EXPECT_FALSE(onednn::winograd_forward({x, kernel, y, 1, 1}, {.activation = EpilogueKind::tanh}));
  EXPECT_FALSE(onednn::winograd_forward({Desc({2, 32, 8, 8}, f32, Tag::nchw), kernel, y, 1, 1}, {}));
  EXPECT_FALSE(onednn::winograd_forward({x, Desc({32, 32, 3, 3}, f32, Tag::oihw), y, 1, 1}, {}));
  EXPECT_FALSE(onednn::winograd_forward({x, Desc({32, 32, 5, 5}, f32, Tag::hwio), y, 2, 2}, {}));
  EXPECT_FALSE(onednn::winograd_forward(
      {Desc({2, 30, 8, 8}, f32, Tag::nhwc), Desc({32, 30, 3, 3}, f32, Tag::hwio), y, 1, 1}, {}));
  EXPECT_FALSE(
      onednn::winograd_forward({Desc({2, 32, 8, 8}, dnnl::memory::data_type::bf16, Tag::nhwc), kernel, y, 1, 1}, {}));
}

TEST(Winograd, PaysForManyPixelsAndChannels) {
  using Task = onednn::WinogradTask;
  const auto pays = [](std::int64_t samples, std::int64_t size, std::int64_t channels, Task task) {
    const auto f32 = dnnl::memory::data_type::f32;
    const Desc x({samples, channels, size, size}, f32, Tag::nhwc), kernel({channels, channels, 3, 3}, f32, Tag::hwio);
    return onednn::winograd_pays({x, kernel, x, 1, 1}, task);
  };
  for (Task task : {Task::forward, Task::forward_of_transformed, Task::backward}) {
    EXPECT_TRUE(pays(16, 28, 128, task));
    EXPECT_FALSE(pays(1, 28, 32, task));  // so little that threads hardly meet
    EXPECT_FALSE(pays(32, 56, 8, task));  // the transformation of the tiles would be most of it
  }
  EXPECT_FALSE(pays(1, 7, 512, Task::forward));  // that of the kernels
  EXPECT_FALSE(pays(1, 7, 512, Task::backward));
}

// In prediction kernels are transformed when the variable has changed, and only then; the variable keeps its own order.
TEST(Winograd, KernelsThatStayAreTransformedOnce) {
  const auto kernel = std::make_shared<Variable>("kernel", Type{DType::float32, {3, 3, 64, 64}}, true);
  kernel->assign(random_tensor(kernel->type(), 1, -0.2, 0.2));
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {1, 28, 28, 64}});
  graph.output(
      "y", ops::conv(x, graph.variable(kernel), {.strides = {1, 1}, .dilations = {1, 1}, .padding = Padding::same}));
  Executable executable(graph, onednn_backend());
  const std::string text = executable.text();
  EXPECT_NE(text.find("Winograd"), std::string::npos) << text;
  EXPECT_EQ(executable.statistics().weight_reorders, 0) << text;
  EXPECT_EQ(executable.statistics().prologue_kernels, 1) << text;
  const std::vector<Tensor> inputs = random_inputs(graph);
  for (std::uint64_t seed : {1, 2}) {
    const Tensor values = random_tensor(kernel->type(), seed, -0.2, 0.2);
    kernel->assign(values);
    EXPECT_TRUE(close_to_scale(executable.run(inputs)[0], interpret(graph, inputs, reference_backend())[0], 1e-5));
    EXPECT_TRUE(close_to_scale(kernel->value(), values, 0));
  }
}

}  // namespace
}  // namespace nacre::test
