// Builds a model from the `model:` part of an experiment.
#pragma once

#include <filesystem>

#include "api/experiment/block.h"
#include "api/freeze.h"
#include "api/functional.h"

namespace nacre {

// The keys of `model:`. One of sequential, layers, file and zoo is given.
struct ModelConfig {
  static constexpr std::string_view class_name = "model";
  static constexpr std::string_view doc = "The network: a stack, a graph, or one that was saved.";
  std::string name;
  Tree sequential, inputs, layers, outputs, blocks;
  std::optional<std::string> file, zoo, weights;
  Tree trainable, freeze, head;
  static void describe(auto&& field) {
    field("name", &ModelConfig::name, "of the model; default: the experiment's");
    field("sequential", &ModelConfig::sequential, "a list of layers, each fed by the one before");
    field("inputs", &ModelConfig::inputs, "of a graph: {name: {shape: […]}}");
    field("layers", &ModelConfig::layers, "of a graph: a list of layers, each with `from`");
    field("outputs", &ModelConfig::outputs, "names of layers: of a graph's own, or of those in `file` or `zoo` ('inner', 'outer/inner', 'lstm:1')");
    field("blocks", &ModelConfig::blocks, "pieces with arguments, used like layers: {residual(filters): [...]}");
    field("file", &ModelConfig::file, "a saved model, or an architecture in JSON or YAML");
    field("zoo", &ModelConfig::zoo, "a model of the zoo: its name, with arguments 'mobilenetv2?alpha=0.35'");
    field("weights", &ModelConfig::weights, "a file whose weights the model begins with");
    field("trainable", &ModelConfig::trainable, "of `file` or `zoo`: false freezes all layers, a list of names all others");
    field("freeze", &ModelConfig::freeze,
          "of `file` or `zoo`, which layers do not learn: true (all below the head), 'until NAME' (those before the first whose "
          "name begins so), a number of layers with weights (-3: all but the last 3), or names ('block_1*')");
    field("head", &ModelConfig::head,
          "on `file` or `zoo` without its last layer, or on `outputs`: a list of layers, or {classes: auto, units: [], dropout: 0.2, "
          "activation: softmax, pooling: avg}; the base's preprocessing becomes layers in front");
  }
};

// Throws usage Errors with the line of the layer that does not fit. Without weights those of `weights` and of `zoo` are not
// read: the form alone is of interest.
std::shared_ptr<FunctionalLayer> build_model(const Tree& model, const Variables& variables, const std::filesystem::path& folder,
                                             const std::string& default_name = "", bool with_weights = true);

// The config of a layer whose vocabulary may be a file with a token per line, or whose class a file of Lua defines. They
// are read here: models themselves hold the tokens and the source.
Tree with_files(Tree config, std::string_view class_name, const std::filesystem::path& folder);
// Adds the source wherever {Lua: {file: my_layers.lua, …}} stands.
Tree with_sources(Tree tree, const std::filesystem::path& folder);

// Whether its head has as many classes as the training data, which the configuration then fills in: head.classes.
bool counts_classes(const Tree& model);

// Where the saved model lies that the `model:` part names, if it names one.
std::optional<std::filesystem::path> saved_model_file(const Tree& model, const Variables& variables, const std::filesystem::path& folder);

// The `model:` part with blocks expanded, expressions evaluated and every default filled in.
Tree render_model(const Tree& model, const Variables& variables, const std::filesystem::path& folder);

}  // namespace nacre
