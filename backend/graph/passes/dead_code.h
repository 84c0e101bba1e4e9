// Drops nodes that no output and no update needs, so that they cost neither time nor memory.
#pragma once

#include "backend/backend.h"

namespace nacre {

// Inputs stay, needed or not: they are the graph's signature.
std::unique_ptr<Graph> remove_dead_code(const Graph& graph, const Backend& backend);

}  // namespace nacre
