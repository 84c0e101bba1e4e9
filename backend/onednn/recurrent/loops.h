// What recurrent layers spend their time in between the large products: the small product of each step and the cells,
// compiled for several instruction sets as the loops of elementwise/ are.
#pragma once

#include <cstdint>

namespace nacre::onednn {

// Gates and their gradients lie `stride` floats apart: gate g of a unit at gates[g * stride + unit]. The cells replace
// what enters the activations by their values. `count` units are computed; all arrays begin at the first of them.
struct RecurrentLoops {
  std::int64_t panel;  // columns that `product` computes at once; the second operand is packed in panels of so many

  // y (rows, columns) += a (rows, depth) · b for one panel, b (depth, panel). Rows of a and y are lda and ldy apart.
  void (*product)(const float* a, std::int64_t lda, std::int64_t rows, std::int64_t depth, const float* b, float* y,
                  std::int64_t ldy, std::int64_t columns);

  void (*simple)(float* gates, float* h, std::int64_t count);
  void (*simple_backward)(const float* gates, const float* dh, float* dgates, float* dbias, std::int64_t count);

  // Gates i f c o; c is the memory before and after.
  void (*lstm)(float* gates, std::int64_t stride, float* c, float* h, std::int64_t count);
  // dc is the gradient of the memory after and before.
  void (*lstm_backward)(const float* gates, std::int64_t stride, const float* c, const float* before, const float* dh,
                        float* dc, float* dgates, std::int64_t dstride, float* dbias, std::int64_t count);

  // Gates z r h. The first part gives reset = r · h, of which the product for the candidate is made.
  void (*gru_reset)(float* gates, std::int64_t stride, const float* h, float* reset, std::int64_t count);
  void (*gru)(float* gates, std::int64_t stride, float* h, std::int64_t count);
  // dh becomes that part of the state's gradient which passes by the gates. The second part takes that of reset and
  // makes it its part of dh.
  void (*gru_backward)(const float* gates, std::int64_t stride, const float* before, float* dh, float* dgates,
                       std::int64_t dstride, float* dbias, std::int64_t count);
  void (*gru_reset_backward)(const float* gates, std::int64_t stride, const float* before, const float* dreset,
                             float* reset, float* dh, float* dgates, std::int64_t dstride, float* dbias,
                             std::int64_t count);

  // inner: the state's product for the candidate, which r multiplies.
  void (*gru_after)(float* gates, std::int64_t stride, const float* inner, float* h, std::int64_t count);
  void (*gru_after_backward)(const float* gates, std::int64_t stride, const float* inner, const float* before,
                             float* dh, float* dgates, std::int64_t dstride, float* dinner, float* dbias,
                             std::int64_t bias_stride, std::int64_t count);
};

// For this machine's instruction set.
const RecurrentLoops& recurrent_loops();

extern const RecurrentLoops recurrent_loops_baseline, recurrent_loops_avx2, recurrent_loops_avx512;

}  // namespace nacre::onednn
