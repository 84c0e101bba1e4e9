// Drops arithmetic and moves that change nothing: gradient rules and layers emit them because they know only their own
// op.
#pragma once

#include "backend/backend.h"

namespace nacre {

// x·1, x+0, x-0, x/1, x^½, x², --x, casts of casts, reshapes of reshapes, transposes of transposes, broadcasts of what
// an element-wise op broadcasts itself, `…_like` of known shapes, moves to where a value already is, stop_gradient,
// custom_gradient.
std::unique_ptr<Graph> simplify(const Graph& graph, const Backend& backend);

}  // namespace nacre
