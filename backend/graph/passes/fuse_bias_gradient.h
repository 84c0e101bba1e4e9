// Lets the convolution that computes the gradient of its kernel sum up the gradient of its bias on the way: both read
// the same dy.
#pragma once

#include "backend/backend.h"

namespace nacre {

std::unique_ptr<Graph> fuse_bias_gradient(const Graph& graph, const Backend& backend);

}  // namespace nacre
