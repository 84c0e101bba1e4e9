// Ops that hold graphs of ordinary ops, for what goes down into these.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

// The graphs that a node holds: of scan, branch, loop and custom_gradient; none for other ops.
std::vector<Subgraph> bodies_of(const Node& node);
// The node's attributes with other graphs of the same types in the places of those.
Attributes with_bodies(const Node& node, const std::vector<Subgraph>& bodies);

}  // namespace nacre
