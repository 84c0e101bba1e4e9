#include "backend/onednn/attention/rows.h"

namespace nacre::onednn {

const AttentionRows& attention_rows() {
  return &loops() == &loops_avx512 ? rows_avx512 : &loops() == &loops_avx2 ? rows_avx2 : rows_baseline;
}

}  // namespace nacre::onednn
