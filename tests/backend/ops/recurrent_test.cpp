// Recurrent layers against numbers computed by Keras 3.15, on every backend: oneDNN's inference primitives and the
// decomposition into scans. Gradients are tested with those of all ops.
#include "backend/graph/ops/recurrent.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/ops.h"
#include "backend/graph/passes/pipeline.h"
#include "tests/support/tensors.h"

namespace nacre::test {

namespace {

struct Expected {
  const char* name;
  RecurrentAttrs attrs;
  std::vector<float> sequence, h, c;
};

const Expected expectations[] = {
    {"simple",
     {CellKind::simple, false},
     {0.606995f, -0.202806f, 0.8304975f, 0.9487225f, 0.4019786f, 0.6841733f, -0.2302056f, 0.08046731f, -0.1821208f,
      -0.449981f, 0.6520489f, 0.7194921f},
     {0.4019786f, 0.6841733f, 0.6520489f, 0.7194921f},
     {}},
    {"simple in reverse",
     {CellKind::simple, true},
     {0.7072189f, 0.3003919f, 0.7725344f, 0.6335681f, 0.2047302f, 0.5115043f, -0.5165147f, 0.272505f, 0.3561593f,
      0.09325545f, 0.884631f, 0.6137547f},
     {0.7072189f, 0.3003919f, -0.5165147f, 0.272505f},
     {}},
    {"lstm",
     {CellKind::lstm, false},
     {0.1658243f, 0.1808384f, -0.1146342f, -0.02839964f, -0.2041695f, -0.3514031f, 0.22158f, -0.2276786f, 0.1486616f,
      -0.02433776f, 0.01738696f, 0.04410263f},
     {-0.2041695f, -0.3514031f, 0.01738696f, 0.04410263f},
     {-0.4967536f, -0.5740523f, 0.03149086f, 0.09655366f}},
    {"lstm in reverse",
     {CellKind::lstm, true},
     {0.02230076f, -0.005376165f, -0.1351461f, -0.01613271f, 0.1631782f, -0.09101769f, 0.01591847f, -0.2235649f,
      0.07541061f, -0.02070919f, 0.106984f, 0.002836854f},
     {0.02230076f, -0.005376165f, 0.01591847f, -0.2235649f},
     {0.05664412f, -0.01385417f, 0.04987869f, -0.4585125f}},
    {"gru",
     {CellKind::gru, false},
     {0.1696064f, 0.5545079f, -0.04306796f, 0.4415393f, -0.06916861f, 0.08328086f, 0.9698011f, 0.6669518f, 0.7813681f,
      0.5048209f, 0.5093565f, 0.4431731f},
     {-0.06916861f, 0.08328086f, 0.5093565f, 0.4431731f},
     {}},
    {"gru in reverse",
     {CellKind::gru, true},
     {-0.2158625f, 0.1284744f, -0.007376686f, 0.3434122f, 0.2313892f, 0.4384787f, 0.8006346f, 0.4886166f, 0.6866459f,
      0.6042857f, 0.7886242f, 0.8693776f},
     {-0.2158625f, 0.1284744f, 0.8006346f, 0.4886166f},
     {}},
    {"gru_reset_after",
     {CellKind::gru_reset_after, false},
     {0.1469882f, 0.559437f, -0.114709f, 0.450899f, -0.04205712f, 0.0360925f, 0.9582338f, 0.7372577f, 0.7676452f,
      0.5533335f, 0.4329014f, 0.484283f},
     {-0.04205712f, 0.0360925f, 0.4329014f, 0.484283f},
     {}},
    {"gru_reset_after in reverse",
     {CellKind::gru_reset_after, true},
     {-0.2526149f, 0.1177174f, -0.0567954f, 0.3518296f, 0.2443786f, 0.4410601f, 0.7932448f, 0.4954246f, 0.6392122f,
      0.6089846f, 0.7304411f, 0.8679301f},
     {-0.2526149f, 0.1177174f, 0.7932448f, 0.4954246f},
     {}},
};

// scale · sin(a i + b)
Tensor wave(Shape shape, double a, double b, double scale = 1) {
  Tensor tensor(DType::float32, std::move(shape));
  double i = 0;
  for (float& element : tensor.writable<float>()) element = static_cast<float>(scale * std::sin(a * i++ + b));
  return tensor;
}

class Recurrent : public testing::TestWithParam<const Backend*> {};

TEST_P(Recurrent, ComputesWhatKerasComputes) {
  constexpr std::int64_t batch = 2, steps = 3, features = 2, units = 2;
  for (const auto& [name, attrs, sequence, h, c] : expectations) {
    SCOPED_TRACE(name);
    const std::int64_t width = gates(attrs.cell) * units;
    std::vector<Tensor> operands = {
        wave({batch, steps, features}, 0.7, 0), wave({features, width}, 1.1, 0.3), wave({units, width}, 1.3, 0.5),
        wave(attrs.cell == CellKind::gru_reset_after ? Shape{2, width} : Shape{width}, 0.9, 0.2, 0.5),
        wave({batch, units}, 0.5, 0.4)};
    if (attrs.cell == CellKind::lstm) operands.push_back(wave({batch, units}, 0.6, 0.9));
    Graph graph;
    Values in;
    for (const Tensor& operand : operands) in.push_back(graph.input(fmt::format("x{}", in.size()), operand.type()));
    const ops::RecurrentResult result = ops::recurrent(in[0], in[1], in[2], in[3], in[4], in.back(), attrs);
    graph.output("sequence", result.sequence);
    graph.output("h", result.h);
    if (result.c) graph.output("c", result.c);
    const auto found = Executable(*decompose_missing(graph, *GetParam()), *GetParam()).run(operands);
    EXPECT_TRUE(close(found[0], Tensor::of<float>({batch, steps, units}, std::span(sequence)), 2e-6));
    EXPECT_TRUE(close(found[1], Tensor::of<float>({batch, units}, std::span(h)), 2e-6));
    if (result.c) {
      EXPECT_TRUE(close(found[2], Tensor::of<float>({batch, units}, std::span(c)), 2e-6));
    }
  }
}

// Gradients, and theirs, of a layer that is decomposed before or after they are taken are the same.
TEST(RecurrentGradients, MayBeTakenBeforeDecomposing) {
  constexpr std::int64_t batch = 2, steps = 3, features = 2, units = 2;
  for (const CellKind cell : {CellKind::simple, CellKind::lstm, CellKind::gru, CellKind::gru_reset_after}) {
    const std::int64_t width = gates(cell) * units;
    std::vector<Tensor> operands;
    for (const Shape& shape :
         {Shape{batch, steps, features}, Shape{features, width}, Shape{units, width},
          cell == CellKind::gru_reset_after ? Shape{2, width} : Shape{width}, Shape{batch, units}, Shape{batch, units}})
      operands.push_back(wave(shape, 0.7, static_cast<double>(operands.size())).cast(DType::float64));
    auto run = [&](bool decomposed_first) {
      auto graph = std::make_unique<Graph>();
      Values in;
      for (const Tensor& operand : operands) in.push_back(graph->input(fmt::format("x{}", in.size()), operand.type()));
      const ops::RecurrentResult y = ops::recurrent(in[0], in[1], in[2], in[3], in[4], in[5], {cell, true});
      graph->output("y", ops::sum(ops::square(y.sequence)) + ops::sum(y.h));
      if (decomposed_first) graph = decompose_missing(*graph, reference_backend());
      for (const char* order : {"d", "dd"}) {
        Values wrt;
        for (std::size_t i = 0; i < (cell == CellKind::lstm ? 6u : 5u); ++i) wrt.push_back(graph->inputs()[i].value);
        Value squares = graph->scalar(0, DType::float64);
        for (Value gradient : gradients(graph->outputs().back().value, wrt))
          squares = squares + ops::sum(ops::square(gradient));
        graph->output(order, squares);
      }
      return Executable(*decompose_missing(*graph, reference_backend()), reference_backend()).run(operands);
    };
    const std::vector<Tensor> first = run(true), after = run(false);
    for (std::size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(close(after[i], first[i], 1e-12)) << i;
    EXPECT_GT(std::abs(first.back().item()), 1e-3);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Recurrent, testing::ValuesIn(backends().begin(), backends().end()),
                         [](const auto& tested) { return std::string(tested.param->name()); });

}  // namespace

}  // namespace nacre::test
