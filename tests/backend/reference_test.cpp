// Values of the reference backend that are written down, where property tests would only compare it with itself.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "backend/core/random.h"
#include "backend/graph/ops/ops.h"
#include "backend/interpret.h"

namespace nacre {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
using Doubles = std::vector<double>;

Tensor evaluate(Value value) {
  Graph& graph = value.graph();
  graph.output(fmt::format("value{}", graph.outputs().size()), value);
  graph.verify();
  return interpret(graph, {}, reference_backend()).back();
}
Doubles values(Value value) { return evaluate(value).to_doubles(); }

template <class T = double>
Value constant(Graph& graph, Shape shape, std::initializer_list<T> elements) {
  return graph.constant(Tensor::of<T>(std::move(shape), elements));
}

TEST(ReferenceElementwise, OfSpecialValues) {
  Graph graph;
  const Value x = constant(graph, {4}, {-infinity, -0.5, infinity, nan});
  EXPECT_EQ(values(ops::is_finite(x)), (Doubles{0, 1, 0, 0}));
  EXPECT_EQ(values(ops::sigmoid(ops::slice(x, {0}, {3}))), (Doubles{0, 1 / (1 + std::exp(0.5)), 1}));
  EXPECT_TRUE(std::isnan(values(ops::relu(x))[3]));
  EXPECT_TRUE(std::isnan(values(ops::sign(x))[3]));
  const Value zero = graph.scalar(0, DType::float64);
  for (Value both : {ops::maximum(x, zero), ops::maximum(zero, x), ops::minimum(x, zero), ops::minimum(zero, x)})
    EXPECT_TRUE(std::isnan(values(both)[3]));
  EXPECT_TRUE(std::isnan(values(ops::max(x))[0]));
  EXPECT_TRUE(std::isnan(values(ops::min(x))[0]));
}

TEST(ReferenceElementwise, RoundsHalfToEvenAndModuloHasTheSignOfTheDivisor) {
  Graph graph;
  EXPECT_EQ(values(ops::round(constant(graph, {5}, {-1.5, -0.5, 0.5, 1.5, 2.5}))), (Doubles{-2, 0, 0, 2, 2}));
  const Value a = constant(graph, {4}, {5.0, -5.0, 5.0, -5.0}), b = constant(graph, {4}, {3.0, 3.0, -3.0, -3.0});
  EXPECT_EQ(values(ops::modulo(a, b)), (Doubles{2, 1, -1, -2}));
}

TEST(ReferenceElementwise, BroadcastsBothOperands) {
  Graph graph;
  const Value column = constant<std::int32_t>(graph, {2, 1}, {10, 20}), line = constant<std::int32_t>(graph, {3}, {1, 2, 3});
  EXPECT_EQ(values(column + line), (Doubles{11, 12, 13, 21, 22, 23}));
  const Value truth = constant<bool>(graph, {2, 1}, {true, false}), row = constant<bool>(graph, {2}, {true, false});
  EXPECT_EQ(values(ops::logical_and(truth, row)), (Doubles{1, 0, 0, 0}));
}

TEST(ReferenceElementwise, RoundsResultsToTheirDtypeOnce) {
  Graph graph;
  const Value one = graph.scalar(1, DType::float16), small = graph.scalar(0x1p-11 + 0x1p-20, DType::float16);
  EXPECT_EQ(values(one + small), Doubles{1 + 0x1p-10});
  const Value coarse = graph.scalar(1, DType::bfloat16);
  EXPECT_EQ(values(coarse + graph.scalar(0x1p-9, DType::bfloat16)), Doubles{1});
}

// A double does not hold every int64: what only moves numbers must not go through one.
TEST(ReferenceShape, MovesIntegersExactly) {
  constexpr std::int64_t large = (std::int64_t{1} << 62) + 1;
  Graph graph;
  const Value x = constant<std::int64_t>(graph, {2}, {large, -large});
  for (Value moved : {ops::reverse(x, {0}), ops::concat({x, x}, 0), ops::broadcast_to(x, {2, 2}), ops::slice(x, {0}, {1}),
                      ops::transpose(ops::reshape(x, {1, 2}), {1, 0}), ops::cast(ops::cast(x, DType::int64), DType::int64)}) {
    const Tensor result = evaluate(moved);
    for (std::int64_t element : result.data<std::int64_t>()) EXPECT_EQ(std::abs(element), large);
  }
}

TEST(ReferenceShape, MovesElementsWhereTheyBelong) {
  Graph graph;
  const Value x = constant(graph, {2, 3}, {1.0, 2.0, 3.0, 4.0, 5.0, 6.0});
  EXPECT_EQ(values(ops::transpose(x, {1, 0})), (Doubles{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(values(ops::reverse(x, {1})), (Doubles{3, 2, 1, 6, 5, 4}));
  EXPECT_EQ(values(ops::slice(x, {0, 0}, {2, 3}, {1, 2})), (Doubles{1, 3, 4, 6}));
  EXPECT_EQ(values(ops::pad(x, {0, 1}, {1, 0}, 9)), (Doubles{9, 1, 2, 3, 9, 4, 5, 6, 9, 9, 9, 9}));
  EXPECT_EQ(values(ops::concat({x, ops::slice(x, {0, 0}, {2, 1})}, 1)), (Doubles{1, 2, 3, 1, 4, 5, 6, 4}));
  EXPECT_EQ(values(ops::iota(graph, {DType::int32, {2, 3}}, 1)), (Doubles{0, 1, 2, 0, 1, 2}));
}

TEST(ReferenceReduce, OverAxes) {
  Graph graph;
  const Value x = constant(graph, {2, 3}, {1.0, 2.0, 3.0, 6.0, 5.0, 6.0});
  EXPECT_EQ(values(ops::sum(x, {0})), (Doubles{7, 7, 9}));
  EXPECT_EQ(values(ops::mean(x, {1})), (Doubles{2, 17.0 / 3}));
  EXPECT_EQ(values(ops::product(x)), Doubles{1080});
  EXPECT_EQ(values(ops::argmax(x, 1)), (Doubles{2, 0}));
  EXPECT_EQ(values(ops::max(ops::slice(x, {0, 0}, {2, 0}), {1})), (Doubles{-infinity, -infinity}));
}

TEST(ReferenceSoftmax, HoldsForLargeNumbers) {
  Graph graph;
  const Value x = constant(graph, {2}, {1e4, 1e4 + std::log(3.0)});
  const Doubles y = values(ops::softmax(x)), logarithm = values(ops::log_softmax(x));
  EXPECT_NEAR(y[0], 0.25, 1e-11);
  EXPECT_NEAR(logarithm[1], std::log(0.75), 1e-11);
}

TEST(ReferenceGather, PlacesOutOfRangeReadAsNaNAndAreNotWritten) {
  Graph graph;
  const Value table = constant(graph, {2, 1}, {1.0, 2.0}), indices = constant<std::int32_t>(graph, {3}, {1, 2, -1});
  const Doubles rows = values(ops::gather(table, indices));
  EXPECT_EQ(rows[0], 2);
  EXPECT_TRUE(std::isnan(rows[1]) && std::isnan(rows[2]));
  EXPECT_EQ(values(ops::gather(constant<std::int32_t>(graph, {2}, {5, 6}), indices)), (Doubles{6, 0, 0}));
  const Value updates = constant(graph, {3, 1}, {1.0, 10.0, 100.0});
  EXPECT_EQ(values(graph.add(op::scatter_add, RowsAttrs{2}, {indices, updates}).out()), (Doubles{0, 1}));
  const Value x = constant(graph, {3, 2}, {1.0, 2.0, 3.0, 4.0, 5.0, 6.0});
  const Doubles taken = values(ops::take_along(x, indices, 1));
  EXPECT_EQ(taken[0], 2);
  EXPECT_TRUE(std::isnan(taken[1]) && std::isnan(taken[2]));
  EXPECT_EQ(values(ops::one_hot(indices, 2)), (Doubles{0, 1, 0, 0, 0, 0}));
}

TEST(ReferenceRandom, IsTheDocumentedFunctionOfKeyAndIndex) {
  Graph graph;
  const Value seed = graph.constant(Tensor::scalar(std::int64_t{7})), step = graph.constant(Tensor::scalar(std::int64_t{3}));
  const Tensor drawn = evaluate(ops::random_uniform(seed, step, graph.constant(Tensor(DType::bfloat16, {2, 5})), "drop", 1));
  EXPECT_EQ(drawn.type(), (Type{DType::float32, {2, 5}}));
  const RandomKey key = RandomKey::of(7, "drop", 1, 3);
  for (std::int64_t i = 0; i < 10; ++i) EXPECT_EQ(drawn.at(i), uniform_from(key.word(static_cast<std::uint64_t>(i))));
}

// --- node by node ---------------------------------------------------------------------------------------------------

TEST(Interpret, FeedsInputsAndUpdatesVariables) {
  const auto variable = std::make_shared<Variable>("w", Type{DType::float32, {2}}, true);
  variable->assign(Tensor::of<float>({2}, {1, 2}));
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {2}}), w = graph.variable(variable);
  graph.output("y", x * w);
  graph.update(variable, w + x);
  const Tensor input[] = {Tensor::of<float>({2}, {10, 20})};
  EXPECT_EQ(interpret(graph, input, reference_backend())[0].to_doubles(), (Doubles{10, 40}));
  EXPECT_EQ(variable->value().to_doubles(), (Doubles{11, 22}));
  const Tensor wrong[] = {Tensor::of<float>({3}, {1, 2, 3})};
  EXPECT_THROW(interpret(graph, wrong, reference_backend()), Error);
}

TEST(Backends, AreFoundByTheirDeviceWord) {
  EXPECT_EQ(&backend_for("reference"), &reference_backend());
  EXPECT_EQ(backend_for("cpu").name(), "cpu");
  EXPECT_EQ(backends().front()->name(), "cpu");
  auto message = [](std::string_view device) -> std::string {
    try {
      backend_for(device);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Error::Kind::usage);
      return error.what();
    }
    return "";
  };
  // Where there is none the reason is one line; tests/backend/cudnn has them all.
  if (backends().back()->name() == "gpu") EXPECT_EQ(message("gpu"), "");
  else EXPECT_EQ(message("gpu").find('\n'), std::string::npos) << message("gpu");
  EXPECT_EQ(message("gpu").empty(), backends().back()->name() == "gpu");
  EXPECT_EQ(message("cpp"), "unknown device 'cpp'\n  hint: did you mean 'cpu'?");
}

}  // namespace

}  // namespace nacre
