// Reduced precision of float32 products: which numbers change, how much, and that variables are not rounded.
#include <gtest/gtest.h>

#include <cmath>

#include "backend/core/random.h"
#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/conv.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "backend/onednn/onednn.h"
#include "tests/support/tensors.h"

namespace nacre {
namespace {

Tensor noise(Shape shape, std::uint64_t seed) {
  RandomStream random(RandomKey::of(seed, "noise"));
  Tensor tensor(DType::float32, std::move(shape));
  for (float& each : tensor.writable<float>()) each = static_cast<float>(random.normal());
  return tensor;
}

// A product and its gradients: y, dx and dw; w is a variable to which the graph adds a little that bfloat16 has no room for.
struct Products {
  explicit Products(bool convolution, std::int64_t width)
      : x(convolution ? noise({2, 14, 14, width}, 1) : noise({512, width}, 1)),
        w(std::make_shared<Variable>("w", convolution ? Type{DType::float32, {3, 3, width, width}} : Type{DType::float32, {width, width}}, true)),
        start(noise(w->shape(), 2)) {
    const Value in = graph.input("x", x.type()), weights = graph.variable(w);
    const Value y = convolution ? ops::conv(in, weights, {.strides = {1, 1}, .dilations = {1, 1}, .padding = Padding::same})
                                : ops::matmul(in, weights);
    graph.output("y", y);
    const Value wrt[] = {in, weights}, cotangent = graph.constant(noise(y.shape(), 3));
    for (Value slope : gradients(graph, {&y, 1}, {&cotangent, 1}, wrt))
      graph.output(std::to_string(graph.outputs().size()), slope);
    graph.update(w, weights + 0x1p-16);
  }
  std::vector<Tensor> run(const Backend& backend, std::optional<MatmulPrecision> precision) {
    w->assign(start);
    std::unique_ptr<Executable> executable =
        precision ? std::make_unique<Executable>(graph, backend, nullptr, Numerics{.matmul_precision = *precision})
                  : std::make_unique<Executable>(graph, backend);
    std::vector<Tensor> results = executable->run({&x, 1});
    results.push_back(w->value());
    return results;
  }

  Graph graph;
  Tensor x;
  VariableRef w;
  Tensor start;
};

// The largest difference, in parts of the largest element.
double difference(const Tensor& a, const Tensor& b) {
  const std::vector<double> left = a.to_doubles(), right = b.to_doubles();
  double most = 0, largest = 0;
  for (std::size_t i = 0; i < left.size(); ++i) {
    most = std::max(most, std::abs(left[i] - right[i]));
    largest = std::max(largest, std::abs(right[i]));
  }
  return most / largest;
}

class Precision : public testing::TestWithParam<bool> {};

TEST_P(Precision, HighestAndHighAreFloat32) {
  Products products(GetParam(), GetParam() ? 64 : 512);
  for (const Backend* backend : backends()) {
    const std::vector<Tensor> before = products.run(*backend, {});
    for (const MatmulPrecision precision : {MatmulPrecision::highest, MatmulPrecision::high}) {
      const std::vector<Tensor> now = products.run(*backend, precision);
      for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(now[i].identical(before[i])) << backend->name() << i;
    }
  }
}

TEST_P(Precision, MediumRoundsFactorsToBfloat16) {
  const Backend& cpu = onednn_backend();
  Products products(GetParam(), GetParam() ? 64 : 512);
  const std::vector<Tensor> exact = products.run(cpu, {}), rounded = products.run(cpu, MatmulPrecision::medium);
  ASSERT_EQ(exact.size(), 4u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_LT(difference(rounded[i], exact[i]), 0x1p-7) << i;
    if (cpu.has_instructions(DType::bfloat16)) EXPECT_GT(difference(rounded[i], exact[i]), 0x1p-14) << i;
    else EXPECT_TRUE(rounded[i].identical(exact[i])) << i;
  }
  EXPECT_TRUE(rounded[3].identical(exact[3])) << "the variable itself";
}

TEST_P(Precision, SmallProductsStayExact) {
  Products products(GetParam(), 2);
  const std::vector<Tensor> exact = products.run(onednn_backend(), {}),
                            rounded = products.run(onednn_backend(), MatmulPrecision::medium);
  for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_TRUE(rounded[i].identical(exact[i])) << i;
}

INSTANTIATE_TEST_SUITE_P(Products, Precision, testing::Bool(),
                         [](const auto& row) { return row.param ? "Convolution" : "Matrices"; });

}  // namespace
}  // namespace nacre
