// The largest of rectified numbers is the rectified largest of them: rectifiers before a pooling go behind it, where there
// are a quarter of the numbers, say, and where the gradient needs nothing of what was pooled but the places.
#pragma once

#include "backend/backend.h"

namespace nacre {

// max_pool(relu(x)) becomes relu(max_pool(x)) where nobody else reads the rectified values. Runs before gradients are
// taken: without them a rectifier costs nothing before the pooling, on the way out of a convolution.
std::unique_ptr<Graph> relu_after_pool(const Graph& graph, const Backend& backend);

}  // namespace nacre
