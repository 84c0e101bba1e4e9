// The passes, in order. Each is a small function graph → graph with its own header, which says why it exists.
#pragma once

#include "backend/backend.h"

namespace nacre {

// What backends run before they plan kernels (they compose their own list from these and may add some of their own).
std::span<const Pass> common_passes();

// Runs passes in order and verifies the graph after each.
std::unique_ptr<Graph> run_passes(const Graph& graph, const Backend& backend, std::span<const Pass> passes);

// Replaces ops that the backend has no kernel for by their decomposition, recursively; runs before gradients are
// taken. Throws Error naming the layer when there is none.
std::unique_ptr<Graph> decompose_missing(const Graph& graph, const Backend& backend);

}  // namespace nacre
