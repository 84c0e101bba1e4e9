// A step that several processes compute together, each on its part of the batch.
#pragma once

#include "backend/graph/ops/all_reduce.h"

namespace nacre {

// What a process has of a batch.
struct Share {
  CollectiveRef processes{};  // null: all of it, there are no others
  std::int64_t samples = 0;  // that count here; 0 where there are fewer than processes, and one is computed for nothing
  std::int64_t whole = 0;    // of all processes
  bool operator==(const Share&) const = default;

  // How much a mean over this part counts in the mean over the whole.
  double fraction() const { return static_cast<double>(samples) / static_cast<double>(whole); }
};

// What a graph sums over the processes, in the order in which it is emitted.
class Exchange {
 public:
  // Goes on after what was emitted into the graph before.
  Exchange(const Graph& graph, const Share& share);

  const Share& share() const { return share_; }
  // Of values of floating types, in few exchanges of at least float32.
  Values sum(const Values& values);
  // A count that this process contributes to, and what a mean over its part is multiplied with where it was not divided
  // by the part's own count but by the whole's: both numbers of the formula of a mean that all processes share.
  Value sum_of_counts(Value count);
  double times() const;

 private:
  Share share_;
  Value latest_;  // of the last exchange; null: there was none
};

}  // namespace nacre
