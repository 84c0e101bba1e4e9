#include "backend/onednn/convolution/loops.h"

#include "backend/onednn/elementwise/loops.h"

namespace nacre::onednn {

const ConvolutionLoops& convolution_loops() {
  const Loops* best = &loops();
  return best == &loops_avx512 ? convolution_avx512 : best == &loops_avx2 ? convolution_avx2 : convolution_baseline;
}

}  // namespace nacre::onednn
