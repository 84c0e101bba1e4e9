// Convolutions and poolings pad what they read themselves: zeros put around their operand by an op of their own are a
// copy forward and, as the slice of a gradient, another one backward. Networks that fix their geometry by ZeroPadding
// (ResNet50, MobileNetV2, all that came from Caffe or PyTorch) are full of them.
#pragma once

#include "backend/backend.h"

namespace nacre {

// Zeros around the spatial axes of a convolution's operand become its attributes, and what a slice cuts off the
// gradient by data those of that gradient. Likewise around a max pooling of what is nowhere negative, where a padded
// zero is never larger than what its window holds; if the gradient of the pooling is taken it must be the gradient of a
// relu's result, where it does not matter which of several zeros it goes to.
std::unique_ptr<Graph> fold_padding(const Graph& graph, const Backend& backend);

}  // namespace nacre
