// The second half of compilation: where the bytes of every value lie.
#pragma once

#include "backend/compile/schedule.h"

namespace nacre::compile {

struct MemoryPlan {
  std::vector<std::size_t> offsets;  // of temporary storages in the arena, of persistent ones in their block
  std::vector<std::size_t> scratch;  // of each step, in the arena
  std::size_t arena_bytes = 0, persistent_bytes = 0;
  std::vector<std::vector<char>> prologue;  // [step][slot]: the step must run again when that variable has changed
};

// Writes results into the memory of outputs and variables where that is possible, adding copies to the schedule where
// it is not; lets outputs of kernels take the place of dying inputs; packs the rest.
MemoryPlan plan_memory(Schedule& schedule, const Backend& backend);

}  // namespace nacre::compile
