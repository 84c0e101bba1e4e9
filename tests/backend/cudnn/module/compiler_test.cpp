// Every kernel that the GPU backend writes is CUDA: NVRTC compiles it to machine code, for which it needs no GPU.
#include "backend/cudnn/module/compiler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "backend/cudnn/backend.h"
#include "backend/executable.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/passes/pipeline.h"
#include "tests/support/op_cases.h"

namespace nacre::gpu {

namespace {

// Compiles and runs nothing; its memory is the host's.
class CompilingDevice final : public Device {
 public:
  CompilingDevice() : compiler_(load_nvrtc()) {
    facts_ = {.name = "compiler", .architecture = 90, .processors = 132, .memory = std::size_t{1} << 37, .libraries = ""};
  }
  const DeviceFacts& facts() const override { return facts_; }
  void* allocate(std::size_t bytes) override { return ::operator new(bytes); }
  void release(void* memory) noexcept override { ::operator delete(memory); }
  void copy(void* to, const void* from, std::size_t bytes) override { std::memmove(to, from, bytes); }
  void clear(void* memory, std::size_t bytes) override { std::memset(memory, 0, bytes); }
  void wait() override {}
  std::unique_ptr<Recording> record(const std::function<void()>&) override { return nullptr; }
  std::shared_ptr<Function> compile(std::string_view source, const char* name) override {
    EXPECT_STREQ(name, "run");
    if (!compiled_.emplace(source).second) return std::make_shared<Idle>();
    // The newest and the oldest architecture that there are special instructions for.
    for (const char* target : {"sm_90", "compute_75"}) {
      std::string image = compiler_.compile(source, target);
      EXPECT_EQ(image.starts_with("\x7f" "ELF"), target == std::string_view("sm_90"));
      assembly = std::move(image);
    }
    return std::make_shared<Idle>();
  }
  std::unique_ptr<Work> matmul(const MatMulDescription&) override { return std::make_unique<Nothing>(); }
  // As little as a library may take, so that everything that kernels of ours can do is theirs.
  std::unique_ptr<Work> convolution(const ConvolutionDescription& d) override {
    const bool even = std::ranges::all_of(d.axes, [](const auto& axis) { return axis.before == axis.after; });
    return even && !d.bias && !d.residual && !d.relu ? std::make_unique<Nothing>() : nullptr;
  }
  std::unique_ptr<Work> attention(const AttentionDescription&) override { return std::make_unique<Nothing>(); }

  std::string assembly;  // PTX of the last kernel

 private:
  struct Nothing final : Work {
    void run(std::span<const void* const>, std::span<void* const>, void*) override {}
  };
  struct Idle final : Function {  // compiling may run what depends on nothing
    void launch(std::uint32_t, std::uint32_t, std::span<void* const>) override {}
  };
  DeviceFacts facts_;
  Compiler compiler_;
  std::set<std::string, std::less<>> compiled_;
};

const Backend& compiling_backend() {
  static const std::unique_ptr<Backend> backend = backend_on(std::make_shared<CompilingDevice>());
  return *backend;
}

class Nvrtc : public testing::TestWithParam<test::OpRecord> {};

TEST_P(Nvrtc, CompilesTheKernelsOf) {
  for (const DType real : {DType::float32, DType::bfloat16, DType::float16}) {
    RandomStream random(RandomKey::of(100, GetParam().name));
    const test::OpCase sample = GetParam().sample(random);
    const auto graph = decompose_missing(*test::graph_of(sample, real), compiling_backend());
    if (GetParam().derivatives > 0) test::add_gradients(*graph);
    SCOPED_TRACE(graph->text());
    try {
      Executable executable(*graph, compiling_backend());
    } catch (const std::exception& error) {
      FAIL() << error.what();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, Nvrtc, testing::ValuesIn(test::op_records()),
                         [](const auto& tested) { return tested.param.name; });

// Operands that lie as the result does are read 16 bytes at a time; others an element at a time.
TEST(Compiler, ElementwiseGroupsReadPacks) {
  const auto device = std::make_shared<CompilingDevice>();
  const std::unique_ptr<Backend> backend = backend_on(device);
  const auto times = [&](std::string_view instruction) {
    std::size_t count = 0;
    for (std::size_t at = 0; (at = device->assembly.find(instruction, at)) != std::string::npos; ++at) ++count;
    return count;
  };
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    Graph graph;
    const Value x = graph.input("x", {dtype, {30, 16}}), y = graph.input("y", {dtype, {30, 16}}),
                scale = graph.input("scale", {dtype, {16}});
    graph.output("z", ops::relu(x * scale + y));
    Executable executable(graph, *backend);
    EXPECT_EQ(times("ld.global.v4"), 2u) << device->assembly;
    EXPECT_EQ(times("st.global.v4"), 1u) << device->assembly;
  }
}

TEST(Compiler, TargetsOfDevices) {
  const Compiler compiler(load_nvrtc());
  EXPECT_EQ(compiler.target(90), "sm_90");
  EXPECT_EQ(compiler.target(75), "sm_75");
  EXPECT_TRUE(compiler.target(190).starts_with("compute_")) << compiler.target(190);  // the driver translates it
  try {
    compiler.target(35);
    FAIL();
  } catch (const Error& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with("the GPU is too old for CUDA ")) << error.what();
    EXPECT_NE(std::string(error.what()).find("its compute capability is 3.5, wanted "), std::string::npos);
  }
}

TEST(Compiler, SaysWhatIsWrongWithSource) {
  const Compiler compiler(load_nvrtc());
  try {
    compiler.compile("extern \"C\" __global__ void run() { undeclared = 1; }", "sm_90");
    FAIL();
  } catch (const InternalError& error) {
    EXPECT_NE(std::string(error.what()).find("undeclared"), std::string::npos) << error.what();
  }
}

// The optimizer's update of all variables takes an address for each of their tensors.
TEST(Compiler, TakesThousandsOfArguments) {
  const Compiler compiler(load_nvrtc());
  std::string parameters = "float* y";
  for (int i = 1; i < 4000; ++i) parameters += fmt::format(", const float* x{}", i);
  const std::string source = fmt::format("extern \"C\" __global__ void run({}) {{ y[0] = x1[0] + x3999[0]; }}", parameters);
  EXPECT_FALSE(compiler.compile(source, "sm_90").empty());
}

}  // namespace

}  // namespace nacre::gpu
