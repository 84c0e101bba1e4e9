// Loops over several threads. Without OpenMP everything runs on the caller.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace nacre {

// The number of threads that kernels use; 0 restores the default (core/processors.h). Set it before compiling graphs.
void set_threads(int count);
int threads();

// How many parts of that size a whole has, the last of which may be smaller.
constexpr std::int64_t divide_up(std::int64_t whole, std::int64_t part) { return (whole + part - 1) / part; }

// Calls body(begin, end) on disjoint ranges that cover [0, count). Ranges depend only on count, grain and
// threads(), so sums taken per range are reproducible. `grain` is the least work worth a thread. What the body throws
// reaches the caller when all ranges are done; of several exceptions one.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, Body&& body) {
  const std::int64_t parts = std::min<std::int64_t>(threads(), count / std::max<std::int64_t>(grain, 1));
  if (parts <= 1) {
    if (count > 0) body(std::int64_t{0}, count);
    return;
  }
#ifdef _OPENMP
  const int team = static_cast<int>(parts);
  std::exception_ptr failure;
#pragma omp parallel for num_threads(team) schedule(static, 1)
  for (std::int64_t part = 0; part < parts; ++part) try {
      body(count * part / parts, count * (part + 1) / parts);
    } catch (...) {
#pragma omp critical(nacre_parallel_failure)
      failure = std::current_exception();
    }
  if (failure) std::rethrow_exception(failure);
#else
  for (std::int64_t part = 0; part < parts; ++part) body(count * part / parts, count * (part + 1) / parts);
#endif
}

// Where threads that work together wait until all have come. Steps between two meetings may take a microsecond, so
// those that wait look for a while before they sleep.
class Meeting {
 public:
  // `met`: how many have come to all meetings so far, `parts` to each, in the caller's own count.
  void wait(std::uint32_t& met, int parts) {
    met += static_cast<std::uint32_t>(parts);
    if (come_.fetch_add(1) + 1 != met) return wait_for(met, parts);
    if (sleeping_ > 0) wake();
  }

 private:
  bool all_here(std::uint32_t count) const {  // counts go round
    return static_cast<std::int32_t>(come_.load(std::memory_order_acquire) - count) >= 0;
  }
  void wait_for(std::uint32_t count, int parts);
  void wake();
  std::atomic<std::uint32_t> come_{0};
  std::atomic<int> sleeping_{0};
};

// Threads that work together on steps which follow each other. body(part, parts, barrier) runs once for each part, all
// parts at the same time; barrier() lets none go on before all have come. There may be fewer parts than asked for. The
// body must not throw: the others would wait for it.
template <class Body>
void parallel_team([[maybe_unused]] int parts, Body&& body) {
#ifdef _OPENMP
  if (parts > 1) {
    Meeting meeting;
#pragma omp parallel num_threads(parts)
    {
      std::uint32_t met = 0;
      const int team = omp_get_num_threads();
      body(omp_get_thread_num(), team, [&] { meeting.wait(met, team); });
    }
    return;
  }
#endif
  body(0, 1, [] {});
}

}  // namespace nacre
