#include "backend/onednn/recurrent/loops_body.h"

constinit const nacre::onednn::RecurrentLoops nacre::onednn::recurrent_loops_avx512 =
    nacre::onednn::make_recurrent_loops<16, 6>();
