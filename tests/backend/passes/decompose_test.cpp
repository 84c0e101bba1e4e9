#include <algorithm>

#include "backend/graph/ops/bodies.h"
#include "backend/graph/passes/pipeline.h"
#include "backend/interpret.h"
#include "tests/backend/passes/check.h"
#include "tests/support/op_cases.h"
#include "tests/support/paths.h"
#include "tests/support/tensors.h"

namespace nacre {
namespace {

using test::floats;

// The reference backend without some of its kernels.
class Without final : public Backend {
 public:
  explicit Without(std::vector<const Op*> missing) {
    for (const KernelRow& row : reference_backend().table())
      if (std::find(missing.begin(), missing.end(), row.op) == missing.end()) rows_.push_back(row);
  }
  std::string_view name() const override { return "partial"; }
  std::string_view description() const override { return "for tests"; }
  std::span<const KernelRow> table() const override { return rows_; }
  std::span<const Pass> passes() const override { return {}; }
  std::unique_ptr<Kernel> reorder(const Type& type, const Layout& from, const Layout& to) const override {
    return reference_backend().reorder(type, from, to);
  }
  std::shared_ptr<std::byte[]> allocate(std::size_t bytes) const override { return allocate_bytes(bytes); }

 private:
  std::vector<KernelRow> rows_;
};

bool contains(const Graph& graph, const Op& op) {
  const auto nodes = graph.nodes();
  return std::any_of(nodes.begin(), nodes.end(), [&](const Node* node) { return node->is(op); });
}

TEST(DecomposeMissing, SimplerOpsGiveTheSame) {
  Graph graph;
  const Value x = graph.input("x", floats({3, 5})), gamma = graph.input("gamma", floats({5})),
              beta = graph.input("beta", floats({5}));
  graph.output("y", ops::layer_norm(x, gamma, beta, 1e-3).y);
  const Without backend({&op::layer_norm});
  const auto simpler = decompose_missing(graph, backend);
  EXPECT_FALSE(contains(*simpler, op::layer_norm));
  RandomStream random(RandomKey::of(1, "x"));
  std::vector<Tensor> inputs;
  for (const auto& [name, value] : graph.inputs()) inputs.push_back(test::draw_tensor(random, value.type()));
  EXPECT_TRUE(
      test::close(interpret(*simpler, inputs, backend)[0], interpret(graph, inputs, reference_backend())[0], 1e-5));
}

TEST(DecomposeMissing, LabelsStay) {
  Graph graph;
  {
    const Value x = graph.input("x", floats({3, 5})), gamma = graph.input("gamma", floats({5}));
    const Graph::Label label(graph, "layer 'norm'");
    graph.output("y", ops::layer_norm(x, gamma, gamma, 1e-3).y);
  }
  const auto simpler = decompose_missing(graph, Without({&op::layer_norm}));
  for (const Node* node : simpler->nodes()) EXPECT_EQ(node->label(), node->is(op::input) ? "" : "layer 'norm'");
}

TEST(DecomposeMissing, BodiesOfLoopsToo) {
  Graph graph;
  const Value x = graph.input("x", floats({4, 2, 5})), start = graph.input("start", floats({2, 5})),
              gamma = graph.input("gamma", floats({5}));
  const auto scanned =
      ops::scan({start}, {x}, {gamma}, false, [](Graph&, const Values& carry, const Values& item, const Values& fixed) {
        const Value y = ops::layer_norm(carry[0] + item[0], fixed[0], fixed[0], 1e-3).y;
        return ops::ScanStep{{y}, {y}};
      });
  graph.output("y", scanned.items[0]);
  const auto simpler = decompose_missing(graph, Without({&op::layer_norm}));
  for (const Node* node : simpler->nodes())
    EXPECT_FALSE(node->is(op::scan) && contains(*node->attrs<ScanAttrs>().body, op::layer_norm));
}

bool contains_within(const Graph& graph, const Op& op) {
  const auto nodes = graph.nodes();
  return contains(graph, op) || std::ranges::any_of(nodes, [&](const Node* node) {
           const std::vector<Subgraph> bodies = bodies_of(*node);
           return std::ranges::any_of(bodies, [&](const Subgraph& body) { return contains_within(*body, op); });
         });
}

TEST(DecomposeMissing, GraphsOfAllOpsThatHoldSome) {
  const auto norm = [](Value x) {
    const Value gamma = ops::fill_like(ops::sum(x, {0}), 1.0);
    return ops::layer_norm(x, gamma, gamma, 1e-3).y;
  };
  Graph graph;
  const Value x = graph.input("x", floats({4, 5}));
  graph.output("branch", ops::branch(graph.constant(Tensor::scalar<std::int32_t>(0)), {x},
                                     {[&](Graph&, const Values& in) { return Values{norm(in[0])}; }})[0]);
  graph.output("loop", ops::loop({x}, {},
                                 [&](Graph&, const Values& carry, const Values&) {
                                   return ops::less(ops::sum(norm(carry[0])), carry[0].graph().scalar(0));
                                 },
                                 [&](Graph&, const Values& carry, const Values&) { return Values{norm(carry[0])}; })
                           .carries[0]);
  const auto backward = std::make_shared<Graph>();
  backward->output("dx", norm(backward->input("dy", x.type())));
  graph.output("custom", ops::custom_gradient({x * 2.0}, {x}, {}, backward)[0]);
  EXPECT_TRUE(contains_within(graph, op::layer_norm));
  const auto simpler = decompose_missing(graph, Without({&op::layer_norm}));
  EXPECT_FALSE(contains_within(*simpler, op::layer_norm));
  for (const Op* op : std::initializer_list<const Op*>{&op::branch, &op::loop, &op::custom_gradient})
    EXPECT_TRUE(contains(*simpler, *op)) << op->name;
}

TEST(DecomposeMissing, UnknownSizesStayUnknown) {
  Graph graph;
  const Value x = graph.input("x", floats({unknown, 5})), gamma = graph.input("gamma", floats({5}));
  graph.output("y", ops::layer_norm(x, gamma, gamma, 1e-3).y);
  EXPECT_EQ(decompose_missing(graph, Without({&op::layer_norm}))->result("y").shape(), (Shape{unknown, 5}));
}

TEST(DecomposeMissing, WithoutDecompositionTheLayerIsNamed) {
  Graph graph;
  const Value x = graph.input("x", floats({2}));
  const Graph::Label label(graph, "layer 'activation' (Activation)");
  graph.output("y", ops::tanh(x));
  EXPECT_EQ(test::message_of([&] { decompose_missing(graph, Without({&op::tanh})); }),
            "layer 'activation' (Activation): 'tanh' has no kernel on the partial backend and no decomposition");
}

}  // namespace
}  // namespace nacre
