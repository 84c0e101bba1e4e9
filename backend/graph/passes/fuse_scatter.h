// Takes the gradient of a table that rows were gathered from into the group of element-wise nodes that reads it, the update
// by an optimizer: the dense gradient, nearly all zeros, is never in memory.
#pragma once

#include "backend/backend.h"

namespace nacre {

// Only where nothing else reads the gradient and the backend's table allows scatter_add in groups (KernelRow::fuses).
std::unique_ptr<Graph> fuse_scatter(const Graph& graph, const Backend& backend);

}  // namespace nacre
