// Sums over the processes that train together.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

class Collective;
using CollectiveRef = std::shared_ptr<Collective>;
std::string text_of(const CollectiveRef& collective);  // its rank, size and address

struct AllReduceAttrs {
  CollectiveRef collective;
  bool follows = false;
  bool operator==(const AllReduceAttrs&) const = default;
  static void describe(auto&& field) {
    field("collective", &AllReduceAttrs::collective, "the processes");
    field("follows", &AllReduceAttrs::follows, "the last operand is only waited for");
  }
};

namespace op {
// (values…, earlier) → each value summed over all processes, in one exchange. All are float32, or all float64. It goes on
// while other kernels run, until the first that reads a result. Each process must come to the same exchanges in the same order: `earlier`, a result of the one before, keeps two of a
// graph in theirs. Never folded, repeated or run ahead, whatever its operands are. It has no gradient: what is summed
// in a forward pass are counts, and gradients are summed once they are there.
extern const OpDef<AllReduceAttrs> all_reduce;
}  // namespace op

namespace ops {
// `earlier` may be null.
Values all_reduce(const CollectiveRef& collective, Values values, Value earlier = {});
}  // namespace ops

}  // namespace nacre
