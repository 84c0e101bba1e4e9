#include "backend/core/parallel.h"

#include <atomic>
#include <thread>

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
#ifdef _OPENMP
  return omp_get_num_procs();
#else
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
#endif
}

}  // namespace nacre
