// Recurrent kernels on sizes at which threads share the work, and their loops for each instruction set.
#include "backend/graph/ops/recurrent.h"

#include <gtest/gtest.h>

#include <bit>

#include "backend/core/parallel.h"
#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/ops.h"
#include "backend/graph/passes/pipeline.h"
#include "backend/onednn/elementwise/loops.h"
#include "backend/onednn/recurrent/loops.h"
#include "tests/backend/onednn/harness.h"
#include "tests/support/op_cases.h"
#include "tests/support/tensors.h"

namespace nacre::test {

namespace {

struct Sizes {
  std::int64_t batch, time, features, units;
};

Tensor drawn(RandomStream& random, const Type& type, double scale) {
  Tensor tensor(DType::float32, type.shape);
  for (float& element : tensor.writable<float>()) element = static_cast<float>(scale * (2 * random.uniform() - 1));
  return tensor.cast(type.dtype);
}

// Results and the gradients of all operands, with a cotangent for each result.
std::unique_ptr<Graph> graph_of(const Sizes& sizes, RecurrentAttrs attrs, DType dtype, const Backend& backend) {
  const auto [batch, time, features, units] = sizes;
  const std::int64_t width = gates(attrs.cell) * units;
  Graph graph;
  std::vector<Shape> shapes = {{batch, time, features},
                               {features, width},
                               {units, width},
                               attrs.cell == CellKind::gru_reset_after ? Shape{2, width} : Shape{width},
                               {batch, units}};
  if (attrs.cell == CellKind::lstm) shapes.push_back({batch, units});
  Values in;
  for (const Shape& shape : shapes) in.push_back(graph.input(fmt::format("x{}", in.size()), {dtype, shape}));
  const ops::RecurrentResult y = ops::recurrent(in[0], in[1], in[2], in[3], in[4], in.back(), attrs);
  Values results = {y.sequence, y.h};
  if (y.c) results.push_back(y.c);
  for (Value result : results) graph.output(fmt::format("y{}", graph.outputs().size()), result);
  auto emitted = decompose_missing(graph, backend);
  add_gradients(*emitted);
  return emitted;
}

using Parameter = std::tuple<CellKind, bool>;
class SharedRecurrent : public testing::TestWithParam<Parameter> {};

// Two threads or three, by rows and by units, with units that do not fill the vectors; and one thread.
TEST_P(SharedRecurrent, AgreesWithTheReferenceParallel) {
  const auto [cell, reverse] = GetParam();
  const Backend& cpu = backend_for("cpu");
  const int before = threads();
  // The second is too narrow to be shared by rows and has work enough to be shared by units.
  const std::int64_t wide = cell == CellKind::simple ? 427 : 251;
  for (const Sizes& sizes : {Sizes{9, 3, 7, 75}, Sizes{9, 3, 8, 76}, Sizes{3, 2, 5, wide}, Sizes{1, 1, 3, 33}})
    for (const int count : {1, 2, 3})
      for (const DType dtype : {DType::float32, DType::bfloat16}) {
        if (sizes.units == wide && (count == 1 || dtype != DType::float32 || reverse)) continue;
        SCOPED_TRACE(fmt::format("batch {} units {} threads {} {}", sizes.batch, sizes.units, count, dtype));
        set_threads(count);
        const auto expected_graph = graph_of(sizes, {cell, reverse}, dtype, reference_backend());
        const auto tested = graph_of(sizes, {cell, reverse}, dtype, cpu);
        RandomStream random(RandomKey::of(7, "recurrent"));
        std::vector<Tensor> inputs;
        for (const auto& [name, value] : tested->inputs())
          inputs.push_back(
              drawn(random, value.type(), value.shape().rank() == 2 && value.shape()[0] >= 33 ? 0.1 : 0.5));
        const auto expected = Executable(*expected_graph, reference_backend()).run(inputs);
        Executable executable(*tested, cpu);
        const auto found = executable.run(inputs), again = executable.run(inputs);
        ASSERT_EQ(found.size(), expected.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
          EXPECT_TRUE(close(found[i], expected[i], dtype == DType::float32 ? 5e-5 : 8e-2)) << i;
          EXPECT_TRUE(found[i].identical(again[i])) << i;
        }
        if (dtype == DType::float32) {
          EXPECT_EQ(executable.text().find("scan"), std::string::npos);
        }
      }
  set_threads(before);
}

// Weights of prediction: variables, which are packed once, or operands, which may change.
TEST_P(SharedRecurrent, PredictsAsTheReferenceParallel) {
  const auto [cell, reverse] = GetParam();
  const Backend& cpu = backend_for("cpu");
  const int before = threads();
  // Several steps are projected at once for few rows, not all groups of them full; the second is shared by units.
  // Numbers of bfloat16 are multiplied in pairs where there are pairs.
  const std::int64_t wide = cell == CellKind::simple ? 426 : 250;
  for (const Sizes& sizes : {Sizes{1, 29, 7, 75}, Sizes{3, 13, 6, wide}, Sizes{27, 2, 4, 16}})
    for (const int count : {1, 2})
      for (const DType dtype : {DType::float32, DType::bfloat16})
        for (const bool constant : {false, true}) {
          SCOPED_TRACE(fmt::format("batch {} threads {} {} constant {}", sizes.batch, count, dtype, constant));
          set_threads(count);
          const auto [batch, time, features, units] = sizes;
          const std::int64_t width = gates(cell) * units;
          RandomStream random(RandomKey::of(8, "recurrent"));
          Graph graph;
          std::vector<VariableRef> variables;
          std::vector<Tensor> inputs;
          const auto operand = [&](const Shape& shape, double scale) {
            inputs.push_back(drawn(random, {dtype, shape}, scale));
            return graph.input(fmt::format("x{}", inputs.size()), inputs.back().type());
          };
          const auto weights = [&](const Shape& shape) {
            if (!constant) return operand(shape, 0.1);
            variables.push_back(
                std::make_shared<Variable>(fmt::format("w{}", variables.size()), Type{DType::float32, shape}, true));
            variables.back()->assign(drawn(random, variables.back()->type(), 0.1));
            return ops::cast(graph.variable(variables.back()), dtype);
          };
          const Value x = operand({batch, time, features}, 0.5), h = operand({batch, units}, 0.5),
                      c = cell == CellKind::lstm ? operand({batch, units}, 0.5) : Value();
          const Value kernel = weights({features, width}), recurrent_kernel = weights({units, width}),
                      bias = weights(cell == CellKind::gru_reset_after ? Shape{2, width} : Shape{width});
          const ops::RecurrentResult y = ops::recurrent(x, kernel, recurrent_kernel, bias, h, c, {cell, reverse});
          if (batch > 1) graph.output("sequence", y.sequence);
          graph.output("h", y.h);
          if (y.c) graph.output("c", y.c);
          Executable tested(*decompose_missing(graph, cpu), cpu),
              reference(*decompose_missing(graph, reference_backend()), reference_backend());
          EXPECT_EQ(constant && tested.text().find("scan") == std::string::npos,
                    tested.text().find("panels") != std::string::npos);
          for (int version = 0; version < 2; ++version) {
            const auto expected = reference.run(inputs), found = tested.run(inputs), again = tested.run(inputs);
            ASSERT_EQ(found.size(), expected.size());
            for (std::size_t i = 0; i < found.size(); ++i) {
              EXPECT_TRUE(close(found[i], expected[i], dtype == DType::float32 ? 5e-5 : 8e-2)) << i;
              EXPECT_TRUE(found[i].identical(again[i])) << i;
            }
            for (const VariableRef& variable : variables) variable->assign(drawn(random, variable->type(), 0.1));
          }
        }
  set_threads(before);
}

INSTANTIATE_TEST_SUITE_P(Cells, SharedRecurrent,
                         testing::Combine(testing::Values(CellKind::simple, CellKind::lstm, CellKind::gru,
                                                          CellKind::gru_reset_after),
                                          testing::Bool()),
                         [](const auto& tested) {
                           return fmt::format("{}{}",
                                              EnumNames<CellKind>::names[static_cast<int>(std::get<0>(tested.param))],
                                              std::get<1>(tested.param) ? "_reverse" : "");
                         });

using Bits = std::uint16_t;
float number_of(float x) { return x; }
float number_of(Bits x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x) << 16); }
template <class Element>
Element element_of(float x) {
  if constexpr (std::is_same_v<Element, float>) return x;
  else return static_cast<Bits>(std::bit_cast<std::uint32_t>(x) >> 16);
}

