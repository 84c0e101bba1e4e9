// The loops themselves, for the instruction set that the including file is compiled for.
#include "backend/onednn/batch_norm/loops.h"
#include "backend/onednn/elementwise/math.h"

namespace nacre::onednn {

namespace {

using Rows = BatchNormLoops::Rows;
using Channels = BatchNormLoops::Channels;
using Bounds = BatchNormLoops::Bounds;
using Activation = BatchNormLoops::Activation;

struct Bfloat16 {
  std::uint16_t bits;
};
inline float widened(float x) { return x; }
inline float widened(Bfloat16 x) { return float_of(static_cast<std::uint32_t>(x.bits) << 16); }
inline void assign(float& to, float x) { to = x; }
inline void assign(Bfloat16& to, float x) { to.bits = static_cast<std::uint16_t>(bfloat16_bits(x)); }

// Blocked rows have a width that the compiler knows, so that what belongs to channels stays in registers.
constexpr std::int64_t block = 16;
template <class Loop>
inline void by_width(Rows rows, Loop&& loop) {
  if (rows.width == block) loop.template operator()<block>();
  else loop.template operator()<0>();
}
template <std::int64_t fixed>
inline std::int64_t width_of(Rows rows) {
  return fixed ? fixed : rows.width;
}

inline float activated(float y, Activation activation, Bounds bounds) {
  if (activation == Activation::relu) return y <= 0.0f ? 0.0f : y;
  if (activation == Activation::clip) return y < bounds.low ? bounds.low : y > bounds.high ? bounds.high : y;
  return y;
}
// dy where the activation passed y on.
inline float passed_on(float dy, float y, Activation activation, Bounds bounds) {
  if (activation == Activation::relu) return y > 0.0f ? dy : 0.0f;
  if (activation == Activation::clip) return y >= bounds.low && y <= bounds.high ? dy : 0.0f;
  return dy;
}

template <class T>
void observe(const void* from, Rows rows, float before, float* mean, float* deviations, float* own) {
  const T* x = static_cast<const T*>(from);
  const float count = static_cast<float>(rows.count), part = count / (before + count);
  const float both = before * part;
  by_width(rows, [&]<std::int64_t fixed>() {
    const std::int64_t width = width_of<fixed>(rows);
    float local[2 * (fixed ? fixed : 1)];
    float *sum = fixed ? local : own, *squares = sum + width;
    for (std::int64_t c = 0; c < width; ++c) sum[c] = squares[c] = 0.0f;
    std::int64_t row = 0;
    for (; row + 4 <= rows.count; row += 4) {
      const T *a = x + row * width, *b = a + width, *d = b + width, *e = d + width;
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c)
        sum[c] += (widened(a[c]) + widened(b[c])) + (widened(d[c]) + widened(e[c]));
    }
    for (; row < rows.count; ++row)
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c) sum[c] += widened(x[row * width + c]);
#pragma omp simd
    for (std::int64_t c = 0; c < width; ++c) sum[c] /= count;
    for (row = 0; row + 4 <= rows.count; row += 4) {
      const T *a = x + row * width, *b = a + width, *d = b + width, *e = d + width;
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c) {
        const float m = sum[c];
        const float p = widened(a[c]) - m, q = widened(b[c]) - m, r = widened(d[c]) - m, s = widened(e[c]) - m;
        squares[c] += (p * p + q * q) + (r * r + s * s);
      }
    }
    for (; row < rows.count; ++row)
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c) {
        const float p = widened(x[row * width + c]) - sum[c];
        squares[c] += p * p;
      }
    // Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
#pragma omp simd
    for (std::int64_t c = 0; c < width; ++c) {
      const float difference = sum[c] - mean[c];
      mean[c] += difference * part;
      deviations[c] += squares[c] + difference * difference * both;
    }
  });
}

template <class T, Activation activation, bool adds>
void normalise_as(const T* x, const T* residual, T* y, Rows rows, Channels channels, Bounds bounds) {
  by_width(rows, [&]<std::int64_t fixed>() {
    const std::int64_t width = width_of<fixed>(rows);
    float local[3 * (fixed ? fixed : 1)];
    const float *mean = channels.mean, *scale = channels.scale, *shift = channels.shift;
    if constexpr (fixed > 0) {
      for (std::int64_t c = 0; c < fixed; ++c)
        local[c] = mean[c], local[fixed + c] = scale[c], local[2 * fixed + c] = shift[c];
      mean = local, scale = local + fixed, shift = local + 2 * fixed;
    }
    for (std::int64_t row = 0; row < rows.count; ++row) {
      const T *from = x + row * width, *also = adds ? residual + row * width : nullptr;
      T* to = y + row * width;
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c) {
        float value = (widened(from[c]) - mean[c]) * scale[c] + shift[c];
        if (adds) value += widened(also[c]);
        assign(to[c], activated(value, activation, bounds));
      }
    }
  });
}

