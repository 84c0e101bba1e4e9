// Models as files. Keras's HDF5 layout: what nacre writes Keras opens, and the other way round. Files are written whole
// or not at all.
#pragma once

#include <filesystem>

#include "api/load_options.h"
#include "api/model.h"

namespace nacre {

// Architecture, weights and, for a compiled model, losses, metrics, optimizer and its state. The name ends in .h5 or .hdf5.
void save_model(const Model& model, const std::filesystem::path& path);

// Throws an Error that names the file and, within it, the layer or class that cannot be read.
Model load_model(const std::filesystem::path& path, const LoadOptions& options = {});

// Weights alone, in the layout of Keras's weights-only .h5. A whole model's file can be loaded from too.
void save_weights(const Model& model, const std::filesystem::path& path);
// Layers are matched by name, or in their order when no names fit.
void load_weights(const Model& model, const std::filesystem::path& path);

}  // namespace nacre
