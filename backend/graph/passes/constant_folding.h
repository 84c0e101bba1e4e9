// Computes what depends on constants alone once and for all, while the graph is compiled.
#pragma once

#include "backend/backend.h"

namespace nacre {

// Results stay as they are when they would take much more memory than what they are computed from (a broadcast).
std::unique_ptr<Graph> fold_constants(const Graph& graph, const Backend& backend);

}  // namespace nacre
