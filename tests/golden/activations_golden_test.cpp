// Every activation function against Keras, and its gradient.
#include <gtest/gtest.h>

#include "backend/graph/grad.h"
#include "backend/graph/passes/pipeline.h"
#include "layers/activation.h"
#include "tests/golden/golden.h"

namespace nacre::golden {
namespace {

TEST(Golden, Activations) {
  check_all("activations", [](const Case& golden, const Backend& backend) {
    const auto activation = make<Activation>(golden);
    Graph graph;
    const Value x = graph.input("x", golden.tensor("x").type());
    const Value y = (*activation)(x);
    graph.output("y", y);
    graph.output("dx", gradients(graph, {{y}}, {}, {{x}}).front());
    const std::vector<Tensor> results = run(graph, backend, {golden.tensor("x")});
    expect_close("y", results[0], golden.tensor("y"), for_outputs);
    expect_close("dx", results[1], golden.tensor("dx"), for_gradients);
  });
}

}  // namespace
}  // namespace nacre::golden
