// Every optimizer against Keras: a weight after each of several updates, by one compiled graph.
#include <gtest/gtest.h>

#include "api/train/optimizers.h"
#include "backend/executable.h"
#include "tests/golden/golden.h"

namespace nacre::golden {
namespace {

TEST(Golden, Optimizers) {
  check_all("optimizers", [](const Case& golden, const Backend& backend) {
    const auto optimizer = make<Optimizer>(golden);
    const Tensor start = golden.tensor("w0"), gradients = golden.tensor("grads"), wanted = golden.tensor("w");
    const auto weight = std::make_shared<Variable>("w", start.type(), true);
    weight->assign(start);
    optimizer->build({weight});

    Graph graph;
    const Optimizer::Gradient gradient{weight, graph.input("gradient", start.type())};
    optimizer->apply(graph, {&gradient, 1});
    Executable executable(graph, backend);
    for (std::int64_t step = 0; step < gradients.shape()[0]; ++step) {
      const Tensor given = gradients.rows(step, step + 1).reshaped(start.shape());
      executable.run(std::vector{given});
      expect_close(fmt::format("weight after update {}", step + 1), weight->value(),
                   wanted.rows(step, step + 1).reshaped(start.shape()), for_outputs);
    }
    // Steps whose gradients overflow do not count.
    const std::int64_t steps = golden.data.has_attribute("iterations")
                                   ? static_cast<std::int64_t>(golden.data.tensor_attribute("iterations").item())
                                   : gradients.shape()[0];
    if (optimizer->iterations() != steps) throw Error("counted {} steps", optimizer->iterations());
  });
}

}  // namespace
}  // namespace nacre::golden
