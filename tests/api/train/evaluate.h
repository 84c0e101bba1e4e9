// Small tensors and graphs for tests of losses and metrics.
#pragma once

#include <functional>

#include "backend/executable.h"

namespace nacre::test {

// What `emit` computes of the given tensors, which are inputs of a compiled graph; null results give no tensor.
inline std::vector<Tensor> evaluate(const std::vector<Tensor>& inputs, const std::function<Values(const Values&)>& emit,
                                    const Backend& backend = reference_backend()) {
  Graph graph;
  Values values;
  for (std::size_t i = 0; i < inputs.size(); ++i) values.push_back(graph.input(fmt::format("{}", i), inputs[i].type()));
  const Values results = emit(values);
  for (std::size_t i = 0; i < results.size(); ++i) graph.output(fmt::format("{}", i), results[i]);
  return Executable(graph, backend).run(inputs);
}

inline Tensor floats(Shape shape, std::initializer_list<float> values) {
  return Tensor::of<float>(std::move(shape), values);
}

}  // namespace nacre::test
