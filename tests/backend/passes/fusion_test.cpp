// Epilogues, bias gradients, batch norm and element-wise groups.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <numbers>

#include "backend/core/parallel.h"
#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/fused.h"
#include "backend/graph/passes/fold_batchnorm.h"
#include "backend/graph/passes/fuse_bias_gradient.h"
#include "backend/graph/passes/fuse_elementwise.h"
#include "backend/graph/passes/fuse_epilogue.h"
#include "backend/graph/passes/fuse_scatter.h"
#include "backend/graph/passes/join_updates.h"
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

const ConvAttrs plain_conv{.strides = {1, 1}, .dilations = {1, 1}};

Value conv_with(Values operands, Epilogue epilogue) {
  ConvAttrs attrs = plain_conv;
  attrs.epilogue = epilogue;
  return operands[0].graph().add(op::conv, attrs, operands).out();
}
Value matmul_with(Values operands, Epilogue epilogue) {
  return operands[0].graph().add(op::matmul, MatMulAttrs{.epilogue = epilogue}, operands).out();
}

struct ConvOperands {
  Value x, kernel, bias, residual;
  explicit ConvOperands(Graph& g)
      : x(g.input("x", floats({2, 6, 6, 3}))),
        kernel(g.input("kernel", floats({3, 3, 3, 4}))),
        bias(g.input("bias", floats({4}))),
        residual(g.input("residual", floats({2, 4, 4, 4}))) {}
};

TEST(FuseEpilogue, BiasResidualAndActivation) {
  check(
      fuse_epilogue,
      [](Graph& g) {
        const ConvOperands in(g);
        g.output("y", ops::relu(in.residual + (ops::conv(in.x, in.kernel, plain_conv) + in.bias)));
      },
      [](Graph& g) {
        const ConvOperands in(g);
        g.output("y", conv_with({in.x, in.kernel, in.bias, in.residual},
                                {.bias = true, .residual = true, .activation = EpilogueKind::relu}));
      });
}

TEST(FuseEpilogue, MatMulBehindAReshape) {
  check(
      fuse_epilogue,
      [](Graph& g) {
        const Value x = g.input("x", floats({6, 5})), k = g.input("k", floats({5, 4})), b = g.input("b", floats({4}));
        g.output("y", ops::tanh(ops::reshape(ops::matmul(x, k), {2, 3, 4}) + b));
      },
      [](Graph& g) {
        const Value x = g.input("x", floats({6, 5})), k = g.input("k", floats({5, 4})), b = g.input("b", floats({4}));
        g.output("y",
                 ops::reshape(matmul_with({x, k, b}, {.bias = true, .activation = EpilogueKind::tanh}), {2, 3, 4}));
      });
}

