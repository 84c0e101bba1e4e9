// Tests of what the GPU backend computes, on the emulated device.
#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "backend/executable.h"
#include "tests/support/emulated_gpu.h"
#include "tests/support/tensors.h"

namespace nacre::test {

class OnGpu : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulated_gpu_backend()) GTEST_SKIP() << "no compiler to emulate a GPU with";
  }

  // The results of `function` are the reference's, and nothing of it runs on the host.
  static void expect_parity(const std::vector<Tensor>& operands, const std::function<Values(const Values&)>& function,
                            double tolerance = 0) {
    Graph graph;
    Values inputs;
    for (const Tensor& operand : operands) inputs.push_back(graph.input(fmt::format("x{}", inputs.size()), operand.type()));
    for (Value value : function(inputs)) graph.output(fmt::format("y{}", graph.outputs().size()), value);
    SCOPED_TRACE(graph.text());
    Executable executable(graph, *emulated_gpu_backend());
    EXPECT_EQ(executable.statistics().borrowed, 0) << executable.text();
    const std::vector<Tensor> got = executable.run(operands), want = Executable(graph, reference_backend()).run(operands);
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_TRUE(close(got[i], want[i], tolerance)) << graph.outputs()[i].name;
  }
};

}  // namespace nacre::test
