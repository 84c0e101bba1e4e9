// The kernel of `scan` for any backend: the body, compiled by that backend, run once per step.
#pragma once

#include "backend/backend.h"

namespace nacre {

// Carries are stacked only for a node whose stacked carries somebody reads; otherwise those outputs take no memory.
KernelPlan scan_kernel(const KernelRequest& request);

}  // namespace nacre
