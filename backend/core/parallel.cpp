#include "backend/core/parallel.h"

#include <atomic>

#include "backend/core/processors.h"

namespace nacre {

namespace {
constinit std::atomic<int> chosen{0};
}

void set_threads(int count) {
  chosen = std::max(count, 0);
#ifdef _OPENMP
  omp_set_num_threads(threads());
#endif
}

int threads() {
  if (const int count = chosen.load(std::memory_order_relaxed)) return count;
  static const int usual = default_threads();
  return usual;
}

}  // namespace nacre
