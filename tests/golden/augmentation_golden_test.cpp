// Layers on pictures against Keras: sizes, geometry, colours, levels. Random numbers are nacre's own, which the
// golden's script (make_augmentation.py) hands to Keras's formulas.
#include <gtest/gtest.h>

#include <cmath>

#include "backend/graph/passes/pipeline.h"
#include "layers/layer.h"
#include "tests/golden/golden.h"

namespace nacre::golden {
namespace {

std::vector<Tensor> tensors(const Case& golden, const std::string& name) {
  std::vector<Tensor> all;
  for (std::size_t i = 0; golden.has(fmt::format("{}/{}", name, i)); ++i)
    all.push_back(golden.tensor(fmt::format("{}/{}", name, i)));
  return all;
}

std::int64_t number(const Case& golden, std::string_view attribute) {
  return static_cast<std::int64_t>(golden.data.tensor_attribute(attribute).item());
}

// Picture `index` of a batch.
Tensor picture(const Tensor& batch, std::int64_t index) {
  Tensor result(Type{DType::float64, batch.shape().from(1)});
  for (std::int64_t i = 0; i < result.size(); ++i)
    result.writable<double>()[static_cast<std::size_t>(i)] = batch.at(index * result.size() + i);
  return result;
}

TEST(Golden, Augmentation) {
  check_all("augmentation", [](const Case& golden, const Backend& backend) {
    const auto layer = make<Layer>(golden);
    const std::vector<Tensor> inputs = tensors(golden, "inputs"), wanted = tensors(golden, "output");
    Graph graph;
    Context context(graph, number(golden, "training") != 0, graph.constant(Tensor::scalar(std::int64_t{11})),
                    graph.constant(Tensor::scalar(number(golden, "step"))));
    CallArguments arguments;
    for (const Tensor& input : inputs)
      arguments.inputs.push_back(graph.input(fmt::format("input{}", arguments.inputs.size()), input.type()));
    graph.output("output", (*layer)(context, std::move(arguments)).outputs.at(0));
    const Tensor got = run(*decompose_missing(graph, backend), backend, inputs)[0];

    double largest = 0;  // levels may go up to 255, of which float32 has seven digits
    for (const Tensor& result : wanted)
      for (std::int64_t i = 0; i < result.size(); ++i) largest = std::max(largest, std::abs(result.at(i)));
    const Tolerance tolerance{1e-5 + 4e-6 * largest, 1e-4};
    if (wanted.size() == 1) return expect_close("output", got, wanted[0], tolerance);
    // A coin decided for each picture.
    for (std::int64_t i = 0; i < got.shape()[0]; ++i) {
      bool found = false;
      for (const Tensor& alternative : wanted) try {
          expect_close("", picture(got, i), picture(alternative, i), tolerance);
          found = true;
        } catch (const Error&) {
        }
      if (!found) throw Error("picture {} is none of the {} possible ones", i, wanted.size());
    }
  });
}

}  // namespace
}  // namespace nacre::golden
