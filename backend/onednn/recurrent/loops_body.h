// The loops themselves, for the instruction set that the including file is compiled for.
#include "backend/onednn/elementwise/math.h"
#include "backend/onednn/recurrent/loops.h"

namespace nacre::onednn {

namespace {

template <int lanes>
struct VectorOf {
  typedef float Type __attribute__((vector_size(lanes * sizeof(float)), aligned(sizeof(float)), may_alias));
};

// Sums of `rows` × 4 vectors stay in registers while the depth is walked.
template <int lanes, int rows>
void product_tile(const float* a, std::int64_t lda, std::int64_t depth, const float* b, const float* const* from,
                  std::int64_t ldfrom, float* const* y, std::int64_t ldy) {
  using Vector = typename VectorOf<lanes>::Type;
  Vector sums[rows][4];
#pragma GCC unroll 8
  for (int row = 0; row < rows; ++row)
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) sums[row][i] = *reinterpret_cast<const Vector*>(from[i] + row * ldfrom);
  for (std::int64_t k = 0; k < depth; ++k) {
    const float* line = b + k * 4 * lanes;
    const Vector b0 = *reinterpret_cast<const Vector*>(line), b1 = *reinterpret_cast<const Vector*>(line + lanes),
                 b2 = *reinterpret_cast<const Vector*>(line + 2 * lanes),
                 b3 = *reinterpret_cast<const Vector*>(line + 3 * lanes);
#pragma GCC unroll 8
    for (int row = 0; row < rows; ++row) {
      const float factor = a[row * lda + k];
      sums[row][0] += factor * b0;
      sums[row][1] += factor * b1;
      sums[row][2] += factor * b2;
      sums[row][3] += factor * b3;
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < rows; ++row)
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) *reinterpret_cast<Vector*>(y[i] + row * ldy) = sums[row][i];
}

template <int lanes, int most_rows>
void product_rows(const float* a, std::int64_t lda, std::int64_t rows, std::int64_t depth, const float* b,
                  const float* const* from, std::int64_t ldfrom, float* const* y, std::int64_t ldy) {
  const float* begin[4] = {from[0], from[1], from[2], from[3]};
  float* at[4] = {y[0], y[1], y[2], y[3]};
  while (rows >= most_rows) {
    product_tile<lanes, most_rows>(a, lda, depth, b, begin, ldfrom, at, ldy);
    a += most_rows * lda;
    for (const float*& vector : begin) vector += most_rows * ldfrom;
    for (float*& vector : at) vector += most_rows * ldy;
    rows -= most_rows;
  }
  if constexpr (most_rows > 1)
    if (rows > 0) product_rows<lanes, most_rows - 1>(a, lda, rows, depth, b, begin, ldfrom, at, ldy);
}

template <int lanes, int most_rows>
void product(const float* a, std::int64_t lda, std::int64_t rows, std::int64_t depth, const float* b,
             const PanelColumns& y, std::int64_t ldfrom, std::int64_t ldy) {
  constexpr std::int64_t panel = 4 * lanes;
  if (y.count[0] == lanes && y.count[1] == lanes && y.count[2] == lanes && y.count[3] == lanes)
    return product_rows<lanes, most_rows>(a, lda, rows, depth, b, y.from, ldfrom, y.at, ldy);
  float whole[most_rows * panel];
  float* const at[4] = {whole, whole + lanes, whole + 2 * lanes, whole + 3 * lanes};
  for (std::int64_t first = 0; first < rows; first += most_rows) {
    const std::int64_t some = rows - first < most_rows ? rows - first : most_rows;
    for (std::int64_t row = 0; row < some; ++row)
      for (int i = 0; i < 4; ++i)
        for (std::int64_t lane = 0; lane < lanes; ++lane)
          at[i][row * panel + lane] = lane < y.count[i] ? y.from[i][(first + row) * ldfrom + lane] : 0.0f;
    product_rows<lanes, most_rows>(a + first * lda, lda, some, depth, b, at, panel, at, panel);
    for (std::int64_t row = 0; row < some; ++row)
      for (int i = 0; i < 4; ++i)
        for (std::int64_t lane = 0; lane < y.count[i]; ++lane)
          y.at[i][(first + row) * ldy + lane] = at[i][row * panel + lane];
  }
}

// Gates as 1 / (1 + e⁻ˣ) and t / (t + 2) with t = e²ˣ - 1, so that their parts can be joined under one division. Bounds
// keep exponents in the range of normal numbers; NaN passes them.
inline Reduced reduce_gate(float x, float bound) {
  x = x > bound ? bound : x;
  return reduce_by_ln2(x < -bound ? -bound : x);
}
inline float divisor_of_sigmoid(float x) {
  const Reduced reduced = reduce_gate(-x, 87.0f);
  const float scale = power_of_two(reduced.n);
  return 1.0f + (scale + scale * expm1_reduced(reduced.r));
}
inline float sigmoid_gate(float x) { return 1.0f / divisor_of_sigmoid(x); }
struct TanhParts {
  float dividend, divisor;
};
inline TanhParts parts_of_tanh(float x) {
  const Reduced reduced = reduce_gate(2.0f * x, 20.0f);
  const float scale = power_of_two(reduced.n);
  const float t = (scale - 1.0f) + scale * expm1_reduced(reduced.r);
  return {t, t + 2.0f};
}
inline float tanh_gate(float x) {
  const TanhParts parts = parts_of_tanh(x);
  return parts.dividend / parts.divisor;
}

// Derivatives by what entered the activation, from its value.
inline float through_sigmoid(float dy, float y) { return dy * y * (1.0f - y); }
inline float through_tanh(float dy, float y) { return dy * (1.0f - y * y); }

inline void simple(float* gates, float* h, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) gates[i] = h[i] = tanh_gate(gates[i]);
}
inline void simple_backward(const float* gates, const float* dh, float* dgates, float* dbias, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float d = through_tanh(dh[i], gates[i]);
    dgates[i] = d;
    dbias[i] += d;
  }
}

