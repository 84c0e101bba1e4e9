// Element-wise kernels, alone and in groups, against the reference backend.
#include "backend/onednn/elementwise/program.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "backend/core/parallel.h"
#include "backend/executable.h"
#include "backend/graph/ops/ops.h"
#include "backend/onednn/elementwise/access.h"
#include "backend/onednn/elementwise/exactness.h"
#include "backend/onednn/onednn.h"
#include "tests/backend/onednn/harness.h"
#include "tests/support/op_cases.h"
#include "tests/support/tensors.h"

namespace nacre {
namespace {

using test::close;
using test::draw;

// A random graph of element-wise nodes of one shape, of operands that broadcast to it, with some results.
struct RandomGroup {
  Graph graph;
  std::vector<Tensor> inputs;

  explicit RandomGroup(RandomStream& random) {
    const Shape shape = draw_group_shape(random);
    const auto fresh = [&] {
      const DType dtypes[] = {DType::float32, DType::float32, DType::float32, DType::bfloat16,
                              DType::float16, DType::int32,   DType::uint8,   DType::boolean};
      const Type type{dtypes[draw(random, 0, 7)], draw(random, 0, 1) ? shape : test::draw_narrower(random, shape)};
      const Value input = graph.input("x" + std::to_string(inputs.size()), type);
      // -2 as uint8 would be 254, and sin(254 x) another number after rounding.
      inputs.push_back(test::draw_tensor(random, type, {type.dtype == DType::uint8 ? 0.0 : -2.0, 2}));
      return ops::cast(input, DType::float32);
    };
    Values values{ops::broadcast_to(fresh(), shape)};
    const std::int64_t steps = draw(random, 1, 20);
    for (std::int64_t i = 0; i < steps; ++i) {
      const auto some = [&] {
        return draw(random, 0, 2)
                   ? values[static_cast<std::size_t>(draw(random, 0, static_cast<std::int64_t>(values.size()) - 1))]
                   : fresh();
      };
      values.push_back(step(random, some, fresh, values.front()));
    }
    for (std::int64_t i = 0; i < draw(random, 1, 3); ++i)
      graph.output("y" + std::to_string(i), values[values.size() - 1 - static_cast<std::size_t>(i) % values.size()]);
    graph.output("narrow", ops::cast(values.back(), DType::bfloat16));
    graph.output("mask", ops::greater(fresh(), ops::scalar_like(values.back(), 0.1)));
  }

  static Shape draw_group_shape(RandomStream& random) {
    switch (draw(random, 0, 4)) {
      case 0: return {};
      case 1: return {draw(random, 1, 5000)};
      case 2: return {draw(random, 1, 300), draw(random, 1, 40)};
      case 3: return {draw(random, 1, 4), 700};
      default: return {draw(random, 1, 9), draw(random, 1, 9), draw(random, 1, 9), draw(random, 1, 9)};
    }
  }

