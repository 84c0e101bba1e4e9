// Moves what gives variables their new values forward, to where all that it needs is there: a weight's gradient is
// consumed at once instead of waiting for those of all other layers, and its memory is free for them. So are sums over
// processes (ops/all_reduce.h), which go on while the gradients of the layers before are computed.
#pragma once

#include "backend/backend.h"

namespace nacre {

// Only the order of nodes changes, in which kernels run. An update still comes after everything that reads the value it
// replaces, so that it can be written over it. Runs last: other passes keep the order that they find.
std::unique_ptr<Graph> early_updates(const Graph& graph, const Backend& backend);

}  // namespace nacre
