// The steps of modern_layer(), one concept per file.
#pragma once

#include <span>

#include "api/vintage/vintage.h"

namespace nacre::vintages {

struct Rename {
  std::string_view from, to;
};
// A key that is there under its present name stays as it is.
void rename_keys(Tree& config, std::span<const Rename> renames);
void erase_keys(Tree& config, std::span<const std::string_view> keys);
// "layer 'fc1' (Dense)", for messages.
std::string label_of(const Tree& layer);

// --- keras0.cpp: models before Keras 1, and Graph ------------------------------------------------------------------------
bool is_model_of_keras0(const Tree& tree);
// Such a model as Keras 1 would write it, and a Graph of either as a Functional; other layers stay as they are.
void modernize_keras0(Tree& layer);

// --- classes.cpp: class names of layers, and layers that became others -----------------------------------------------
// Replaces the layer's class_name and adapts what only that class has.
void modernize_class(Tree& layer);

// --- fields.cpp: keys that several classes have ------------------------------------------------------------------------
void modernize_fields(Tree& layer);

// --- objects.cpp: activations, initializers, regularizers, constraints ------------------------------------------------
void modernize_objects(Tree& layer, Notes& notes);

// --- policies.cpp: what is quantised, what has a LoRA, and which policy of a map a layer has, all in Keras 3 ------------
// Of a model and all layers within: policies of layers become plain names, and what says how their weights are stored
// goes, for float_weights.h reads those whatever it says.
void modernize_policies(Tree& layer, Notes& notes);

// --- topology.cpp: how layers are joined -------------------------------------------------------------------------------
// A Sequential as {name, layers}, its input on top; one that begins with a Merge of branches becomes a Functional.
void modernize_sequential(Tree& layer);
// A Functional whose entries are layers that there are: a Merge or an operation may become several.
void modernize_functional(Tree& layer);
// An entry of a Functional.
Tree functional_entry(Tree layer, std::string name, Tree inbound_nodes);
Tree call_on(const Tree& tensors);  // inbound_nodes of one call on [[layer, call, output], …]

// --- merges.cpp: Keras 1's layer Merge ---------------------------------------------------------------------------------
// An entry of a Functional as the present ones that do its work; the last has its name.
std::vector<Tree> modern_merge(const Tree& entry);

// --- operations.cpp: TFOpLambda, SlicingOpLambda, TensorFlowOpLayer -------------------------------------------------
bool is_tensorflow_operation(const Tree& layer);
class Sizes;
// An entry of a functional config as entries of Keras 3's operations, the last of which has its name. None for what
// computes the shape of something.
std::vector<Tree> modern_operation(const Tree& entry, const Sizes& sizes);

}  // namespace nacre::vintages