inline void lstm(float* gates, std::int64_t stride, float* c, float* h, std::int64_t count) {
  float *in = gates, *forget = gates + stride, *candidate = gates + 2 * stride, *out = gates + 3 * stride;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float vi = sigmoid_gate(in[i]), vf = sigmoid_gate(forget[i]), vg = tanh_gate(candidate[i]),
                vo = sigmoid_gate(out[i]);
    const float memory = vf * c[i] + vi * vg;
    in[i] = vi;
    forget[i] = vf;
    candidate[i] = vg;
    out[i] = vo;
    c[i] = memory;
    h[i] = vo * tanh_gate(memory);
  }
}
inline void lstm_forgetful(const float* gates, std::int64_t stride, float* c, float* h, std::int64_t count) {
  const float *in = gates, *forget = gates + stride, *candidate = gates + 2 * stride, *out = gates + 3 * stride;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const TanhParts g = parts_of_tanh(candidate[i]);
    const float memory = sigmoid_gate(forget[i]) * c[i] + g.dividend / (g.divisor * divisor_of_sigmoid(in[i]));
    const TanhParts t = parts_of_tanh(memory);
    c[i] = memory;
    h[i] = t.dividend / (t.divisor * divisor_of_sigmoid(out[i]));
  }
}
inline void lstm_backward(const float* gates, std::int64_t stride, const float* c, const float* before, const float* dh,
                          float* dc, float* dgates, std::int64_t dstride, float* dbias, std::int64_t count) {
  const float *in = gates, *forget = gates + stride, *candidate = gates + 2 * stride, *out = gates + 3 * stride;
  float *din = dgates, *dforget = dgates + dstride, *dcandidate = dgates + 2 * dstride, *dout = dgates + 3 * dstride;
  float *bin = dbias, *bforget = dbias + stride, *bcandidate = dbias + 2 * stride, *bout = dbias + 3 * stride;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float vi = in[i], vf = forget[i], vg = candidate[i], vo = out[i], t = tanh_gate(c[i]);
    const float dmemory = dc[i] + through_tanh(dh[i] * vo, t);
    const float di = through_sigmoid(dmemory * vg, vi), df = through_sigmoid(dmemory * before[i], vf);
    const float dg = through_tanh(dmemory * vi, vg), d_o = through_sigmoid(dh[i] * t, vo);
    dc[i] = dmemory * vf;
    din[i] = di;
    dforget[i] = df;
    dcandidate[i] = dg;
    dout[i] = d_o;
    bin[i] += di;
    bforget[i] += df;
    bcandidate[i] += dg;
    bout[i] += d_o;
  }
}

