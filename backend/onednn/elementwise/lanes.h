// Floats side by side, read from and written to memory of float32 or bfloat16, for the instruction set that the
// including file is compiled for.
#pragma once

#include "backend/onednn/elementwise/math.h"

namespace nacre::onednn {

namespace {

struct Bfloat16 {
  std::uint16_t bits;
};

// As many floats as a register holds.
#if defined(__AVX512F__)
constexpr int widest = 16;
#elif defined(__AVX__)
constexpr int widest = 8;
#else
constexpr int widest = 4;
#endif

template <int count>
struct LanesOf {
  typedef float Floats __attribute__((vector_size(count * 4)));
  typedef std::uint32_t Words __attribute__((vector_size(count * 4)));
  typedef std::uint16_t Halves __attribute__((vector_size(count * 2)));
};
template <>
struct LanesOf<1> {
  using Floats = float;
};

template <int lanes>
using Lanes = typename LanesOf<lanes>::Floats;

template <int lanes>
inline Lanes<lanes> load(const float* from) {
  Lanes<lanes> x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
}
template <int lanes>
inline Lanes<lanes> load(const Bfloat16* from) {
  if constexpr (lanes == 1) {
    return float_of(static_cast<std::uint32_t>(from->bits) << 16);
  } else {
    typename LanesOf<lanes>::Halves halves;
    __builtin_memcpy(&halves, from, sizeof halves);
    const auto words = __builtin_convertvector(halves, typename LanesOf<lanes>::Words) << 16;
    return __builtin_bit_cast(Lanes<lanes>, words);
  }
}
template <int lanes>
inline void store(float* to, Lanes<lanes> x) {
  __builtin_memcpy(to, &x, sizeof x);
}
template <int lanes>
inline void store(Bfloat16* to, Lanes<lanes> x) {
  if constexpr (lanes == 1) {
    to->bits = static_cast<std::uint16_t>(bfloat16_bits(x));
  } else {
    using Words = typename LanesOf<lanes>::Words;
    const auto words = __builtin_bit_cast(Words, x);
    const Words rounded = (words + 0x7fffu + ((words >> 16) & 1u)) >> 16;
    const Words kept = x == x ? rounded : (words >> 16) | 0x40u;
    const auto halves = __builtin_convertvector(kept, typename LanesOf<lanes>::Halves);
    __builtin_memcpy(to, &halves, sizeof halves);
  }
}

// NaN stays.
template <class Value>
inline Value clamped(Value x, float low, float high) {
  const Value lowest = Value{} + low, highest = Value{} + high;
  const Value raised = x < lowest ? lowest : x;
  return raised > highest ? highest : raised;
}

}  // namespace

}  // namespace nacre::onednn
