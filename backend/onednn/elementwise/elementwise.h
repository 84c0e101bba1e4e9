// Kernels of element-wise ops, alone and in groups: one loop over tiles, vectorised for the machine it runs on.
#pragma once

#include "backend/backend.h"

namespace nacre::onednn {

KernelPlan elementwise(const KernelRequest& request);  // also random_uniform
KernelPlan fused(const KernelRequest& request);
KernelPlan fused_groups(const KernelRequest& request);
// Whether the node may be part of a fused group.
bool fuses(const Node& node);
bool sums_rows(const Node& node);  // the same of scatter_add

}  // namespace nacre::onednn
