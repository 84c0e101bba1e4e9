#include "backend/compile/largest_batch.h"

namespace nacre::compile {

std::int64_t largest_batch(const Backend& backend, std::int64_t batch, std::size_t bytes) {
  const auto fits = [&](std::int64_t size) {
    try {
      backend.allocate(static_cast<std::size_t>(static_cast<double>(bytes) * static_cast<double>(size) /
                                                static_cast<double>(batch)));
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  std::int64_t fitting = 0, too_large = batch;
  while (too_large - fitting > 1) {
    const std::int64_t middle = fitting + (too_large - fitting) / 2;
    (fits(middle) ? fitting : too_large) = middle;
  }
  return fitting;
}

}  // namespace nacre::compile
