// The loops themselves, for the instruction set that the including file is compiled for.
#include "backend/onednn/elementwise/math.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace nacre::onednn {

namespace {

template <auto f, int scalars>
void unary_loop(const float* a, const float*, const float*, float* y, std::int64_t count) {
  const float a0 = *a;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = f(scalars & 1 ? a0 : a[i]);
}
template <auto f, int scalars>
void binary_loop(const float* a, const float* b, const float*, float* y, std::int64_t count) {
  const float a0 = *a, b0 = *b;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = f(scalars & 1 ? a0 : a[i], scalars & 2 ? b0 : b[i]);
}
template <auto f, int scalars>
void ternary_loop(const float* a, const float* b, const float* c, float* y, std::int64_t count) {
  const float a0 = *a, b0 = *b, c0 = *c;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i)
    y[i] = f(scalars & 1 ? a0 : a[i], scalars & 2 ? b0 : b[i], scalars & 4 ? c0 : c[i]);
}

// y = fast(a, b) where fits(a, b), else slow(a, b), which the compiler has no vector code for.
template <auto fast, auto fits, auto slow, int scalars>
void guarded_loop(const float* a, const float* b, const float*, float* y, std::int64_t count) {
  constexpr std::int64_t most = 128;
  float piece[most];
  const float a0 = *a, b0 = *b;
  for (std::int64_t begin = 0; begin < count; begin += most) {
    const std::int64_t some = count - begin < most ? count - begin : most;
    const float *from_a = scalars & 1 ? a : a + begin, *from_b = scalars & 2 ? b : b + begin;
    int unfit = 0;
#pragma omp simd reduction(| : unfit)
    for (std::int64_t i = 0; i < some; ++i) {
      const float x = scalars & 1 ? a0 : from_a[i], z = scalars & 2 ? b0 : from_b[i];
      piece[i] = fast(x, z);
      unfit |= fits(x, z) ? 0 : 1;
    }
    if (unfit != 0)
      for (std::int64_t i = 0; i < some; ++i) {
        const float x = scalars & 1 ? a0 : from_a[i], z = scalars & 2 ? b0 : from_b[i];
        if (!fits(x, z)) piece[i] = slow(x, z);
      }
#pragma omp simd
    for (std::int64_t i = 0; i < some; ++i) y[begin + i] = piece[i];
  }
}

template <class From>
void load(const void* from, float* to, std::int64_t count) {
  const auto* values = static_cast<const From*>(from);
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(values[i]);
}
template <class To>
void store(const float* from, void* to, std::int64_t count) {
  auto* values = static_cast<To*>(to);
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) values[i] = static_cast<To>(from[i]);
}
// bool, one byte of 0 or 1
inline void store_bool(const float* from, void* to, std::int64_t count) {
  auto* values = static_cast<std::uint8_t*>(to);
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) values[i] = from[i] != 0.0f ? 1 : 0;
}
inline void load_bfloat16(const void* from, float* to, std::int64_t count) {
  const auto* values = static_cast<const std::uint16_t*>(from);
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) to[i] = float_of(static_cast<std::uint32_t>(values[i]) << 16);
}
inline void store_bfloat16(const float* from, void* to, std::int64_t count) {
  auto* values = static_cast<std::uint16_t*>(to);
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) values[i] = static_cast<std::uint16_t>(bfloat16_bits(from[i]));
}

