// Convolutions small enough to be worked out by hand, on every backend.
#include "backend/graph/ops/conv.h"

#include <gtest/gtest.h>

#include "backend/executable.h"
#include "tests/support/paths.h"
#include "tests/support/tensors.h"

namespace nacre::test {

namespace {

class Conv : public testing::TestWithParam<const Backend*> {
 protected:
  // The only output of a graph over inputs that hold these values.
  template <class Emit>
  Tensor run(const std::vector<Tensor>& operands, Emit emit) const {
    Graph graph;
    Values inputs;
    for (const Tensor& tensor : operands)
      inputs.push_back(graph.input(fmt::format("x{}", inputs.size()), tensor.type()));
    graph.output("y", emit(inputs));
    return Executable(graph, *GetParam()).run(operands)[0];
  }
  Tensor conv(const Tensor& x, const Tensor& kernel, const ConvAttrs& attrs) const {
    return run({x, kernel}, [&](const Values& in) { return ops::conv(in[0], in[1], attrs); });
  }
};

Tensor floats(Shape shape, std::initializer_list<float> values) { return Tensor::of<float>(std::move(shape), values); }

TEST_P(Conv, CorrelatesWithoutFlippingTheKernel) {
  const Tensor y =
      conv(floats({1, 4, 1}, {1, 2, 3, 4}), floats({2, 1, 1}, {1, 10}), {.strides = {1}, .dilations = {1}});
  EXPECT_TRUE(close(y, floats({1, 3, 1}, {21, 32, 43}), 1e-6));
}

TEST_P(Conv, PutsTheOddPaddingAfter) {
  const Tensor y = conv(floats({1, 4, 1}, {1, 2, 3, 4}), floats({3, 1, 1}, {1, 10, 100}),
                        {.strides = {2}, .dilations = {1}, .padding = Padding::same});
  EXPECT_TRUE(close(y, floats({1, 2, 1}, {321, 43}), 1e-6));
}

TEST_P(Conv, SpreadsTheKernelByItsDilation) {
  const Tensor y =
      conv(floats({1, 4, 1}, {1, 2, 3, 4}), floats({2, 1, 1}, {1, 10}), {.strides = {1}, .dilations = {2}});
  EXPECT_TRUE(close(y, floats({1, 2, 1}, {31, 42}), 1e-6));
}

TEST_P(Conv, WalksTwoAxes) {
  const Tensor y = conv(floats({1, 3, 3, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9}), floats({2, 2, 1, 1}, {1, 10, 100, 1000}),
                        {.strides = {1, 1}, .dilations = {1, 1}});
  EXPECT_TRUE(close(y, floats({1, 2, 2, 1}, {5421, 6532, 8754, 9865}), 1e-6));
}

TEST_P(Conv, KeepsGroupsApart) {
  const Tensor y = conv(floats({1, 1, 4}, {1, 2, 3, 4}), floats({1, 2, 2}, {1, 100, 10, 1000}),
                        {.strides = {1}, .dilations = {1}, .groups = 2});
  EXPECT_TRUE(close(y, floats({1, 1, 2}, {21, 4300}), 1e-6));
}

TEST_P(Conv, OrdersDepthwiseFiltersByChannel) {
  const Tensor y = conv(floats({1, 1, 2}, {2, 3}), floats({1, 1, 4}, {1, 10, 100, 1000}),
                        {.strides = {1}, .dilations = {1}, .groups = 2});
  EXPECT_TRUE(close(y, floats({1, 1, 4}, {2, 20, 300, 3000}), 1e-6));
}

TEST_P(Conv, TransposedScattersTheKernel) {
  const Tensor y = floats({1, 2, 1}, {1, 2}), kernel = floats({3, 1, 1}, {1, 10, 100});
  auto transposed = [&](Padding padding, Shape shape) {
    return run({y, kernel}, [&](const Values& in) {
      return ops::conv_transpose(in[0], in[1], {.strides = {2}, .dilations = {1}, .padding = padding}, shape);
    });
  };
  EXPECT_TRUE(close(transposed(Padding::valid, {1, 5, 1}), floats({1, 5, 1}, {1, 10, 102, 20, 200}), 1e-6));
  EXPECT_TRUE(close(transposed(Padding::same, {1, 4, 1}), floats({1, 4, 1}, {1, 10, 102, 20}), 1e-6));
}

TEST_P(Conv, AddsBiasAndResidualBeforeTheActivation) {
  ConvAttrs attrs{.strides = {1}, .dilations = {1}};
  attrs.epilogue = {.bias = true, .residual = true, .activation = EpilogueKind::relu};
  const Tensor y = run(
      {floats({1, 2, 1}, {1, 2}), floats({1, 1, 2}, {3, -3}), floats({2}, {10, 1}), floats({1, 2, 2}, {1, 1, -20, 9})},
      [&](const Values& in) { return in[0].graph().add(op::conv, attrs, in).out(); });
  EXPECT_TRUE(close(y, floats({1, 2, 2}, {14, 0, 0, 4}), 1e-6));
}

INSTANTIATE_TEST_SUITE_P(Backends, Conv, testing::ValuesIn(backends().begin(), backends().end()),
                         [](const auto& tested) { return std::string(tested.param->name()); });

// --- shapes -------------------------------------------------------------------------------------------------------

Shape inferred(const ConvAttrs& attrs, Shape x, Shape kernel) {
  return op::conv.infer(attrs, {{DType::float32, std::move(x)}, {DType::float32, std::move(kernel)}})[0].shape;
}

TEST(ConvShape, KeepsWhatIsUnknown) {
  EXPECT_EQ(inferred({.strides = {2, 1}, .dilations = {1, 1}}, {unknown, unknown, 9, 3}, {3, 3, 3, 8}),
            (Shape{unknown, unknown, 7, 8}));
}

TEST(ConvShape, SaysWhatDoesNotFit) {
  const ConvAttrs attrs{.strides = {1, 1}, .dilations = {1, 1}};
  EXPECT_EQ(message_of([&] { inferred(attrs, {unknown, 10}, {3, 3, 3, 8}); }), "got input (None, 10), wanted rank 4");
  EXPECT_EQ(message_of([&] {
              inferred(attrs, {unknown, 9, 9, 4}, {3, 3, 3, 8});
            }),
            "got input (None, 9, 9, 4), wanted 3 channels for kernel (3, 3, 3, 8) in 1 group");
  EXPECT_EQ(message_of([&] {
              inferred(attrs, {unknown, 9, 2, 3}, {3, 3, 3, 8});
            }),
            "a window over 3 elements does not fit into 2\n  hint: choose a smaller window or padding: same");
}

}  // namespace

}  // namespace nacre::test
