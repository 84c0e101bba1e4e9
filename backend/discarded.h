// What kernels that hold graphs share: results that nobody reads, and room for those that are handed on.
#pragma once

#include "backend/backend.h"

namespace nacre {

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
