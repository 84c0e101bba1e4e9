// Graphs run node by node, with every value in plain layout: what constant folding uses for single nodes and tests for
// whole graphs. Executables (executable.h) are the fast way.
#pragma once

#include "backend/backend.h"

namespace nacre {

// The outputs of a node for given operands, whose types are those that the node was made for. Throws Error when the
// backend has no kernel for it.
std::vector<Tensor> evaluate_node(const Node& node, std::span<const Tensor> inputs, const Backend& backend);

// Runs a graph without passes: inputs in the order of graph.inputs(), outputs in the order of graph.outputs(). Then
// gives updated variables their new values. Sizes that are unknown in the graph are found on the way; functions of the
// host (ops/host.h) are called.
std::vector<Tensor> interpret(const Graph& graph, std::span<const Tensor> inputs, const Backend& backend);

}  // namespace nacre
