// A GPU on the host, for tests: kernels' CUDA source is compiled by the host's C++ compiler and run thread by thread
// (those of a block in turn, from one __syncthreads to the next), and what libraries compute is computed by plain loops
// that follow the description. What is copied to the host comes as late as it may: when it is waited for. Addresses are
// told apart: a kernel's operand that does not lie in the device's memory is an error.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/cudnn/device.h"

namespace nacre::test {

// What it was asked for so far.
struct GpuWork {
  std::int64_t by_itself = 0;  // launches, works of libraries and copies that were not part of a recording
  std::int64_t recordings = 0, replays = 0, waits = 0;
  std::int64_t in_any_order = 0;  // works that were made and need not be deterministic
  // One letter for each, in their order: (b)y itself, (r)eplay, (a)rrivals of inputs beside other work, (c)opy to the
  // host, (s)etting a fence, (w)aiting for one, (W)aiting for all.
  std::string order;
};

class EmulatedDevice : public gpu::Device {
 public:
  virtual const GpuWork& counts() const = 0;
  virtual void refuse_recordings(bool refuse) = 0;
  virtual void limit_memory(std::size_t bytes) = 0;  // that it gives at a time
  // Inputs of so many bytes or more together come beside other work; at first, none do.
  virtual void bring_beside(std::size_t bytes) = 0;
  // It has no fences from now on: everybody waits for all results.
  virtual void do_all_at_once() = 0;
};

// Null where there is no compiler.
std::shared_ptr<EmulatedDevice> emulated_gpu();
// The backend on it; one for all tests.
const Backend* emulated_gpu_backend();

}  // namespace nacre::test
