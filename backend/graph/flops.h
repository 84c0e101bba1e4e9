// How much work ops are: estimates that do not depend on the backend.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

// Floating-point operations of a node whose shapes are known. A multiplication with an addition counts as two, a
// function such as exp as one; moving and converting elements costs nothing.
std::int64_t flops_of(const Node& node);
std::int64_t flops_of(const Graph& graph);
// A measure of a run for bounds: its flops and the elements that it makes. Loops count each of their steps themselves.
std::int64_t work_of(const Graph& graph);

}  // namespace nacre
