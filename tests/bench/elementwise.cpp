// Nanoseconds an element of every loop of element-wise programs, on tiles in the nearest cache.
//   bench_elementwise [--benchmark_filter=avx512/exp]
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <vector>

#include "backend/core/random.h"
#include "backend/onednn/elementwise/loops.h"

namespace {

using namespace nacre;
using namespace nacre::onednn;

constexpr std::int64_t count = 1024;
// clang-format off
constexpr const char* names[opcodes] = {
    "copy", "negate", "abs", "sign", "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "square", "reciprocal", "sin",
    "cos", "tanh", "sigmoid", "relu", "erf", "floor", "ceil", "round", "logical_not", "is_finite", "truncate",
    "to_bool", "round_to_float16", "round_to_bfloat16", "add", "subtract", "multiply", "divide", "power", "maximum",
    "minimum", "modulo", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and",
    "logical_or", "select", "multiply_add", "multiply_subtract", "subtract_product",
};
constexpr const char* types[memory_types] = {"bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32"};
// clang-format on

std::vector<float> numbers(const char* path) {
  RandomStream random(RandomKey::of(1, path));
  std::vector<float> result(count);
  for (float& value : result) value = static_cast<float>(random.uniform(0.1, 4));
  return result;
}

template <class Run>
void add(const std::string& name, Run run) {
  benchmark::RegisterBenchmark(name.c_str(), [run](benchmark::State& state) {
    const std::vector<float> a = numbers("a"), b = numbers("b"), c = numbers("c");
    std::vector<float> y(count);
    std::vector<std::int64_t> memory(count);
    for (auto _ : state) {
      run(a.data(), b.data(), c.data(), y.data(), memory.data());
      benchmark::ClobberMemory();
    }
    state.counters["per_element"] =
        benchmark::Counter(count, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  });
}

void add_all(const Loops& loops) {
  for (int code = 0; code < opcodes; ++code)
    add(fmt::format("{}/{}", loops.name, names[code]),
        [loop = loops.instruction[code][0]](const float* a, const float* b, const float* c, float* y, void*) {
          loop(a, b, c, y, count);
        });
  for (int type = 0; type < memory_types; ++type) {
    add(fmt::format("{}/load_{}", loops.name, types[type]),
        [load = loops.load[type]](const float*, const float*, const float*, float* y, const void* memory) {
          load(memory, y, count);
        });
    add(fmt::format("{}/store_{}", loops.name, types[type]),
        [store = loops.store[type]](const float* a, const float*, const float*, float*, void* memory) {
          store(a, memory, count);
        });
  }
  add(fmt::format("{}/uniform", loops.name),
      [uniform = loops.uniform](const float*, const float*, const float*, float* y, void*) {
        uniform({{1, 2, 3}, {4, 5}}, 0, y, count);
      });
}

}  // namespace

int main(int words, char** arguments) {
  const Loops* list[3];
  for (int i = 0, known = runnable_loops(list); i < known; ++i) add_all(*list[i]);
  benchmark::Initialize(&words, arguments);
  benchmark::RunSpecifiedBenchmarks();
}
