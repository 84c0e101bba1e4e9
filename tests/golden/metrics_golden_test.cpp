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
      const std::vector<Tensor> inputs{tensor("y_true"), tensor("y_pred")};
      const Value y_true = graph.input("y_true", inputs[0].type()), y_pred = graph.input("y_pred", inputs[1].type());
      metric->update(y_true, y_pred);
      run(graph, backend, inputs);
      expect_close(fmt::format("result after batch {}", batch), metric->result(), tensor("value"), for_outputs);
    }
  });
}

}  // namespace
}  // namespace nacre::golden