  // Values stay within ±3, and what jumps is applied to operands only, so that rounding cannot move it over an edge; so is
  // what has no slope that is bounded: the root of a difference that rounding makes 10⁻⁸ instead of 0 is 10⁻⁴.
  static Value step(RandomStream& random, auto& some, auto& fresh, Value like) {
    switch (draw(random, 0, 18)) {
      case 0: return ops::tanh(some() + some());
      case 1: return ops::sigmoid(some() * some());
      case 2: return ops::select(ops::less(fresh(), fresh()), some(), some());
      case 3: return ops::minimum(ops::maximum(some(), fresh()), ops::scalar_like(like, 2.5));
      case 4: return ops::sin(some()) * some() * 0.5;
      case 5: return ops::relu(some()) - ops::relu(-some()) * 0.25;
      case 6: return some() / (ops::square(some()) + 1.0);
      case 7: return draw(random, 0, 1) ? ops::sqrt(ops::abs(fresh())) : ops::sqrt(ops::abs(some()) + 0.25);
      case 8: return ops::exp(-ops::square(some()));
      case 9: return ops::log1p(ops::abs(some()));
      case 10: return ops::erf(some() - some() * some());
      case 11: return ops::floor(fresh()) * 0.5;
      case 12: return ops::expm1(-ops::abs(some()));
      case 13:
        return ops::cast(ops::logical_and(ops::greater(fresh(), fresh()), ops::is_finite(fresh())), DType::float32);
      case 14: return ops::rsqrt(ops::abs(some()) + 1.0) * some();
      case 15: return ops::cos(some() * 0.1 + 0.9 * some());
      case 16: return ops::stop_gradient(some()) * 0.7;
      case 17: return ops::power(ops::abs(some()) + 0.5, ops::scalar_like(like, 0.3));
      default: return ops::cast(ops::cast(ops::round(fresh()), DType::int32), DType::float32);
    }
  }
};

RC_GTEST_PROP(ElementwisePrograms, AgreeWithTheReference, ()) {
  RandomStream random(RandomKey::of(*rc::gen::arbitrary<std::uint32_t>(), "groups"));
  const RandomGroup group(random);
  const auto expected = Executable(group.graph, reference_backend()).run(group.inputs);
  Executable executable(group.graph, onednn_backend());
  RC_ASSERT(executable.statistics().borrowed == 0);
  const auto actual = executable.run(group.inputs);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double tolerance = expected[i].dtype() == DType::bfloat16 ? 0.02 : 1e-4;
    if (const auto result = close(actual[i], expected[i], tolerance); !result)
      RC_FAIL(std::string(result.message()) + "\n" + group.graph.text());
  }
  const auto again = executable.run(group.inputs);
  for (std::size_t i = 0; i < expected.size(); ++i) RC_ASSERT(again[i].identical(actual[i]));
}

TEST(ElementwisePrograms, RandomNumbersAreThoseOfTheReference) {
  for (const Shape& shape : {Shape{}, Shape{7}, Shape{33, 100}, Shape{5, 11, 13}}) {
    Graph graph;
    const Value seed = graph.input("seed", {DType::int64, {}}), step = graph.input("step", {DType::int64, {}});
    const Value x = graph.input("x", {DType::float32, shape});
    const Value uniform = ops::random_uniform(seed, step, x, "dropout", 3);
    graph.output("uniform", uniform);
    graph.output("dropped", ops::select(ops::less(uniform, ops::scalar_like(x, 0.4)), ops::scalar_like(x, 0), x / 0.6));
    RandomStream random(RandomKey::of(3, "x"));
    const std::vector<Tensor> inputs{Tensor::scalar<std::int64_t>(-5), Tensor::scalar<std::int64_t>(123456),
                                     test::draw_tensor(random, {DType::float32, shape})};
    const auto expected = Executable(graph, reference_backend()).run(inputs);
    Executable executable(graph, onednn_backend());
    EXPECT_EQ(executable.statistics().kernels, 1) << executable.text();
    const auto actual = executable.run(inputs);
    EXPECT_TRUE(actual[0].identical(expected[0]));
    EXPECT_TRUE(close(actual[1], expected[1], 1e-6));
  }
}

// A layer's own seed is a constant, and in tests the step is one too: such nodes are folded, alone.
TEST(ElementwisePrograms, RandomNumbersMayHaveConstantSeeds) {
  Graph graph;
  const Value seed = graph.constant(Tensor::scalar(std::int64_t{5}));
  const Value step = graph.constant(Tensor::scalar(std::int64_t{3}));
  const Value x = graph.input("x", {DType::float32, {3, 50}});
  graph.output("folded", ops::random_uniform(seed, step, graph.constant(Tensor(Type{DType::float32, {7}})), "a", 0));
  graph.output("fused", x * ops::random_uniform(seed, graph.input("step", {DType::int64, {}}), x, "b", 1));
  test::expect_parity(graph);
}

TEST(ElementwisePrograms, IntegersThatFloatsCannotHoldStayIntegers) {
  Graph graph;
  const Value n = graph.input("n", {DType::int64, {3}}), m = graph.input("m", {DType::int64, {3}});
  graph.output("sum", ops::add(n, m));
  graph.output("equal", ops::equal(n, m));
  graph.output("class", ops::equal(n, ops::iota(graph, {DType::int64, {3}}, 0)));
  Executable executable(graph, onednn_backend());
  EXPECT_EQ(executable.statistics().borrowed, 0) << executable.text();
  const std::int64_t large = (std::int64_t{1} << 53) + 1;
  const std::vector<Tensor> inputs{Tensor::of<std::int64_t>({3}, {large, 1, large}),
                                   Tensor::of<std::int64_t>({3}, {large - 1, 1, 2})};
  const auto results = executable.run(inputs);
  EXPECT_EQ(results[0].data<std::int64_t>()[0], 2 * large - 1);
  EXPECT_EQ(results[0].data<std::int64_t>()[2], large + 2);
  EXPECT_EQ(results[1].to_doubles(), (std::vector<double>{0, 1, 0}));
  EXPECT_EQ(results[2].to_doubles(), (std::vector<double>{0, 1, 0}));
}

// Integer arithmetic of every kind, with operands that broadcast.
RC_GTEST_PROP(ElementwisePrograms, IntegersAgreeWithTheReference, ()) {
  RandomStream random(RandomKey::of(*rc::gen::arbitrary<std::uint32_t>(), "integers"));
  Graph graph;
  const DType dtype = draw(random, 0, 1) ? DType::int32 : DType::int64;
  const Shape shape = RandomGroup::draw_group_shape(random);
  const Value a = graph.input("a", {dtype, shape}), b = graph.input("b", {dtype, test::draw_narrower(random, shape)});
  const Value c = graph.input("c", {DType::boolean, test::draw_narrower(random, shape)});
  using Binary = Value (*)(Value, Value);
  int outputs = 0;
  for (const Binary f : {ops::add, ops::subtract, ops::multiply, ops::maximum, ops::minimum, ops::equal, ops::not_equal,
                         ops::less, ops::less_equal, ops::greater, ops::greater_equal})
    graph.output("binary" + std::to_string(outputs++), f(a, b));
  using Unary = Value (*)(Value);
  for (const Unary f : {ops::negate, ops::abs, ops::sign, ops::square, ops::relu})
    graph.output("unary" + std::to_string(outputs++), f(a));
  graph.output("modulo", ops::modulo(a, ops::add(ops::abs(b), graph.scalar(1, dtype))));
  graph.output("select", ops::select(c, a, b));
  graph.output("cast", ops::cast(b, dtype == DType::int32 ? DType::int64 : DType::int32));
  std::vector<Tensor> inputs;
  for (const auto& [name, value] : graph.inputs())
    inputs.push_back(test::draw_tensor(random, value.type(), {-1000, 1000}));
  Executable executable(graph, onednn_backend());
  RC_ASSERT(executable.statistics().borrowed == 0);
  const auto actual = executable.run(inputs), expected = Executable(graph, reference_backend()).run(inputs);
  for (std::size_t i = 0; i < actual.size(); ++i)
    if (!actual[i].identical(expected[i])) RC_FAIL(graph.outputs()[i].name);
}

TEST(ElementwisePrograms, ZerosOfPaddingStayWhereTheProgramKeepsThem) {
  const auto keeps = [](auto&& build) {
    Graph body;
    const Value w = body.input("w", {DType::float32, {10}}), g = body.input("g", {DType::float32, {10}});
    const Value rate = body.input("rate", {DType::float32, {}});
    body.output("y", build(w, g, rate));
    return onednn::keeps_zeros(body);
  };
  EXPECT_TRUE(keeps([](Value w, Value g, Value rate) { return w - rate * (g * 0.9 + 0.1 * w); }));
  EXPECT_TRUE(keeps([](Value w, Value g, Value rate) { return w - rate * g / (ops::sqrt(ops::square(g)) + 1e-7); }));
  EXPECT_FALSE(keeps([](Value w, Value g, Value rate) { return w - rate * g / ops::sqrt(ops::square(g)); }));  // 0 / 0
  EXPECT_FALSE(keeps([](Value w, Value, Value) { return w + 1.0; }));
  EXPECT_FALSE(keeps([](Value w, Value, Value rate) { return w + rate; }));
  EXPECT_FALSE(keeps([](Value w, Value, Value) { return ops::exp(w); }));
}

TEST(ElementwisePrograms, TheUpdateOfAVariableIsOneKernelInPlace) {
  const auto variable = [](const char* path) {
    auto made = std::make_shared<Variable>(path, Type{DType::float32, {300, 40}}, true);
    made->assign(Tensor(DType::float32, {300, 40}));
    return made;
  };
  const auto w = variable("w"), m = variable("m"), v = variable("v");
  Graph graph;
  const Value g = graph.input("g", {DType::float32, {300, 40}}), rate = graph.input("rate", {DType::float32, {}});
  const Value mean = graph.variable(m) * 0.9 + g * 0.1, square = graph.variable(v) * 0.999 + ops::square(g) * 0.001;
  graph.update(m, mean);
  graph.update(v, square);
  graph.update(w, graph.variable(w) - rate * mean / (ops::sqrt(square) + 1e-7));
  Executable executable(graph, onednn_backend());
  EXPECT_EQ(executable.statistics().kernels, 1) << executable.text();
  EXPECT_EQ(executable.statistics().arena_bytes, 0u) << executable.text();
  const std::vector<Tensor> inputs{Tensor::of<float>({300, 40}, std::vector<float>(12000, 2.0f)), Tensor::scalar(0.5f)};
  executable.run(inputs);
  EXPECT_NEAR(m->value().at(11999), 0.2, 1e-6);
  EXPECT_NEAR(v->value().at(7), 0.004, 1e-8);
  EXPECT_NEAR(w->value().at(0), -0.5 * 0.2 / (std::sqrt(0.004) + 1e-7), 1e-5);
}

// From and to any element: pieces begin and end inside the runs that are repeated.
TEST(ElementwisePrograms, RepeatedOperandsAreWalkedFromAnyPlace) {
  const Shape result{2, 3, 2, 2, 4};
  for (const Shape& operand : {Shape{1, 3, 1, 1, 4}, Shape{4}, Shape{2, 1, 1, 1, 1}, Shape{2, 1, 2, 1, 4}, Shape{2, 1},
                               Shape{2, 3, 2, 2, 4}, Shape{3, 1, 1, 1}, Shape{}}) {
    const onednn::Access access(operand, result);
    std::vector<std::int64_t> expected;
    const std::vector<std::int64_t> strides = row_major_strides(operand);
    for (std::int64_t i = 0; i < result.elements(); ++i) {
      std::int64_t rest = i, place = 0;
      for (int axis = result.rank(); axis-- > 0; rest /= result[axis])
        if (const int own = axis - (result.rank() - operand.rank()); own >= 0 && operand[own] > 1)
          place += rest % result[axis] * strides[static_cast<std::size_t>(own)];
      expected.push_back(place);
    }
    for (std::int64_t begin = 0; begin < result.elements(); ++begin)
      for (std::int64_t count = 1; begin + count <= result.elements(); ++count) {
        std::vector<std::int64_t> actual;
        access.walk(begin, count,
                    [&](std::int64_t offset, std::int64_t stride, std::int64_t length, std::int64_t times) {
                      for (; times > 0; --times)
                        for (std::int64_t i = 0; i < length; ++i) actual.push_back(offset + i * stride);
                    });
        ASSERT_EQ(actual, std::vector(expected.begin() + begin, expected.begin() + begin + count))
            << operand.text() << " from " << begin << ", " << count;
      }
  }
}

TEST(ElementwisePrograms, ThreadsDoNotChangeTheResult) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {700, 123}}), b = graph.input("b", {DType::float32, {123}});
  graph.output("y", ops::tanh(x * 2.0 + b));
  RandomStream random(RandomKey::of(1, "x"));
  const std::vector<Tensor> inputs{test::draw_tensor(random, {DType::float32, {700, 123}}),
                                   test::draw_tensor(random, {DType::float32, {123}})};
  set_threads(1);
  const auto one = Executable(graph, onednn_backend()).run(inputs);
  set_threads(3);
  const auto three = Executable(graph, onednn_backend()).run(inputs);
  set_threads(0);
  EXPECT_TRUE(one[0].identical(three[0]));
}

