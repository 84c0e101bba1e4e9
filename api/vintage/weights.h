// Arrays of weights as any Keras saved them, assigned to the layers of a model.
//
// A file has one list of arrays per layer of the model, also when that layer holds others: a nested model, a wrapper. What
// the arrays are follows from their order, and where older versions disagree on it, from their names. Sources:
// preprocess_weights_for_loading in keras/engine/topology.py and saving.py (2.0 to 2.3), and hdf5_format.py of tf.keras.
#pragma once

#include "api/vintage/vintage.h"
#include "layers/layer.h"

namespace nacre {

struct Assignment {
  VariableRef variable;
  Tensor value;
};

// What each weight of the layer becomes; nothing is assigned yet. Throws an Error about the layer when the arrays are
// not its weights.
std::vector<Assignment> match_weights(const Layer& layer, const std::vector<NamedTensor>& saved, const Vintage& vintage);

}  // namespace nacre
