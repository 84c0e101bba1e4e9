// What a graph computes from things that it does not change.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

// By node id: depends on constants and on variables that the graph does not update, so executables compute it once per
// version of those (in the prologue).
std::vector<char> fixed_nodes(const Graph& graph);

}  // namespace nacre
