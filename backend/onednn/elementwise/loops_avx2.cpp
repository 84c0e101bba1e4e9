#include "backend/onednn/elementwise/loops_body.h"

constinit const nacre::onednn::Loops nacre::onednn::loops_avx2 = nacre::onednn::make_loops("avx2");
