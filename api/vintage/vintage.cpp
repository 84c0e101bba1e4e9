#include "api/vintage/vintage.h"

#include <algorithm>

#include "api/vintage/parts.h"
#include "formats/config.h"

namespace nacre {

namespace {

// What only Keras 1 writes in the configs of layers.
bool is_of_keras1(const Tree& tree) {
  if (tree.is_sequence()) return std::any_of(tree.items().begin(), tree.items().end(), is_of_keras1);
  if (!tree.is_mapping()) return false;
  for (std::string_view key : {"border_mode", "W_regularizer", "nb_filter", "dim_ordering", "inner_activation", "pool_length", "consume_less"})
    if (tree.find(key)) return true;
  for (const Tree::Entry& entry : tree.entries())
    if (is_of_keras1(entry.value)) return true;
  return false;
}

// What only Keras 3 writes: where a class is to be found.
bool is_of_keras3(const Tree& model) { return model.find("module") || model.find("registered_name"); }

std::string text_at(const Tree& tree, std::string_view key) {
  const Tree* value = tree.find(key);
  return value && value->is_string() ? value->as_string() : "";
}

// "2.2.4-tf" → 2. Before version 1 files were as in version 1.
int major_of(const std::string& version) {
  const int digit = version[0] - '0';
  return digit >= 0 && digit <= 9 ? std::max(digit, 1) : Vintage{}.major;
}

}  // namespace

Vintage vintage_of(const Tree& model) {
  Vintage vintage{.backend = text_at(model, "backend")};
  if (const std::string version = text_at(model, "keras_version"); !version.empty()) vintage.major = major_of(version);
  else if (is_of_keras1(model) || vintages::is_model_of_keras0(model)) vintage.major = 1;
  else if (!is_of_keras3(model)) vintage.major = 2;
  return vintage;
}

Vintage vintage_of(const KerasFile& file) {
  Vintage vintage = file.model_config.is_null() ? Vintage{.major = 1} : vintage_of(file.model_config);
  if (!file.keras_version.empty()) vintage.major = major_of(file.keras_version);
  if (!file.backend.empty()) vintage.backend = file.backend;
  if (vintage.major > 1 || !vintage.backend.empty()) return vintage;
  for (const LayerWeights& layer : file.layers)
    for (const NamedTensor& weight : layer.weights) {
      vintage.backend = weight.name.ends_with(":0") ? "tensorflow" : "theano";
      return vintage;
    }
  return vintage;
}

std::string vintages::label_of(const Tree& layer) {
  const Tree* config = layer.find("config");
  const Tree* name = layer.find("name");
  if (!name && config) name = config->find("name");
  const std::string class_name = text_at(layer, "class_name");
  return fmt::format("layer '{}' ({})", name && name->is_string() ? name->as_string() : snake_case(class_name), class_name);
}

Tree modern_layer(Tree layer, const Vintage& vintage, Notes& notes) {
  using namespace vintages;
  if (vintage.major >= 3) modernize_policies(layer, notes);
  if (vintage.major >= 3 || !(is_model_of_keras0(layer) || (layer.find("class_name") && layer.find("config")))) return layer;
  try {
    modernize_keras0(layer);
    modernize_class(layer);
    if (layer["class_name"] == Tree("Sequential")) modernize_sequential(layer);
    if (layer["class_name"] == Tree("Functional")) modernize_functional(layer);
    Tree& config = *layer.find("config");
    const auto recurse = [&](Tree& inner) { inner = modern_layer(std::move(inner), vintage, notes); };
    for (std::string_view key : {"layer", "backward_layer", "cell"})
      if (Tree* inner = config.find(key); inner && inner->is_mapping()) recurse(*inner);
    for (std::string_view key : {"layers", "cells"})
      if (Tree* inner = config.find(key); inner && inner->is_sequence())
        for (Tree& each : inner->items()) recurse(each);
    modernize_fields(layer);
    modernize_objects(layer, notes);
    return layer;
  } catch (Error& error) {
    error.about(label_of(layer));
    throw;
  }
}

}  // namespace nacre
