// Keras's legacy HDF5 layout (model.h5, and weights alone), as plain data.
//
// Read: files of Keras 1, 2 and 3, with and without configs. Written: what Keras 3 writes, so that Keras opens it.
// Keras ignores the group "nacre", which holds what a checkpoint needs besides.
// Source: keras/src/legacy/saving/legacy_h5_format.py.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "backend/core/tensor.h"
#include "formats/tree.h"

namespace nacre {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// The weights of one layer, trainable ones first. Names are the variables' paths: "seq_cnn/dense/kernel".
struct LayerWeights {
  std::string layer;
  std::vector<NamedTensor> weights;
};

struct KerasFile {
  Tree model_config;     // {class_name, config, …}; null in a file of weights alone
  Tree training_config;  // null when the model was not compiled
  std::vector<LayerWeights> layers;         // in the model's order, those without weights too
  std::vector<NamedTensor> model_weights;   // of the model itself ("top_level_model_weights")
  std::vector<NamedTensor> optimizer_weights;
  std::string keras_version = "3.15.0";     // "" when the file does not say (Keras 1)
  std::string backend = "tensorflow";

  // Of ours: named tensors and values beside Keras's.
  Tree state;
  std::vector<NamedTensor> state_tensors;

  const LayerWeights* find(std::string_view layer) const;
};

// See formats/wire.h.
void carry(auto& wire, NamedTensor& named) { wire(named.name, named.tensor); }
void carry(auto& wire, LayerWeights& weights) { wire(weights.layer, weights.weights); }
void carry(auto& wire, KerasFile& file) {
  wire(file.model_config, file.training_config, file.layers, file.model_weights, file.optimizer_weights, file.keras_version,
       file.backend, file.state, file.state_tensors);
}

KerasFile read_keras_h5(const std::filesystem::path& path);

// A file without model_config is written in the layout of weights alone, which save_weights made.
void write_keras_h5(const std::filesystem::path& path, const KerasFile& file);

}  // namespace nacre
