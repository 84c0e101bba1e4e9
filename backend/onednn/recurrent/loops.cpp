#include "backend/onednn/recurrent/loops.h"

#include "backend/onednn/elementwise/loops.h"

namespace nacre::onednn {

const RecurrentLoops& recurrent_loops() {
  const Loops* best = &loops();
  return best == &loops_avx512 ? recurrent_loops_avx512
         : best == &loops_avx2 ? recurrent_loops_avx2
                               : recurrent_loops_baseline;
}

}  // namespace nacre::onednn
