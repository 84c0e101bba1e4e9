// Every matrix product, whatever its types, sizes and epilogue, is computed on the GPU.
#include "backend/graph/ops/matmul.h"

#include <gtest/gtest.h>

#include <regex>

#include "tests/backend/cudnn/on_gpu.h"
#include "tests/support/op_cases.h"

namespace nacre::test {
namespace {

class GpuMatMul : public OnGpu {
 protected:
  static void expect_product(const MatMulAttrs& attrs, const Types& types, double tolerance, Domain domain = {}) {
    RandomStream random(RandomKey::of(7, "product"));
    std::vector<Tensor> operands;
    for (const Type& type : types) operands.push_back(draw_tensor(random, type, domain));
    expect_parity(operands, [&](const Values& x) { return Values{x[0].graph().add(op::matmul, attrs, x).out()}; }, tolerance);
  }
};

double tolerance_of(DType dtype) {
  return dtype == DType::bfloat16 ? 5e-2 : dtype == DType::float16 ? 5e-3 : 1e-5;
}

TEST_F(GpuMatMul, Epilogues) {
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16, DType::float64})
    for (std::size_t kind = 0; kind < std::size(EnumNames<EpilogueKind>::names); ++kind)
      for (const bool residual : {false, true}) {
        MatMulAttrs attrs;
        attrs.epilogue = {.bias = true, .residual = residual, .activation = static_cast<EpilogueKind>(kind)};
        attrs.epilogue.alpha = attrs.epilogue.activation == EpilogueKind::clip ? -0.5 : 1.0 / 6;
        attrs.epilogue.beta = attrs.epilogue.activation == EpilogueKind::clip ? 1 : 0.5;
        Types types{{dtype, {3, 4}}, {dtype, {4, 5}}, {dtype, {5}}};
        if (residual) types.push_back({dtype, {3, 5}});
        expect_product(attrs, types, tolerance_of(dtype));
      }
}

TEST_F(GpuMatMul, ABiasOfFloat32) {
  for (const DType dtype : {DType::bfloat16, DType::float16, DType::float64})
    for (const EpilogueKind activation : {EpilogueKind::none, EpilogueKind::relu, EpilogueKind::gelu}) {
      MatMulAttrs attrs;
      attrs.epilogue = {.bias = true, .activation = activation};
      expect_product(attrs, {{dtype, {3, 4}}, {dtype, {4, 5}}, {DType::float32, {5}}}, tolerance_of(dtype));
    }
}

// A residual that nobody else needs gets the result written over it.
TEST_F(GpuMatMul, InPlaceOfAResidual) {
  Graph graph;
  const Value a = graph.input("a", {DType::float32, {3, 4}}), b = graph.input("b", {DType::float32, {4, 5}}),
              c = graph.input("c", {DType::float32, {3, 5}});
  graph.output("y", ops::matmul(a, b) + ops::sin(c));
  Executable executable(graph, *emulated_gpu_backend());
  std::smatch places;
  const std::string text = executable.text();
  ASSERT_TRUE(std::regex_search(text, places, std::regex("matmul\\(.*, float32\\(3, 5\\) device (\\S+)\\) -> .* device (\\S+)"))) << text;
  EXPECT_EQ(places[1], places[2]) << text;
  RandomStream random(RandomKey::of(3, "residual"));
  const std::vector<Tensor> operands{draw_tensor(random, a.type()), draw_tensor(random, b.type()), draw_tensor(random, c.type())};
  EXPECT_TRUE(close(executable.run(operands)[0], Executable(graph, reference_backend()).run(operands)[0], 1e-5));
}

TEST_F(GpuMatMul, LeadingAxesThatBroadcastInDifferentWays) {
  const DType real = DType::float32;
  for (const auto& [a, b] : {std::pair<Shape, Shape>{{2, 1}, {1, 3}}, {{2, 3}, {1, 3}}, {{2, 1}, {2, 3}}, {{3}, {2, 1}},
                             {{2, 3}, {}}, {{}, {2, 3}}, {{2, 3}, {2, 3}}, {{2, 1, 2}, {3, 2}}})
    for (int turned = 0; turned < 4; ++turned) {
      MatMulAttrs attrs{.transpose_a = (turned & 1) != 0, .transpose_b = (turned & 2) != 0, .epilogue = {}};
      expect_product(attrs, {{real, a + (attrs.transpose_a ? Shape{4, 2} : Shape{2, 4})},
                            {real, b + (attrs.transpose_b ? Shape{5, 4} : Shape{4, 5})}}, 1e-5);
    }
}

TEST_F(GpuMatMul, WholeNumbers) {
  for (const DType dtype : {DType::int32, DType::int64, DType::uint8, DType::boolean}) {
    const Domain domain{0, dtype == DType::boolean ? 2.0 : 7.0};
    expect_product({}, {{dtype, {2, 3, 4}}, {dtype, {4, 2}}}, 0, domain);
    expect_product({.transpose_a = true, .transpose_b = true, .epilogue = {}}, {{dtype, {2, 1, 4, 3}}, {dtype, {2, 2, 4}}}, 0, domain);
  }
}

TEST_F(GpuMatMul, EmptyOperands) {
  const DType real = DType::float32;
  MatMulAttrs attrs;
  expect_product(attrs, {{real, {3, 0}}, {real, {0, 5}}}, 0);
  expect_product(attrs, {{real, {0, 4}}, {real, {4, 5}}}, 0);
  expect_product(attrs, {{real, {0, 3, 4}}, {real, {4, 5}}}, 0);
  attrs.epilogue = {.bias = true, .activation = EpilogueKind::sigmoid};
  expect_product(attrs, {{real, {3, 0}}, {real, {0, 5}}, {real, {5}}}, 1e-6);
  expect_product(attrs, {{real, {3, 4}}, {real, {4, 0}}, {real, {0}}}, 0);
}

}  // namespace
}  // namespace nacre::test
