#include "backend/onednn/batch_norm/loops_body.h"

constinit const nacre::onednn::BatchNormLoops nacre::onednn::batch_norm_avx2[2] = {
    nacre::onednn::make_batch_norm_loops<float>(), nacre::onednn::make_batch_norm_loops<nacre::onednn::Bfloat16>()};