// float16 by the machine's own conversions, `halves` at once: compilers do not find them.
#if defined(__AVX512F__)
constexpr std::int64_t halves = 16;
inline void widen(const std::uint16_t* from, float* to) {
  _mm512_storeu_ps(to, _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
}
inline void narrow(const float* from, std::uint16_t* to) {
  const __m256i words =
      _mm512_maskz_cvtps_ph(0xffff, _mm512_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), words);
}
#elif defined(__F16C__)
constexpr std::int64_t halves = 8;
inline void widen(const std::uint16_t* from, float* to) {
  _mm256_storeu_ps(to, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
}
inline void narrow(const float* from, std::uint16_t* to) {
  const __m128i words = _mm256_cvtps_ph(_mm256_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), words);
}
#else
constexpr std::int64_t halves = 1;
inline void widen(const std::uint16_t* from, float* to) {
  *to = static_cast<float>(__builtin_bit_cast(_Float16, *from));
}
inline void narrow(const float* from, std::uint16_t* to) {
  *to = __builtin_bit_cast(std::uint16_t, static_cast<_Float16>(*from));
}
#endif
inline void load_float16(const void* from, float* to, std::int64_t count) {
  const auto* values = static_cast<const std::uint16_t*>(from);
  std::int64_t i = 0;
  for (; i + halves <= count; i += halves) widen(values + i, to + i);
  for (; i < count; ++i) to[i] = static_cast<float>(__builtin_bit_cast(_Float16, values[i]));
}
inline void store_float16(const float* from, void* to, std::int64_t count) {
  auto* values = static_cast<std::uint16_t*>(to);
  std::int64_t i = 0;
  for (; i + halves <= count; i += halves) narrow(from + i, values + i);
  for (; i < count; ++i) values[i] = __builtin_bit_cast(std::uint16_t, static_cast<_Float16>(from[i]));
}

// Philox4x32-10 on many blocks at once; see backend/core/random.h. The i-th is block_at(i).
template <class BlockAt>
inline void uniform_of(const RandomStreamKey& stream, BlockAt block_at, float* to, std::int64_t count) {
  const auto number = [](std::uint64_t word) {
    return static_cast<float>(static_cast<std::int32_t>(static_cast<std::uint32_t>(word) >> 8)) * 0x1p-24f;
  };
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    // The words are the lower halves: products of halves are what vector units multiply.
    constexpr std::uint64_t half = 0xffffffffu;
    std::uint64_t c0 = block_at(i), c1 = stream.counter[0], c2 = stream.counter[1], c3 = stream.counter[2];
    std::uint32_t k0 = stream.key[0], k1 = stream.key[1];
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t a = (c0 & half) * 0xD2511F53u, b = (c2 & half) * 0xCD9E8D57u;
      c0 = (b >> 32) ^ c1 ^ k0;
      c1 = b;
      c2 = (a >> 32) ^ c3 ^ k1;
      c3 = a;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    to[4 * i] = number(c0);
    to[4 * i + 1] = number(c1);
    to[4 * i + 2] = number(c2);
    to[4 * i + 3] = number(c3);
  }
}
inline void uniform_blocks(const RandomStreamKey& stream, const std::uint32_t* blocks, float* to, std::int64_t count) {
  uniform_of(stream, [=](std::int64_t i) { return std::uint64_t{blocks[i]}; }, to, count);
}
inline void uniform(const RandomStreamKey& stream, std::int64_t first, float* to, std::int64_t count) {
  constexpr std::int64_t blocks = 64;
  float numbers[4 * blocks];
  for (std::int64_t done = 0; done < count;) {
    const std::int64_t block = (first + done) / 4, skip = (first + done) % 4;
    const std::int64_t some = count - done < 4 * blocks - skip ? count - done : 4 * blocks - skip;
    const std::int64_t needed = (skip + some + 3) / 4;
    float* target = skip == 0 && some % 4 == 0 ? to + done : numbers;
    uniform_of(stream, [=](std::int64_t i) { return static_cast<std::uint64_t>(block + i); }, target, needed);
    if (target == numbers)
      for (std::int64_t i = 0; i < some; ++i) to[done + i] = numbers[skip + i];
    done += some;
  }
}

