// Loops over several threads. Without OpenMP everything runs on the caller.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace nacre {

// The number of threads that kernels use; 0 restores the default (core/processors.h). Set it before compiling graphs.
void set_threads(int count);
int threads();

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

// Threads that work together on steps which follow each other. body(part, parts, barrier) runs once for each part, all
// parts at the same time; barrier() lets none go on before all have come. There may be fewer parts than asked for. The
// body must not throw: the others would wait for it.
template <class Body>
void parallel_team([[maybe_unused]] int parts, Body&& body) {
#ifdef _OPENMP
  if (parts > 1) {
#pragma omp parallel num_threads(parts)
    body(omp_get_thread_num(), omp_get_num_threads(), [] {
#pragma omp barrier
    });
    return;
  }
#endif
  body(0, 1, [] {});
}

}  // namespace nacre
