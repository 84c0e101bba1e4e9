// Computes equal things once: layers and gradient rules emit the same broadcasts, masks and counters again and again.
#pragma once

#include "backend/backend.h"

namespace nacre {

// Ops are functions of their attributes and operands (random ones too), so nodes that agree in both are one node.
std::unique_ptr<Graph> merge_common_subexpressions(const Graph& graph, const Backend& backend);

}  // namespace nacre