// The update of a table by momentum from the rows that were asked for, some of them often, some out of range. `dense`: the
// gradient is asked for too, so that it is in memory.
struct TableUpdate {
  std::int64_t rows, width, count;
  DType index, element;
  int gathers = 1;

  std::unique_ptr<Graph> graph(bool dense) const {
    auto graph = std::make_unique<Graph>();
    Value sum;
    for (int i = 0; i < gathers; ++i) {
      const Value indices = graph->input("indices" + std::to_string(i), {index, {count}});
      const Value updates = graph->input("updates" + std::to_string(i), {element, {count, width}});
      const Value gradient = graph->add(op::scatter_add, RowsAttrs{rows}, {indices, updates}).out();
      if (dense) graph->output("gradient" + std::to_string(i), gradient);
      const Value wide = ops::cast(gradient, DType::float32);
      sum = sum ? sum + wide : wide;
    }
    const Value table = graph->input("table", {DType::float32, {rows, width}});
    const Value before = graph->input("momentum", {DType::float32, {rows, width}});
    const Value scale = graph->input("scale", {DType::float32, {width}});
    const Value momentum = before * 0.9 - graph->input("rate", {DType::float32, {}}) * (sum * scale);
    graph->output("momentum", momentum);
    graph->output("table", table + momentum);
    return graph;
  }

