// Kernels whose work goes on beside those that follow.
#pragma once

#include "backend/backend.h"

namespace nacre {

// run() begins the work and writes, instead of the outputs, what the work needs until it is over: its state. The rest
// runs before the first kernel that reads one of the outputs. Another begins once that has run, or never.
class BeginningKernel : public Kernel {
 public:
  virtual std::size_t state_bytes() const = 0;
  // Writes the outputs from the state, its one input. Lives as long as this kernel.
  virtual std::unique_ptr<Kernel> rest() const = 0;
  // Output 0 may be written over the state, and the state over input 0.
  virtual bool in_place() const { return false; }
};

}  // namespace nacre
