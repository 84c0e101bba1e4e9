// Batch normalisation with the residual and the rectifier behind it.
#include "backend/graph/passes/fuse_batch_norm.h"

#include <gtest/gtest.h>

#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/normalization.h"
#include "backend/graph/passes/pipeline.h"
#include "backend/onednn/onednn.h"
#include "tests/backend/passes/check.h"
#include "tests/support/op_cases.h"
#include "tests/support/tensors.h"

namespace nacre {
namespace {

using test::check;
using test::check_unchanged;
using test::floats;

struct Operands {
  Value x, gamma, beta, other;
  explicit Operands(Graph& g)
      : x(g.input("x", floats({2, 6, 4}))),
        gamma(g.input("gamma", floats({4}))),
        beta(g.input("beta", floats({4}))),
        other(g.input("other", floats({2, 6, 4}))) {}
};

void outputs(Graph& g, Value y, Value mean, Value variance) {
  g.output("y", y);
  g.output("mean", mean);
  g.output("variance", variance);
}
void outputs(Graph& g, Values operands, Epilogue epilogue) {
  const Node& node = g.add(op::batch_norm, {.epsilon = 0.1, .epilogue = epilogue}, std::move(operands));
  outputs(g, node.out(0), node.out(1), node.out(2));
}

TEST(FuseBatchNorm, WithARectifier) {
  check(
      fuse_batch_norm,
      [](Graph& g) {
        const Operands in(g);
        const auto [y, mean, variance] = ops::batch_norm(in.x, in.gamma, in.beta, 0.1);
        outputs(g, ops::relu(y), mean, variance);
      },
      [](Graph& g) {
        const Operands in(g);
        outputs(g, {in.x, in.gamma, in.beta}, {.activation = EpilogueKind::relu});
      });
}

TEST(FuseBatchNorm, WithBounds) {
  check(
      fuse_batch_norm,
      [](Graph& g) {
        const Operands in(g);
        const auto [y, mean, variance] = ops::batch_norm(in.x, in.gamma, in.beta, 0.1);
        outputs(g, ops::clip(y, 0, 6), mean, variance);
      },
      [](Graph& g) {
        const Operands in(g);
        outputs(g, {in.x, in.gamma, in.beta}, {.activation = EpilogueKind::clip, .alpha = 0, .beta = 6});
      });
}

TEST(FuseBatchNorm, WithAResidualOnEitherSide) {
  for (const bool first : {false, true})
    check(
        fuse_batch_norm,
        [first](Graph& g) {
          const Operands in(g);
          const auto [y, mean, variance] = ops::batch_norm(in.x, in.gamma, in.beta, 0.1);
          outputs(g, ops::relu(first ? in.other + y : y + in.other), mean, variance);
        },
        [](Graph& g) {
          const Operands in(g);
          outputs(g, {in.x, in.gamma, in.beta, in.other}, {.residual = true, .activation = EpilogueKind::relu});
        });
}

TEST(FuseBatchNorm, WhatOthersReadStays) {
  check_unchanged(fuse_batch_norm, [](Graph& g) {
    const Operands in(g);
    const auto [y, mean, variance] = ops::batch_norm(in.x, in.gamma, in.beta, 0.1);
    g.output("y", y);
    g.output("relu", ops::relu(y));
  });
  check_unchanged(fuse_batch_norm, [](Graph& g) {
    const Operands in(g);
    const Value y = ops::batch_norm(in.x, in.gamma, in.beta, 0.1).y + in.other;
    g.output("y", y);
    g.output("relu", ops::relu(y));
  });
}

// Its residual is made of the statistics, or only of what comes later.
TEST(FuseBatchNorm, ResidualsComeBefore) {
  check_unchanged(fuse_batch_norm, [](Graph& g) {
    const Operands in(g);
    const auto [y, mean, variance] = ops::batch_norm(in.x, in.gamma, in.beta, 0.1);
    g.output("y", ops::relu(y + ops::broadcast_to(mean, in.x.shape())));
  });
}

// y, and the gradients of Σ (y + mean·variance)² by x, gamma, beta and the residual.
std::unique_ptr<Graph> with_gradients(const Shape& shape, DType dtype, Epilogue epilogue, bool fuses) {
  Graph forward;
  const Type channels = floats({shape[-1]}), whole{dtype, shape};
  const Value x = forward.input("x", whole), gamma = forward.input("gamma", channels),
              beta = forward.input("beta", channels), other = forward.input("other", whole);
  const auto [norm, mean, variance] = ops::batch_norm(x, gamma, beta, 1e-3);
  Value y = epilogue.residual ? norm + other : norm;
  if (epilogue.activation == EpilogueKind::relu) y = ops::relu(y);
  if (epilogue.activation == EpilogueKind::clip) y = ops::clip(y, epilogue.alpha, epilogue.beta);
  forward.output("y", y);
  forward.output("mean", mean);
  auto graph = fuses ? fuse_batch_norm(forward, reference_backend())
                     : rewrite(forward, [](const Node&, Rewriter&) { return false; });
  const Value wide = ops::cast(graph->result("y"), DType::float32);
  const Value loss = ops::sum(ops::square(wide) * wide) + ops::sum(graph->result("mean"));
  Values wrt;
  for (const auto& input : graph->inputs()) wrt.push_back(input.value);
  if (!epilogue.residual) wrt.pop_back();
  for (const Value slope : gradients(loss, wrt)) graph->output("d" + std::to_string(graph->outputs().size()), slope);
  return graph;
}

// Sizes that are shared by threads in each way, with and without channels that fill a block, fused and apart.
TEST(FuseBatchNorm, EveryBackendAndSizeAgrees) {
  const Epilogue relu{.activation = EpilogueKind::relu}, sum{.residual = true, .activation = EpilogueKind::relu},
      clip{.activation = EpilogueKind::clip, .alpha = -0.3, .beta = 0.9};
  RandomStream random(RandomKey::of(7, "norm"));
  for (const Shape& shape : {Shape{5, 3}, Shape{2, 3, 3, 16}, Shape{3, 40, 40, 24}, Shape{2, 33, 33, 64}})
    for (const Epilogue& epilogue : {Epilogue{}, relu, sum, clip}) {
      std::vector<Tensor> inputs;
      for (const Type& type : {floats(shape), floats({shape[-1]}), floats({shape[-1]}), floats(shape)})
        inputs.push_back(test::draw_tensor(random, type));
      const auto expected = Executable(*with_gradients(shape, DType::float32, epilogue, false), reference_backend()).run(inputs);
      for (const bool fuses : {false, true})
        for (const Backend* backend : {&reference_backend(), &onednn_backend()}) {
          const auto graph = with_gradients(shape, DType::float32, epilogue, fuses);
          const auto got = Executable(*graph, *backend).run(inputs);
          ASSERT_EQ(got.size(), expected.size());
          for (std::size_t i = 0; i < got.size(); ++i)
            EXPECT_TRUE(test::close(got[i], expected[i], 2e-3))
                << shape.text() << " output " << i << " on " << backend->name() << (fuses ? ", fused" : "");
        }
    }
}

// A mean far from zero costs no digits of the variance.
TEST(FuseBatchNorm, FarFromZero) {
  Graph graph;
  const Shape shape{4, 50, 50, 16};
  const Value x = graph.input("x", floats(shape)), gamma = graph.input("gamma", floats({16})),
              beta = graph.input("beta", floats({16}));
  const auto [y, mean, variance] = ops::batch_norm(x, gamma, beta, 1e-3);
  graph.output("y", y);
  graph.output("variance", variance);
  RandomStream random(RandomKey::of(3, "norm"));
  const std::vector<Tensor> inputs{test::draw_tensor(random, floats(shape), {.low = 1000, .high = 1001}),
                                   test::draw_tensor(random, floats({16})), test::draw_tensor(random, floats({16}))};
  const auto expected = Executable(graph, reference_backend()).run(inputs);
  const auto got = Executable(graph, onednn_backend()).run(inputs);
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(test::close(got[i], expected[i], 1e-3)) << i;
}

}  // namespace
}  // namespace nacre
