// Models as files. What nacre writes Keras opens, and the other way round. Files are written whole or not at all.
//
//   .keras                 Keras 3's archive: architecture, weights, assets and how the model was compiled
//   .h5 .hdf5              Keras's older layout, of whole models or of weights alone
//   .weights.h5            Keras 3's weights alone; .weights.json beside several such files: the same in shards
//   .json .yaml .yml       the architecture alone
//
// What is read is told by the file's contents; its name decides only what is written.
#pragma once

#include <filesystem>

#include "api/load_options.h"
#include "api/model.h"
#include "api/train/progress.h"

namespace nacre {

enum class FileKind : std::uint8_t { archive, h5, weights, sharded_weights, json, yaml };

// What a file holds. Throws an Error that says what else it seems to be (SavedModel, ONNX, TensorFlow Lite, …).
FileKind kind_of_file(const std::filesystem::path& path);
// What a file of this name would hold; throws a usage Error for other names.
FileKind kind_of_name(const std::filesystem::path& path);

struct SaveOptions {
  double max_shard_size = 5;           // of .weights.json, in GiB of weights for each file
  ProgressListener* listener = nullptr;  // is warned of what Keras cannot open; without one the warnings go to stderr
};

// The size limit of a shard.
std::uint64_t shard_bytes(const SaveOptions& options);

// A whole model, for a compiled one with losses, metrics, optimizer and its state; or its architecture alone.
void save_model(const Model& model, const std::filesystem::path& path, const SaveOptions& options = {});
void save_model(const Trainer& trainer, const std::filesystem::path& path, const SaveOptions& options = {});  // all weights have values

// Throws an Error that names the file and, within it, the layer or class that cannot be read.
Model load_model(const std::filesystem::path& path, const LoadOptions& options = {});
// A model of a .json or .yaml file; its weights have no values yet.
Model load_architecture(const std::filesystem::path& path, const LoadOptions& options = {});

// Weights alone, and in .weights.h5 and shards the optimizer's state of a compiled model.
void save_weights(const Model& model, const std::filesystem::path& path, const SaveOptions& options = {});
void save_weights(const Trainer& trainer, const std::filesystem::path& path, const SaveOptions& options = {});
// From weights alone or the file of a whole model. In Keras 3's formats weights belong to places of the model; in the
// older one to layers by name, or in their order when no names fit.
void load_weights(const Model& model, const std::filesystem::path& path, const LoadOptions& options = {});

}  // namespace nacre