inline void gru_reset(float* gates, std::int64_t stride, const float* h, float* reset, std::int64_t count) {
  float *update = gates, *keep = gates + stride;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float r = sigmoid_gate(keep[i]);
    update[i] = sigmoid_gate(update[i]);
    keep[i] = r;
    reset[i] = r * h[i];
  }
}
inline void gru(float* gates, std::int64_t stride, const float* before, float* h, std::int64_t count) {
  float *update = gates, *candidate = gates + 2 * stride;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = tanh_gate(candidate[i]), z = update[i];
    candidate[i] = g;
    h[i] = z * before[i] + (1.0f - z) * g;
  }
}
inline void gru_backward(const float* gates, std::int64_t stride, const float* before, float* dh, float* dgates,
                         std::int64_t dstride, float* dbias, std::int64_t count) {
  const float *update = gates, *candidate = gates + 2 * stride;
  float *dupdate = dgates, *dcandidate = dgates + 2 * dstride, *bupdate = dbias, *bcandidate = dbias + 2 * stride;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float z = update[i], g = candidate[i], d = dh[i];
    const float dz = through_sigmoid(d * (before[i] - g), z), dg = through_tanh(d * (1.0f - z), g);
    dupdate[i] = dz;
    dcandidate[i] = dg;
    bupdate[i] += dz;
    bcandidate[i] += dg;
    dh[i] = d * z;
  }
}
inline void gru_reset_backward(const float* gates, std::int64_t stride, const float* before, const float* dreset,
                               float* reset, float* dh, float* dgates, std::int64_t dstride, float* dbias,
                               std::int64_t count) {
  const float* keep = gates + stride;
  float *dkeep = dgates + dstride, *bkeep = dbias + stride;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float r = keep[i], dr = through_sigmoid(dreset[i] * before[i], r);
    dkeep[i] = dr;
    bkeep[i] += dr;
    reset[i] = r * before[i];
    dh[i] += dreset[i] * r;
  }
}

inline void gru_after(float* gates, std::int64_t stride, const float* inner, const float* before, float* h,
                      std::int64_t count) {
  float *update = gates, *keep = gates + stride, *candidate = gates + 2 * stride;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float z = sigmoid_gate(update[i]), r = sigmoid_gate(keep[i]), g = tanh_gate(candidate[i] + r * inner[i]);
    update[i] = z;
    keep[i] = r;
    candidate[i] = g;
    h[i] = z * before[i] + (1.0f - z) * g;
  }
}
inline void gru_after_backward(const float* gates, std::int64_t stride, const float* inner, const float* before,
                               float* dh, float* dgates, std::int64_t dstride, float* dinner, float* dbias,
                               std::int64_t bias_stride, std::int64_t count) {
  const float *update = gates, *keep = gates + stride, *candidate = gates + 2 * stride;
  float *dupdate = dgates, *dkeep = dgates + dstride, *dcandidate = dgates + 2 * dstride;
  float *bupdate = dbias, *bkeep = dbias + stride, *bcandidate = dbias + 2 * stride, *binner = dbias + bias_stride;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float z = update[i], r = keep[i], g = candidate[i], d = dh[i];
    const float dz = through_sigmoid(d * (before[i] - g), z), dg = through_tanh(d * (1.0f - z), g);
    const float dr = through_sigmoid(dg * inner[i], r), di = dg * r;
    dupdate[i] = dz;
    dkeep[i] = dr;
    dcandidate[i] = dg;
    dinner[i] = di;
    bupdate[i] += dz;
    bkeep[i] += dr;
    bcandidate[i] += dg;
    binner[i] += di;
    dh[i] = d * z;
  }
}

// lanes: floats of a vector; most_rows: of a product's tile, so that its sums and operands are as many as registers.
template <int lanes, int most_rows>
constexpr RecurrentLoops make_recurrent_loops() {
  return {.lanes = lanes,
          .rows = most_rows,
          .product = product<lanes, most_rows>,
          .simple = simple,
          .simple_backward = simple_backward,
          .lstm = lstm,
          .lstm_forgetful = lstm_forgetful,
          .lstm_backward = lstm_backward,
          .gru_reset = gru_reset,
          .gru = gru,
          .gru_backward = gru_backward,
          .gru_reset_backward = gru_reset_backward,
          .gru_after = gru_after,
          .gru_after_backward = gru_after_backward};
}

}  // namespace

}  // namespace nacre::onednn
