// Softmax and its logarithm over one axis.
#pragma once

#include "backend/graph/ops/shape.h"

namespace nacre {

namespace op {
extern const OpDef<AxisAttrs> softmax;               // y = exp(x) / Σ exp(x)
extern const OpDef<AxisAttrs> log_softmax;           // y = x - log Σ exp(x)
extern const OpDef<AxisAttrs> softmax_backward;      // (y, dy) → dx
extern const OpDef<AxisAttrs> log_softmax_backward;  // (y, dy) → dx
}  // namespace op

namespace ops {
Value softmax(Value x, int axis = -1);
Value log_softmax(Value x, int axis = -1);
}  // namespace ops

}  // namespace nacre
