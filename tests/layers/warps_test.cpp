// What lies beyond the edges of tensors that are read at places, where Keras on TensorFlow is no example.
#include <gtest/gtest.h>

#include "backend/executable.h"
#include "layers/operations.h"
#include "layers/symbol.h"

namespace nacre {
namespace {

std::vector<double> read_at_places(std::string_view mode) {
  Graph graph;
  Context context(graph, false);
  const Tensor x = Tensor::of<float>({4}, {1, 2, 3, 4}), places = Tensor::of<float>({1, 6}, {-1, -2, 4, 5, -0.5f, 9});
  Tree arguments;
  arguments.set("order", 1);
  arguments.set("fill_mode", mode);
  arguments.set("fill_value", 7);
  const Values results = apply_operation(
      context, "MapCoordinates", {graph.input("x", x.type()), graph.input("places", places.type())}, std::move(arguments));
  graph.output("y", results.front());
  const std::vector<Tensor> inputs{x, places};
  const Tensor y = Executable(graph, reference_backend()).run(inputs)[0];
  std::vector<double> values;
  for (std::int64_t i = 0; i < y.size(); ++i) values.push_back(y.at(i));
  return values;
}

TEST(Warps, BeyondTheEdges) {
  EXPECT_EQ(read_at_places("constant"), (std::vector<double>{7, 7, 7, 7, 4, 7}));
  EXPECT_EQ(read_at_places("nearest"), (std::vector<double>{1, 1, 4, 4, 1, 4}));
  EXPECT_EQ(read_at_places("wrap"), (std::vector<double>{4, 3, 1, 2, 2.5, 2}));
  EXPECT_EQ(read_at_places("reflect"), (std::vector<double>{1, 2, 4, 3, 1, 2}));
  EXPECT_EQ(read_at_places("mirror"), (std::vector<double>{2, 3, 3, 2, 1.5, 4}));
}

}  // namespace
}  // namespace nacre
