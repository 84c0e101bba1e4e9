// The kernel of ops for any backend whose results are their first operands.
#pragma once

#include "backend/backend.h"

namespace nacre {

KernelPlan pass_on_kernel(const KernelRequest& request);

}  // namespace nacre
