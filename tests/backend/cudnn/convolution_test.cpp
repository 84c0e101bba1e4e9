// Convolutions and their gradients on the emulated device, whose library has no engine for some of them.
#include <gtest/gtest.h>

#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/conv.h"
#include "backend/graph/ops/ops.h"
#include "tests/support/emulated_gpu.h"
#include "tests/support/op_cases.h"
#include "tests/support/tensors.h"

namespace nacre::test {
namespace {

class GpuConvolution : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulated_gpu_backend()) GTEST_SKIP() << "no compiler to emulate a GPU with";
  }

  // The convolution alone, or together with the gradients by x, the kernel and a bias.
  struct Case {
    ConvAttrs attrs;
    Shape x, kernel;
    DType dtype = DType::float32;
    bool gradients = true;
    DType bias = DType::float32;
  };

  // Compares with the reference and tells how many kernels were borrowed.
  static std::size_t borrowed(const Case& c) {
    Graph graph;
    std::vector<Value> operands{graph.input("x", {c.dtype, c.x}), graph.input("kernel", {c.dtype, c.kernel})};
    if (c.gradients) {
      const Value y = ops::conv(operands[0], operands[1], c.attrs);
      graph.output("y", y);
      const Value dy = graph.input("dy", y.type());
      graph.output("dx", graph.add(op::conv_backward_data, {c.attrs, c.x}, {dy, operands[1]}).out());
      const Node& weights = graph.add(op::conv_backward_weights, {c.attrs, c.kernel, true}, {operands[0], dy});
      graph.output("dkernel", weights.out(0));
      graph.output("dbias", weights.out(1));
    } else {
      ConvAttrs bare = c.attrs;
      bare.epilogue = {};
      const Type y = op::conv.infer(bare, {operands[0].type(), operands[1].type()})[0];
      if (c.attrs.epilogue.bias) operands.push_back(graph.input("bias", {c.bias, {c.kernel[-1]}}));
      if (c.attrs.epilogue.residual) operands.push_back(graph.input("residual", y));
      graph.output("y", graph.add(op::conv, c.attrs, operands).out());
    }
    RandomStream random(RandomKey::of(1, "convolution"));
    std::vector<Tensor> inputs;
    for (const auto& input : graph.inputs()) inputs.push_back(draw_tensor(random, input.value.type()));
    Executable tested(graph, *emulated_gpu_backend()), specification(graph, reference_backend());
    const std::vector<Tensor> actual = tested.run(inputs), expected = specification.run(inputs);
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_TRUE(close(actual[i], expected[i], c.dtype == DType::float32 ? 1e-4 : 5e-2)) << graph.outputs()[i].name;
    return tested.statistics().borrowed;
  }
};

ConvAttrs plain(int axes) {
  const auto ones = std::vector<std::int64_t>(static_cast<std::size_t>(axes), 1);
  return {.strides = ones, .dilations = ones};
}

TEST_F(GpuConvolution, OneToThreeAxes) {
  EXPECT_EQ(borrowed({plain(1), {2, 9, 3}, {3, 3, 4}}), 0u);
  EXPECT_EQ(borrowed({plain(2), {2, 6, 5, 3}, {3, 2, 3, 4}}), 0u);
  EXPECT_EQ(borrowed({plain(3), {2, 4, 5, 3, 2}, {2, 3, 2, 2, 3}}), 0u);
}

TEST_F(GpuConvolution, Groups) {
  ConvAttrs attrs = plain(2);
  attrs.groups = 2;
  EXPECT_EQ(borrowed({attrs, {2, 5, 5, 6}, {3, 3, 3, 4}}), 0u);
  attrs.groups = 3;  // depthwise, two filters for each channel
  EXPECT_EQ(borrowed({attrs, {2, 5, 5, 3}, {3, 3, 1, 6}}), 0u);
}

TEST_F(GpuConvolution, StridesAndDilations) {
  ConvAttrs attrs = plain(2);
  attrs.strides = {2, 3}, attrs.dilations = {1, 2};  // the last elements of x are in no window
  EXPECT_EQ(borrowed({attrs, {2, 8, 9, 2}, {3, 2, 2, 3}}), 0u);
}

// With an engine for that, and with zeros written around x where there is none.
TEST_F(GpuConvolution, MoreZerosOnOneSide) {
  ConvAttrs line = plain(1);
  line.strides = {2}, line.padding = Padding::same;
  EXPECT_EQ(borrowed({line, {2, 8, 3}, {3, 3, 2}}), 0u);
  ConvAttrs plane = plain(2);
  plane.strides = {2, 1}, plane.padding = Padding::same, plane.before = {0, 2}, plane.after = {1, 0};
  EXPECT_EQ(borrowed({plane, {2, 8, 6, 3}, {3, 4, 3, 2}}), 0u);
  EXPECT_EQ(borrowed({plane, {2, 8, 6, 3}, {3, 4, 3, 2}, DType::bfloat16}), 0u);
}

TEST_F(GpuConvolution, WhatHasNoEngineIsBorrowed) {
  EXPECT_EQ(borrowed({plain(1), {1001, 3, 1}, {2, 1, 2}}), 3u);
  EXPECT_EQ(borrowed({plain(1), {2, 5, 3}, {3, 3, 2}, DType::float64}), 3u);
}

TEST_F(GpuConvolution, OverNoSamples) {
  EXPECT_EQ(borrowed({plain(1), {0, 5, 3}, {3, 3, 2}}), 1u);  // the kernel's gradient is all zeros
}

// Fused by the library, or by a kernel after it.
TEST_F(GpuConvolution, Epilogues) {
  for (const DType dtype : {DType::float32, DType::float16})
    for (const EpilogueKind kind : {EpilogueKind::none, EpilogueKind::relu, EpilogueKind::hard_silu})
      for (const int operands : {0, 1, 2, 3}) {
        Case c{plain(2), {2, 4, 5, 3}, {2, 2, 3, 4}, dtype, false};
        c.attrs.epilogue = {(operands & 1) != 0, (operands & 2) != 0, kind, 0.25, 0.5};
        SCOPED_TRACE(text_of(c.attrs));
        EXPECT_EQ(borrowed(c), 0u);
      }
  Case c{plain(1), {2, 4, 3}, {2, 3, 4}, DType::bfloat16, false, DType::bfloat16};
  c.attrs.epilogue = {.bias = true, .activation = EpilogueKind::relu};
  EXPECT_EQ(borrowed(c), 0u);
}

}  // namespace
}  // namespace nacre::test
