#include "backend/onednn/recurrent/loops.h"

#include "backend/onednn/elementwise/loops.h"
#include "backend/onednn/kernels.h"

namespace nacre::onednn {

const RecurrentLoops& recurrent_loops() {
  const Loops* best = &loops();
  return best == &loops_avx512 ? recurrent_loops_avx512
         : best == &loops_avx2 ? recurrent_loops_avx2
                               : recurrent_loops_baseline;
}

NarrowProduct narrow_product() {
  const bool runs = &loops() == &loops_avx512 && has_instructions(DType::bfloat16);
  return runs ? narrow_product_avx512_bf16 : nullptr;
}

}  // namespace nacre::onednn
