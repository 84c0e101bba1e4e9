#include "backend/onednn/convolution/loops.h"

#include "backend/onednn/elementwise/loops.h"

namespace nacre::onednn {

const ConvolutionLoops& convolution_loops() {
  return beside(loops(), convolution_baseline, convolution_avx2, convolution_avx512);
}

}  // namespace nacre::onednn
