#include "backend/onednn/attention/rows.h"

namespace nacre::onednn {

const AttentionRows& attention_rows() {
  return beside(loops(), rows_baseline, rows_avx2, rows_avx512);
}

}  // namespace nacre::onednn
