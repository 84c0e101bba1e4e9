// Models as the contents of Keras's HDF5 files.
#pragma once

#include "api/keras/export.h"
#include "api/load_options.h"
#include "api/train/trainer.h"
#include "formats/keras_h5.h"

namespace nacre {

// Architecture, weights and, when it is compiled, training config and optimizer state.
KerasFile model_file(const ModelContents& contents);
KerasFile weights_file(const ModelContents& contents);
// How a compiled model was: {optimizer, loss, metrics, …}.
Tree compile_config(const Trainer& trainer);
// A layer's variables in the order of the format: trainable ones first.
std::vector<VariableRef> file_order(const Layer& layer);

// Keeps or prints a line; see LoadOptions::notes.
void note(const LoadOptions& options, const std::string& line);
// Notes which layers of a file were quantised, if any.
void note_quantized(const LoadOptions& options, const std::vector<std::string>& paths);

// The model that the config describes, of any vintage; without weights and not compiled.
std::shared_ptr<FunctionalLayer> read_architecture(const KerasFile& file, const LoadOptions& options = {});
// With the weights of the file.
std::shared_ptr<FunctionalLayer> read_model(const KerasFile& file, const LoadOptions& options = {});
// What the model was compiled with; the file has a training config.
CompileOptions read_compile_options(const KerasFile& file);

// Gives a built model the weights of a file: by the names of layers, or in their order when the names are others and
// by_name does not ask for them.
// Throws an Error that names the layer when they do not fit.
void load_weights(FunctionalLayer& model, const KerasFile& file, const LoadOptions& options = {});
// Gives a built optimizer its state; a file written before the first step has only its counters.
void load_optimizer(Optimizer& optimizer, const KerasFile& file);
// The same from the values of its variables, in the order of Keras 3.
void load_optimizer(Optimizer& optimizer, const std::vector<Tensor>& values);

// Assigns values in order; throws an Error that begins with `what` when counts or shapes differ, and then assigns none.
void restore_variables(const std::vector<VariableRef>& variables, const std::vector<Tensor>& values, std::string_view what);

}  // namespace nacre
