// Products of matrices that fit the cache of one core.
#pragma once

#include "backend/onednn/engine.h"

namespace nacre::onednn {

// c (m, n) = a (m, k) · b (k, n), or c += …; dense and row-major, c in float32. Made and run for one thread, so that
// several threads run one each.
class TileProduct {
 public:
  struct Form {
    std::int64_t m, n, k;
    bool transpose_a = false, transpose_b = false;  // a is stored (k, m), b is stored (n, k)
    bool accumulate = false;
  };
  TileProduct(const Form& form, DType dtype);  // of a and b
  // Whether oneDNN computes with this dtype here.
  static bool implemented(DType dtype);

  std::size_t scratch_bytes() const { return scratch_bytes_; }
  // Not from two threads at a time.
  void operator()(const void* a, const void* b, float* c, void* scratch);

 private:
  dnnl::primitive primitive_;
  dnnl::memory a_, b_, c_, scratch_;
  std::size_t scratch_bytes_;
};

}  // namespace nacre::onednn
