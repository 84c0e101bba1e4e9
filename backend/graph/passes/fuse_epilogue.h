// Moves bias, residual sum and activation into the convolution or matmul before them, which computes them on results
// that are still in registers.
#pragma once

#include "backend/backend.h"

namespace nacre {

// activation(product + bias + residual), as far as nobody else needs the values in between. A gradient does not hinder
// that: those of relu, tanh and sigmoid read the result.
std::unique_ptr<Graph> fuse_epilogue(const Graph& graph, const Backend& backend);

}  // namespace nacre