// Columns of panels lie side by side, `pair` numbers of each.
template <class Element, class Product>
void expect_products(const Product& product, std::int64_t lanes, std::int64_t pair, std::string_view name) {
  const std::int64_t panel = 4 * lanes;
  for (const std::int64_t last : {lanes, lanes - 1, std::int64_t{0}})  // columns of the last vector
    for (std::int64_t rows = 1; rows < 15; ++rows)
      for (const bool repeated : {false, true}) {
        constexpr std::int64_t depth = 6, lda = 7;
        // Vectors lie apart, the last one first.
        const std::int64_t apart = lanes + 3, ldy = 4 * apart, ldfrom = repeated ? 0 : ldy;
        std::vector<Element> a(static_cast<std::size_t>(rows * lda)), b(static_cast<std::size_t>(depth * panel));
        std::vector<float> from(static_cast<std::size_t>(rows * ldy));
        const auto small = [](std::size_t i) { return static_cast<float>(i * 7 % 11) - 5; };
        for (auto* values : {&a, &b})
          for (std::size_t i = 0; i < values->size(); ++i) (*values)[i] = element_of<Element>(small(i));
        for (std::size_t i = 0; i < from.size(); ++i) from[i] = small(i);
        std::vector<float> y(from.size(), 99.0f), expected = y;
        onednn::PanelColumns columns;
        for (std::int64_t i = 0; i < 4; ++i) {
          const std::int64_t place = (3 - i) * apart;
          columns.at[i] = y.data() + place;
          columns.from[i] = from.data() + place;
          columns.count[i] = i == 3 ? last : lanes;
          for (std::int64_t row = 0; row < rows; ++row)
            for (std::int64_t lane = 0; lane < columns.count[i]; ++lane) {
              float& sum = expected[static_cast<std::size_t>(row * ldy + place + lane)];
              sum = from[static_cast<std::size_t>(row * ldfrom + place + lane)];
              for (std::int64_t k = 0; k < depth; ++k)
                sum += number_of(a[static_cast<std::size_t>(row * lda + k)]) *
                       number_of(b[static_cast<std::size_t>((k / pair * panel + i * lanes + lane) * pair + k % pair)]);
            }
        }
        product(a.data(), lda, rows, depth, b.data(), columns, ldfrom, ldy);
        EXPECT_EQ(y, expected) << name << ", rows " << rows << ", columns of the last vector " << last;
      }
}

