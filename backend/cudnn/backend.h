// The GPU backend: graphs on the device that a module or a test gives.
#pragma once

#include "backend/backend.h"
#include "backend/cudnn/device.h"

namespace nacre::gpu {

// A backend called "gpu" on that device. Values that kernels hand to each other lie in the device's memory, row-major,
// in the layout dense(); plain layout is the host's memory, so the copies at the borders of a graph are the reorders
// that compilation puts in anyway.
std::unique_ptr<Backend> backend_on(std::shared_ptr<Device> device);

// Row-major in the device's memory.
Layout dense(const Type& type);

// The device of a backend, which is one of these.
Device& device_of(const Backend& backend);
inline Device& device_of(const KernelRequest& request) { return device_of(request.backend); }

}  // namespace nacre::gpu
