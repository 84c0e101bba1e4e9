// The kernel of `loop` for any backend: condition and body, compiled by that backend, run in turn.
#pragma once

#include "backend/backend.h"

namespace nacre {

// Carries are stacked only where somebody reads them stacked; otherwise those outputs take no memory.
KernelPlan loop_kernel(const KernelRequest& request);

}  // namespace nacre
