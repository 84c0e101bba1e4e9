// What a kernel takes by itself, again and again, instead of between the others of a step.
#pragma once

#include <span>
#include <vector>

#include "backend/backend.h"

namespace nacre::compile {

class StandAlone {
 public:
  // Medians, in seconds: with operands and code in memory only, and with what the caches keep of them since the run
  // before. In a step a kernel finds something between the two, mostly of what the one before it wrote.
  struct Times {
    double cold = 0, warm = 0;
  };

  explicit StandAlone(const Backend& backend);  // whose kernels they are
  // Memory that the kernel reads and writes.
  struct Overwritten {
    void* memory;
    std::size_t bytes;
  };
  // The kernel has run once in the end, as far as anybody can tell: what it overwrites is put back before every other
  // run, so that it computes the same numbers each time and none of them grows.
  Times measure(Kernel& kernel, const KernelArguments& arguments, std::span<const Overwritten> overwritten);

 private:
  void empty_caches();

  const Backend& backend_;
  std::vector<std::byte> other_;  // memory to fill the caches with
  std::vector<std::vector<std::byte>> kept_;
  std::int64_t sum_ = 0;  // of what was read to fill them
};

}  // namespace nacre::compile
