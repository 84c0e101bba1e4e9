// The loops themselves, for the instruction set that the including file is compiled for.
#include "backend/onednn/elementwise/math.h"
#include "backend/onednn/recurrent/product_body.h"

namespace nacre::onednn {

namespace {

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
          .product = product<Floats<lanes>, lanes, most_rows>,
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
