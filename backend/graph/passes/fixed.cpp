#include "backend/graph/passes/fixed.h"

#include "backend/graph/ops/all_reduce.h"

namespace nacre {

std::vector<char> fixed_nodes(const Graph& graph) {
  std::vector<char> fixed(graph.nodes().size(), 0);
  for (const Node* node : graph.nodes()) {
    bool is_fixed = !node->is(op::input) && !node->is(op::all_reduce);
    if (node->is(op::variable)) is_fixed = !graph.is_updated(node->attrs<VariableAttrs>().variable);
    for (Value value : node->inputs()) is_fixed = is_fixed && fixed[static_cast<std::size_t>(value.node().id())];
    fixed[static_cast<std::size_t>(node->id())] = is_fixed;
  }
  return fixed;
}

}  // namespace nacre
