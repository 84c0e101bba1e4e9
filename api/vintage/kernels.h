// What older Keras stored in another form than the present layer of the same kind holds it.
#pragma once

#include "api/vintage/vintage.h"
#include "layers/layer.h"

namespace nacre::vintages {

// The arrays of a single layer in the present form; those that are in it already come back as they are.
std::vector<NamedTensor> modern_arrays(const Layer& layer, std::vector<NamedTensor> saved, const Vintage& vintage);
// Whether modern_arrays() has anything to say about the layer: wrappers and models have not.
bool has_rule(const Layer& layer);

}  // namespace nacre::vintages
