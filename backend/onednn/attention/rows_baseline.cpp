#include "backend/onednn/attention/rows_body.h"

constinit const nacre::onednn::AttentionRows nacre::onednn::rows_baseline = nacre::onednn::make_rows();
