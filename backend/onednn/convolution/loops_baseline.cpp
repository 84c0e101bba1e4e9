#include "backend/onednn/convolution/loops_body.h"

constinit const nacre::onednn::ConvolutionLoops nacre::onednn::convolution_baseline =
    nacre::onednn::convolution_loops_here;
