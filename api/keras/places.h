// Where Keras 3's files keep what belongs to the layers of a model: by the attributes that lead to them, not by their
// names. The second Dense of a model is "layers/dense_1", an LSTM's cell "layers/lstm/cell".
// Source: keras/src/saving/saving_lib.py (_walk_saveable, _save_container_state).
#pragma once

#include "api/functional.h"

namespace nacre {

struct KerasPlace {
  std::string path;  // "" for the model itself
  Layer* layer;
};

struct WalkOptions {
  bool compact = false;  // the numbers count layers with weights alone (see WeightTree)
  bool repeat = false;   // a layer that is reached in several ways comes each time, not only the first
};
// The model and all layers within it, in the order of the walk, parents first.
std::vector<KerasPlace> keras_places(FunctionalLayer& model, const WalkOptions& options = {});

// Operations stand among a functional model's layers; for Keras they are none.
bool is_operation(const Layer& layer);

// A layer's own variables in the order of the format: trainable ones first, of these what training overwrites last.
std::vector<VariableRef> own_variables(const Layer& layer);

}  // namespace nacre
