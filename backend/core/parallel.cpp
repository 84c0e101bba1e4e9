#include "backend/core/parallel.h"

#include <atomic>

#include "backend/core/lone_thread.h"
#include "backend/core/processors.h"

namespace nacre {

namespace {
constinit std::atomic<int> chosen{0};
constinit thread_local bool lone = false;
}  // namespace

void set_threads(int count) {
  chosen = std::max(count, 0);
#ifdef _OPENMP
  omp_set_num_threads(threads());
#endif
}

int threads() {
  if (lone) return 1;
  if (const int count = chosen.load(std::memory_order_relaxed)) return count;
  static const int usual = default_threads();
  return usual;
}

LoneThread::LoneThread() : before_(lone) { lone = true; }
LoneThread::~LoneThread() { lone = before_; }

}  // namespace nacre