struct Table : Loops {
  template <Opcode code, auto f>
  constexpr void unary() {
    set<code>(unary_loop<f, 0>, unary_loop<f, 1>);
  }
  template <Opcode code, auto f>
  constexpr void binary() {
    set<code>(binary_loop<f, 0>, binary_loop<f, 1>, binary_loop<f, 2>, binary_loop<f, 3>);
  }
  // Of one operand: the loop is given that twice.
  template <Opcode code, auto fast, auto fits, auto slow>
  constexpr void guarded_unary() {
    set<code>(guarded_loop<fast, fits, slow, 0>, guarded_loop<fast, fits, slow, 3>);
  }
  template <Opcode code, auto fast, auto fits, auto slow>
  constexpr void guarded_binary() {
    set<code>(guarded_loop<fast, fits, slow, 0>, guarded_loop<fast, fits, slow, 1>, guarded_loop<fast, fits, slow, 2>,
              guarded_loop<fast, fits, slow, 3>);
  }
  template <Opcode code, auto f>
  constexpr void ternary() {
    set<code>(ternary_loop<f, 0>, ternary_loop<f, 1>, ternary_loop<f, 2>, ternary_loop<f, 3>, ternary_loop<f, 4>,
              ternary_loop<f, 5>, ternary_loop<f, 6>, ternary_loop<f, 7>);
  }
  template <Opcode code>
  constexpr void set(auto... variants) {
    int i = 0;
    ((instruction[static_cast<int>(code)][i++] = variants), ...);
  }
};

// The compiler says what it was allowed to use.
constexpr std::uint32_t compiled_features() {
  std::uint32_t features = 0;
#if defined(__AVX2__)
  features |= avx2;
#endif
#if defined(__FMA__)
  features |= fma;
#endif
#if defined(__F16C__)
  features |= f16c;
#endif
#if defined(__AVX512F__)
  features |= avx512f;
#endif
#if defined(__AVX512DQ__)
  features |= avx512dq;
#endif
#if defined(__AVX512BW__)
  features |= avx512bw;
#endif
#if defined(__AVX512VL__)
  features |= avx512vl;
#endif
  return features;
}

