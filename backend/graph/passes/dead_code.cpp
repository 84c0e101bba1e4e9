#include "backend/graph/passes/dead_code.h"

namespace nacre {

std::unique_ptr<Graph> remove_dead_code(const Graph& graph, const Backend&) {
  const std::vector<const Node*> nodes = graph.nodes();
  std::vector<char> needed(nodes.size(), 0);
  auto need_value = [&](Value value) { needed[static_cast<std::size_t>(value.node().id())] = 1; };
  for (const auto& [name, value] : graph.outputs()) need_value(value);
  for (const auto& [variable, value] : graph.updates()) need_value(value);
  for (auto it = nodes.rbegin(); it != nodes.rend(); ++it)
    if (needed[static_cast<std::size_t>((*it)->id())])
      for (Value in : (*it)->inputs()) need_value(in);
  return rewrite(graph, [&](const Node& node, Rewriter&) {
    return !needed[static_cast<std::size_t>(node.id())] && !node.is(op::input);
  });
}

}  // namespace nacre
