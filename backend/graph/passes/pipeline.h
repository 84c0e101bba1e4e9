// The passes, in order. Each is a small function graph → graph with its own header, which says why it exists.
#pragma once

#include "backend/backend.h"

namespace nacre {

// What backends run before they plan kernels. The common ones leave every op as it is.
std::span<const Pass> common_passes();
// The common ones, and those that join ops, for backends with kernels for the joined ones: epilogues of products, the
// bias of conv_backward_weights, `fused`.
std::span<const Pass> fusing_passes();

// Runs passes in order and verifies the graph after each.
std::unique_ptr<Graph> run_passes(const Graph& graph, const Backend& backend, std::span<const Pass> passes);

// What is done before gradients are taken: ops are joined or exchanged where their gradients gain by it, and those that
// the backend has no kernel for are replaced by their decomposition, recursively. Throws Error naming the layer when
// there is none.
std::unique_ptr<Graph> ready_for_gradients(const Graph& graph, const Backend& backend);
// The second half of it, for graphs without gradients.
std::unique_ptr<Graph> decompose_missing(const Graph& graph, const Backend& backend);

}  // namespace nacre
