// Some of a tensor's elements, by axis: what t[…] reads and writes at once. Elements are copied where they lie, so that
// each place need not be compiled for; gradients pass as they do through the ops.
#pragma once

#include "backend/eager/eager.h"

namespace nacre::scripting {

struct Selection {
  struct Axis {
    std::int64_t first = 0, step = 1, count = 0;
    bool listed = false;                 // by `places` instead
    std::vector<std::int64_t> places{};  // `count` of them
    std::int64_t place(std::int64_t index) const {
      return listed ? places[static_cast<std::size_t>(index)] : first + index * step;
    }
  };
  Shape whole;             // of the tensor, or one with as many elements: axes may be merged
  std::vector<Axis> axes;  // of `whole`
  Shape result;            // of the selected elements, in the same order

  // Whether an axis lists a place twice.
  bool repeats() const;
};
using SelectionRef = std::shared_ptr<const Selection>;

// The selected elements.
Tensor taken(const Tensor& x, const Selection& selection);
// Writes values, as many as are selected, or one for all, to their places; of equal places the last value stays.
void write(Tensor& x, const Selection& selection, const Tensor& values);
// Repeated to a shape that it broadcasts to.
Tensor repeated(const Tensor& x, const Shape& shape);

// taken() and write() with gradients.
eager::Array taken(eager::Eager& eager, const eager::Array& x, SelectionRef selection);
// x with values, of the selection's result, in their places.
eager::Array written(eager::Eager& eager, const eager::Array& x, SelectionRef selection, eager::Array values);

}  // namespace nacre::scripting
