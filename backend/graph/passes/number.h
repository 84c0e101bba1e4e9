// Constants that passes look into.
#pragma once

#include <optional>

#include "backend/graph/ops/shape.h"

namespace nacre {

// The number that fills a value, when it is one constant, broadcast or not.
inline std::optional<double> number(Value value) {
  while (value.is(op::broadcast_to) || value.is(op::broadcast_like)) value = value.node().in(0);
  if (!value.is(op::constant) || value.shape().elements() != 1) return {};
  return value.node().attrs<ConstantAttrs>().value.item();
}

}  // namespace nacre
