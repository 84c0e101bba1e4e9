#include "backend/onednn/elementwise/loops_body.h"

constinit const nacre::onednn::Loops nacre::onednn::loops_baseline = nacre::onednn::make_loops("baseline");