template <class T>
void normalise(const void* x, const void* residual, void* y, Rows rows, Channels channels, Bounds bounds) {
  using Loop = void (*)(const T*, const T*, T*, Rows, Channels, Bounds);
  constexpr Loop variants[3][2] = {
      {normalise_as<T, Activation::none, false>, normalise_as<T, Activation::none, true>},
      {normalise_as<T, Activation::relu, false>, normalise_as<T, Activation::relu, true>},
      {normalise_as<T, Activation::clip, false>, normalise_as<T, Activation::clip, true>}};
  variants[static_cast<int>(bounds.activation)][residual ? 1 : 0](
      static_cast<const T*>(x), static_cast<const T*>(residual), static_cast<T*>(y), rows, channels, bounds);
}

template <class T, Activation activation, bool by_result>
void gather_as(const T* x, const T* dy, const T* y, T* passed, Rows rows, Channels channels, Bounds bounds, float* sums,
               float* products) {
  by_width(rows, [&]<std::int64_t fixed>() {
    const std::int64_t width = width_of<fixed>(rows);
    float local[5 * (fixed ? fixed : 1)];
    const float *mean = channels.mean, *scale = channels.scale, *shift = channels.shift;
    float *sum = sums, *product = products;
    if constexpr (fixed > 0) {
      for (std::int64_t c = 0; c < fixed; ++c) {
        local[c] = mean[c], local[fixed + c] = scale[c], local[2 * fixed + c] = shift[c];
        local[3 * fixed + c] = local[4 * fixed + c] = 0.0f;
      }
      mean = local, scale = local + fixed, shift = local + 2 * fixed;
      sum = local + 3 * fixed, product = local + 4 * fixed;
    }
    for (std::int64_t row = 0; row < rows.count; ++row) {
      const T *from = x + row * width, *slope = dy + row * width, *result = by_result ? y + row * width : nullptr;
      T* to = by_result ? passed + row * width : nullptr;
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c) {
        const float centred = widened(from[c]) - mean[c];
        const float value = by_result ? widened(result[c]) : centred * scale[c] + shift[c];
        const float d = passed_on(widened(slope[c]), value, activation, bounds);
        if (by_result) assign(to[c], d);
        sum[c] += d;
        product[c] += d * centred;
      }
    }
    if constexpr (fixed > 0)
      for (std::int64_t c = 0; c < fixed; ++c) sums[c] += sum[c], products[c] += product[c];
  });
}

template <class T>
void gather(const void* x, const void* dy, const void* y, void* passed, Rows rows, Channels channels, Bounds bounds,
            float* sum, float* product) {
  using Loop = void (*)(const T*, const T*, const T*, T*, Rows, Channels, Bounds, float*, float*);
  constexpr Loop variants[3] = {gather_as<T, Activation::none, false>, gather_as<T, Activation::relu, false>,
                                gather_as<T, Activation::clip, false>};
  const Loop loop = y ? gather_as<T, Activation::relu, true> : variants[static_cast<int>(bounds.activation)];
  loop(static_cast<const T*>(x), static_cast<const T*>(dy), static_cast<const T*>(y), static_cast<T*>(passed), rows,
       channels, bounds, sum, product);
}

template <class T, Activation activation>
void differentiate_as(const T* x, const T* dy, T* dx, Rows rows, Channels channels, Bounds bounds, const float* slopes,
                      const float* offsets) {
  by_width(rows, [&]<std::int64_t fixed>() {
    const std::int64_t width = width_of<fixed>(rows);
    float local[5 * (fixed ? fixed : 1)];
    const float *mean = channels.mean, *scale = channels.scale, *shift = channels.shift, *slope = slopes,
                *offset = offsets;
    if constexpr (fixed > 0) {
      for (std::int64_t c = 0; c < fixed; ++c) {
        local[c] = mean[c], local[fixed + c] = scale[c], local[2 * fixed + c] = shift[c];
        local[3 * fixed + c] = slope[c], local[4 * fixed + c] = offset[c];
      }
      mean = local, scale = local + fixed, shift = local + 2 * fixed;
      slope = local + 3 * fixed, offset = local + 4 * fixed;
    }
    for (std::int64_t row = 0; row < rows.count; ++row) {
      const T *from = x + row * width, *given = dy + row * width;
      T* to = dx + row * width;
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c) {
        const float centred = widened(from[c]) - mean[c];
        const float d = passed_on(widened(given[c]), centred * scale[c] + shift[c], activation, bounds);
        assign(to[c], d * scale[c] + (centred * slope[c] + offset[c]));
      }
    }
  });
}

template <class T>
void differentiate(const void* x, const void* dy, void* dx, Rows rows, Channels channels, Bounds bounds,
                   const float* slope, const float* offset) {
  using Loop = void (*)(const T*, const T*, T*, Rows, Channels, Bounds, const float*, const float*);
  constexpr Loop variants[3] = {differentiate_as<T, Activation::none>, differentiate_as<T, Activation::relu>,
                                differentiate_as<T, Activation::clip>};
  variants[static_cast<int>(bounds.activation)](static_cast<const T*>(x), static_cast<const T*>(dy), static_cast<T*>(dx),
                                                rows, channels, bounds, slope, offset);
}

template <class T>
constexpr BatchNormLoops make_batch_norm_loops() {
  return {observe<T>, normalise<T>, gather<T>, differentiate<T>};
}

}  // namespace

}  // namespace nacre::onednn
