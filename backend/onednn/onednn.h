// The CPU backend: oneDNN's primitives where it has them, vectorised loops elsewhere.
#pragma once

#include "backend/backend.h"

namespace nacre {

const Backend& onednn_backend();

}  // namespace nacre
