#include "backend/onednn/batch_norm/loops.h"

#include "backend/onednn/elementwise/loops.h"

namespace nacre::onednn {

const BatchNormLoops& batch_norm_loops(bool bfloat16) {
  const Loops* best = &loops();
  return (best == &loops_avx512 ? batch_norm_avx512
          : best == &loops_avx2 ? batch_norm_avx2
                                : batch_norm_baseline)[bfloat16 ? 1 : 0];
}

}  // namespace nacre::onednn
