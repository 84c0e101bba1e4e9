// The reverse walk: gradients as ordinary ops in the same graph.
#pragma once

#include <span>

#include "backend/graph/graph.h"

namespace nacre {

// For each of `wrt`, the gradient of Σᵢ ⟨cotangentᵢ, outputᵢ⟩ with respect to it, or a null Value when no output
// depends on it. Absent cotangents mean ones (so a scalar loss needs none). Contributions are summed; integer and
// boolean values carry no gradient.
// Source: reverse accumulation, Griewank and Walther, "Evaluating Derivatives" (2008), chapter 3.
Values gradients(Graph& graph, std::span<const Value> outputs, std::span<const Value> cotangents, std::span<const Value> wrt);
Values gradients(Value loss, std::span<const Value> wrt);

// The gradients of a node's inputs, through its decomposition: the gradient rule of ops that have no better one.
Gradients gradients_of_decomposition(const Node& node, const Cotangents& cotangents);

}  // namespace nacre
