// Initial values of weights.
#pragma once

#include "backend/core/random.h"
#include "formats/config.h"

namespace nacre {

// Immutable. `key` names the stream of random numbers; an initializer with a seed of its own replaces key.seed by it.
class Initializer : public Configurable<Initializer> {
 public:
  virtual Tensor operator()(const Shape& shape, DType dtype, RandomKey key) const = 0;
};
template <>
Registry<Initializer>& registry<Initializer>();

}  // namespace nacre
