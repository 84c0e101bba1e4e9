// A small instance of every layer, and data that it takes: for the battery that all layers go through and for the table
// of what runs where. A new layer has a row here.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "backend/core/tensor.h"

namespace nacre::test {

struct LayerSample {
  const char* yaml;                       // the layer
  std::vector<Type> inputs;               // with the batch
  std::vector<std::string> weights = {};  // their paths
};
inline std::ostream& operator<<(std::ostream& out, const LayerSample& sample) { return out << sample.yaml; }

const std::vector<LayerSample>& layer_samples();

// Random data for its inputs, between 0 and 5; texts are "a b".
std::vector<Tensor> sample_data(const LayerSample& sample);

}  // namespace nacre::test
