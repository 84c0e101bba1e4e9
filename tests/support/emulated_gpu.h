// A GPU on the host, for tests: kernels' CUDA source is compiled by the host's C++ compiler and run thread by thread
// (those of a block in turn, from one __syncthreads to the next), and what libraries compute is computed by plain loops
// that follow the description. Addresses are told apart: a kernel's operand that does not lie in the device's memory is
// an error.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "backend/cudnn/device.h"

namespace nacre::test {

// Null where there is no compiler.
std::shared_ptr<gpu::Device> emulated_gpu();
// The backend on it; one for all tests.
const Backend* emulated_gpu_backend();

}  // namespace nacre::test
