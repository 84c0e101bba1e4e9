#include "backend/graph/grad.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backend/graph/ops/ops.h"
#include "backend/interpret.h"

namespace nacre {

namespace {

std::vector<double> evaluate(Value value) {
  Graph& graph = value.graph();
  graph.output(fmt::format("value{}", graph.outputs().size()), value);
  return interpret(graph, {}, reference_backend()).back().to_doubles();
}
Values gradients_of(Value loss, Values wrt) { return gradients(loss, wrt); }
Value vector(Graph& graph, std::initializer_list<double> values) {
  return graph.constant(Tensor::of<double>({static_cast<std::int64_t>(values.size())}, values));
}
using Doubles = std::vector<double>;

TEST(Gradients, OfSharedValuesAreSummed) {
  Graph graph;
  const Value x = vector(graph, {1, 2, 3});
  const Value y = x * x;
  EXPECT_EQ(evaluate(gradients_of(ops::sum(y + y * x), {x})[0]), (Doubles{2 + 3, 4 + 12, 6 + 27}));
}

TEST(Gradients, AreAbsentWhereNothingDepends) {
  Graph graph;
  const Value x = vector(graph, {1, 2, 3}), other = vector(graph, {1, 2, 3});
  const Value indices = ops::argmax(x, 0);
  const Values found = gradients_of(ops::sum(ops::square(x)), {x, other, indices});
  EXPECT_TRUE(found[0]);
  EXPECT_FALSE(found[1]);
  EXPECT_FALSE(found[2]);
}

TEST(Gradients, StopAtIntegersComparisonsAndStopGradient) {
  Graph graph;
  const Value x = vector(graph, {1, 2, 3});
  EXPECT_FALSE(gradients_of(ops::sum(ops::cast(ops::cast(x, DType::int32), DType::float64)), {x})[0]);
  EXPECT_FALSE(gradients_of(ops::sum(ops::cast(ops::greater(x, x), DType::float64)), {x})[0]);
  EXPECT_FALSE(gradients_of(ops::sum(ops::stop_gradient(x)), {x})[0]);
  EXPECT_EQ(evaluate(gradients_of(ops::sum(x * ops::stop_gradient(x)), {x})[0]), (Doubles{1, 2, 3}));
}

// An op with several outputs of which only one matters: the others' cotangents are absent.
TEST(Gradients, WithUnusedOutputs) {
  Graph graph;
  const Value x = ops::expand_dims(vector(graph, {1, 2, 3}), 0);
  const Value gamma = vector(graph, {1, 1, 1}), beta = vector(graph, {0, 0, 0});
  const ops::Normalized normalized = ops::layer_norm(x, gamma, beta, 1e-3);
  const Values by_mean = gradients_of(ops::sum(normalized.mean), {x, gamma});
  const Doubles thirds = evaluate(by_mean[0]);
  for (double third : thirds) EXPECT_NEAR(third, 1.0 / 3, 1e-12);
  EXPECT_FALSE(by_mean[1] && evaluate(by_mean[1]) != (Doubles{0, 0, 0}));
}

TEST(Gradients, WithRespectToAValueInTheMiddle) {
  Graph graph;
  const Value x = vector(graph, {1, 2, 3});
  const Value middle = ops::square(x), loss = ops::sum(ops::square(middle));
  EXPECT_EQ(evaluate(gradients_of(loss, {middle})[0]), (Doubles{2, 8, 18}));
  EXPECT_EQ(evaluate(gradients_of(loss, {loss})[0]), Doubles{1});
}

TEST(Gradients, OfSeveralOutputsWithCotangents) {
  Graph graph;
  const Value x = vector(graph, {1, 2, 3});
  const Value outputs[] = {x * 2.0, ops::square(x)}, cotangents[] = {vector(graph, {1, 0, 1}), Value()};
  EXPECT_EQ(evaluate(gradients(graph, outputs, cotangents, {&x, 1})[0]), (Doubles{2 + 2, 4, 2 + 6}));
}

TEST(Gradients, CarryTheLabelOfTheLayer) {
  Graph graph;
  const Value x = vector(graph, {1, 2, 3});
  Value y;
  {
    const Graph::Label label(graph, "layer 'a' (Activation)");
    y = ops::tanh(x);
  }
  EXPECT_EQ(gradients_of(ops::sum(y), {x})[0].node().label(), "layer 'a' (Activation)");
}

// --- conventions where the derivative does not exist, as TensorFlow has them ----------------------------------------

TEST(GradientConventions, AtKinksAndTies) {
  Graph graph;
  const Value a = vector(graph, {1, 2, 0}), b = vector(graph, {1, 1, 3});
  const Values maximum = gradients_of(ops::sum(ops::maximum(a, b)), {a, b});
  EXPECT_EQ(evaluate(maximum[0]), (Doubles{1, 1, 0}));
  EXPECT_EQ(evaluate(maximum[1]), (Doubles{0, 0, 1}));
  const Values minimum = gradients_of(ops::sum(ops::minimum(a, b)), {a, b});
  EXPECT_EQ(evaluate(minimum[0]), (Doubles{1, 0, 1}));
  EXPECT_EQ(evaluate(minimum[1]), (Doubles{0, 1, 0}));
  const Value x = vector(graph, {-1, 0, 2});
  EXPECT_EQ(evaluate(gradients_of(ops::sum(ops::relu(x)), {x})[0]), (Doubles{0, 0, 1}));
  EXPECT_EQ(evaluate(gradients_of(ops::sum(ops::abs(x)), {x})[0]), (Doubles{-1, 0, 1}));
  const Value tied = vector(graph, {5, 1, 5});
  EXPECT_EQ(evaluate(gradients_of(ops::max(tied), {tied})[0]), (Doubles{0.5, 0, 0.5}));
  EXPECT_EQ(evaluate(gradients_of(ops::min(tied), {tied})[0]), (Doubles{0, 1, 0}));
}

TEST(GradientConventions, OfProductsWithZeros) {
  Graph graph;
  const Value one_zero = vector(graph, {2, 0, 3}), two_zeros = vector(graph, {0, 0, 3});
  EXPECT_EQ(evaluate(gradients_of(ops::product(one_zero), {one_zero})[0]), (Doubles{0, 6, 0}));
  EXPECT_EQ(evaluate(gradients_of(ops::product(two_zeros), {two_zeros})[0]), (Doubles{0, 0, 0}));
}

TEST(GradientConventions, OfPowersOfNumbersThatAreNotPositive) {
  Graph graph;
  const Value base = vector(graph, {-2, 0, 2}), exponent = vector(graph, {3, 2, 1});
  const Values found = gradients_of(ops::sum(ops::power(base, exponent)), {base, exponent});
  EXPECT_EQ(evaluate(found[0]), (Doubles{12, 0, 1}));
  const Doubles by_exponent = evaluate(found[1]);
  EXPECT_EQ(by_exponent[0], 0);
  EXPECT_EQ(by_exponent[1], 0);
  EXPECT_NEAR(by_exponent[2], 2 * std::log(2.0), 1e-12);
}

TEST(GradientConventions, OfCastsAreInTheOperandsDtype) {
  Graph graph;
  const Value x = graph.constant(Tensor::of<float>({2}, {1, 2}));
  const Value gradient = gradients_of(ops::sum(ops::cast(x, DType::bfloat16)), {x})[0];
  EXPECT_EQ(gradient.dtype(), DType::float32);
  EXPECT_EQ(evaluate(gradient), (Doubles{1, 1}));
}

}  // namespace

}  // namespace nacre
