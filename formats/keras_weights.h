// Keras 3's tree of weights, as plain data: what .weights.h5 files hold, and model.weights.h5 within a .keras archive.
//
// Every object that has variables is a group, named by the way to it through the model's attributes, which does not
// depend on the user's names: "layers/bidirectional/forward_layer/cell". Its variables are "vars/0", "vars/1", ….
// A sharded tree is X.weights.json, which says what lies where, beside X_00000.weights.h5, X_00001.weights.h5, ….
// Source: keras/src/saving/saving_lib.py (H5IOStore, ShardedH5IOStore).
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backend/core/tensor.h"

namespace nacre {

namespace hdf5 {
class Group;
}

struct WeightGroup {
  std::string path;                        // "layers/dense_1"; "" is the model itself
  std::optional<std::string> name{};       // the object's own, a note for people
  std::vector<Tensor> variables{};         // vars/0, vars/1, …
  std::map<std::string, Tensor> named{};   // vars/idf_weights: those of a few classes
  bool empty() const { return variables.empty() && named.empty(); }
};

struct WeightTree {
  std::vector<WeightGroup> groups;  // parents before their children
  // Whether the numbers in paths count objects with variables alone: in what Keras 2.12 and 2.13 wrote, which counted
  // in ways of its own, they are given anew.
  bool compact = false;

  const WeightGroup* find(std::string_view path) const;  // null when there is none with variables
};

// See formats/wire.h.
void carry(auto& wire, WeightGroup& group) { wire(group.path, group.name, group.variables, group.named); }
void carry(auto& wire, WeightTree& tree) { wire(tree.groups, tree.compact); }

// Files of Keras 2.12 and 2.13 have other names for the list of layers; they come back as "layers".
WeightTree read_weight_tree(const hdf5::Group& root);
// The bytes are those that Keras writes.
void write_weight_tree(hdf5::Group root, const WeightTree& tree);

// Whether the file's root is that of such a tree, not of Keras's older layout (see keras_h5.h).
bool holds_weight_tree(const hdf5::Group& root);

// Of X.weights.h5 or, by its name, X.weights.json.
WeightTree read_keras_weights(const std::filesystem::path& path);
void write_keras_weights(const std::filesystem::path& path, const WeightTree& tree);
// Into shards of at most so many bytes of variables; `path` is that of the X.weights.json, which appears last.
void write_sharded_keras_weights(const std::filesystem::path& path, const WeightTree& tree, std::uint64_t shard_size);

}  // namespace nacre
