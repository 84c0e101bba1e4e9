// Runs graphs on the CPU backend and on the reference.
#pragma once

#include "backend/executable.h"
#include "backend/interpret.h"
#include "backend/onednn/onednn.h"
#include "tests/support/random_inputs.h"
#include "tests/support/tensors.h"

namespace nacre::test {

// Elements agree within `tolerance` of the largest expected one.
inline testing::AssertionResult close_to_scale(const Tensor& actual, const Tensor& expected, double tolerance) {
  double scale = 0;
  for (double value : expected.to_doubles()) scale = std::max(scale, std::abs(value));
  for (std::int64_t i = 0; i < expected.size(); ++i)
    if (!(std::abs(actual.at(i) - expected.at(i)) <= tolerance * scale))
      return testing::AssertionFailure() << "element " << i << " of " << actual.type().text() << " is " << actual.at(i)
                                         << ", expected " << expected.at(i);
  return testing::AssertionSuccess();
}

// The graph gives on the CPU backend what it gives on the reference, for random inputs.
inline void expect_parity(const Graph& graph, double tolerance = 1e-5) {
  const std::vector<Tensor> inputs = random_inputs(graph);
  const std::vector<Tensor> expected = interpret(graph, inputs, reference_backend());
  Executable executable(graph, onednn_backend());
  SCOPED_TRACE(executable.text());
  const std::vector<Tensor> actual = executable.run(inputs);
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_TRUE(close_to_scale(actual[i], expected[i], tolerance)) << graph.outputs()[i].name;
}

}  // namespace nacre::test
