// Keras's operations on tensors, as layers. Where a functional model of Keras computes tensors without a layer (above
// all the masks that its layers hand on) it records such operations between the layers, and its files hold them.
#pragma once

#include "layers/symbol.h"

namespace nacre {

std::vector<ClassInfo<Layer>> operation_layers();

}  // namespace nacre
