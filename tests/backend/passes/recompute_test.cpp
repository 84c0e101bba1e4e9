#include "backend/graph/passes/recompute.h"

#include "backend/core/random.h"
#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/order.h"
#include "backend/graph/passes/common_subexpressions.h"
#include "backend/graph/passes/pipeline.h"
#include "tests/backend/passes/check.h"

namespace nacre {
namespace {

using test::built;
using test::check_unchanged;
using test::floats;

int count(const Graph& graph, const Op& op) {
  int found = 0;
  for (const Node* node : graph.nodes()) found += node->is(op);
  return found;
}

// A chain of matrix products and functions whose gradients read their results, its loss, and an update by the gradient.
void train_chain(Graph& g, const std::vector<VariableRef>& weights, bool ends) {
  Value x = g.input("x", floats({64, 32}));
  Values variables;
  for (const VariableRef& weight : weights) {
    variables.push_back(g.variable(weight));
    x = ops::tanh(ops::matmul(x, variables.back()));
  }
  const Value loss = ops::mean(x, {0, 1});
  g.output("loss", loss);
  Values seed;
  if (ends) seed.push_back(ops::after(ops::fill_like(loss, 1), loss));
  const Values slopes = gradients(g, {&loss, 1}, seed, variables);
  for (std::size_t i = 0; i < weights.size(); ++i) g.update(weights[i], variables[i] - 0.1 * slopes[i]);
}

std::vector<VariableRef> chain_weights(int count) {
  std::vector<VariableRef> weights;
  for (int i = 0; i < count; ++i) {
    weights.push_back(std::make_shared<Variable>(std::to_string(i), floats({32, 32}), true));
    Tensor value(DType::float32, {32, 32});
    RandomStream random(RandomKey::of(static_cast<std::uint64_t>(i), "weights"));
    for (float& each : value.writable<float>()) each = static_cast<float>(0.3 * random.normal());
    weights.back()->assign(value);
  }
  return weights;
}

TEST(Recompute, GraphsWithoutABackwardPassStay) {
  const auto weights = chain_weights(6);
  check_unchanged(recompute, [&](Graph& g) { train_chain(g, weights, false); });
}

TEST(Recompute, NothingIsRepeatedWhereItSavesNothing) {
  const auto weights = chain_weights(1);
  check_unchanged(recompute, [&](Graph& g) { train_chain(g, weights, true); });
}

TEST(Recompute, CopiesStayApartAndComeLate) {
  const auto weights = chain_weights(16);
  const auto before = built([&](Graph& g) { train_chain(g, weights, true); });
  const auto after = recompute(*before, reference_backend());
  after->verify();
  const int copies = count(*after, op::tanh) - count(*before, op::tanh);
  EXPECT_GT(copies, 6);
  EXPECT_LT(copies, 16);
  const auto merged = merge_common_subexpressions(*after, reference_backend());
  EXPECT_EQ(count(*merged, op::tanh), count(*after, op::tanh));
  // Each copy depends on a gradient that was there before it.
  int end = -1;
  for (const Node* node : merged->nodes())
    if (node->is(op::after)) {
      if (end < 0) end = node->id();
      else EXPECT_GT(node->in(1).node().id(), end);
    }
}

class RecomputeOn : public testing::TestWithParam<const Backend*> {};

TEST_P(RecomputeOn, GivesTheSameNumbersInLessMemory) {
  const auto plain_weights = chain_weights(16), again_weights = chain_weights(16);
  const auto before = built([&](Graph& g) { train_chain(g, plain_weights, true); });
  const auto after = recompute(*built([&](Graph& g) { train_chain(g, again_weights, true); }), *GetParam());
  Executable plain(*before, *GetParam()), again(*after, *GetParam());
  EXPECT_LT(again.statistics().arena_bytes, plain.statistics().arena_bytes * 3 / 4);
  Tensor x(DType::float32, {64, 32});
  RandomStream random(RandomKey::of(7, "x"));
  for (float& each : x.writable<float>()) each = static_cast<float>(random.normal());
  for (int step = 0; step < 2; ++step) EXPECT_TRUE(again.run({&x, 1})[0].identical(plain.run({&x, 1})[0]));
  for (std::size_t i = 0; i < plain_weights.size(); ++i)
    EXPECT_TRUE(again_weights[i]->value().identical(plain_weights[i]->value())) << i;
}

INSTANTIATE_TEST_SUITE_P(Backends, RecomputeOn, testing::ValuesIn(backends().begin(), backends().end()),
                         [](const auto& row) { return std::string(row.param->name()); });

}  // namespace
}  // namespace nacre
