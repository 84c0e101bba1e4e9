// The order in which a graph is computed.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

namespace op {
extern const OpDef<NoAttributes> after;  // the first operand, once the second has been computed
}  // namespace op

namespace ops {
// x, but nothing computed from it comes before `earlier`, nor is it taken for what is computed from x itself.
Value after(Value x, Value earlier);
}  // namespace ops

}  // namespace nacre
