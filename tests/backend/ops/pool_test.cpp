// Pooling where definitions differ between libraries, on every backend.
#include "backend/graph/ops/pool.h"

#include <gtest/gtest.h>

#include <numeric>

#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "tests/support/tensors.h"

namespace nacre::test {

namespace {

class Pool : public testing::TestWithParam<const Backend*> {
 protected:
  // y and the gradient of Σ ⟨dy, y⟩.
  std::vector<Tensor> run(const Tensor& x, const Tensor& dy, const PoolAttrs& attrs,
                          Value (*builder)(Value, PoolAttrs)) const {
    Graph graph;
    const Value in = graph.input("x", x.type()), cotangent = graph.input("dy", dy.type()), out = builder(in, attrs);
    graph.output("y", out);
    graph.output("dx", gradients(graph, {&out, 1}, {&cotangent, 1}, {&in, 1})[0]);
    return Executable(graph, *GetParam()).run(std::vector{x, dy});
  }
};

Tensor floats(Shape shape, std::initializer_list<float> values) { return Tensor::of<float>(std::move(shape), values); }

TEST_P(Pool, TheFirstOfEqualElementsGetsTheGradient) {
  const auto found = run(floats({1, 4, 1}, {7, 7, 7, 7}), floats({1, 2, 1}, {1, 2}), {{2}, {2}}, ops::max_pool);
  EXPECT_TRUE(close(found[0], floats({1, 2, 1}, {7, 7}), 0));
  EXPECT_TRUE(close(found[1], floats({1, 4, 1}, {1, 0, 2, 0}), 0));
}

TEST_P(Pool, GradientsOfOverlappingWindowsAreSummed) {
  const auto found = run(floats({1, 3, 1}, {1, 5, 2}), floats({1, 2, 1}, {10, 1}), {{2}, {1}}, ops::max_pool);
  EXPECT_TRUE(close(found[1], floats({1, 3, 1}, {0, 11, 0}), 0));
}

TEST_P(Pool, PaddingIsNeverTheLargest) {
  const auto found =
      run(floats({1, 3, 1}, {-5, -4, -3}), floats({1, 2, 1}, {1, 2}), {{2}, {2}, Padding::same}, ops::max_pool);
  EXPECT_TRUE(close(found[0], floats({1, 2, 1}, {-4, -3}), 0));
  EXPECT_TRUE(close(found[1], floats({1, 3, 1}, {0, 1, 2}), 0));
}

TEST_P(Pool, PaddingDoesNotCountInTheAverage) {
  const auto found =
      run(floats({1, 3, 1}, {2, 4, 8}), floats({1, 2, 1}, {1, 3}), {{2}, {2}, Padding::same}, ops::average_pool);
  EXPECT_TRUE(close(found[0], floats({1, 2, 1}, {3, 8}), 1e-6));
  EXPECT_TRUE(close(found[1], floats({1, 3, 1}, {0.5, 0.5, 3}), 1e-6));
}

TEST_P(Pool, WindowsMayHoldMoreThan255Elements) {
  Tensor x(DType::float32, {1, 20, 20, 1}), expected = x;
  std::iota(x.writable<float>().begin(), x.writable<float>().end(), 0.f);
  expected.writable<float>().back() = 3;
  const auto found = run(x, floats({1, 1, 1, 1}, {3}), {{20, 20}, {1, 1}}, ops::max_pool);
  EXPECT_TRUE(close(found[0], floats({1, 1, 1, 1}, {399}), 0));
  EXPECT_TRUE(close(found[1], expected, 0));
}

INSTANTIATE_TEST_SUITE_P(Backends, Pool, testing::ValuesIn(backends().begin(), backends().end()),
                         [](const auto& tested) { return std::string(tested.param->name()); });

}  // namespace

}  // namespace nacre::test
