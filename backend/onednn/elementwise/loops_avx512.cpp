#include "backend/onednn/elementwise/loops_body.h"

constinit const nacre::onednn::Loops nacre::onednn::loops_avx512 = nacre::onednn::make_loops("avx512");
