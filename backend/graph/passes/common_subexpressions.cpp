#include "backend/graph/passes/common_subexpressions.h"

#include <algorithm>
#include <map>

namespace nacre {

std::unique_ptr<Graph> merge_common_subexpressions(const Graph& graph, const Backend&) {
  using Key = std::pair<const Op*, std::vector<std::pair<int, int>>>;  // op and operands in the new graph
  std::map<Key, std::vector<const Node*>> made;
  return rewrite(graph, [&](const Node& node, Rewriter& rewriter) {
    if (node.is(op::input) || node.is(op::variable)) return false;
    Key key{&node.op(), {}};
    for (Value value : rewriter(node.inputs())) key.second.emplace_back(value.node().id(), value.index());
    std::vector<const Node*>& candidates = made[key];
    const auto equal = std::find_if(candidates.begin(), candidates.end(),
                                    [&](const Node* other) { return other->attributes() == node.attributes(); });
    const Node& same = equal != candidates.end() ? **equal : rewriter.to().copy(node, rewriter(node.inputs()));
    if (equal == candidates.end()) candidates.push_back(&same);
    for (int i = 0; i < static_cast<int>(node.types().size()); ++i) rewriter.set(node.out(i), same.out(i));
    return true;
  });
}

}  // namespace nacre
