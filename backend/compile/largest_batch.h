// What would have fitted, for the error that says what does not.
#pragma once

#include "backend/backend.h"

namespace nacre::compile {

// About the largest batch for whose intermediate values the backend has memory, where it has none for those of `batch`,
// `bytes` in all. Each that is tried is taken for a moment. 0: not even a batch of one.
std::int64_t largest_batch(const Backend& backend, std::int64_t batch, std::size_t bytes);

}  // namespace nacre::compile
