// Elementary functions on floats without branches, so that loops over them become vector code. Relative errors are
// below 1e-6 over the whole range; infinities, NaN and denormal numbers are treated as IEEE 754 asks. The polynomials
// are weighted least-squares fits (see the intervals beside them), the range reductions those of Muller, "Elementary
// Functions: Algorithms and Implementation", 3rd edition (2016), chapters 5 and 11.
#pragma once

#include "backend/onednn/elementwise/loops.h"

namespace nacre::onednn {

namespace {

inline std::uint32_t bits_of(float x) { return __builtin_bit_cast(std::uint32_t, x); }
inline float float_of(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }
inline float magnitude(float x) { return float_of(bits_of(x) & 0x7fffffffu); }
inline float with_sign(float magnitude, float sign) {
  return float_of((bits_of(magnitude) & 0x7fffffffu) | (bits_of(sign) & 0x80000000u));
}
inline std::uint32_t bfloat16_bits(float x) {  // rounded to nearest even
  const std::uint32_t word = bits_of(x);
  return (word & 0x7fffffffu) > 0x7f800000u ? (word >> 16) | 0x40u : (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
}
constexpr float infinity = __builtin_inff();
constexpr float not_a_number = __builtin_nanf("");

// x = n ln 2 + r with |r| ≤ ln 2 / 2; n is also given as the low bits of a float.
struct Reduced {
  float r;
  std::uint32_t n;
};
inline Reduced reduce_by_ln2(float x) {
  constexpr float shift = 12582912.0f;  // 1.5 · 2²³: adding it rounds to an integer
  const float shifted = x * 1.44269504f + shift;
  const float n = shifted - shift;
  return {(x - n * 0.693145752f) - n * 1.42860677e-6f, bits_of(shifted) - bits_of(shift)};
}
// eʳ - 1 for |r| ≤ ln 2 / 2
inline float expm1_reduced(float r) {
  float q = 1.990755619e-4f;
  q = q * r + 1.393364325e-3f;
  q = q * r + 8.333286049e-3f;
  q = q * r + 4.166646498e-2f;
  q = q * r + 0.1666666676f;
  q = q * r + 0.5000000013f;
  return r + r * r * q;
}
inline float power_of_two(std::uint32_t n) { return float_of((n + 127u) << 23); }  // -126 ≤ n ≤ 127

inline float exp(float x) {
  x = x > 89.0f ? 89.0f : x;
  x = x < -104.0f ? -104.0f : x;
  const Reduced reduced = reduce_by_ln2(x);
  // 2ⁿ as a product, so that neither factor overflows or is denormal.
  const std::uint32_t half = static_cast<std::uint32_t>(static_cast<std::int32_t>(reduced.n) >> 1);
  return (1.0f + expm1_reduced(reduced.r)) * power_of_two(half) * power_of_two(reduced.n - half);
}

inline float expm1(float x) {
  const float bounded = x > 89.0f ? 89.0f : x < -30.0f ? -30.0f : x;
  const Reduced reduced = reduce_by_ln2(bounded);
  const float half_scale = power_of_two(reduced.n - 1u);  // n may be 128
  const float result = 2.0f * (expm1_reduced(reduced.r) * half_scale + (half_scale - 0.5f));
  return magnitude(x) < 1e-4f ? x * (1.0f + 0.5f * x) : result;  // keeps the sign of zero, and denormal numbers
}

inline float log(float x) {
  const bool tiny = x < 1.17549435e-38f;  // denormal numbers are scaled by 2²³ first
  const float scaled = tiny ? x * 8388608.0f : x;
  // scaled = 2ᵉ · m with m in [√½, √2)
  const std::uint32_t offset = bits_of(scaled) - 0x3f3504f3u;
  const float exponent = static_cast<float>(static_cast<std::int32_t>(offset) >> 23) - (tiny ? 23.0f : 0.0f);
  const float f = float_of((offset & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
  float q = -7.623031665e-2f;
  q = q * f + 0.1290558198f;
  q = q * f - 0.132430328f;
  q = q * f + 0.1418162233f;
  q = q * f - 0.1660904784f;
  q = q * f + 0.2000198523f;
  q = q * f - 0.250015853f;
  q = q * f + 0.333333255f;
  q = q * f - 0.4999998831f;
  float result = exponent * 1.42860677e-6f + f * f * q;
  result = (result + f) + exponent * 0.693145752f;
  result = x < infinity ? result : x;  // also NaN
  result = x == 0.0f ? -infinity : result;
  return x < 0.0f ? not_a_number : result;
}

inline float log1p(float x) {
  const float u = 1.0f + x;
  const float result = log(u) + (x - (u - 1.0f)) / u;  // what rounding took from u
  const float finite = magnitude(x) < infinity ? result : x;
  const float inside = x > -1.0f ? finite : x == -1.0f ? -infinity : not_a_number;
  return magnitude(x) < 1e-4f ? x * (1.0f - 0.5f * x) : inside;
}

inline float tanh(float x) {
  const float a = magnitude(x);
  const float t = expm1(2.0f * (a > 10.0f ? 10.0f : a));
  return with_sign(t / (t + 2.0f), x);
}

inline float sigmoid(float x) {
  const float e = exp(-magnitude(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

inline float erf(float x) {
  const float a = magnitude(x), s = x * x;
  float p = 2.042035703e-6f;  // erf(x) / x = p(x²) / q(x²), |x| ≤ 3.93; all coefficients are positive: nothing cancels
  p = p * s + 2.848076110e-4f;
  p = p * s + 3.779447405e-3f;
  p = p * s + 5.278978869e-2f;
  p = p * s + 0.1907797009f;
  p = p * s + 1.128379107f;
  float q = 3.800469858e-5f;
  q = q * s + 1.165178604e-3f;
  q = q * s + 1.499710791e-2f;
  q = q * s + 0.1142558604f;
  q = q * s + 0.5024068356f;
  q = q * s + 1.0f;
  const float inner = x * p / q;  // also NaN
  return a >= 3.93f ? with_sign(1.0f, x) : inner;
}

// The nearest integer to |x| < 2⁵¹.
inline double nearest(double x) {
  constexpr double shift = 6755399441055744.0;  // 1.5 · 2⁵²
  return (x + shift) - shift;
}

// sin(x + quarters · π / 2) for |x| ≤ 2²⁰: x = n π / 2 + r with |r| ≤ π / 4, reduced in double precision.
inline bool is_short_angle(float x) { return magnitude(x) <= 1048576.0f; }
inline float sine(float x, std::uint32_t quarters) {
  const double wide = static_cast<double>(is_short_angle(x) ? x : 0.0f);
  const double n = nearest(wide * 0.6366197723675814);
  const float r = static_cast<float>((wide - n * 1.5707963267341256) - n * 6.077100506506192e-11);
  const std::uint32_t quadrant = static_cast<std::uint32_t>(static_cast<std::int32_t>(n)) + quarters;
  const float s = r * r;
  float p = -1.951488666e-4f;  // sin(r)
  p = p * s + 8.332157508e-3f;
  p = p * s - 0.1666665524f;
  p = with_sign(r + r * s * p, r);  // also that of zero
  float q = 2.44327839e-5f;  // cos(r)
  q = q * s - 1.388731296e-3f;
  q = q * s + 4.166664556e-2f;
  q = (1.0f - 0.5f * s) + s * s * q;
  return float_of(bits_of((quadrant & 1u) != 0 ? q : p) ^ ((quadrant & 2u) << 30));
}

// |a|ᵇ = 2ᵗ with t = b log₂ |a| in double precision; log(m) = 2 artanh((m - 1) / (m + 1)).
inline float power(float a, float b) {
  const float size = magnitude(a);
  const bool tiny = size < 1.17549435e-38f;
  const std::uint32_t offset = bits_of(tiny ? size * 8388608.0f : size) - 0x3f3504f3u;
  const double exponent = static_cast<double>((static_cast<std::int32_t>(offset) >> 23) - (tiny ? 23 : 0));
  const double m = static_cast<double>(float_of((offset & 0x007fffffu) + 0x3f3504f3u));
  const double s = (m - 1.0) / (m + 1.0), z = s * s;
  double p = 0.2358357166696777;
  p = p * z + 0.2853723815290058;
  p = p * z + 0.4000033622253798;
  p = p * z + 0.6666666564127398;
  double logarithm = exponent + (2.0 * s + s * z * p) * 1.4426950408889634;
  logarithm = size == 0.0f ? -static_cast<double>(infinity) : logarithm;
  logarithm = size < infinity ? logarithm : static_cast<double>(infinity);
  const float finite = magnitude(b) < infinity ? b : with_sign(3.40282347e38f, b);
  double t = static_cast<double>(finite) * logarithm;
  t = t < 140.0 ? t : 140.0;  // also NaN
  t = t > -160.0 ? t : -160.0;
  const double n = nearest(t);
  const float r = static_cast<float>((t - n) * 0.6931471805599453);
  const std::uint32_t whole = static_cast<std::uint32_t>(static_cast<std::int32_t>(n));
  const std::uint32_t half = static_cast<std::uint32_t>(static_cast<std::int32_t>(whole) >> 1);
  float y = (1.0f + expm1_reduced(r)) * power_of_two(half) * power_of_two(whole - half);

  const bool large = !(magnitude(b) < 16777216.0f);  // an even integer
  const std::int32_t integer = static_cast<std::int32_t>(large ? 0.0f : b);
  const bool is_integer = large || static_cast<float>(integer) == b;
  y = is_integer && (integer & 1) != 0 ? with_sign(y, a) : y;
  y = a < 0.0f && size < infinity && !is_integer ? not_a_number : y;
  y = a != a || b != b ? not_a_number : y;
  return b == 0.0f || a == 1.0f ? 1.0f : y;
}

// The sign of b.
inline float with_sign_of_divisor(float rest, float b) {
  return rest != 0.0f && (rest < 0.0f) != (b < 0.0f) ? rest + b : rest;
}
// Where the quotient is below 2²⁹, its product with b and the rest are exact in double precision.
inline bool has_short_quotient(float a, float b) { return magnitude(a / b) < 5e8f && magnitude(b) < infinity; }
inline float modulo(float a, float b) {
  const double x = static_cast<double>(a), y = static_cast<double>(b);
  const double quotient = has_short_quotient(a, b) ? x / y : 0.0;
  double rest = x - static_cast<double>(static_cast<std::int32_t>(quotient)) * y;
  const double step = (y < 0.0) == (x < 0.0) ? y : -y;
  rest = rest != 0.0 && (rest < 0.0) != (x < 0.0) ? rest + step : rest;  // the quotient was rounded up
  const float narrow = static_cast<float>(rest);
  return with_sign_of_divisor(narrow == 0.0f ? with_sign(narrow, a) : narrow, b);
}

}  // namespace

}  // namespace nacre::onednn
