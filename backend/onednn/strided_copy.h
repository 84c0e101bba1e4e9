// Copies between boxes of strided elements: what transposing, slicing, broadcasting, reversing, padding and
// concatenating have in common.
#pragma once

#include "backend/core/shape.h"

namespace nacre::onednn {

// A box within a buffer: an element at index i lies at base + Σ strides · i, counted in elements. Strides may be zero
// (repeated) or negative (reversed).
struct Box {
  std::vector<std::int64_t> strides;
  std::int64_t base = 0;
};
Box dense_box(const Shape& shape);

// Prepared for fixed shapes; several threads share the work.
class StridedCopy {
 public:
  StridedCopy(DType dtype, const Shape& shape, const Box& to, const Box& from);
  void operator()(void* to, const void* from) const;

 private:
  struct Axis {
    std::int64_t size, to, from;  // strides in elements
  };
  template <class Element>
  void copy(Element* to, const Element* from) const;

  std::size_t element_bytes_;
  std::vector<Axis> outer_;  // the slowest first
  Axis inner_{1, 1, 1};
  std::int64_t to_base_, from_base_;
};

}  // namespace nacre::onednn