  std::vector<Tensor> inputs(const Graph& graph, RandomStream& random) const {
    std::vector<Tensor> inputs;
    const auto last = static_cast<double>(rows);
    for (const auto& [name, value] : graph.inputs()) {
      const bool indices = !is_floating(value.dtype());
      inputs.push_back(indices ? test::draw_tensor(random, value.type(), {-1, last}) : test::draw_tensor(random, value.type()));
    }
    return inputs;
  }
};

RC_GTEST_PROP(ElementwisePrograms, TablesAreUpdatedAsByTheDenseGradient, ()) {
  RandomStream random(RandomKey::of(*rc::gen::arbitrary<std::uint32_t>(), "tables"));
  const DType elements[] = {DType::float32, DType::float32, DType::bfloat16, DType::float16};
  const std::int64_t widths[] = {1, draw(random, 2, 40), draw(random, 41, 1500), 128};
  const TableUpdate update{.rows = draw(random, 1, 300),
                           .width = widths[draw(random, 0, 3)],
                           .count = draw(random, 0, 60),
                           .index = draw(random, 0, 1) ? DType::int32 : DType::int64,
                           .element = elements[draw(random, 0, 3)],
                           .gathers = static_cast<int>(draw(random, 1, 2))};
  const auto fused = update.graph(false), dense = update.graph(true);
  const std::vector<Tensor> inputs = update.inputs(*fused, random);
  set_threads(static_cast<int>(draw(random, 1, 3)));
  Executable one(*fused, onednn_backend()), two(*dense, onednn_backend());
  const auto actual = one.run(inputs), expected = two.run(inputs);
  set_threads(0);
  RC_ASSERT(one.text().find("scatter_add") == std::string::npos);
  for (std::size_t i = 0; i < actual.size(); ++i)
    if (!actual[i].identical(expected[i + static_cast<std::size_t>(update.gathers)])) RC_FAIL(one.text());
  const auto reference = Executable(*fused, reference_backend()).run(inputs);
  const double tolerance = update.element == DType::float32 ? 1e-5 : 0.02;
  for (std::size_t i = 0; i < actual.size(); ++i)
    if (const auto result = close(actual[i], reference[i], tolerance); !result) RC_FAIL(result.message());
}

