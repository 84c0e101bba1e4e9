// Updates run where their gradients are ready, and change nothing but that.
#include "backend/graph/passes/early_updates.h"

#include <gtest/gtest.h>

#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/ops.h"
#include "backend/onednn/onednn.h"
#include "tests/backend/onednn/harness.h"
#include "tests/backend/passes/check.h"

namespace nacre {
namespace {

using test::floats;

// Three dense layers trained by gradient descent with momentum, the gradients scaled by their common norm if `clipped`.
struct Step {
  Graph graph;
  std::vector<VariableRef> weights;

  explicit Step(bool clipped = false, std::int64_t units = 64) {
    Value x = graph.input("x", floats({4, units}));
    for (int i = 0; i < 3; ++i) {
      weights.push_back(std::make_shared<Variable>(fmt::format("w{}", i), floats({units, units}), true));
      weights.back()->assign(test::random_tensor(weights.back()->type(), static_cast<std::uint64_t>(i) + 1, -0.2, 0.2));
      x = ops::tanh(ops::dense(x, graph.variable(weights.back())));
    }
    const Value loss = ops::mean(ops::square(x));
    graph.output("loss", loss);
    Values values;
    for (const VariableRef& weight : weights) values.push_back(graph.variable(weight));
    Values found = gradients(loss, values);
    if (clipped) {
      Value norm = ops::sum(ops::square(found[0]));
      for (std::size_t i = 1; i < found.size(); ++i) norm = norm + ops::sum(ops::square(found[i]));
      for (Value& gradient : found) gradient = gradient / ops::broadcast_like(norm, gradient);
    }
    for (std::size_t i = 0; i < weights.size(); ++i) {
      auto velocity = std::make_shared<Variable>(weights[i]->path() + "/velocity", weights[i]->type(), false);
      velocity->assign(Tensor(velocity->type()));
      const Value next = graph.variable(velocity) * 0.9 - found[i] * 0.1;
      graph.update(velocity, next);
      graph.update(weights[i], values[i] + next);
    }
  }
};

// How many nodes come before the one that gives the variable its new value.
std::size_t place_of_update(const Graph& graph, const std::string& path) {
  const std::vector<const Node*> nodes = graph.nodes();
  for (const auto& [variable, value] : graph.updates())
    if (variable->path() == path)
      return static_cast<std::size_t>(std::ranges::find(nodes, &value.node()) - nodes.begin());
  throw InternalError("no update of '{}'", path);
}

TEST(EarlyUpdates, ComeWhereTheirGradientIsAndNobodyReadsTheWeightAnyMore) {
  const Step step;
  const auto moved = early_updates(step.graph, onednn_backend());
  moved->verify();
  EXPECT_EQ(test::in_canonical_order(*moved)->text(), test::in_canonical_order(step.graph)->text());
  // The last layer's weight is read once more after its gradient is there, for the gradient of its input.
  const std::vector<const Node*> nodes = moved->nodes();
  const std::size_t last = place_of_update(*moved, "w2"), first = place_of_update(*moved, "w0");
  EXPECT_LT(last, first);
  EXPECT_GT(place_of_update(step.graph, "w2"), place_of_update(step.graph, "w0"));
  int products_between = 0;
  for (std::size_t i = last; i < first; ++i) products_between += nodes[i]->is(op::matmul);
  EXPECT_GE(products_between, 3);  // both gradients of the second layer and the first's
  for (std::size_t i = last + 1; i < nodes.size(); ++i)
    for (Value operand : nodes[i]->inputs())
      EXPECT_FALSE(operand.is(op::variable) && operand.node().attrs<VariableAttrs>().variable->path() == "w2");
}

TEST(EarlyUpdates, LeaveTheMemoryOfGradientsToOthers) {
  constexpr std::int64_t units = 256, weight = units * units * 4;
  const Step step(false, units);
  const Executable executable(step.graph, onednn_backend());
  EXPECT_LT(executable.statistics().arena_bytes, 2 * weight) << executable.text();  // of three gradients
}

TEST(EarlyUpdates, WaitForANormOfAllGradients) {
  const Step step(true);
  const auto moved = early_updates(step.graph, onednn_backend());
  const std::vector<const Node*> nodes = moved->nodes();
  const auto last_product = std::find_if(nodes.rbegin(), nodes.rend(), [](const Node* n) { return n->is(op::matmul); });
  const auto place = static_cast<std::size_t>(nodes.rend() - last_product) - 1;
  for (const char* path : {"w0", "w1", "w2"}) EXPECT_GT(place_of_update(*moved, path), place) << path;
}

TEST(EarlyUpdates, TrainLikeTheReference) {
  for (const bool clipped : {false, true}) {
    Step here(clipped), there(clipped);
    Executable fast(here.graph, onednn_backend()), plain(there.graph, reference_backend());
    const std::vector<Tensor> inputs = test::random_inputs(here.graph);
    for (int i = 0; i < 3; ++i) {
      fast.run(inputs);
      plain.run(inputs);
    }
    for (std::size_t i = 0; i < here.weights.size(); ++i)
      EXPECT_TRUE(test::close_to_scale(here.weights[i]->value(), there.weights[i]->value(), 1e-5)) << i;
  }
}

// Two variables that change places: each update reads what the other replaces.
TEST(EarlyUpdates, VariablesMayReadEachOther) {
  Graph graph;
  std::vector<VariableRef> pair;
  for (const char* path : {"a", "b"}) {
    pair.push_back(std::make_shared<Variable>(path, floats({3}), true));
    pair.back()->assign(test::random_tensor(floats({3}), pair.size()));
  }
  const Tensor a = pair[0]->value(), b = pair[1]->value();
  const Value x = graph.variable(pair[0]), y = graph.variable(pair[1]);
  graph.update(pair[0], y * 2.0);
  graph.update(pair[1], x * 2.0);
  Executable(graph, onednn_backend()).run({});
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(pair[0]->value().at(i), 2 * b.at(i));
    EXPECT_EQ(pair[1]->value().at(i), 2 * a.at(i));
  }
}

}  // namespace
}  // namespace nacre
