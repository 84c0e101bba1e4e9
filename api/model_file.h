// What a model's file is, and what it holds as plain data, before any model is made of it.
//
//   .keras                 Keras 3's archive: architecture, weights, assets and how the model was compiled
//   .h5 .hdf5              Keras's older layout, of whole models or of weights alone
//   .weights.h5            Keras 3's weights alone; .weights.json beside several such files: the same in shards
//   .json .yaml .yml       the architecture alone
//
// What is read is told by the file's contents; its name decides only what is written.
#pragma once

#include "formats/keras_archive.h"
#include "formats/keras_h5.h"

namespace nacre {

enum class FileKind : std::uint8_t { archive, h5, weights, sharded_weights, json, yaml };
constexpr bool is_architecture(FileKind kind) { return kind == FileKind::json || kind == FileKind::yaml; }
constexpr bool is_weights(FileKind kind) { return kind == FileKind::weights || kind == FileKind::sharded_weights; }

// What a file holds. Throws an Error that says what else it seems to be (SavedModel, ONNX, TensorFlow Lite, …).
FileKind kind_of_file(const std::filesystem::path& path);
// What a file of this name would hold; throws a usage Error for other names.
FileKind kind_of_name(const std::filesystem::path& path);

struct ModelFile {
  std::filesystem::path path{};  // for messages
  FileKind kind = FileKind::h5;  // which of the others is filled
  KerasArchive archive{};
  KerasFile h5{};
  WeightTree weights{};  // of one file or of shards
  Tree architecture{};   // of .json and .yaml
};
// See formats/wire.h.
void carry(auto& wire, ModelFile& file) {
  std::uint64_t kind = static_cast<std::uint64_t>(file.kind);
  wire(kind, file.archive, file.h5, file.weights, file.architecture);
  need(kind <= static_cast<std::uint64_t>(FileKind::yaml), "there is no kind of file {}", kind);
  file.kind = static_cast<FileKind>(kind);
}

// Reads it whole. An untrusted file is taken apart in a confined child process (see formats/confined.h). Errors carry
// the file.
ModelFile read_model_file(const std::filesystem::path& path, bool untrusted = false);

}  // namespace nacre