constexpr Loops make_loops(const char* name) {
  Table t{};
  t.name = name;
  t.features = compiled_features();
  t.unary<Opcode::copy, [](float x) { return x; }>();
  t.unary<Opcode::negate, [](float x) { return -x; }>();
  t.unary<Opcode::abs, [](float x) { return magnitude(x); }>();
  t.unary<Opcode::sign, [](float x) { return (x > 0.0f) ? 1.0f : x < 0.0f ? -1.0f : x; }>();
  t.unary<Opcode::exp, [](float x) { return exp(x); }>();
  t.unary<Opcode::expm1, [](float x) { return expm1(x); }>();
  t.unary<Opcode::log, [](float x) { return log(x); }>();
  t.unary<Opcode::log1p, [](float x) { return log1p(x); }>();
  t.unary<Opcode::sqrt, [](float x) { return __builtin_sqrtf(x); }>();
  t.unary<Opcode::rsqrt, [](float x) { return 1.0f / __builtin_sqrtf(x); }>();
  t.unary<Opcode::square, [](float x) { return x * x; }>();
  t.unary<Opcode::reciprocal, [](float x) { return 1.0f / x; }>();
  constexpr auto short_angle = [](float x, float) { return is_short_angle(x); };
  t.guarded_unary<Opcode::sin, [](float x, float) { return sine(x, 0); }, short_angle,
                  [](float x, float) { return __builtin_sinf(x); }>();
  t.guarded_unary<Opcode::cos, [](float x, float) { return sine(x, 1); }, short_angle,
                  [](float x, float) { return __builtin_cosf(x); }>();
  t.unary<Opcode::tanh, [](float x) { return tanh(x); }>();
  t.unary<Opcode::sigmoid, [](float x) { return sigmoid(x); }>();
  t.unary<Opcode::relu, [](float x) { return x <= 0.0f ? 0.0f : x; }>();
  t.unary<Opcode::erf, [](float x) { return erf(x); }>();
  t.unary<Opcode::floor, [](float x) { return __builtin_floorf(x); }>();
  t.unary<Opcode::ceil, [](float x) { return __builtin_ceilf(x); }>();
  t.unary<Opcode::round, [](float x) { return __builtin_nearbyintf(x); }>();
  t.unary<Opcode::logical_not, [](float x) { return x == 0.0f ? 1.0f : 0.0f; }>();
  t.unary<Opcode::is_finite, [](float x) { return magnitude(x) < infinity ? 1.0f : 0.0f; }>();
  t.unary<Opcode::truncate, [](float x) { return __builtin_truncf(x); }>();
  t.unary<Opcode::to_bool, [](float x) { return x != 0.0f ? 1.0f : 0.0f; }>();
  t.unary<Opcode::round_to_float16, [](float x) { return static_cast<float>(static_cast<_Float16>(x)); }>();
  t.unary<Opcode::round_to_bfloat16, [](float x) { return float_of(bfloat16_bits(x) << 16); }>();
  t.binary<Opcode::add, [](float a, float b) { return a + b; }>();
  t.binary<Opcode::subtract, [](float a, float b) { return a - b; }>();
  t.binary<Opcode::multiply, [](float a, float b) { return a * b; }>();
  t.binary<Opcode::divide, [](float a, float b) { return a / b; }>();
  t.binary<Opcode::power, [](float a, float b) { return power(a, b); }>();
  t.binary<Opcode::maximum, [](float a, float b) { return a >= b || a != a ? a : b; }>();
  t.binary<Opcode::minimum, [](float a, float b) { return a <= b || a != a ? a : b; }>();
  t.guarded_binary<Opcode::modulo, [](float a, float b) { return modulo(a, b); },
                   [](float a, float b) { return has_short_quotient(a, b); },
                   [](float a, float b) { return with_sign_of_divisor(__builtin_fmodf(a, b), b); }>();
  t.binary<Opcode::equal, [](float a, float b) { return a == b ? 1.0f : 0.0f; }>();
  t.binary<Opcode::not_equal, [](float a, float b) { return a != b ? 1.0f : 0.0f; }>();
  t.binary<Opcode::less, [](float a, float b) { return a < b ? 1.0f : 0.0f; }>();
  t.binary<Opcode::less_equal, [](float a, float b) { return a <= b ? 1.0f : 0.0f; }>();
  t.binary<Opcode::greater, [](float a, float b) { return (a > b) ? 1.0f : 0.0f; }>();
  t.binary<Opcode::greater_equal, [](float a, float b) { return a >= b ? 1.0f : 0.0f; }>();
  t.binary<Opcode::logical_and, [](float a, float b) { return a * b; }>();
  t.binary<Opcode::logical_or, [](float a, float b) { return a + b - a * b; }>();
  t.ternary<Opcode::select, [](float a, float b, float c) { return a != 0.0f ? b : c; }>();
  t.ternary<Opcode::multiply_add, [](float a, float b, float c) { return a * b + c; }>();
  t.ternary<Opcode::multiply_subtract, [](float a, float b, float c) { return a * b - c; }>();
  t.ternary<Opcode::subtract_product, [](float a, float b, float c) { return c - a * b; }>();

  constexpr Load loads[memory_types] = {load<std::uint8_t>, load<std::uint8_t>, load<std::int32_t>, load<std::int64_t>,
                                        load_float16,       load_bfloat16,      load<float>};
  constexpr Store stores[memory_types] = {store_bool,    store<std::uint8_t>, store<std::int32_t>, store<std::int64_t>,
                                          store_float16, store_bfloat16,      store<float>};
  for (int i = 0; i < memory_types; ++i) t.load[i] = loads[i], t.store[i] = stores[i];
  t.uniform = uniform;
  t.uniform_blocks = uniform_blocks;
  return t;
}

}  // namespace

}  // namespace nacre::onednn
