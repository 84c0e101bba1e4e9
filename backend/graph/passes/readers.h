// Who reads the values of a graph.
#pragma once

#include <algorithm>
#include <vector>

#include "backend/graph/graph.h"

namespace nacre {

class Readers {
 public:
  explicit Readers(const Graph& graph) : readers_(graph.nodes().size()) {
    for (const Node* node : graph.nodes())
      for (Value value : node->inputs()) readers_[static_cast<std::size_t>(value.node().id())].push_back(node);
  }

  // Of any result of the node; once for each operand that they have from it.
  const std::vector<const Node*>& of(const Node& node) const { return readers_[static_cast<std::size_t>(node.id())]; }
  // That alone reads the node's first result; null when there are several, or none within the graph.
  const Node* only(const Node& node) const {
    const Value first = node.out(0);
    if (first.uses() != 1) return nullptr;
    for (const Node* reader : of(node))
      if (std::ranges::count(reader->inputs(), first) > 0) return reader;
    return nullptr;
  }

 private:
  std::vector<std::vector<const Node*>> readers_;  // by node id
};

}  // namespace nacre