TEST(RecurrentLoops, ProductsAreThoseOfEachInstructionSet) {
  const onednn::Loops* runnable[3];
  const int count = onednn::runnable_loops(runnable);
  for (int set = 0; set < count; ++set) {
    const onednn::RecurrentLoops& tested =
        onednn::beside(*runnable[set], onednn::recurrent_loops_baseline, onednn::recurrent_loops_avx2,
                       onednn::recurrent_loops_avx512);
    expect_products<float>(tested.product, tested.lanes, 1, runnable[set]->name);
  }
  if (const onednn::NarrowProduct product = onednn::narrow_product())
    expect_products<Bits>(product, onednn::recurrent_loops().lanes, 2, "bfloat16");
}

// Kernels are packed once for each executable that predicts with them, also when another one has laid them out before.
TEST(Recurrent, SecondExecutableOfTheSameVariablesPacksOnceToo) {
  std::vector<VariableRef> variables;
  const auto variable = [&](Shape shape) {
    const Type type{DType::float32, std::move(shape)};
    variables.push_back(std::make_shared<Variable>(fmt::format("w{}", variables.size()), type, true));
    variables.back()->assign(random_tensor(type, 3, -0.1, 0.1));
    return variables.back();
  };
  const VariableRef kernel = variable({16, 256}), recurrent = variable({64, 256}), bias = variable({256});
  int packed = 0;
  for (const std::int64_t batch : {4, 3}) {
    Graph graph;
    const auto input = [&](const char* name, Shape shape) {
      return graph.input(name, {DType::float32, std::move(shape)});
    };
    const Value x = input("x", {batch, 9, 16}), h = input("h", {batch, 64}), c = input("c", {batch, 64});
    graph.output("h", ops::recurrent(x, graph.variable(kernel), graph.variable(recurrent), graph.variable(bias), h, c,
                                     {CellKind::lstm, false})
                          .h);
    Executable executable(graph, onednn_backend());
    const std::vector<Tensor> inputs = random_inputs(graph);
    const auto plain = decompose_missing(graph, reference_backend());
    EXPECT_TRUE(close_to_scale(executable.run(inputs)[0], interpret(*plain, inputs, reference_backend())[0], 1e-5));
    EXPECT_GT(executable.statistics().prologue_kernels, 0) << executable.text();
    EXPECT_TRUE(packed == 0 || executable.statistics().prologue_kernels == packed) << executable.text();
    packed = executable.statistics().prologue_kernels;
  }
}

}  // namespace

}  // namespace nacre::test
