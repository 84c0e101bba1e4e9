// Activation functions: what a layer applies to its result.
#pragma once

#include "backend/graph/graph.h"
#include "formats/config.h"

namespace nacre {

// A function on values, of the same shape (glu halves the last axis). Immutable.
class Activation : public Configurable<Activation> {
 public:
  virtual Value operator()(Value x) const = 0;
};
template <>
Registry<Activation>& registry<Activation>();  // "relu", "softmax", …: Keras's names

inline Value activated(Value x, const Ref<Activation>& activation) { return activation ? (*activation)(x) : x; }

}  // namespace nacre
