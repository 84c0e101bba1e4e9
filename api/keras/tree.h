// Models as the contents of Keras 3's files: trees of weights, and archives.
#pragma once

#include "api/keras/file.h"
#include "formats/keras_archive.h"

namespace nacre {

// All weights and, when it is compiled, the optimizer's state.
WeightTree weight_tree(const ModelContents& contents);
// Architecture and, when it is compiled, how: config.json.
Tree archive_config(const ModelContents& contents);
// With weights and assets.
KerasArchive model_archive(const ModelContents& contents);

// The archive without weights and assets, in the form that read_architecture() and read_compile_options() take.
KerasFile description_of(const KerasArchive& archive);
// With weights and assets, not compiled.
std::shared_ptr<FunctionalLayer> read_model(const KerasArchive& archive, const LoadOptions& options = {});

// Gives a built model the weights of a tree, each at its place, or with by_name those of the layer of the same name.
// Throws an Error that names the layer when they do not fit.
void load_weights(FunctionalLayer& model, const WeightTree& tree, const LoadOptions& options = {});
// Gives a built optimizer its state, if the tree holds one. Throws an Error when it is another optimizer's.
void load_optimizer(Optimizer& optimizer, const WeightTree& tree);

}  // namespace nacre
