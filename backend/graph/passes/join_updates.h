// Joins small groups whose results are nothing but new values of variables (biases, scales, moving statistics, metrics)
// into one kernel: models have hundreds of them, each less work than calling it.
#pragma once

#include "backend/backend.h"

namespace nacre {

// Large variables are updated as soon as their gradients are there, so that those need not be kept.
std::unique_ptr<Graph> join_updates(const Graph& graph, const Backend& backend);

}  // namespace nacre
