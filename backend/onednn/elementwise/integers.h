// Element-wise ops on integers that floats cannot hold: step counters, class numbers, tokens. Exact in 64 bits; results
// of narrower types keep the lower bits.
#pragma once

#include "backend/backend.h"

namespace nacre::onednn {

bool computes_on_integers(const Node& node);
KernelPlan integers(const KernelRequest& request);

}  // namespace nacre::onednn
