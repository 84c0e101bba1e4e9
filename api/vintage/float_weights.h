// The weights of layers that Keras 3 quantised, or that a LoRA changes, as the floating ones that they stand for. Those
// of float8 layers are floating ones in files too, with the state that training keeps of its scales.
//
// quantize() replaces a kernel by integers, their scales and, where scales are for groups of rows, zero points; all
// that is needed to undo it lies beside it, so that nothing here asks the config. Sources: variable_serialization_spec,
// *_build and *_call of keras/src/layers/core/{dense,einsum_dense,embedding,reversible_embedding}.py, and
// keras/src/quantizers/quantizers.py.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/vintage/vintage.h"
#include "layers/layer.h"

namespace nacre::vintages {

// Whether quantize() changes layers of this class.
bool can_be_quantized(std::string_view class_name);

struct FloatWeights {
  std::vector<Tensor> values;  // as own_variables() has the variables
  bool quantized = false;      // in the file
};

// Of the arrays that a tree of weights has for a layer: vars/0, vars/1, …. Those of a layer that is not quantised come
// back as they are. Throws an Error, which does not name the layer, when they are not what quantize() makes.
FloatWeights float_weights(const Layer& layer, const std::vector<Tensor>& saved);

// Whether there is something to be undone among arrays of the older layout, which Keras 3 names by their paths.
bool holds_more_than_weights(const std::vector<NamedTensor>& saved);
// The arrays of a layer without sublayers, by the last parts of their names. Those of a LoRA are added to the weights.
FloatWeights float_weights(const Layer& layer, const std::vector<NamedTensor>& saved);

// The older layout has the matrices of a LoRA as they are, and the config says what their product is multiplied with:
// here the first becomes that much larger. Notes the layers of which the config says nothing.
void scale_loras(std::vector<LayerWeights>& layers, const Tree& model_config, Notes& notes);

// The paths of the layers that are quantised in a file, and not in the model.
std::vector<std::string> quantized_layers(const std::vector<LayerWeights>& layers, const Layer& model);

}  // namespace nacre::vintages
