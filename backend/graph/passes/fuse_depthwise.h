// Joins a convolution of 1 × 1 pixels with the depthwise one that alone reads it: the tensor between them, six times as
// large as its neighbours in MobileNetV2, never is in memory.
#pragma once

#include "backend/backend.h"

namespace nacre {

// Only where that tensor would not stay in caches, and where the backend has a kernel for the joined op. Runs after
// epilogues are fused.
std::unique_ptr<Graph> fuse_depthwise(const Graph& graph, const Backend& backend);

}  // namespace nacre
