#include "backend/cudnn/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace nacre::gpu {

std::string_view prelude() {
  return R"(typedef unsigned char byte;
typedef unsigned short half_bits;
typedef unsigned short brain_bits;
typedef long long integer;
typedef unsigned int word;

// Neighbours that are read and written at once.
template <class T, int count>
struct alignas(count * sizeof(T)) pack { T at[count]; };

union float_word { float number; word bits; };
union double_words { double number; unsigned long long bits; };
static __device__ float number_of(word bits) { float_word x; x.bits = bits; return x.number; }
static __device__ double wide_number_of(unsigned long long bits) { double_words x; x.bits = bits; return x.number; }
static __device__ word bits_of(float number) { float_word x; x.number = number; return x.bits; }

#ifdef __CUDACC_RTC__
static __device__ float from_half(half_bits bits) { float y; asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(bits)); return y; }
static __device__ half_bits to_half(float x) { half_bits y; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x)); return y; }
// One instruction each, right but for the last bit, where division and square root take a dozen.
static __device__ float inverse(float x) { float y; asm("rcp.approx.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
static __device__ float inverse_root(float x) { float y; asm("rsqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
#endif
static __device__ double inverse(double x) { return 1 / x; }
static __device__ double inverse_root(double x) { return 1 / sqrt(x); }
static __device__ float from_brain(brain_bits bits) { return number_of((word)bits << 16); }
static __device__ brain_bits to_brain(float x) {
  const word bits = bits_of(x);
  if (x != x) return (brain_bits)((bits >> 16) | 0x40u);
  return (brain_bits)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// The nearest number of eight bits, and its bits (backend/core/float8_format.h); NaN stays. Numbers next to 1.5 · 2²³⁻ᵐ
// times the lower end of a binade lie as far apart as those of eight bits in it, so that a sum with it rounds.
static __device__ float in_eight_bits(float x, int mantissa, int bias, float most) {
  x = x > most ? most : x < -most ? -most : x;
  const float end = number_of((word)(128 - bias) << 23), own = number_of(bits_of(x) & 0x7f800000u);
  const float shift = (own > end ? own : end) * (number_of((word)(150 - mantissa) << 23) * 1.5f);
  return (x + shift) - shift;
}
static __device__ byte eight_bits_of(float number, int mantissa, int bias) {
  if (number != number) return 0x7f;
  const word bits = bits_of(number) & 0x7fffffffu, sign = bits_of(number) >> 31 << 7;
  if (bits < (word)(128 - bias) << 23)
    return (byte)(sign | (word)(number_of(bits) * number_of((word)(126 + bias + mantissa) << 23)));
  return (byte)(sign | ((bits >> (23 - mantissa)) - ((word)(127 - bias) << mantissa)));
}

static __device__ integer floor_modulo(integer a, integer b) {
  if (b == 0) return 0;
  const integer rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}
template <class Number>
static __device__ Number floor_modulo(Number a, Number b) {
  const Number rest = fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}
static __device__ integer raised(integer a, integer b) { return (integer)pow((double)a, (double)b); }
template <class Number>
static __device__ Number raised(Number a, Number b) { return pow(a, b); }
// As backend/graph/ops/bitwise.h has them.
static __device__ integer shifted_left(integer a, integer b) {
  return b < 0 || b > 63 ? 0 : (integer)((unsigned long long)a << b);
}
static __device__ integer shifted_right(integer a, integer b) { return a >> (b < 0 || b > 63 ? 63 : b); }
static __device__ unsigned long long magnitude(integer x) {
  return x < 0 ? 0ull - (unsigned long long)x : (unsigned long long)x;
}
static __device__ integer common_divisor(integer a, integer b) {
  unsigned long long large = magnitude(a), small = magnitude(b);
  while (small != 0) {
    const unsigned long long rest = large % small;
    large = small, small = rest;
  }
  return (integer)large;
}
static __device__ integer common_multiple(integer a, integer b) {
  if (a == 0 || b == 0) return 0;
  return (integer)(magnitude(a) / (unsigned long long)common_divisor(a, b) * magnitude(b));
}
// NaN wins.
template <class Number>
static __device__ Number larger(Number a, Number b) { return a >= b || a != a ? a : b; }
template <class Number>
static __device__ Number smaller(Number a, Number b) { return a <= b || a != a ? a : b; }
template <class Number>
static __device__ Number sign_of(Number x) { return x > 0 ? Number(1) : x < 0 ? Number(-1) : x; }

// The first of the largest numbers, or the number at index 0 where it is NaN.
template <class Number>
struct candidate {
  Number value;
  integer index;  // -1: none yet
  __device__ void offer(Number other, integer at) {
    if (at < 0 || (other != other && at != 0)) return;
    if (index >= 0 && other == other && !(other > value) && !(other == value && at < index)) return;
    if (index >= 0 && value != value) return;
    value = other, index = at;
  }
};

// What the states of the threads of a block give together, in an order that does not depend on which comes first.
template <class Join, class State>
static __device__ State across_block(State* states, State state) {
  const unsigned thread = threadIdx.x;
  __syncthreads();
  states[thread] = state;
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) states[thread] = Join::of(states[thread], states[thread + half]);
  }
  __syncthreads();
  return states[0];
}
struct sum { template <class T> static __device__ T of(T a, T b) { return a + b; } };
struct product { template <class T> static __device__ T of(T a, T b) { return a * b; } };
struct largest { template <class T> static __device__ T of(T a, T b) { return larger(a, b); } };
struct smallest { template <class T> static __device__ T of(T a, T b) { return smaller(a, b); } };
struct first { template <class T> static __device__ T of(T a, T b) { a.offer(b.value, b.index); return a; } };

struct words { word at[4]; };
static __device__ words philox(word c0, word c1, word c2, word c3, word k0, word k1) {
  for (int round = 0; round < 10; ++round) {
    const unsigned long long a = 0xD2511F53ull * c0, b = 0xCD9E8D57ull * c2;
    const word d0 = (word)(b >> 32) ^ c1 ^ k0, d2 = (word)(a >> 32) ^ c3 ^ k1;
    c0 = d0, c1 = (word)b, c2 = d2, c3 = (word)a;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  return words{{c0, c1, c2, c3}};
}
// Element `index` of a stream (backend/core/random.h): of the four words of a block.
static __device__ words random_words(integer seed, unsigned long long stream, integer step, integer block) {
  const unsigned long long mixed = (unsigned long long)seed * 0xD1342543DE82EF95ull + 0x632BE59BD9B4E019ull;
  return philox((word)block, (word)step, (word)stream, (word)(stream >> 32), (word)mixed, (word)(mixed >> 32));
}
static __device__ float uniform_of(word bits) { return (float)(bits >> 8) * 0x1p-24f; }
static __device__ float uniform(integer seed, unsigned long long stream, integer step, integer index) {
  return uniform_of(random_words(seed, stream, step, index >> 2).at[index & 3]);
}
)";
}

std::string_view memory_type(DType dtype) {
  switch (dtype) {
    case DType::boolean:
    case DType::uint8: return "byte";
    case DType::int32: return "int";
    case DType::int64: return "integer";
    case DType::float16: return "half_bits";
    case DType::bfloat16: return "brain_bits";
    case DType::float32: return "float";
    case DType::float64: return "double";
    default: throw InternalError("elements of type {} on a GPU", dtype);
  }
}

std::string_view compute_type(DType dtype) {
  if (dtype == DType::boolean) return "bool";
  if (dtype == DType::float64) return "double";
  return is_floating(dtype) ? "float" : "integer";
}

std::string_view sum_type(DType dtype) { return dtype == DType::boolean ? "integer" : compute_type(dtype); }

std::string load(DType dtype, std::string_view pointer, std::string_view index) {
  switch (dtype) {
    case DType::boolean: return fmt::format("({}[{}] != 0)", pointer, index);
    case DType::float16: return fmt::format("from_half({}[{}])", pointer, index);
    case DType::bfloat16: return fmt::format("from_brain({}[{}])", pointer, index);
    default: return fmt::format("(({}){}[{}])", compute_type(dtype), pointer, index);
  }
}

std::string store(DType dtype, std::string_view pointer, std::string_view index, std::string_view value) {
  switch (dtype) {
    case DType::float16: return fmt::format("{}[{}] = to_half({});", pointer, index, value);
    case DType::bfloat16: return fmt::format("{}[{}] = to_brain({});", pointer, index, value);
    default: return fmt::format("{}[{}] = ({})({});", pointer, index, memory_type(dtype), value);
  }
}

std::string literal(DType dtype, double value) {
  if (dtype == DType::boolean) return value != 0 ? "true" : "false";
  if (!is_floating(dtype)) return fmt::format("integer({}ll)", static_cast<std::int64_t>(value));
  if (dtype == DType::float64)
    return std::isfinite(value) ? fmt::format("({:.17e})", value)
           : std::isnan(value)  ? "wide_number_of(0x7ff8000000000000ull)"
           : value > 0          ? "wide_number_of(0x7ff0000000000000ull)"
                                : "wide_number_of(0xfff0000000000000ull)";
  const auto number = static_cast<float>(value);
  return std::isfinite(number) ? fmt::format("({:.9e}f)", number)
         : std::isnan(number)  ? "number_of(0x7fc00000u)"
         : number > 0          ? "number_of(0x7f800000u)"
                               : "number_of(0xff800000u)";
}

std::string offset(std::string_view index, const Shape& space, const std::vector<std::int64_t>& strides,
                   std::int64_t base) {
  // Neighbouring axes that the operand walks over as over one become one.
  struct Axis {
    std::int64_t size, stride;
  };
  std::vector<Axis> axes;
  for (int axis = 0; axis < space.rank(); ++axis) {
    const Axis next{space[axis], strides[static_cast<std::size_t>(axis)]};
    if (next.size == 1) continue;
    if (!axes.empty() && axes.back().stride == next.stride * next.size)
      axes.back() = {axes.back().size * next.size, next.stride};
    else axes.push_back(next);
  }
  std::string text;
  std::int64_t inner = 1;
  for (std::size_t i = axes.size(); i-- > 0;) {
    const auto& [size, stride] = axes[i];
    if (stride != 0) {
      std::string term = inner == 1 ? std::string(index) : fmt::format("{} / {}", index, inner);
      if (i != 0) term = fmt::format("{} % {}", term, size);
      if (stride != 1) term = fmt::format("({}) * {}", term, stride);
      text += (text.empty() ? "" : " + ") + term;
    }
    inner *= size;
  }
  if (base != 0) text += fmt::format("{}{}", text.empty() ? "" : " + ", base);
  return text.empty() ? "0" : text;
}

std::string signature(std::string_view name, const Types& inputs, const Types& outputs) {
  std::string parameters;
  const auto add = [&](std::string_view words, DType dtype, std::string_view prefix, std::size_t i) {
    parameters += fmt::format("{}{}{}* {}{}", parameters.empty() ? "" : ", ", words, memory_type(dtype), prefix, i);
  };
  for (std::size_t i = 0; i < inputs.size(); ++i) add("const ", inputs[i].dtype, "in", i);
  for (std::size_t i = 0; i < outputs.size(); ++i) add("", outputs[i].dtype, "out", i);
  return fmt::format("extern \"C\" __global__ void {}({})", name, parameters);
}

}  // namespace nacre::gpu
