// Rearranging arrays of weights in host memory.
#pragma once

#include <span>
#include <vector>

#include "backend/core/tensor.h"

namespace nacre::arrays {

// order[i]: which axis of the source becomes axis i.
Tensor transposed(const Tensor& tensor, std::span<const int> order);
// The elements of the first `axes` axes in reverse: what turns a convolution into a cross-correlation.
Tensor reversed(const Tensor& tensor, int axes);
// One after another along the last axis, in which they may differ.
Tensor joined(const std::vector<Tensor>& tensors);
// `count` equal parts of the last axis.
std::vector<Tensor> split(const Tensor& tensor, std::int64_t count);
// Element by element, of floating elements.
Tensor added(const Tensor& a, const Tensor& b);

}  // namespace nacre::arrays
