#include "backend/onednn/winograd/loops.h"

#include "backend/onednn/elementwise/loops.h"

namespace nacre::onednn {

const WinogradLoops& winograd_loops() {
  const Loops* best = &loops();
  return best == &loops_avx512 ? winograd_avx512 : best == &loops_avx2 ? winograd_avx2 : winograd_baseline;
}

}  // namespace nacre::onednn
