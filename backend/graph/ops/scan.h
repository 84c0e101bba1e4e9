// A loop over the first axis of sequences.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

// The body is a graph of its own with inputs "carry0…", "item0…" (one element of each sequence) and "fixed0…", and
// outputs "carry0…" and "item0…".
struct ScanAttrs {
  Subgraph body;
  std::int64_t carries = 0, sequences = 0;  // the remaining operands are fixed ones
  bool reverse = false;                     // from the last element to the first; results keep their places
  bool counted = false;                     // the last operand of all, an int32 scalar, says how many elements count
  bool operator==(const ScanAttrs&) const = default;
  static void describe(auto&& field) {
    field("body", &ScanAttrs::body, "one step");
    field("carries", &ScanAttrs::carries, "values handed from step to step");
    field("sequences", &ScanAttrs::sequences, "operands walked along their first axis");
    field("reverse", &ScanAttrs::reverse, "from the last to the first");
    field("counted", &ScanAttrs::counted, "whether the last operand says how many elements count");
  }
};

namespace op {
// (carries, sequences, fixed, count if counted) → final carries, then the items of each step stacked on a new first axis,
// then the carries as they came into each step, stacked likewise (the residuals that the gradient needs). No step is made
// for elements beyond the count; what is stacked has zeros in their places.
// The gradient is a scan in the other direction whose body recomputes the step; those of the fixed operands are summed in
// carries. Integers have none. There is at least one sequence: it tells the number of steps.
extern const OpDef<ScanAttrs> scan;
}

namespace ops {
struct Scanned {
  Values carries, items;
};
// `step(graph, carries, items, fixed)` emits one step into the body's graph and returns the new carries, of the types of
// the present ones, and the items. Variables that it reads become fixed operands; it updates none. `count`: how many
// elements there are steps for; null: all.
struct ScanStep {
  Values carries, items;
};
template <class Step>
Scanned scan(Values carries, Values sequences, Values fixed, bool reverse, Step&& step, Value count = {});

// Pieces of the template above.
struct ScanBody {
  std::shared_ptr<Graph> graph;
  Values carries, items, fixed;  // its inputs
};
ScanBody open_scan_body(const Values& carries, const Values& sequences, const Values& fixed);
Scanned close_scan(ScanBody body, const ScanStep& result, const Values& carries, const Values& sequences, const Values& fixed,
                   bool reverse, Value count);

template <class Step>
Scanned scan(Values carries, Values sequences, Values fixed, bool reverse, Step&& step, Value count) {
  ScanBody body = open_scan_body(carries, sequences, fixed);
  const ScanStep result = step(*body.graph, body.carries, body.items, body.fixed);
  return close_scan(std::move(body), result, carries, sequences, fixed, reverse, count);
}
}  // namespace ops

// Steps that were made one after the other, for the gradient rules of loops.
struct StepsMade {
  const Graph& body;  // inputs: carries, items of sequences, fixed ones; outputs: carries, items
  std::size_t carries = 0, sequences = 0;
  bool reverse = false;
  Value count{};      // of elements; null: all
  Values operands{};  // carries, sequences, fixed ones
  Values arrived{};   // the carries as they came into each step, stacked
  std::string label{};
};
// The gradients of the operands, by steps in the other direction, each of which is computed again on the way. Cotangents:
// of the final carries, of the stacked items, of `arrived`.
Gradients gradients_of_steps(const StepsMade& steps, const Cotangents& d);

}  // namespace nacre
