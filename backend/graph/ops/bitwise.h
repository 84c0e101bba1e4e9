// Element-wise ops on the bits of integers, exact in each dtype. Operands broadcast by NumPy's rule and have one dtype,
// which is the result's. They have no gradient. And two on those of other numbers.
#pragma once

#include "backend/graph/ops/elementwise.h"

namespace nacre {

namespace op {
extern const OpDef<NoAttributes> bitwise_and, bitwise_or, bitwise_xor;
// a by b places, as NumPy has it: signs are kept on the way to the right; b below 0 or beyond the size shifts
// everything out.
extern const OpDef<NoAttributes> shift_left, shift_right;
// The greatest common divisor, not negative; gcd(0, 0) = 0.
extern const OpDef<NoAttributes> gcd;
// The least common multiple, not negative; 0 where a or b is.
extern const OpDef<NoAttributes> lcm;
// The bytes of x as numbers of another dtype, not bool; the last axis grows or shrinks with their size. No gradient.
extern const OpDef<CastAttrs> bitcast;
// The next number of the (floating) dtype after a on the way to b; b where they are equal. The gradient is a's.
extern const OpDef<NoAttributes> next_after;
}  // namespace op

namespace ops {
Value bitwise_and(Value a, Value b);
Value bitwise_or(Value a, Value b);
Value bitwise_xor(Value a, Value b);
Value shift_left(Value a, Value b);
Value shift_right(Value a, Value b);
Value gcd(Value a, Value b);
Value lcm(Value a, Value b);
Value bitcast(Value x, DType dtype);
Value next_after(Value a, Value b);
}  // namespace ops

// What the ops are in 64 bits; narrower results keep the lower ones.
namespace bits {
constexpr std::int64_t shift_left(std::int64_t a, std::int64_t b) {
  return b < 0 || b > 63 ? 0 : static_cast<std::int64_t>(static_cast<std::uint64_t>(a) << b);
}
constexpr std::int64_t shift_right(std::int64_t a, std::int64_t b) { return a >> (b < 0 || b > 63 ? 63 : b); }
constexpr std::uint64_t magnitude(std::int64_t x) {
  return x < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(x) : static_cast<std::uint64_t>(x);
}
constexpr std::int64_t gcd(std::int64_t a, std::int64_t b) {
  std::uint64_t large = magnitude(a), small = magnitude(b);
  while (small != 0) {
    const std::uint64_t rest = large % small;
    large = small, small = rest;
  }
  return static_cast<std::int64_t>(large);
}
constexpr std::int64_t lcm(std::int64_t a, std::int64_t b) {
  if (a == 0 || b == 0) return 0;
  return static_cast<std::int64_t>(magnitude(a) / static_cast<std::uint64_t>(gcd(a, b)) * magnitude(b));
}
}  // namespace bits

}  // namespace nacre
