#include "backend/onednn/elementwise/loops.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace nacre::onednn {

namespace {

std::uint32_t features_of_this_machine() {
  std::uint32_t features = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2")) features |= avx2;
  if (__builtin_cpu_supports("fma")) features |= fma;
  // Not every compiler's __builtin_cpu_supports knows it.
  unsigned int a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C)) features |= f16c;
  if (__builtin_cpu_supports("avx512f")) features |= avx512f;
  if (__builtin_cpu_supports("avx512dq")) features |= avx512dq;
  if (__builtin_cpu_supports("avx512bw")) features |= avx512bw;
  if (__builtin_cpu_supports("avx512vl")) features |= avx512vl;
#endif
  return features;
}

}  // namespace

int runnable_loops([[maybe_unused]] std::uint32_t features, const Loops* (&list)[3]) {
  int count = 0;
#if defined(__x86_64__)
  if ((loops_avx512.features & ~features) == 0) list[count++] = &loops_avx512;
  if ((loops_avx2.features & ~features) == 0) list[count++] = &loops_avx2;
#endif
  list[count++] = &loops_baseline;
  return count;
}

int runnable_loops(const Loops* (&list)[3]) { return runnable_loops(features_of_this_machine(), list); }

const Loops& loops() {
  static const Loops& best = []() -> const Loops& {
    const Loops* list[3];
    runnable_loops(list);
    return *list[0];
  }();
  return best;
}

}  // namespace nacre::onednn