TEST(ElementwisePrograms, TheGradientOfATableIsNotInMemory) {
  const auto table = std::make_shared<Variable>("table", Type{DType::float32, {5000, 16}}, true);
  table->assign(Tensor(DType::float32, {5000, 16}));
  const auto build = [&](bool dense) {
    auto graph = std::make_unique<Graph>();
    const Value indices = graph->input("indices", {DType::int32, {8}});
    const Value updates = graph->input("updates", {DType::float32, {8, 16}});
    const Value gradient = graph->add(op::scatter_add, RowsAttrs{5000}, {indices, updates}).out();
    graph->update(table, graph->variable(table) - gradient * 0.5);
    if (dense) graph->output("norm", ops::sum(ops::square(gradient), {0, 1}, false));
    return graph;
  };
  const std::size_t bytes = std::size_t{5000} * 16 * sizeof(float);
  Executable sparse(*build(false), onednn_backend()), dense(*build(true), onednn_backend());
  EXPECT_EQ(sparse.statistics().kernels, 1) << sparse.text();
  EXPECT_LT(sparse.statistics().arena_bytes, bytes / 8);  // the lists
  EXPECT_GE(dense.statistics().arena_bytes, bytes);
  const std::vector<Tensor> inputs{Tensor::of<std::int32_t>({8}, {7, 4999, 7, 0, 1, 2, 3, 5000}),
                                   Tensor::of<float>({8, 16}, std::vector<float>(128, 1.0f))};
  sparse.run(inputs);
  EXPECT_EQ(table->value().at(7 * 16 + 3), -1);
  EXPECT_EQ(table->value().at(4999 * 16), -0.5);
  EXPECT_EQ(table->value().at(4 * 16), 0);
}

}  // namespace
}  // namespace nacre
