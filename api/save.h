// Models as files. What nacre writes Keras opens, and the other way round. Files are written whole or not at all.
// The formats stand in api/model_file.h.
#pragma once

#include <filesystem>
#include <optional>

#include "api/load_options.h"
#include "api/model.h"
#include "api/model_file.h"
#include "api/train/progress.h"

namespace nacre {

struct SaveOptions {
  double max_shard_size = 5;           // of .weights.json, in GiB of weights for each file
  // How the floating weights of layers are stored; none: as they are. Of float16 the file is half as large, and Keras reads
  // it as well; a weight that is too large for it is an Error.
  std::optional<DType> weights_dtype{};
  ProgressListener* listener = nullptr;  // is warned of what Keras cannot open; without one the warnings go to stderr
};

// The size limit of a shard.
std::uint64_t shard_bytes(const SaveOptions& options);

// A whole model, for a compiled one with losses, metrics, optimizer and its state; or its architecture alone.
void save_model(const Model& model, const std::filesystem::path& path, const SaveOptions& options = {});
void save_model(const Trainer& trainer, const std::filesystem::path& path, const SaveOptions& options = {});  // all weights have values

// Throws an Error that names the file and, within it, the layer or class that cannot be read. The path may be a name of the
// zoo (see api/zoo.h).
Model load_model(const std::filesystem::path& path, const LoadOptions& options = {});
// A model of a .json or .yaml file; its weights have no values yet.
Model load_architecture(const std::filesystem::path& path, const LoadOptions& options = {});
// Whichever of both the file holds.
Model load_any_model(const std::filesystem::path& path, const LoadOptions& options = {});

// The same of files that were read already.
Model load_model(const ModelFile& file, const LoadOptions& options = {});
Model load_architecture(const ModelFile& file, const LoadOptions& options = {});
Model load_any_model(const ModelFile& file, const LoadOptions& options = {});

// Weights alone, and in .weights.h5 and shards the optimizer's state of a compiled model.
void save_weights(const Model& model, const std::filesystem::path& path, const SaveOptions& options = {});
void save_weights(const Trainer& trainer, const std::filesystem::path& path, const SaveOptions& options = {});
// From weights alone or the file of a whole model. In Keras 3's formats weights belong to places of the model; in the
// older one to layers by name, or in their order when no names fit.
void load_weights(const Model& model, const std::filesystem::path& path, const LoadOptions& options = {});

}  // namespace nacre
