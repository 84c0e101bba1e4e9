// The kernel of `branch` for any backend: the bodies, compiled by that backend, of which a run runs one.
#pragma once

#include "backend/backend.h"

namespace nacre {

KernelPlan branch_kernel(const KernelRequest& request);

}  // namespace nacre
