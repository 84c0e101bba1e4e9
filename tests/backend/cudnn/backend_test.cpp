// What the GPU backend makes of a training step, on the emulated device.
#include "backend/cudnn/backend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/ops.h"
#include "tests/support/emulated_gpu.h"
#include "tests/support/op_cases.h"
#include "tests/support/tensors.h"

namespace nacre::test {
namespace {

class GpuBackend : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulated_gpu_backend()) GTEST_SKIP() << "no compiler to emulate a GPU with";
  }
  const Backend& gpu() const { return *emulated_gpu_backend(); }
};

// Two dense layers and a cross-entropy, trained by gradient descent with momentum.
struct Step {
  Graph graph;
  std::vector<VariableRef> variables;

  Step() {
    Value x = graph.input("x", {DType::float32, {8, 12}});
    const Value truth = graph.input("truth", {DType::float32, {8, 5}});
    RandomStream random(RandomKey::of(1, "step"));
    std::vector<std::pair<VariableRef, Value>> trained;
    for (const std::int64_t units : {16, 5}) {
      const Type kernel{DType::float32, {x.shape()[1], units}};
      for (const Type& type : {kernel, Type{DType::float32, {units}}}) {
        variables.push_back(std::make_shared<Variable>(fmt::format("v{}", variables.size()), type, true));
        variables.back()->assign(draw_tensor(random, type));
        trained.emplace_back(variables.back(), graph.variable(variables.back()));
      }
      x = ops::matmul(x, trained[trained.size() - 2].second) + trained.back().second;
      if (units == 16) x = ops::relu(x);
    }
    const Value loss = ops::mean(-ops::sum(truth * ops::log_softmax(x, -1), {-1}));
    graph.output("loss", loss);
    Values values;
    for (const auto& [variable, value] : trained) values.push_back(value);
    const Values slopes = gradients(loss, values);
    for (std::size_t i = 0; i < trained.size(); ++i) {
      auto velocity = std::make_shared<Variable>(fmt::format("velocity{}", i), values[i].type(), false);
      velocity->assign(Tensor(velocity->type()));
      const Value next = graph.variable(velocity) * 0.9 - slopes[i] * 0.1;
      graph.update(velocity, next);
      graph.update(trained[i].first, values[i] + next);
    }
  }
};

TEST_F(GpuBackend, TrainsAsTheReferenceDoes) {
  const Step on_gpu, on_reference;
  Executable step(on_gpu.graph, gpu()), specification(on_reference.graph, reference_backend());
  RandomStream random(RandomKey::of(2, "data"));
  for (int i = 0; i < 4; ++i) {
    const Tensor x = draw_tensor(random, {DType::float32, {8, 12}}), truth = draw_tensor(random, {DType::float32, {8, 5}});
    EXPECT_TRUE(close(step.run({{x, truth}})[0], specification.run({{x, truth}})[0], 1e-4)) << "step " << i;
  }
  for (std::size_t i = 0; i < on_gpu.variables.size(); ++i)
    EXPECT_TRUE(close(on_gpu.variables[i]->value(), on_reference.variables[i]->value(), 1e-4)) << i;
}

TEST_F(GpuBackend, KeepsEverythingOnTheDeviceButInputsAndOutputs) {
  const Step step;
  const Executable executable(step.graph, gpu());
  EXPECT_EQ(executable.statistics().borrowed, 0) << executable.text();
  EXPECT_EQ(executable.statistics().activation_reorders, 3) << executable.text();  // x, truth; the loss
  EXPECT_EQ(executable.statistics().weight_reorders, 0) << executable.text();
}

TEST_F(GpuBackend, UpdatesManyVariablesInOneLaunch) {
  const Step step;
  const std::string text = Executable(step.graph, gpu()).text();
  EXPECT_NE(text.find("fused_groups("), std::string::npos) << text;
}

TEST_F(GpuBackend, HasAKernelOrADecompositionForEveryOp) {
  for (const Op* op : op::all_ops()) {
    if (op->kind == OpKind::leaf || op->kind == OpKind::host) continue;
    const bool row = std::ranges::any_of(gpu().table(), [&](const KernelRow& known) { return known.op == op; });
    EXPECT_TRUE(row || op->decompose_erased) << op->name;
  }
}

// The emulated device tells the host's memory from its own.
TEST_F(GpuBackend, KernelsRefuseTheMemoryOfTheHost) {
  const std::shared_ptr<gpu::Device> device = emulated_gpu();
  const auto function = device->compile("extern \"C\" __global__ void run(const float* in0) {}", "run");
  const float number = 0;
  const void* address = &number;
  void* const argument = &address;
  const std::array<void*, 1> arguments{argument};
  EXPECT_THROW(function->launch(1, 1, arguments), InternalError);
}

}  // namespace
}  // namespace nacre::test
