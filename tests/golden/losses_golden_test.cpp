// Every loss against Keras: values and gradients.
#include <gtest/gtest.h>

#include "api/train/losses.h"
#include "backend/graph/grad.h"
#include "tests/golden/golden.h"

namespace nacre::golden {
namespace {

TEST(Golden, Losses) {
  check_all("losses", [](const Case& golden, const Backend& backend) {
    const auto loss = make<Loss>(golden);
    Graph graph;
    std::vector<Tensor> inputs;
    const auto input = [&](std::string name) {
      inputs.push_back(golden.tensor(name));
      return graph.input(name, inputs.back().type());
    };
    const Value y_true = input("y_true"), y_pred = input("y_pred");
    const Value value = (*loss)(y_true, y_pred, golden.has("sample_weight") ? input("sample_weight") : Value());
    const Value outputs[] = {value}, wrt[] = {y_pred};
    graph.output("value", value);
    graph.output("grad", gradients(graph, outputs, {}, wrt).front());
    const std::vector<Tensor> results = run(graph, backend, inputs);
    expect_close("value", results[0], golden.tensor("value"), for_outputs);
    expect_close("gradient", results[1], golden.tensor("grad"), for_gradients);
  });
}

}  // namespace
}  // namespace nacre::golden
