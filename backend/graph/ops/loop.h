// A loop that goes on as long as a condition holds.
#pragma once

#include <functional>

#include "backend/graph/graph.h"

namespace nacre {

// Condition and body are graphs of their own with inputs "carry0"… and "fixed0"…. The condition has one output, a bool
// scalar; the body has outputs "carry0"…, of the types of the inputs. Neither has variables.
struct LoopAttrs {
  Subgraph condition, body;
  std::int64_t carries = 0;           // the remaining operands are fixed ones
  std::int64_t most_steps = unknown;  // after which it ends in any case; unknown: it does not
  bool operator==(const LoopAttrs&) const = default;
  static void describe(auto&& field) {
    field("condition", &LoopAttrs::condition, "whether there is another step");
    field("body", &LoopAttrs::body, "one step");
    field("carries", &LoopAttrs::carries, "values handed from step to step");
    field("most_steps", &LoopAttrs::most_steps, "after which it ends in any case; -1: it does not");
  }
};

namespace op {
// (carries, fixed) → final carries, the number of steps (int32 scalar), then, where there is a most of steps, the
// carries as they came into each step stacked on a new first axis of that length, zeros behind the last step (the
// residuals that the gradient needs). The gradient is a scan over those, backwards, that makes as many steps and
// computes each again. A loop of any number of steps has none: there an Error says so.
extern const OpDef<LoopAttrs> loop;
}  // namespace op

namespace ops {
struct Looped {
  Values carries;
  Value steps;
};
// Each emits its results into the graph that it is given.
using LoopCondition = std::function<Value(Graph& graph, const Values& carries, const Values& fixed)>;
using LoopBody = std::function<Values(Graph& graph, const Values& carries, const Values& fixed)>;
// There is at least one carry.
Looped loop(const Values& carries, const Values& fixed, const LoopCondition& condition, const LoopBody& body,
            std::int64_t most_steps = unknown);
}  // namespace ops

}  // namespace nacre
