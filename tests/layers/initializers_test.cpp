// Initial values, penalties and constraints as numbers.
#include <gtest/gtest.h>

#include <cmath>

#include "backend/executable.h"
#include "formats/yaml.h"
#include "layers/initializer.h"
#include "layers/regularizer.h"
#include "tests/support/tensors.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

Tensor initial(const char* yaml, const Shape& shape, std::uint64_t seed = 1) {
  return (*read_object<Initializer>(parse_yaml(yaml)))(shape, DType::float32, RandomKey::of(seed, "layer/kernel"));
}

struct Moments {
  double mean = 0, deviation = 0, largest = 0;
};
Moments moments(const Tensor& tensor) {
  Moments m;
  for (float value : tensor.data<float>())
    m.mean += value, m.largest = std::max(m.largest, std::abs(static_cast<double>(value)));
  m.mean /= static_cast<double>(tensor.size());
  for (float value : tensor.data<float>()) m.deviation += (value - m.mean) * (value - m.mean);
  m.deviation = std::sqrt(m.deviation / static_cast<double>(tensor.size()));
  return m;
}

TEST(Initializers, Constants) {
  EXPECT_EQ(initial("Zeros", {2}).to_doubles(), (std::vector<double>{0, 0}));
  EXPECT_EQ(initial("Ones", {2}).to_doubles(), (std::vector<double>{1, 1}));
  EXPECT_EQ(initial("Constant: {value: 0.5}", {2}).to_doubles(), (std::vector<double>{0.5, 0.5}));
  EXPECT_EQ(initial("Constant: {value: [[1], [2]]}", {2, 3}).to_doubles(), (std::vector<double>{1, 1, 1, 2, 2, 2}));
  EXPECT_EQ(initial("Constant: {value: {class_name: __numpy__, config: {value: [3, 4], dtype: float32}}}", {2, 2}).to_doubles(),
            (std::vector<double>{3, 4, 3, 4}));
  EXPECT_EQ(test::message_of([] { initial("Constant: {value: [1, 2]}", {3}); }),
            "the Constant initializer has an array (2,) for a weight (3,)");
  EXPECT_NE(test::message_of([] { initial("Constant: {value: [[1], [2, 3]]}", {2, 2}); })
                .find("the lists of an array differ in size"), std::string::npos);
  EXPECT_EQ(initial("Identity: {gain: 2.0}", {2, 3}).to_doubles(), (std::vector<double>{2, 0, 0, 0, 2, 0}));
}

// Standard deviations by the fans of a dense kernel (100, 300) and of a convolution's (3, 3, 20, 50).
TEST(Initializers, VariancesFollowTheFans) {
  const Shape dense{100, 300}, conv{3, 3, 20, 50};
  const struct {
    const char* yaml;
    double dense, conv;
  } rows[] = {{"GlorotUniform", std::sqrt(2.0 / 400), std::sqrt(2.0 / (9 * 70))},
              {"GlorotNormal", std::sqrt(2.0 / 400), std::sqrt(2.0 / (9 * 70))},
              {"HeUniform", std::sqrt(2.0 / 100), std::sqrt(2.0 / 180)},
              {"HeNormal", std::sqrt(2.0 / 100), std::sqrt(2.0 / 180)},
              {"LecunUniform", std::sqrt(1.0 / 100), std::sqrt(1.0 / 180)},
              {"LecunNormal", std::sqrt(1.0 / 100), std::sqrt(1.0 / 180)},
              {"VarianceScaling: {scale: 3.0, mode: fan_out, distribution: untruncated_normal}", std::sqrt(3.0 / 300),
               std::sqrt(3.0 / 450)},
              {"RandomNormal: {stddev: 0.1}", 0.1, 0.1},
              {"RandomUniform: {minval: -0.3, maxval: 0.3}", 0.3 / std::sqrt(3.0), 0.3 / std::sqrt(3.0)}};
  for (const auto& row : rows) {
    const Moments a = moments(initial(row.yaml, dense)), b = moments(initial(row.yaml, conv));
    EXPECT_NEAR(a.mean, 0, 0.03 * a.deviation) << row.yaml;
    EXPECT_NEAR(a.deviation, row.dense, 0.02 * row.dense) << row.yaml;
    EXPECT_NEAR(b.deviation, row.conv, 0.04 * row.conv) << row.yaml;
  }
  const Moments cut = moments(initial("TruncatedNormal: {stddev: 0.1}", dense));
  EXPECT_LE(cut.largest, 0.2);
  EXPECT_NEAR(cut.deviation, 0.1 * 0.87962566, 0.002);
}

