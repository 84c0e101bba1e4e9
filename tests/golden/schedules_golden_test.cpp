// Every learning rate schedule against Keras, in graphs and on the host.
#include <gtest/gtest.h>

#include "api/train/schedules.h"
#include "tests/golden/golden.h"

namespace nacre::golden {
namespace {

TEST(Golden, Schedules) {
  check_all("schedules", [](const Case& golden, const Backend& backend) {
    const auto schedule = make<LearningRateSchedule>(golden);
    const Tensor steps = golden.tensor("steps"), wanted = golden.tensor("values");
    Graph graph;
    graph.output("rates", (*schedule)(graph.input("steps", {DType::float32, steps.shape()})));
    expect_close("rates", run(graph, backend, {steps.cast(DType::float32)}).front(), wanted, for_outputs);
    for (std::int64_t i = 0; i < steps.size(); ++i) {
      const Tensor want = wanted.rows(i, i + 1).reshaped({});
      const auto step = static_cast<std::int64_t>(steps.at(i));
      expect_close(fmt::format("rate of step {} on the host", step),
                   Tensor::scalar(static_cast<float>(schedule->at(step))), want, for_outputs);
    }
  });
}

}  // namespace
}  // namespace nacre::golden
