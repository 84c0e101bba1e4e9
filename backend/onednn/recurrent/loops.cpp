#include "backend/onednn/recurrent/loops.h"

#include "backend/onednn/elementwise/loops.h"
#include "backend/onednn/kernels.h"

namespace nacre::onednn {

const RecurrentLoops& recurrent_loops() {
  return beside(loops(), recurrent_loops_baseline, recurrent_loops_avx2, recurrent_loops_avx512);
}

NarrowProduct narrow_product() {
  const bool runs = &loops() == &loops_avx512 && has_instructions(DType::bfloat16);
  return runs ? narrow_product_avx512_bf16 : nullptr;
}

}  // namespace nacre::onednn
