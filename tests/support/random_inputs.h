// Inputs of graphs, at random.
#pragma once

#include "backend/core/random.h"
#include "backend/graph/graph.h"

namespace nacre::test {

inline Tensor random_tensor(const Type& type, std::uint64_t seed, double low = -1, double high = 1) {
  Tensor tensor(DType::float32, type.shape);
  RandomStream random(RandomKey::of(seed, "test"));
  for (float& value : tensor.writable<float>()) value = static_cast<float>(random.uniform(low, high));
  return tensor.cast(type.dtype);
}

inline std::vector<Tensor> random_inputs(const Graph& graph) {
  std::vector<Tensor> inputs;
  for (const auto& [name, value] : graph.inputs()) inputs.push_back(random_tensor(value.type(), inputs.size() + 1));
  return inputs;
}

}  // namespace nacre::test
