// Pictures read where a projection puts their elements: what layers that move elements and the operations share.
#pragma once

#include "backend/graph/ops/resample.h"

namespace nacre {

// Where an element of the result comes from: column x' = (a0·x + a1·y + a2) / (c0·x + c1·y + c2), row y' likewise with
// b. Numbers per picture, (batch or 1, 1, 1, 1).
struct Projection {
  Value a0, a1, a2, b0, b1, b2;
  Value c0{}, c1{}, c2{};  // null: affine, the denominator is 1
};

// The pictures at places (rows, columns), each (batch or 1, height, width, 1).
Value read_at(Value pictures, Value rows, Value columns, const ResampleAttrs& attrs);

Value projected(Value pictures, const Projection& p, const ResampleAttrs& attrs);

}  // namespace nacre
