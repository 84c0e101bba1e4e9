// Every metric against Keras: the running result after each of three batches.
#include <gtest/gtest.h>

#include "api/train/metrics.h"
#include "tests/golden/golden.h"

namespace nacre::golden {
namespace {

TEST(Golden, Metrics) {
  check_all("metrics", [](const Case& golden, const Backend& backend) {
    const auto metric = make<Metric>(golden);
    for (int batch = 0; golden.has(fmt::format("value_{}", batch)); ++batch) {
      const auto tensor = [&](std::string_view name) { return golden.tensor(fmt::format("{}_{}", name, batch)); };
      Graph graph;
      std::vector<Tensor> inputs;
      const auto input = [&](std::string name) {
        inputs.push_back(tensor(name));
        return graph.input(name, inputs.back().type());
      };
      const Value y_true = input("y_true"), y_pred = input("y_pred");
      metric->update(y_true, y_pred,
                     golden.has(fmt::format("sample_weight_{}", batch)) ? input("sample_weight") : Value());
      run(graph, backend, inputs);
      expect_close(fmt::format("result after batch {}", batch), metric->result(), tensor("value"), for_outputs);
    }
  });
}

}  // namespace
}  // namespace nacre::golden
