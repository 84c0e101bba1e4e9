// What kernels of any backend share, most of which hold graphs: how their operands lie, results that nobody reads, and
// room for those that are handed on.
#pragma once

#include "backend/backend.h"

namespace nacre {

// A plan without a kernel yet: all operands and results row-major in the backend's memory.
inline KernelPlan row_major_plan(const KernelRequest& request) {
  KernelPlan plan;
  for (Value value : request.node.inputs()) plan.inputs.push_back(request.backend.row_major(value.type()));
  for (const Type& type : request.node.types()) plan.outputs.push_back(request.backend.row_major(type));
  return plan;
}

// The layout of a result that nobody reads and that takes no memory: the kernel does not write it.
inline Layout discarded() {
  class Discarded final : public LayoutDetail {
   public:
    bool equals(const LayoutDetail& other) const override { return dynamic_cast<const Discarded*>(&other) != nullptr; }
    std::size_t bytes() const override { return 0; }
    std::string text() const override { return "discarded"; }
  };
  return Layout::opaque(std::make_shared<Discarded>());
}

// What a buffer takes among others.
inline std::size_t aligned(std::size_t bytes) {
  return (bytes + buffer_alignment - 1) / buffer_alignment * buffer_alignment;
}

}  // namespace nacre
