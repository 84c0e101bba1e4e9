#include "backend/onednn/batch_norm/loops.h"

#include "backend/onednn/elementwise/loops.h"

namespace nacre::onednn {

const BatchNormLoops& batch_norm_loops(bool bfloat16) {
  return beside(loops(), batch_norm_baseline, batch_norm_avx2, batch_norm_avx512)[bfloat16 ? 1 : 0];
}

}  // namespace nacre::onednn
