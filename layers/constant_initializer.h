#pragma once

#include "layers/initializer.h"

namespace nacre {

// The registry entry of Constant: a number, or an array that is repeated to the shape.
ClassInfo<Initializer> constant_initializer();

}  // namespace nacre
