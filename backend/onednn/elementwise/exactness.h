// What element-wise programs, which compute in float32, may take on.
#pragma once

#include "backend/graph/graph.h"

namespace nacre::onednn {

// Whether float32 gives what the node's element types promise: floating types but float64, comparisons of integers one
// of which is small (a float holds those up to 2²⁴), casts, selections and logic. All shapes are known.
bool computes_exactly(const Node& node);

// Whether all results are zero wherever all full operands of the group are, so that the zeros that fill up blocks stay.
bool keeps_zeros(const Graph& body);

}  // namespace nacre::onednn
