// Keras 3's own format for whole models, the .keras archive, as plain data: metadata.json, config.json,
// model.weights.h5 and assets/ in a zip archive, or as the files of a folder (what Keras calls not zipped).
// Source: keras/src/saving/saving_lib.py.
#pragma once

#include "formats/keras_weights.h"
#include "formats/tree.h"

namespace nacre {

// A file that belongs to an object of the model, such as a vocabulary.
struct KerasAsset {
  std::string path;  // "layers/text_vectorization/_lookup_layer/vocabulary.txt"
  std::string bytes;
};

struct KerasArchive {
  Tree metadata;  // {keras_version, date_saved}; null in archives that have none
  Tree config;    // {module, class_name, config, registered_name, build_config, compile_config}
  WeightTree weights;
  std::vector<KerasAsset> assets;
};

// See formats/wire.h.
void carry(auto& wire, KerasAsset& asset) { wire(asset.path, asset.bytes); }
void carry(auto& wire, KerasArchive& archive) { wire(archive.metadata, archive.config, archive.weights, archive.assets); }

KerasArchive read_keras_archive(const std::filesystem::path& path);
// Whole or not at all.
void write_keras_archive(const std::filesystem::path& path, const KerasArchive& archive);

}  // namespace nacre
