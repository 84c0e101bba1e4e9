// What a library computes of attention, by plain loops on the host.
#pragma once

#include <functional>

#include "backend/cudnn/device.h"

namespace nacre::test {

// Null for what the library has no engine for. `holds` tells whether an address is the device's.
std::unique_ptr<gpu::Work> emulated_attention(const gpu::AttentionDescription& description,
                                              std::function<bool(const void*)> holds);

}  // namespace nacre::test
