#include "backend/graph/passes/join_updates.h"

#include <algorithm>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/fused.h"
#include "backend/graph/passes/fixed.h"

namespace nacre {

namespace {

constexpr std::int64_t most_elements = 1 << 13;  // of one group
constexpr std::size_t most_groups = 256;         // of a kernel

bool is_group(const Node& node, const Backend& backend) {
  if (node.is(op::fused)) return true;
  if (node.op().kind != OpKind::elementwise || !node.types()[0].shape.known()) return false;
  const KernelRow* row = backend.row(node);
  return row && row->fuses && row->fuses(node);
}

// Whether nothing but the variables' memory needs the results.
bool only_updates(const Node& node, const Graph& graph) {
  for (int i = 0; i < static_cast<int>(node.types().size()); ++i) {
    const auto updates = std::count_if(graph.updates().begin(), graph.updates().end(),
                                       [&](const Graph::Update& update) { return update.value == node.out(i); });
    if (updates != 1 || node.uses(i) != 1) return false;
  }
  return true;
}

std::vector<const Node*> joined_nodes(const Graph& graph, const Backend& backend) {
  const std::vector<char> fixed = fixed_nodes(graph);
  std::vector<const Node*> found;
  for (const Node* node : graph.nodes()) {
    if (!is_group(*node, backend) || fixed[static_cast<std::size_t>(node->id())]) continue;
    const std::int64_t elements = node->types()[0].shape.elements();
    if (elements > 0 && elements <= most_elements && only_updates(*node, graph)) found.push_back(node);
  }
  // What others read must not change while they run: those that do it stay alone.
  const auto changes_operands = [&](const Node* node) {
    return std::any_of(graph.updates().begin(), graph.updates().end(), [&](const Graph::Update& update) {
      if (&update.value.node() != node) return false;
      return std::any_of(found.begin(), found.end(), [&](const Node* other) {
        return other != node && std::any_of(other->inputs().begin(), other->inputs().end(), [&](Value value) {
          return value.is(op::variable) && value.node().attrs<VariableAttrs>().variable == update.variable;
        });
      });
    });
  };
  std::vector<const Node*> joined;
  std::copy_if(found.begin(), found.end(), std::back_inserter(joined),
               [&](const Node* node) { return !changes_operands(node); });
  return joined;
}

}  // namespace

std::unique_ptr<Graph> join_updates(const Graph& graph, const Backend& backend) {
  const std::vector<const Node*> nodes = joined_nodes(graph, backend);
  std::vector<int> place(graph.nodes().size(), -1);  // among them, by node id
  for (std::size_t i = 0; i < nodes.size(); ++i) place[static_cast<std::size_t>(nodes[i]->id())] = static_cast<int>(i);
  std::size_t first = 0;  // that is not yet part of a kernel
  return rewrite(graph, [&](const Node& node, Rewriter& rewriter) {
    if (place[static_cast<std::size_t>(node.id())] < 0 || nodes.size() < 2) return false;
    const auto last = static_cast<std::size_t>(place[static_cast<std::size_t>(node.id())]);
    const std::size_t count = last + 1 - first;
    if (last + 1 < nodes.size() && count < most_groups) return true;  // comes with the last of them
    FusedGroupsAttrs attrs;
    Values operands;
    for (std::size_t i = first; i <= last; ++i) {
      const Node& group = *nodes[i];
      attrs.bodies.push_back(group.is(op::fused) ? group.attrs<FusedAttrs>().body : group_of(group));
      for (Value value : group.inputs()) operands.push_back(rewriter(value));
    }
    const Graph::Label label(rewriter.to(), node.label());
    const Node& made = rewriter.to().add(op::fused_groups, std::move(attrs), std::move(operands));
    int result = 0;
    for (; first <= last; ++first)
      for (int i = 0; i < static_cast<int>(nodes[first]->types().size()); ++i)
        rewriter.set(nodes[first]->out(i), made.out(result++));
    return true;
  });
}

}  // namespace nacre
