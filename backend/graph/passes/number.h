// Constants that passes look into.
#pragma once

#include <optional>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"

namespace nacre {

// The number that fills a value, when it is one constant, broadcast or not.
inline std::optional<double> number(Value value) {
  while (value.is(op::broadcast_to) || value.is(op::broadcast_like)) value = value.node().in(0);
  if (!value.is(op::constant) || value.shape().elements() != 1) return {};
  return value.node().attrs<ConstantAttrs>().value.item();
}

// The operand beside a number, of an op that commutes.
struct WithNumber {
  Value x;
  double number;
};
inline std::optional<WithNumber> with_number(Value value, const Op& op) {
  if (!value.is(op)) return {};
  const Value a = value.node().in(0), b = value.node().in(1);
  if (const auto found = number(b)) return WithNumber{a, *found};
  if (const auto found = number(a)) return WithNumber{b, *found};
  return {};
}

// min(max(x, low), high), the inner value used nowhere else.
struct Clipped {
  Value x;
  double low, high;
};
inline std::optional<Clipped> clipped(Value value) {
  const auto outer = with_number(value, op::minimum);
  if (!outer || outer->x.uses() != 1) return {};
  const auto inner = with_number(outer->x, op::maximum);
  if (!inner || inner->number > outer->number || inner->x.type() != value.type()) return {};
  return Clipped{inner->x, inner->number, outer->number};
}

}  // namespace nacre
