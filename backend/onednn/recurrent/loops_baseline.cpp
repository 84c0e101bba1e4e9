#include "backend/onednn/recurrent/loops_body.h"

constinit const nacre::onednn::RecurrentLoops nacre::onednn::recurrent_loops_baseline =
    nacre::onednn::make_recurrent_loops<4, 2>();
