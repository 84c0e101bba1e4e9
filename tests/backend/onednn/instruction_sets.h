// The instruction sets that this machine runs.
#pragma once

#include <vector>

#include "backend/onednn/convolution/loops.h"
#include "backend/onednn/elementwise/loops.h"

namespace nacre::test {

inline std::vector<const onednn::ConvolutionLoops*> convolution_instruction_sets() {
  const onednn::Loops* runnable[3];
  std::vector<const onednn::ConvolutionLoops*> result;
  for (int i = 0, count = onednn::runnable_loops(runnable); i < count; ++i)
    result.push_back(&onednn::beside(*runnable[i], onednn::convolution_baseline, onednn::convolution_avx2,
                                     onednn::convolution_avx512));
  return result;
}

}  // namespace nacre::test
