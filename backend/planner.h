// Packs buffers with known lifetimes into one arena.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace nacre {

struct PlannedBuffer {
  std::size_t bytes = 0;
  int first = 0, last = 0;  // steps at which it is written first and needed last, inclusive
  std::size_t offset = 0;   // set by plan_arena, a multiple of buffer_alignment
};

// Sets the offsets so that buffers that live at the same time do not overlap; returns the size of the arena.
// Greedy by size: Pisarchyk and Lee, "Efficient memory management for deep neural net inference" (2020).
std::size_t plan_arena(std::span<PlannedBuffer> buffers);

}  // namespace nacre
