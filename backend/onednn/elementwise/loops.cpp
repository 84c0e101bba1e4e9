#include "backend/onednn/elementwise/loops.h"

namespace nacre::onednn {

int runnable_loops(const Loops* (&list)[3]) {
  int count = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    list[count++] = &loops_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) list[count++] = &loops_avx2;
#endif
  list[count++] = &loops_baseline;
  return count;
}

const Loops& loops() {
  static const Loops& best = []() -> const Loops& {
    const Loops* list[3];
    runnable_loops(list);
    return *list[0];
  }();
  return best;
}

}  // namespace nacre::onednn
