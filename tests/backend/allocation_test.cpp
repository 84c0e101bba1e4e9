// A run of an executable asks for no memory: what it needs it has had since it was compiled.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "backend/backend.h"
#include "backend/core/parallel.h"
#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/ops.h"
#include "backend/onednn/onednn.h"
#include "tests/backend/onednn/harness.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool counts = false;  // sanitizers have operators of their own
constexpr long allocations = 0;
#else
constexpr bool counts = true;

namespace {

std::atomic<long> allocations{0};

void* allocate(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  bytes = (bytes + alignment - 1) / alignment * alignment;
  if (void* memory = std::aligned_alloc(alignment, bytes == 0 ? alignment : bytes)) return memory;
  throw std::bad_alloc();
}
constexpr std::size_t usual = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

}  // namespace

// Of this binary and of the libraries that it is linked with.
void* operator new(std::size_t bytes) { return allocate(bytes, usual); }
void* operator new[](std::size_t bytes) { return allocate(bytes, usual); }
void* operator new(std::size_t bytes, std::align_val_t alignment) { return allocate(bytes, static_cast<std::size_t>(alignment)); }
void* operator new[](std::size_t bytes, std::align_val_t alignment) { return allocate(bytes, static_cast<std::size_t>(alignment)); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
#endif

namespace nacre {
namespace {

// Of one run, when some have gone before.
long allocations_of_a_run(const Graph& graph) {
  Executable executable(graph, onednn_backend());
  const std::vector<Tensor> inputs = test::random_inputs(graph);
  std::vector<Tensor> outputs;
  for (int i = 0; i < 3; ++i) executable.run(inputs, outputs);
  const long before = allocations;
  for (int i = 0; i < 10; ++i) executable.run(inputs, outputs);
  return (allocations - before + 9) / 10;
}

VariableRef variable(std::string path, Shape shape) {
  auto made = std::make_shared<Variable>(std::move(path), Type{DType::float32, shape}, true);
  made->assign(test::random_tensor(made->type(), 5));
  return made;
}

void descend(Graph& graph, Value loss, const std::vector<VariableRef>& variables) {
  Values values;
  for (const VariableRef& each : variables) values.push_back(graph.variable(each));
  const Values slopes = gradients(loss, values);
  for (std::size_t i = 0; i < values.size(); ++i) graph.update(variables[i], values[i] - slopes[i] * 0.1);
  graph.output("loss", loss);
}

// A step of training through kernels of our own: tables, loops, sums, copies, random numbers. oneDNN asks for a little
// memory at each call of a primitive.
TEST(Allocations, OurKernelsAskForNoMemory) {
  if (!counts) GTEST_SKIP() << "sanitizers count for themselves";
  for (const int count : {1, 3}) {
    set_threads(count);
    const auto table = variable("table", {300, 32}), bias = variable("bias", {32}), scale = variable("scale", {16, 32});
    Graph graph;
    const Value seed = graph.input("seed", {DType::int64, {}});
    const Value rows = ops::gather(graph.variable(table), graph.input("indices", {DType::int32, {40, 16}}));
    const Value x = ops::tanh(rows + graph.variable(bias)) * ops::random_uniform(seed, seed, rows, "noise", 0);
    const Value y = ops::reverse(x, {1}) * graph.variable(scale);
    const Value joined = ops::concat(Values{y, ops::sin(y)}, 1);
    descend(graph, ops::sum(ops::square(joined), {0, 1, 2}, false), {table, bias, scale});
    EXPECT_EQ(allocations_of_a_run(graph), 0) << Executable(graph, onednn_backend()).text();
  }
  set_threads(0);
}

// However many steps a loop makes.
TEST(Allocations, StepsOfLoopsAskForNoMemory) {
  if (!counts) GTEST_SKIP() << "sanitizers count for themselves";
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {40, 16}});
  const ops::Looped looped = ops::loop(
      {x, graph.constant(Tensor::scalar<std::int32_t>(0))}, {},
      [](Graph& body, const Values& carry, const Values&) {
        return ops::less(carry[1], body.constant(Tensor::scalar<std::int32_t>(10)));
      },
      [](Graph& body, const Values& carry, const Values&) {
        return Values{ops::sin(carry[0]), carry[1] + body.constant(Tensor::scalar<std::int32_t>(1))};
      },
      12);
  graph.output("dx", gradients(ops::sum(looped.carries[0], {0, 1}, false), {&x, 1})[0]);
  EXPECT_EQ(allocations_of_a_run(graph), 0) << Executable(graph, onednn_backend()).text();
}

}  // namespace
}  // namespace nacre
