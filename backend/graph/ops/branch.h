// One of several computations, chosen while the graph runs.
#pragma once

#include <functional>

#include "backend/graph/graph.h"

namespace nacre {

// Each body is a graph of its own with inputs "in0"…, one per operand after the choice, and outputs "out0"…, of the
// same types in all bodies. Bodies have no variables.
struct BranchAttrs {
  std::vector<Subgraph> bodies;
  bool operator==(const BranchAttrs&) const = default;
  static void describe(auto&& field) { field("bodies", &BranchAttrs::bodies, "of which one runs"); }
};

namespace op {
// (choice int32 scalar, operands) → what bodies[choice] makes of the operands; the last one for any number beyond them.
// Nothing else is computed. The gradient is a branch whose bodies compute the chosen one again.
extern const OpDef<BranchAttrs> branch;
}  // namespace op

namespace ops {
// Each body emits its results into the graph that it is given.
using BranchBody = std::function<Values(Graph& graph, const Values& operands)>;
Values branch(Value choice, const Values& operands, const std::vector<BranchBody>& bodies);
}  // namespace ops

}  // namespace nacre
