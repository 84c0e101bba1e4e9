#include "backend/planner.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "backend/discarded.h"

namespace nacre {

std::size_t plan_arena(std::span<PlannedBuffer> buffers) {
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return buffers[a].bytes > buffers[b].bytes; });

  std::size_t arena = 0;
  std::vector<const PlannedBuffer*> placed;  // by offset
  for (const std::size_t index : order) {
    PlannedBuffer& buffer = buffers[index];
    buffer.offset = 0;
    if (buffer.bytes == 0) continue;

    // The smallest gap that fits between the buffers that live at the same time, else the place after the last one.
    std::size_t free_from = 0, best_gap = std::numeric_limits<std::size_t>::max(), best = 0;
    for (const PlannedBuffer* other : placed) {
      if (other->last < buffer.first || buffer.last < other->first) continue;
      if (other->offset >= free_from + buffer.bytes && other->offset - free_from < best_gap) {
        best_gap = other->offset - free_from;
        best = free_from;
      }
      free_from = std::max(free_from, other->offset + aligned(other->bytes));
    }
    buffer.offset = best_gap == std::numeric_limits<std::size_t>::max() ? free_from : best;
    arena = std::max(arena, buffer.offset + aligned(buffer.bytes));
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), &buffer,
                         [](const PlannedBuffer* a, const PlannedBuffer* b) { return a->offset < b->offset; }),
        &buffer);
  }
  return arena;
}

}  // namespace nacre
