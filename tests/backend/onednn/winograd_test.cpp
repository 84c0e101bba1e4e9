// Winograd's convolutions give what direct ones give, for every instruction set, order of memory and share of work.
#include "backend/onednn/convolution/winograd/winograd.h"

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

// In memory of a layout, as bytes.
std::vector<std::byte> laid_out(const Tensor& source, const Layout& to) {
  std::vector<std::byte> result(to.bytes(source.type()));
  const void* inputs[] = {source.raw()};
  void* outputs[] = {result.data()};
  onednn::reorder(source.type(), Layout::plain(), to)->run({inputs, outputs, nullptr});
  return result;
}
Tensor plain(const Type& type, const std::vector<std::byte>& bytes, const Layout& from) {
  Tensor result(type.dtype, type.shape);
  const void* inputs[] = {bytes.data()};
  void* outputs[] = {result.raw_writable()};
  onednn::reorder(type, from, Layout::plain())->run({inputs, outputs, nullptr});
  return result;
}

// One convolution's tensors, of numbers that `elements` can have, and what the reference makes of them in float32.
struct Expected {
  Expected(const Case& c, DType elements) {
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
    for (const Tensor& tensor : random_inputs(graph)) {
      narrow.push_back(tensor.cast(elements));
      inputs.push_back(narrow.back().cast(DType::float32));
    }
    outputs = interpret(graph, inputs, reference_backend());
  }
  std::vector<Tensor> inputs, narrow, outputs;
  const Tensor& x() const { return narrow[0]; }
  const Tensor& kernel() const { return narrow[1]; }
  const Tensor& bias() const { return narrow[2]; }
  const Tensor& dy() const { return narrow[3]; }
};

// The tensors of a case in one order of memory.
struct Order {
  Desc x, kernel, y;
  Layout x_layout, kernel_layout, y_layout;

  Order(const Case& c, const Expected& expected, Tag activations, Tag kernels)
      : x(onednn::channels_first(expected.x().shape()), *onednn::data_type(expected.x().dtype()), activations),
        kernel({c.filters, c.channels, 3, 3}, *onednn::data_type(expected.x().dtype()), kernels),
        y(onednn::channels_first(expected.dy().shape()), *onednn::data_type(expected.x().dtype()), activations),
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
  std::vector<std::vector<std::byte>> in, out;
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  for (const Operand& operand : operands) in.push_back(laid_out(operand.tensor, operand.layout));
  for (const auto& bytes : in) inputs.push_back(bytes.data());
  for (const auto& [type, layout] : wanted) out.emplace_back(layout.bytes(type));
  for (auto& bytes : out) outputs.push_back(bytes.data());
  if (in_place) {
    out[0] = in.back();
    inputs.back() = outputs[0] = out[0].data();
  }
  constexpr float guard = 12345;
  std::vector<float> scratch(kernel.scratch_bytes() / sizeof(float), std::numeric_limits<float>::quiet_NaN());
  scratch.push_back(guard);
  kernel.run({inputs, outputs, scratch.data()});
  EXPECT_EQ(scratch.back(), guard);
  std::vector<Tensor> given;
  for (std::size_t i = 0; i < out.size(); ++i) given.push_back(plain(wanted[i].first, out[i], wanted[i].second));
  return given;
}

// Every kernel of a case with tiles of one size.
void expect_direct_results(const Case& c, const Expected& expected, const Order& at, int size, double tolerance,
                           const onednn::ConvolutionLoops& loops) {
  const auto close = [&](const Tensor& actual, const Tensor& wanted) {
    return close_to_scale(actual, wanted, tolerance);
  };
  onednn::WinogradShape shape{at.x, at.kernel, at.y, c.top, c.left, size};
  shape.bias = at.x.get_data_type();
  const Operand x{expected.x(), at.x_layout}, kernel{expected.kernel(), at.kernel_layout},
      dy{expected.dy(), at.y_layout}, bias{expected.bias(), Layout::plain()};
  const std::pair<Type, Layout> of_x{expected.x().type(), at.x_layout}, of_y{expected.dy().type(), at.y_layout},
      of_kernel{expected.kernel().type(), at.kernel_layout}, of_bias{expected.bias().type(), Layout::plain()};
  const auto forward = onednn::winograd_forward(shape, {}, false, loops);
  ASSERT_TRUE(forward);
  EXPECT_TRUE(close(results(*forward, {x, kernel}, {of_y})[0], expected.outputs[0]));
  const auto fused =
      onednn::winograd_forward(shape, {.bias = true, .residual = true, .activation = EpilogueKind::relu}, false, loops);
  ASSERT_TRUE(fused);
  for (const bool in_place : {false, true})
    EXPECT_TRUE(close(results(*fused, {x, kernel, bias, dy}, {of_y}, in_place)[0], expected.outputs[4]));
  const auto of_transformed = onednn::winograd_forward(shape, {}, true, loops);
  ASSERT_TRUE(of_transformed);
  const Operand transformed{expected.kernel(), onednn::winograd_layout(shape, loops)};
  EXPECT_TRUE(close(results(*of_transformed, {x, transformed}, {of_y})[0], expected.outputs[0]));
  const auto by_data = onednn::winograd_backward_data(shape, loops);
  ASSERT_TRUE(by_data);
  EXPECT_TRUE(close(results(*by_data, {dy, kernel}, {of_x})[0], expected.outputs[1]));
  const auto by_weights = onednn::winograd_backward_weights(shape, true, loops);
  ASSERT_TRUE(by_weights);
  const auto gradient = results(*by_weights, {x, dy}, {of_kernel, of_bias});
  EXPECT_TRUE(close(gradient[0], expected.outputs[2]));
  EXPECT_TRUE(close(gradient[1], expected.outputs[3]));
}

