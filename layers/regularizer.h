// Penalties on weights and activations, and constraints on weights.
#pragma once

#include "backend/graph/graph.h"
#include "formats/config.h"

namespace nacre {

// Immutable. The penalty is a scalar added to the loss.
class Regularizer : public Configurable<Regularizer> {
 public:
  virtual Value operator()(Value x) const = 0;
};
template <>
Registry<Regularizer>& registry<Regularizer>();

// Immutable. Applied to a weight after each update of it.
class WeightConstraint : public Configurable<WeightConstraint> {
 public:
  virtual Value operator()(Value weight) const = 0;
};
template <>
Registry<WeightConstraint>& registry<WeightConstraint>();

}  // namespace nacre