TEST(FuseEpilogue, ActivationsOfSeveralNodes) {
  struct Case {
    Value (*apply)(Value x);
    Epilogue epilogue;
  };
  using Kind = EpilogueKind;
  const Case cases[] = {
      {[](Value x) { return ops::clip(x, 0, 6); }, {.activation = Kind::clip, .alpha = 0, .beta = 6}},
      {[](Value x) { return ops::select(ops::greater(x, ops::scalar_like(x, 0)), x, x * 0.25); },
       {.activation = Kind::leaky_relu, .alpha = 0.25}},
      {[](Value x) {
         const Value zero = ops::scalar_like(x, 0);
         return ops::select(ops::less(x, zero), 0.5 * ops::expm1(ops::minimum(x, zero)), x);
       },
       {.activation = Kind::elu, .alpha = 0.5}},
      {[](Value x) { return x * ops::sigmoid(x); }, {.activation = Kind::silu}},
      {[](Value x) { return x * ops::clip(x * 0.125 + 0.5, 0, 1); },
       {.activation = Kind::hard_silu, .alpha = 0.125, .beta = 0.5}},
      {[](Value x) { return 0.5 * x * (1.0 + ops::erf(x * std::numbers::sqrt2 / 2.0)); }, {.activation = Kind::none}},
      {[](Value x) { return 0.5 * x * (1.0 + ops::erf(x * (1 / std::numbers::sqrt2))); }, {.activation = Kind::gelu}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(text_of(c.epilogue));
    const auto before = [&](Graph& g) {
      const ConvOperands in(g);
      g.output("y", c.apply(ops::conv(in.x, in.kernel, plain_conv)));
    };
    const auto after = [&](Graph& g) {
      const ConvOperands in(g);
      g.output("y", conv_with({in.x, in.kernel}, c.epilogue));
    };
    check(fuse_epilogue, before, c.epilogue.empty() ? test::Build(before) : test::Build(after));
    // The gradient reads what comes before the activation.
    check_unchanged(fuse_epilogue, [&](Graph& g) {
      const ConvOperands in(g);
      const Value x = ops::conv(in.x, in.kernel, plain_conv);
      g.output("y", c.apply(x));
      g.output("x", x);
    });
  }
}

TEST(FuseEpilogue, ValuesThatOthersNeedStay) {
  check_unchanged(fuse_epilogue, [](Graph& g) {
    const ConvOperands in(g);
    const Value y = ops::conv(in.x, in.kernel, plain_conv);
    g.output("y", y);
    g.output("relu", ops::relu(y));
  });
}

// Of a product behind a reshape too, whose others come later.
TEST(FuseEpilogue, ProductsThatOthersNeedStay) {
  check_unchanged(fuse_epilogue, [](Graph& g) {
    const Value x = g.input("x", floats({6, 5})), k = g.input("k", floats({5, 4}));
    const Value product = ops::matmul(x, k);
    g.output("relu", ops::relu(ops::reshape(product, {2, 3, 4})));
    g.output("exp", ops::exp(product));
  });
}

// The projections of attention split the last axis into heads before the bias.
TEST(FuseEpilogue, ABiasMayBeOfALastAxisThatIsSplit) {
  const auto sum = [](const Shape& split, const Shape& bias) {
    return [=](Graph& g) {
      const Value x = g.input("x", floats({6, 5})), k = g.input("k", floats({5, 12}));
      g.output("y", ops::reshape(ops::matmul(x, k), split) + g.input("b", floats(bias)));
    };
  };
  check(fuse_epilogue, sum({2, 3, 4, 3}, {4, 3}), [](Graph& g) {
    const Value x = g.input("x", floats({6, 5})), k = g.input("k", floats({5, 12}));
    const Value b = ops::reshape(g.input("b", floats({4, 3})), {12});
    const Value product = g.add(op::matmul, MatMulAttrs{.epilogue = {.bias = true}}, {x, k, b}).out();
    g.output("y", ops::reshape(product, {2, 3, 4, 3}));
  });
  check_unchanged(fuse_epilogue, sum({6, 4, 3}, {3}));
  check_unchanged(fuse_epilogue, sum({6, 4, 3}, {4, 1}));
  check_unchanged(fuse_epilogue, sum({4, 18}, {18}));
  check_unchanged(fuse_epilogue, sum({2, 36}, {2, 36}));
}

TEST(FuseEpilogue, NothingComesAfterTheActivation) {
  check(
      fuse_epilogue,
      [](Graph& g) {
        const ConvOperands in(g);
        g.output("y", ops::relu(ops::conv(in.x, in.kernel, plain_conv)) + in.residual);
      },
      [](Graph& g) {
        const ConvOperands in(g);
        g.output("y", conv_with({in.x, in.kernel}, {.activation = EpilogueKind::relu}) + in.residual);
      });
}

// The gradient of relu reads its result, so training fuses as well.
TEST(FuseEpilogue, InTraining) {
  Graph graph;
  const ConvOperands in(graph);
  const Value y = ops::relu(ops::conv(in.x, in.kernel, plain_conv) + in.bias);
  const Values wrt{in.kernel, in.bias};
  const Values d = gradients(ops::sum(ops::square(y)), wrt);
  graph.output("dkernel", d[0]);
  graph.output("dbias", d[1]);
  const auto fused = fuse_epilogue(graph, onednn_backend());
  EXPECT_NE(fused->text().find("epilogue={bias=true, residual=false, activation=relu,"), std::string::npos)
      << fused->text();
}

TEST(FuseBiasGradient, OneReadOfDy) {
  const ConvBackwardWeightsAttrs alone{.conv = plain_conv, .shape = {3, 3, 3, 4}};
  ConvBackwardWeightsAttrs both = alone;
  both.bias = true;
  for (const bool bias_first : {false, true}) {
    check(
        fuse_bias_gradient,
        [&](Graph& g) {
          const ConvOperands in(g);
          if (bias_first) g.output("dbias", ops::sum_like(in.residual, in.bias));
          g.output("dkernel", g.add(op::conv_backward_weights, alone, {in.x, in.residual}).out());
          if (!bias_first) g.output("dbias", ops::sum(in.residual, {0, 1, 2}));
        },
        [&](Graph& g) {
          const ConvOperands in(g);
          const Node& node = g.add(op::conv_backward_weights, both, {in.x, in.residual});
          if (bias_first) g.output("dbias", node.out(1));
          g.output("dkernel", node.out(0));
          if (!bias_first) g.output("dbias", node.out(1));
        });
  }
  check_unchanged(fuse_bias_gradient, [&](Graph& g) {
    const ConvOperands in(g);
    g.output("dkernel", g.add(op::conv_backward_weights, alone, {in.x, in.residual}).out());
    g.output("other", ops::sum(in.residual, {1, 2}));
  });
}

VariableRef variable_of(std::string path, Shape shape) {
  RandomStream random(RandomKey::of(1, path));
  auto variable = std::make_shared<Variable>(std::move(path), floats(shape), true);
  variable->assign(test::draw_tensor(random, floats(shape), {0.5, 2}));
  return variable;
}

Value normalised(Graph& g, Value x, const VariableRef& mean, const VariableRef& variance, const VariableRef& gamma,
                 const VariableRef& beta) {
  return (x - g.variable(mean)) * ops::rsqrt(g.variable(variance) + 1e-3) * g.variable(gamma) + g.variable(beta);
}

TEST(FoldBatchNorm, InferenceCostsOneConvolution) {
  const auto kernel = variable_of("kernel", {3, 3, 3, 4}), bias = variable_of("bias", {4}),
             mean = variable_of("mean", {4}), variance = variable_of("variance", {4}),
             gamma = variable_of("gamma", {4}), beta = variable_of("beta", {4});
  Graph graph;
  const Value x = graph.input("x", floats({2, 6, 6, 3}));
  const Value y = ops::conv(x, graph.variable(kernel), plain_conv) + graph.variable(bias);
  graph.output("y", ops::relu(normalised(graph, y, mean, variance, gamma, beta)));
  Executable folded(graph, onednn_backend());
  EXPECT_EQ(folded.statistics().kernels - folded.statistics().activation_reorders, 1) << folded.text();
  EXPECT_GT(folded.statistics().prologue_kernels, 0);

  RandomStream random(RandomKey::of(1, "x"));
  for (int run = 0; run < 2; ++run) {
    const std::vector<Tensor> inputs{test::draw_tensor(random, floats({2, 6, 6, 3}))};
    EXPECT_TRUE(test::close(folded.run(inputs)[0], Executable(graph, reference_backend()).run(inputs)[0], 1e-4));
    mean->assign(test::draw_tensor(random, floats({4})));  // the prologue follows
  }
}

// As mixed precision computes: products in bfloat16, normalisation in float32, activations in bfloat16.
TEST(FoldBatchNorm, NormalisationInFloat32OfProductsInBfloat16) {
  const auto kernel = variable_of("kernel", {3, 3, 16, 32}), bias = variable_of("bias", {32}),
             mean = variable_of("mean", {32}), variance = variable_of("variance", {32}),
             gamma = variable_of("gamma", {32}), beta = variable_of("beta", {32});
  RandomStream random(RandomKey::of(1, "x"));
  variance->assign(test::draw_tensor(random, floats({32}), {.low = 0.5, .high = 2}));
  kernel->assign(test::draw_tensor(random, floats({3, 3, 16, 32}), {.low = -0.1, .high = 0.1}));
  for (const bool with_bias : {false, true}) {
    Graph graph;
    const auto half = [](Value value) { return ops::cast(value, DType::bfloat16); };
    Value y = ops::conv(half(graph.input("x", floats({2, 6, 6, 16}))), half(graph.variable(kernel)), plain_conv);
    if (with_bias) y = y + half(graph.variable(bias));
    y = normalised(graph, ops::cast(y, DType::float32), mean, variance, gamma, beta);
    graph.output("y", ops::cast(ops::relu(half(y)), DType::float32));
    const auto folded = run_passes(graph, onednn_backend(), fusing_passes());
    const auto nodes = folded->nodes();
    const auto conv = std::ranges::find_if(nodes, [](const Node* node) { return node->is(op::conv); });
    ASSERT_TRUE(conv != nodes.end());
    const Epilogue& epilogue = (*conv)->attrs<ConvAttrs>().epilogue;
    EXPECT_TRUE(epilogue.bias && epilogue.activation == EpilogueKind::relu) << folded->text();
    EXPECT_EQ((*conv)->in(2).dtype(), DType::float32);

    const std::vector<Tensor> inputs{test::draw_tensor(random, floats({2, 6, 6, 16}))};
    const Tensor expected = Executable(graph, reference_backend()).run(inputs)[0];
    EXPECT_TRUE(test::close(Executable(graph, onednn_backend()).run(inputs)[0], expected, 0.05));
  }
}

TEST(FoldBatchNorm, KernelsThatAreTrainedStay) {
  const auto kernel = variable_of("kernel", {5, 4}), beta = variable_of("beta", {4});
  check_unchanged(fold_batchnorm, [&](Graph& g) {
    const Value x = g.input("x", floats({2, 5}));
    g.output("y", ops::matmul(x, g.variable(kernel)) * g.variable(beta));
    g.update(kernel, g.variable(kernel) * 0.5);
  });
}

// --- element-wise groups ------------------------------------------------------------------------------------------

// The bodies of the groups that a graph is fused into, as texts.
std::vector<std::string> groups(const test::Build& build) {
  const auto fused = fuse_elementwise(*test::built(build), onednn_backend());
  fused->verify();
  std::vector<std::string> bodies;
  for (const Node* node : fused->nodes())
    if (node->is(op::fused)) bodies.push_back(node->attrs<FusedAttrs>().body->text());
  return bodies;
}

TEST(FuseElementwise, AChainIsOneGroupWithItsConstants) {
  const auto bodies =
      groups([](Graph& g) { g.output("y", ops::tanh(g.input("x", floats({2})) * 2.0 + g.input("b", floats({1})))); });
  ASSERT_EQ(bodies.size(), 1u);
  EXPECT_EQ(bodies[0],
            "%0 = input{name=0}()  float32(2,)\n"
            "%1 = constant{value=float32()[2]}()  float32()\n"
            "%2 = multiply(%0, %1)  float32(2,)\n"
            "%3 = input{name=1}()  float32(1,)\n"
            "%4 = add(%2, %3)  float32(2,)\n"
            "%5 = tanh(%4)  float32(2,)\n"
            "output 0 = %5\n");
}

TEST(FuseElementwise, ShapesAreNotMixed) {
  const auto bodies = groups([](Graph& g) {
    const Value b = g.input("b", floats({3}));
    g.output("y", ops::tanh(g.input("x", floats({2, 3})) + ops::sqrt(ops::abs(b))));
  });
  EXPECT_EQ(bodies.size(), 2u);
}

TEST(FuseElementwise, NothingOutsideLiesBetweenMembers) {
  const auto build = [](Graph& g) {
    const Value x = g.input("x", floats({4, 4})), a = ops::exp(x) * 0.1;
    g.output("y", ops::tanh(a + ops::matmul(a, x)) * a);  // the matmul needs a
  };
  EXPECT_EQ(groups(build).size(), 2u);
}

TEST(FuseElementwise, TwoGroupsDoNotNeedEachOther) {
  // p → matmul → s and q → matmul → r, with r joined to p and s to q: joining both pairs would be a circle.
  const auto build = [](Graph& g) {
    const Value x = g.input("x", floats({4, 4}));
    const Value p = ops::exp(x), q = ops::tanh(x);
    const Value r = p + ops::matmul(q, x), s = q + ops::matmul(p, x);
    g.output("r", r);
    g.output("s", s);
  };
  EXPECT_LE(groups(build).size(), 1u);
}

// The gradient of GELU: what its forward group would write for it is computed again from x, which is in memory anyway.
TEST(FuseElementwise, ValuesAFewInstructionsAwayAreComputedAgain) {
  const auto w = variable_of("w", {4, 4});
  const auto build = [&](Graph& g) {
    const Value x = ops::matmul(g.input("x", floats({4, 4})), g.variable(w));
    const Value y = 0.5 * x * (1.0 + ops::erf(x * 0.7071067811865475));
    const Value loss = ops::sum(ops::square(ops::matmul(y, y)), {0, 1}, false);
    g.output("dx", gradients(loss, std::vector{x})[0]);
  };
  const auto built = test::built(build);
  const auto fused = run_passes(*built, onednn_backend(), fusing_passes());
  std::size_t forward_results = 0, backward_operands = 0;
  for (const Node* node : fused->nodes()) {
    if (!node->is(op::fused)) continue;
    const Graph& body = *node->attrs<FusedAttrs>().body;
    const std::string text = body.text();
    const bool has_erf = text.find("erf(") != std::string::npos;
    if (text.find("exp(") == std::string::npos) {
      if (has_erf) forward_results = body.outputs().size();
    } else {
      backward_operands = body.inputs().size();
      EXPECT_TRUE(has_erf) << text;
    }
  }
  EXPECT_EQ(forward_results, 1u) << fused->text();
  EXPECT_EQ(backward_operands, 2u) << fused->text();  // the gradient of y, and x
}

TEST(FuseElementwise, ValuesThatOthersReadOrThatAreDearAreNotComputedAgain) {
  // How many operands the group behind the matmul reads; one is the matmul's.
  const auto operands = [](Value (*first)(Value), Value (*second)(Value), bool given_away) {
    const auto bodies = groups([&](Graph& g) {
      const Value x = g.input("x", floats({4, 4})), a = first(x), b = second(x);
      const Value y = ops::tanh(a * b);
      g.output("y", ops::tanh(ops::matmul(y, y) * a) * b);
      if (given_away) g.output("a", a);
    });
    EXPECT_EQ(bodies.size(), 2u);
    const std::string& text = bodies.back();
    int count = 0;
    for (std::size_t at = 0; (at = text.find("input{", at)) != std::string::npos; ++at) ++count;
    return count;
  };
  const auto twice = [](Value x) { return x * 2.0; };
  const auto more = [](Value x) { return x + 1.0; };
  EXPECT_EQ(operands(twice, more, false), 2);         // the matmul's and x
  EXPECT_EQ(operands(ops::sin, ops::cos, false), 3);  // dear
  EXPECT_EQ(operands(twice, more, true), 3);          // x instead of b gains nothing
  EXPECT_EQ(operands(
                twice, [](Value x) { return ops::matmul(x, x); }, false),
            3);  // no element-wise chain, like a
}

TEST(FuseElementwise, WhatIsComputedOncePerVersionIsKeptApart) {
  const auto w = variable_of("w", {3});
  const auto bodies = groups([&](Graph& g) {
    const Value fixed = ops::exp(g.variable(w)) + 1.0;
    g.output("y", g.input("x", floats({3})) * fixed * 2.0);
  });
  EXPECT_EQ(bodies.size(), 2u);
}

RC_GTEST_PROP(FuseElementwise, RandomGraphsComputeTheSame, ()) {
  RandomStream random(RandomKey::of(*rc::gen::arbitrary<std::uint32_t>(), "fusion"));
  Graph graph;
  Values values{graph.input("x", floats({4, 4})), graph.input("y", floats({4, 4})), graph.input("z", floats({4}))};
  const std::int64_t steps = test::draw(random, 1, 25);
  for (std::int64_t i = 0; i < steps; ++i) {
    const auto some = [&] {
      return values[static_cast<std::size_t>(test::draw(random, 0, static_cast<std::int64_t>(values.size()) - 1))];
    };
    const auto square = [&] { return ops::broadcast_to(some(), {4, 4}); };
    const auto activated = [&](Value x) {
      const Value zero = ops::scalar_like(x, 0), bound = ops::clip(x, -0.5, 0.5);
      switch (test::draw(random, 0, 7)) {
        case 0: return bound;
        case 1: return ops::select(ops::greater(x, zero), x, x * 0.25);
        case 2: return ops::select(ops::less(x, zero), 0.5 * ops::expm1(ops::minimum(x, zero)), x);
        case 3: return x * ops::sigmoid(x);
        case 4: return x * ops::clip(x * 0.125 + 0.5, 0, 1);
        case 5: return 0.5 * x * (1.0 + ops::erf(x * (1 / std::numbers::sqrt2)));
        case 6: return bound + x;  // alike, but no epilogue
        default: return ops::select(ops::greater(x, zero), bound, x * 0.25);
      }
    };
    switch (test::draw(random, 0, 8)) {
      case 7: values.push_back(activated(ops::matmul(square() * 0.25, square()) + some())); break;
      case 8: {
        const Value product = ops::matmul(square() * 0.25, square());
        values.push_back(activated(ops::reshape(product, {2, 2, 4}) + values[2]));
        values.back() = ops::reshape(values.back(), {4, 4});
        if (test::draw(random, 0, 3) == 0) values.push_back(product);
        break;
      }
      case 0: values.push_back(ops::tanh(some() + some())); break;
      case 1: values.push_back(ops::sigmoid(some() * some())); break;
      case 2: values.push_back(ops::tanh(ops::matmul(square(), square()))); break;
      case 3: values.push_back(ops::mean(square(), {0})); break;
      case 4: values.push_back(ops::sin(some()) - some() * 0.5); break;
      case 5: {
        const Value kernel = ops::reshape(ops::mean(square(), {1}), {1, 1, 1, 4});
        values.push_back(ops::mean(
            ops::relu(ops::conv(ops::reshape(square(), {1, 4, 4, 1}), kernel, plain_conv) + values[2]), {0, 3}));
        break;
      }
      default: values.push_back(ops::relu(some() + square())); break;
    }
  }
  for (std::int64_t i = 0; i < 3; ++i)
    graph.output("y" + std::to_string(i), values[values.size() - 1 - static_cast<std::size_t>(i) % values.size()]);
  std::vector<Tensor> inputs;
  for (const auto& [name, value] : graph.inputs()) inputs.push_back(test::draw_tensor(random, value.type()));
  const auto expected = Executable(graph, reference_backend()).run(inputs),
             actual = Executable(graph, onednn_backend()).run(inputs);
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (const auto result = test::close(actual[i], expected[i], 1e-4); !result)
      RC_FAIL(std::string(result.message()) + "\n" + graph.text());
}

// --- gradients of tables -----------------------------------------------------------------------------------------------

const Type some_indices{DType::int32, {5}};

Value scattered(Value indices, Value updates, std::int64_t rows) {
  return updates.graph().add(op::scatter_add, RowsAttrs{rows}, {indices, updates}).out();
}

TEST(FuseScatter, TheUpdateOfATableSumsTheRowsItself) {
  const auto before = test::built([](Graph& g) {
    const Value table = g.input("table", floats({7, 3}));
    const Value gradient = scattered(g.input("i", some_indices), g.input("d", floats({5, 3})), 7);
    g.output("y", table - gradient * 0.5);
  });
  const auto after = fuse_scatter(*fuse_elementwise(*before, onednn_backend()), onednn_backend());
  after->verify();
  const Node& group = after->result("y").node();
  ASSERT_TRUE(group.is(op::fused)) << after->text();
  EXPECT_TRUE(group.in(0).is(op::input) && group.in(1).is(op::input) && group.in(2).is(op::input)) << after->text();
  EXPECT_EQ(group.attrs<FusedAttrs>().body->text(),
            "%0 = input{name=0}()  float32(7, 3)\n"
            "%1 = input{name=1}()  int32(5,)\n"
            "%2 = input{name=2}()  float32(5, 3)\n"
            "%3 = scatter_add{rows=7}(%1, %2)  float32(7, 3)\n"
            "%4 = constant{value=float32()[0.5]}()  float32()\n"
            "%5 = multiply(%3, %4)  float32(7, 3)\n"
            "%6 = subtract(%0, %5)  float32(7, 3)\n"
            "output 0 = %6\n");
}

TEST(FuseScatter, ALoneNodeBecomesAGroup) {
  const auto fused = fuse_scatter(*test::built([](Graph& g) {
    g.output("y", g.input("sum", floats({7, 3})) + scattered(g.input("i", some_indices), g.input("d", floats({5, 3})), 7));
  }), onednn_backend());
  EXPECT_TRUE(fused->result("y").is(op::fused)) << fused->text();
}

TEST(FuseScatter, WhatElseReadsTheGradientKeepsItDense) {
  const auto dense = [](Graph& g) {
    return scattered(g.input("i", some_indices), g.input("d", floats({5, 3})), 7);
  };
  check_unchanged(  // as clipping by the norm of all gradients does
      fuse_scatter,
      [&](Graph& g) {
        const Value gradient = dense(g), norm = ops::sum(ops::square(gradient), {0, 1}, true);
        g.output("y", gradient / norm);
      },
      onednn_backend());
  check_unchanged(
      fuse_scatter,
      [&](Graph& g) {
        const Value gradient = dense(g);
        g.output("gradient", gradient);
        g.output("y", gradient * 2.0);
      },
      onednn_backend());
  check_unchanged(  // repeated along an axis
      fuse_scatter, [&](Graph& g) { g.output("y", g.input("x", floats({2, 7, 3})) + dense(g)); }, onednn_backend());
  check_unchanged(
      fuse_scatter,
      [&](Graph& g) {
        g.output("y", g.input("x", floats({7, 3})) +
                          scattered(g.input("i", {DType::uint8, {5}}), g.input("d", floats({5, 3})), 7));
      },
      onednn_backend());
  check_unchanged(fuse_scatter, [&](Graph& g) { g.output("y", g.input("x", floats({7, 3})) + dense(g)); });
}

// --- updates -----------------------------------------------------------------------------------------------------------

TEST(JoinUpdates, SmallGroupsThatOnlyUpdateAreOneKernel) {
  const auto a = variable_of("a", {3}), b = variable_of("b", {2, 2}), large = variable_of("large", {200, 200});
  const auto joined = join_updates(*test::built([&](Graph& g) {
    const Value half = g.scalar(0.5);
    for (const VariableRef& variable : {a, large, b}) g.update(variable, g.variable(variable) * half);
  }), onednn_backend());
  joined->verify();
  const Value of_a = joined->updates()[0].value, of_large = joined->updates()[1].value, of_b = joined->updates()[2].value;
  EXPECT_TRUE(of_large.is(op::multiply)) << joined->text();
  ASSERT_TRUE(of_a.is(op::fused_groups)) << joined->text();
  EXPECT_EQ(of_b, of_a.node().out(1));
  EXPECT_EQ(of_a.node().in(0), joined->variables()[0].second);
  const std::vector<Subgraph>& bodies = of_a.node().attrs<FusedGroupsAttrs>().bodies;
  ASSERT_EQ(bodies.size(), 2u);
  EXPECT_EQ(bodies[1]->text(),
            "%0 = input{name=0}()  float32(2, 2)\n"
            "%1 = input{name=1}()  float32()\n"
            "%2 = constant{value=float32()[0.5]}()  float32()\n"
            "%3 = multiply(%0, %2)  float32(2, 2)\n"
            "output 0 = %3\n");
}

TEST(JoinUpdates, WhatIsReadOrChangesWhatOthersReadStays) {
  const auto a = variable_of("a", {3}), b = variable_of("b", {3}), c = variable_of("c", {3}), step = variable_of("step", {});
  check_unchanged(
      join_updates,
      [&](Graph& g) {
        const Value value = g.variable(a) * 0.5;
        g.output("a", value);
        g.update(a, value);
        g.update(b, g.variable(b) * 0.5);
        const Value next = g.variable(c) + 1.0;
        g.update(c, next);
        g.output("y", ops::exp(next));
      },
      onednn_backend());
  // b and c read the step, which another group changes.
  const auto joined = join_updates(*test::built([&](Graph& g) {
    g.update(step, g.variable(step) + 1.0);
    g.update(b, g.variable(b) * g.variable(step));
    g.update(c, g.variable(c) * g.variable(step));
  }), onednn_backend());
  for (const Node* node : joined->nodes())
    if (node->is(op::fused_groups)) {
      EXPECT_EQ(node->types().size(), 2u) << joined->text();
    }
  EXPECT_TRUE(joined->updates()[0].value.is(op::add)) << joined->text();
  EXPECT_TRUE(joined->updates()[1].value.is(op::fused_groups));
}

TEST(JoinUpdates, ResultsStayInPlaceAndThreadsShareThem) {
  std::vector<VariableRef> variables;
  Graph graph;
  const Value rate = graph.input("rate", floats({}));
  for (std::int64_t i = 0; i < 40; ++i) {
    variables.push_back(std::make_shared<Variable>("v" + std::to_string(i), floats({1 + 150 * i}), true));
    Tensor ones(variables.back()->type());
    std::ranges::fill(ones.writable<float>(), 1.0f);
    variables.back()->assign(std::move(ones));
    const Value w = graph.variable(variables.back());
    graph.update(variables.back(), w + rate * w);
  }
  for (int count : {1, 2, 5}) {
    set_threads(count);
    Executable executable(graph, onednn_backend());
    EXPECT_EQ(executable.statistics().kernels, 1) << executable.text();
    EXPECT_EQ(executable.statistics().arena_bytes, 0u);
    executable.run(std::vector{Tensor::scalar(2.0f)});
  }
  set_threads(0);
  for (const VariableRef& variable : variables) {
    for (const double value : variable->value().to_doubles()) ASSERT_EQ(value, 27);
  }
}

}  // namespace
}  // namespace nacre
