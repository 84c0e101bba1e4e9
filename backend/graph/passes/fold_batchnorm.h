// Folds what scales and shifts the channels of a convolution or matmul into its kernel and bias, when all of them are
// fixed: batch normalisation in inference costs nothing then, since the scaled kernel is computed once per version of
// the variables.
#pragma once

#include "backend/backend.h"

namespace nacre {

// (x · kernel + bias - mean) · r · gamma + beta, one step at a time; also sums, differences and quotients that a model
// has in other places. In mixed precision, where they are float32, the product is rounded to 16 bits after them and not
// before. Values that are trained in this graph are not fixed, so training steps are left alone.
std::unique_ptr<Graph> fold_batchnorm(const Graph& graph, const Backend& backend);

}  // namespace nacre
