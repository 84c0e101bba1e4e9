// What recurrent layers spend their time in between the large products: the small product of each step and the cells,
// compiled for several instruction sets as the loops of elementwise/ are.
#pragma once

#include <cstdint>

namespace nacre::onednn {

// What a panel stands for: four vectors of columns. In the first row vector i begins at at[i] and is added to what lies
// at from[i], which may be the same; it has count[i] columns, at most as many as a vector has lanes.
struct PanelColumns {
  float* at[4];
  const float* from[4];
  std::int64_t count[4];
};

// Gates and their gradients lie `stride` floats apart: gate g of a unit at gates[g * stride + unit]. The cells replace
// what enters the activations by their values. `count` units are computed; all arrays begin at the first of them.
struct RecurrentLoops {
  std::int64_t lanes;  // floats of a vector
  std::int64_t rows;   // that `product` is best at multiples of

  // y = from + a · b for one panel, whose columns lie side by side in b (depth, 4 · lanes). Rows of a, `from` and y are
  // lda, ldfrom and ldy apart.
  void (*product)(const float* a, std::int64_t lda, std::int64_t rows, std::int64_t depth, const float* b,
                  const PanelColumns& y, std::int64_t ldfrom, std::int64_t ldy);

  void (*simple)(float* gates, float* h, std::int64_t count);
  void (*simple_backward)(const float* gates, const float* dh, float* dgates, float* dbias, std::int64_t count);

  // Gates i f c o; c is the memory before and after.
  void (*lstm)(float* gates, std::int64_t stride, float* c, float* h, std::int64_t count);
  // The same for prediction: what enters the activations stays.
  void (*lstm_forgetful)(const float* gates, std::int64_t stride, float* c, float* h, std::int64_t count);
  // dc is the gradient of the memory after and before.
  void (*lstm_backward)(const float* gates, std::int64_t stride, const float* c, const float* before, const float* dh,
                        float* dc, float* dgates, std::int64_t dstride, float* dbias, std::int64_t count);

  // Gates z r h. The first part gives reset = r · h, of which the product for the candidate is made.
  void (*gru_reset)(float* gates, std::int64_t stride, const float* h, float* reset, std::int64_t count);
  // `before` is the state before.
  void (*gru)(float* gates, std::int64_t stride, const float* before, float* h, std::int64_t count);
  // dh becomes that part of the state's gradient which passes by the gates. The second part takes that of reset and
  // makes it its part of dh.
  void (*gru_backward)(const float* gates, std::int64_t stride, const float* before, float* dh, float* dgates,
                       std::int64_t dstride, float* dbias, std::int64_t count);
  void (*gru_reset_backward)(const float* gates, std::int64_t stride, const float* before, const float* dreset,
                             float* reset, float* dh, float* dgates, std::int64_t dstride, float* dbias,
                             std::int64_t count);

  // inner: the state's product for the candidate, which r multiplies.
  void (*gru_after)(float* gates, std::int64_t stride, const float* inner, const float* before, float* h,
                    std::int64_t count);
  void (*gru_after_backward)(const float* gates, std::int64_t stride, const float* inner, const float* before,
                             float* dh, float* dgates, std::int64_t dstride, float* dinner, float* dbias,
                             std::int64_t bias_stride, std::int64_t count);
};

// For this machine's instruction set.
const RecurrentLoops& recurrent_loops();

// The product of bfloat16 numbers, two at once, whose sums are floats. b (depth / 2, 4 · lanes, 2): its rows lie in
// pairs; depth is even. Lanes and rows are those of AVX-512. Null where the processor has no instruction for it, or
// oneDNN may not use that.
using NarrowProduct = void (*)(const std::uint16_t* a, std::int64_t lda, std::int64_t rows, std::int64_t depth,
                               const std::uint16_t* b, const PanelColumns& y, std::int64_t ldfrom, std::int64_t ldy);
NarrowProduct narrow_product();
extern const NarrowProduct narrow_product_avx512_bf16;

extern const RecurrentLoops recurrent_loops_baseline, recurrent_loops_avx2, recurrent_loops_avx512;

}  // namespace nacre::onednn
