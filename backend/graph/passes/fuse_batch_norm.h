// Batch normalisation computes the sum with a residual and the rectifier behind it on its way out, and on its way back
// what they do to the gradient: networks of convolutions spend most of their time outside products in these.
#pragma once

#include "backend/backend.h"

namespace nacre {

// relu(batch_norm(x) [+ residual]) and clip(batch_norm(x)) become one op. Runs before gradients are taken, so that there
// is one op backward too. The residual must come before the normalisation, and nobody else may read what is between.
std::unique_ptr<Graph> fuse_batch_norm(const Graph& graph, const Backend& backend);

}  // namespace nacre
