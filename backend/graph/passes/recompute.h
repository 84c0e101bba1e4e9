// Trades work for memory in training: most of what the backward pass reads of the forward pass is not kept but computed
// again, just before it is read.
#pragma once

#include "backend/backend.h"

namespace nacre {

// The first `after` of the graph ends its forward pass: what stands before it is forward, the rest backward. The forward
// pass is cut where little is alive, and what crosses a cut is kept; of each piece between two cuts the backward pass gets
// a copy when it comes to it, which an `after` on what it has computed by then holds back. The last piece is kept whole.
// Where to cut, and whether to keep the results of products too, is what makes the largest sum of living values small, at
// sizes that are known; among choices of nearly the same sum the one with the fewest operations is taken.
// Copies give the same numbers, random ones too; updates of variables stay where they are. A graph without `after`, or one
// in which nothing helps, stays as it is.
// Source: Chen, Xu, Zhang and Guestrin, "Training deep nets with sublinear memory cost" (2016).
std::unique_ptr<Graph> recompute(const Graph& graph, const Backend& backend);

}  // namespace nacre
