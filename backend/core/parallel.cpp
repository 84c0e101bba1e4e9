#include "backend/core/parallel.h"

#include <limits>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

void Meeting::wait_for(std::uint32_t count, [[maybe_unused]] int parts) {
  int looks = 20000;  // longer than a thread takes to wake up: else all would sleep at every meeting once one has
#ifdef _OPENMP
  if (parts > omp_get_num_procs()) looks = 0;  // a thread that looks keeps another from coming
#endif
  for (; looks > 0; --looks) {
    if (all_here(count)) return;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  ++sleeping_;
  for (std::uint32_t seen = come_; static_cast<std::int32_t>(seen - count) < 0; seen = come_)
#if defined(__linux__)  // std::atomic's wait gives its processor away a few times first, for whole slices of time
    syscall(SYS_futex, &come_, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
#else
    come_.wait(seen);
#endif
  --sleeping_;
}

void Meeting::wake() {
#if defined(__linux__)
  syscall(SYS_futex, &come_, FUTEX_WAKE_PRIVATE, std::numeric_limits<int>::max(), nullptr, nullptr, 0);
#else
  come_.notify_all();
#endif
}

LoneThread::LoneThread() : before_(lone) { lone = true; }
LoneThread::~LoneThread() { lone = before_; }

}  // namespace nacre