TEST(Winograd, GivesWhatDirectConvolutionsGiveParallel) {
  constexpr std::pair<Tag, Tag> orders[] = {
      {Tag::nhwc, Tag::hwio}, {Tag::nChw16c, Tag::OIhw16i16o}, {Tag::nChw16c, Tag::Ohwi16o}};
  for (const Case& c : cases)
    for (const auto& [elements, tolerance] : {std::pair{DType::float32, 1e-5}, std::pair{DType::bfloat16, 4e-3}}) {
      SCOPED_TRACE(c.name);
      const Expected expected(c, elements);
      for (const auto& [activations, kernels] : orders) {
        const Order at(c, expected, activations, kernels);
        SCOPED_TRACE(at.x.get_data_type() == dnnl::memory::data_type::f32 ? "float32" : "bfloat16");
        SCOPED_TRACE(at.x_layout.text() + ", " + at.kernel_layout.text());
        for (const onednn::ConvolutionLoops* loops : convolution_instruction_sets())
          for (const int size : {2, 4}) {
            SCOPED_TRACE(fmt::format("registers of {}, tiles of {}", loops->group, size));
            for_thread_counts([&] { expect_direct_results(c, expected, at, size, tolerance, *loops); });
          }
      }
    }
}

// Larger than what each thread reads for blocks of its own: all work at each block together.
TEST(Winograd, ThreadsShareBlocksOfLargeKernelsParallel) {
  const Case c{"many channels", 2, 30, 30, 192, 224, 1, 1, 1, 1};
  const Expected expected(c, DType::float32);
  const Order at(c, expected, Tag::nChw16c, Tag::OIhw16i16o);
  for (const int size : {2, 4})
    for_thread_counts([&] { expect_direct_results(c, expected, at, size, 1e-5, onednn::convolution_loops()); });
}

// The usual points of tiles of 4 (0, ±1, ±2) would give three times these errors.
TEST(Winograd, RoundsLittle) {
  const Case c{"many channels", 1, 16, 16, 64, 16, 1, 1, 1, 1};
  const Expected expected(c, DType::float32);
  const Order at(c, expected, Tag::nChw16c, Tag::OIhw16i16o);
  for (const int size : {2, 4}) {
    const auto forward = onednn::winograd_forward({at.x, at.kernel, at.y, 1, 1, size}, {});
    const Tensor y = results(*forward, {{expected.x(), at.x_layout}, {expected.kernel(), at.kernel_layout}},
                             {{expected.dy().type(), at.y_layout}})[0];
    EXPECT_TRUE(close_to_scale(y, expected.outputs[0], size == 2 ? 5e-7 : 2e-6));
  }
}

TEST(Winograd, RefusesWhatItDoesNotServe) {
  const auto f32 = dnnl::memory::data_type::f32;
  const Desc x({2, 32, 8, 8}, f32, Tag::nhwc), y({2, 32, 8, 8}, f32, Tag::nhwc), kernel({32, 32, 3, 3}, f32, Tag::hwio);
  ASSERT_TRUE(onednn::winograd_forward({x, kernel, y, 1, 1, 4}, {}));
  EXPECT_FALSE(onednn::winograd_forward({x, kernel, y, 1, 1, 4}, {.activation = EpilogueKind::tanh}));
  EXPECT_FALSE(onednn::winograd_forward({Desc({2, 32, 8, 8}, f32, Tag::nchw), kernel, y, 1, 1, 4}, {}));
  EXPECT_FALSE(onednn::winograd_forward({x, Desc({32, 32, 3, 3}, f32, Tag::oihw), y, 1, 1}, {}));
  EXPECT_FALSE(onednn::winograd_forward({x, Desc({32, 32, 5, 5}, f32, Tag::hwio), y, 2, 2, 4}, {}));
  EXPECT_FALSE(onednn::winograd_forward(
      {Desc({2, 30, 8, 8}, f32, Tag::nhwc), Desc({32, 30, 3, 3}, f32, Tag::hwio), y, 1, 1}, {}));
  EXPECT_FALSE(onednn::winograd_forward(
      {Desc({2, 32, 8, 8}, dnnl::memory::data_type::bf16, Tag::nhwc), kernel, y, 1, 1, 4}, {}));
}

TEST(Winograd, PaysForManyPixelsAndChannels) {
  using Task = onednn::WinogradTask;
  const auto size = [](std::int64_t samples, std::int64_t pixels, std::int64_t channels, Task task,
                       DType elements = DType::float32) {
    const auto type = *onednn::data_type(elements);
    const Desc x({samples, channels, pixels, pixels}, type, Tag::nhwc),
        kernel({channels, channels, 3, 3}, type, Tag::hwio);
    return onednn::winograd_size({x, kernel, x, 1, 1, 0}, task);
  };
  for (Task task : {Task::forward, Task::forward_of_transformed, Task::backward_data, Task::backward_weights}) {
    EXPECT_EQ(size(16, 28, 128, task), 4);
    EXPECT_EQ(size(16, 28, 30, task), 0);  // no whole groups
  }
  for (Task task : {Task::forward, Task::backward_data, Task::backward_weights})
    EXPECT_EQ(size(1, 7, 512, task), 0);  // the transformation of the kernels would be most of it
  EXPECT_EQ(size(4, 14, 512, Task::backward_data), 2);
  // Kernels that stay transformed are not to be larger than what they are applied to.
  EXPECT_EQ(size(1, 28, 128, Task::forward_of_transformed), 2);
  EXPECT_EQ(size(32, 28, 128, Task::forward_of_transformed), 4);
  EXPECT_EQ(size(32, 28, 128, Task::forward_of_transformed, DType::bfloat16), 0);
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
