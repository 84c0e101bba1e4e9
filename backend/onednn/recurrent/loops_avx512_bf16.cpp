#include "backend/onednn/recurrent/loops.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

#include "backend/onednn/recurrent/product_body.h"

namespace nacre::onednn {

namespace {

// Pairs of neighbours along the depth.
struct Pairs {
  using Element = std::uint16_t;
  using Vector = VectorOf<16>::Type;
  using Operand = __m512i;
  using Factor = __m512i;
  static constexpr std::int64_t depth = 2;
  static Operand operand(const Element* b) { return _mm512_loadu_si512(b); }
  static Factor factor(const Element* a) {
    int pair;
    __builtin_memcpy(&pair, a, sizeof pair);
    return _mm512_set1_epi32(pair);
  }
  static Vector add(Vector sum, Factor factor, Operand b) {
    return reinterpret_cast<Vector>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum), reinterpret_cast<__m512bh>(factor),
                                                     reinterpret_cast<__m512bh>(b)));
  }
};

}  // namespace

}  // namespace nacre::onednn

constinit const nacre::onednn::NarrowProduct nacre::onednn::narrow_product_avx512_bf16 =
    nacre::onednn::product<nacre::onednn::Pairs, 16, 6>;
#else
constinit const nacre::onednn::NarrowProduct nacre::onednn::narrow_product_avx512_bf16 = nullptr;
#endif
