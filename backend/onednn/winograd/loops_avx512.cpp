#include "backend/onednn/winograd/loops_body.h"

constinit const nacre::onednn::WinogradLoops nacre::onednn::winograd_avx512 = nacre::onednn::winograd_loops_here;
