// Joins element-wise nodes of one shape into groups that are computed in one loop: intermediate values never reach
// memory, and the whole update of a variable by an optimizer is one kernel.
#pragma once

#include "backend/backend.h"

namespace nacre {

// Only nodes that the backend's table allows in groups (KernelRow::fuses). What is computed once per version of the
// variables is not joined with what is computed at each run.
std::unique_ptr<Graph> fuse_elementwise(const Graph& graph, const Backend& backend);

}  // namespace nacre
