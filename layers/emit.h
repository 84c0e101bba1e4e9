// Pieces that layers emit in many places. Graphs are emitted for concrete shapes; with unknown sizes they serve the
// inference of types alone and are never run, so what cannot be expressed there is a placeholder of the right type.
#pragma once

#include "backend/graph/graph.h"

namespace nacre::emit {

Value zeros(Graph& graph, const Type& type);
// Any number of sizes may be unknown.
Value reshape(Value x, const Shape& shape);
Value broadcast(Value x, const Shape& shape);
Value repeat(Value x, int axis, std::int64_t times);  // each element `times` times in a row
Value any(Value x, std::vector<std::int64_t> axes, bool keepdims = false);  // bool; no axes: over all
Value move_axis(Value x, int from, int to);  // the others keep their order; negative ones count from the end
// channels_first ↔ channels_last.
Value channels_last(Value x);
Value channels_first(Value x);

// Throws Error unless the shape has that rank (or at least it), with the hint that suits.
void want_rank(const Shape& shape, int rank);
void want_rank_at_least(const Shape& shape, int rank);
// Throws Error unless the axis has that size.
void want_size(const Shape& shape, int axis, std::int64_t size);
// The size of that axis; throws Error when it is unknown.
std::int64_t known_size(const Shape& shape, int axis);
// The size that is the product of two; throws Error when it is none.
std::int64_t product(std::int64_t a, std::int64_t b);

}  // namespace nacre::emit
