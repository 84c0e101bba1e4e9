// The kernel of `all_reduce` (graph/ops/all_reduce.h) for backends whose memory is the host's.
#pragma once

#include "backend/backend.h"

namespace nacre {

KernelPlan all_reduce_kernel(const KernelRequest& request);

}  // namespace nacre