TEST(Initializers, OrthogonalRowsOrColumns) {
  for (const Shape& shape : {Shape{30, 20}, Shape{20, 30}, Shape{3, 3, 2, 5}}) {
    const Tensor q = initial("Orthogonal: {gain: 2.0}", shape);
    const std::int64_t columns = shape[-1], rows = shape.elements() / columns;
    const bool wide = rows < columns;
    const std::int64_t count = std::min(rows, columns), length = std::max(rows, columns);
    const auto at = [&](std::int64_t vector, std::int64_t i) {
      return wide ? q.at(vector * columns + i) : q.at(i * columns + vector);
    };
    for (std::int64_t a = 0; a < count; ++a)
      for (std::int64_t b = 0; b < count; ++b) {
        double product = 0;
        for (std::int64_t i = 0; i < length; ++i) product += at(a, i) * at(b, i);
        EXPECT_NEAR(product, a == b ? 4 : 0, 1e-5);
      }
  }
}

TEST(Initializers, StreamsDependOnSeedAndName) {
  EXPECT_TRUE(initial("HeNormal", {4, 4}).identical(initial("HeNormal", {4, 4})));
  EXPECT_FALSE(initial("HeNormal", {4, 4}).identical(initial("HeNormal", {4, 4}, 2)));
  EXPECT_TRUE(initial("HeNormal: {seed: 3}", {4, 4}, 1).identical(initial("HeNormal: {seed: 3}", {4, 4}, 2)));
}

template <class Base>
Tensor applied(const char* yaml, const Tensor& x) {
  Graph graph;
  graph.output("y", (*read_object<Base>(parse_yaml(yaml)))(graph.constant(x)));
  return Executable(graph, reference_backend()).run()[0];
}

TEST(Regularizers, Penalties) {
  const Tensor x = Tensor::of<float>({2, 2}, {1, -2, 3, 4});
  EXPECT_NEAR(applied<Regularizer>("L1: {l1: 0.1}", x).item(), 1.0, 1e-6);
  EXPECT_NEAR(applied<Regularizer>("L2: {l2: 0.1}", x).item(), 3.0, 1e-6);
  EXPECT_NEAR(applied<Regularizer>("L1L2: {l1: 0.1, l2: 0.1}", x).item(), 4.0, 1e-6);
  EXPECT_NEAR(applied<Regularizer>("OrthogonalRegularizer: {factor: 0.5}", x).item(), 0.5 * 5 / (std::sqrt(5.0) * 5),
              1e-6);
}

TEST(WeightConstraints, Norms) {
  const Tensor w = Tensor::of<float>({2, 2}, {3, 0.3f, -4, 0.4f});  // columns of length 5 and 0.5
  EXPECT_TRUE(test::close(applied<WeightConstraint>("MaxNorm: {max_value: 1.0}", w),
                          Tensor::of<float>({2, 2}, {0.6f, 0.3f, -0.8f, 0.4f}), 1e-5));
  EXPECT_TRUE(test::close(applied<WeightConstraint>("UnitNorm", w),
                          Tensor::of<float>({2, 2}, {0.6f, 0.6f, -0.8f, 0.8f}), 1e-5));
  EXPECT_TRUE(test::close(applied<WeightConstraint>("NonNeg", w), Tensor::of<float>({2, 2}, {3, 0.3f, 0, 0.4f}), 0));
  EXPECT_TRUE(test::close(applied<WeightConstraint>("MinMaxNorm: {min_value: 1.0, max_value: 2.0, rate: 0.5}", w),
                          Tensor::of<float>({2, 2}, {2.1f, 0.45f, -2.8f, 0.6f}), 1e-5));
}

}  // namespace
}  // namespace nacre
