// The instructions of element-wise programs: loops over tiles of floats, compiled for several instruction sets.
// This header and what the loops are made of (loops_body.h, math.h) use nothing of the standard library but fixed-width
// integers: an inline function compiled for AVX-512 here might otherwise be the copy that the linker keeps for all.
#pragma once

#include <cstdint>

namespace nacre::onednn {

// clang-format off
enum class Opcode : std::uint8_t {
  // y = f(a)
  copy, negate, abs, sign, exp, expm1, log, log1p, sqrt, rsqrt, square, reciprocal, sin, cos, tanh, sigmoid, relu, erf,
  floor, ceil, round, logical_not, is_finite, truncate, to_bool, round_to_float16, round_to_bfloat16,
  // y = f(a, b); logic and comparisons give 0 or 1
  add, subtract, multiply, divide, power, maximum, minimum, modulo, equal, not_equal, less, less_equal, greater,
  greater_equal, logical_and, logical_or,
  // y = f(a, b, c)
  select,             // a ≠ 0 ? b : c
  multiply_add,       // a · b + c
  multiply_subtract,  // a · b - c
  subtract_product,   // c - a · b
  count,
};
// clang-format on
constexpr int opcodes = static_cast<int>(Opcode::count);
constexpr int arity(Opcode code) { return code < Opcode::add ? 1 : code < Opcode::select ? 2 : 3; }

// Element types in memory; the values are those of DType, which this header must not include.
constexpr int memory_types = 7;  // bool, uint8, int32, int64, float16, bfloat16, float32

// y may be one of the operands.
using Loop = void (*)(const float* a, const float* b, const float* c, float* y, std::int64_t count);
using Load = void (*)(const void* from, float* to, std::int64_t count);
using Store = void (*)(const float* from, void* to, std::int64_t count);

struct RandomStreamKey {
  std::uint32_t counter[3];  // words 1 to 3 of the counter; word 0 is the number of the block
  std::uint32_t key[2];
};

// What of a machine loops may be compiled for, as bits.
enum Feature : std::uint32_t { avx2 = 1, fma = 2, f16c = 4, avx512f = 8, avx512dq = 16, avx512bw = 32, avx512vl = 64 };

struct Loops {
  const char* name;
  std::uint32_t features;  // that the compiler used
  // Bit i of the second index: operand i is one float instead of a tile.
  Loop instruction[opcodes][8];
  Load load[memory_types];
  Store store[memory_types];
  // Elements [first, first + count) of a stream of uniform numbers (backend/core/random.h).
  void (*uniform)(const RandomStreamKey& key, std::int64_t first, float* to, std::int64_t count);
  // The four elements of each of `count` blocks of the stream.
  void (*uniform_blocks)(const RandomStreamKey& key, const std::uint32_t* blocks, float* to, std::int64_t count);
};

// The loops for this machine's instruction set.
const Loops& loops();

extern const Loops loops_baseline, loops_avx2, loops_avx512;
// Of three things that are compiled like these, that which goes with `set`.
template <class Compiled>
const Compiled& beside(const Loops& set, const Compiled& baseline, const Compiled& avx2_set, const Compiled& avx512_set) {
  return &set == &loops_avx512 ? avx512_set : &set == &loops_avx2 ? avx2_set : baseline;
}
// All that this machine can run, for tests.
int runnable_loops(const Loops* (&list)[3]);
// Those that a machine with these features can run, the best first.
int runnable_loops(std::uint32_t features, const Loops* (&list)[3]);

}  // namespace nacre::onednn
