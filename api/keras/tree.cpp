#include "api/keras/tree.h"

#include <algorithm>
#include <ctime>
#include <set>

#include "api/keras/places.h"
#include "api/shared_layers.h"
#include "api/vintage/float_weights.h"

namespace nacre {

namespace {

constexpr std::string_view optimizer_path = "optimizer";

std::vector<Tensor> values_of(const std::vector<VariableRef>& variables) {
  std::vector<Tensor> values;
  for (const VariableRef& variable : variables) values.push_back(variable->value());
  return values;
}

// --- writing -----------------------------------------------------------------------------------------------------

Tree shape_tree(const Shape& shape) { return FieldKind<Shape>::write(shape, Style::keras); }

// With which shapes Keras calls build(); null where it does not: operations have none, and layers whose arguments are
// several tensors are built by their call.
Tree build_config(const Layer& layer) {
  Tree config;
  const std::vector<Shape>& shapes = layer.built_shapes();
  if (const auto* model = dynamic_cast<const FunctionalLayer*>(&layer)) {
    if (model->connected()) config.set("input_shape", layer.class_name() == "Sequential" ? shape_tree(model->inputs().front().shape()) : Tree());
    return config;
  }
  if (!layer.built() || shapes.empty() || is_operation(layer)) return config;
  const std::vector<std::string_view> names = layer.argument_names();
  if (shapes.size() == 1) {
    if (!layer.weights().empty()) config.set("input_shape", shape_tree(shapes.front()));
  } else if (names.empty()) {
    Tree list = Tree::sequence();
    for (const Shape& shape : shapes) list.push(shape_tree(shape));
    config.set("input_shape", std::move(list));
  } else if (names.front() == "query" && !layer.weights().empty()) {
    Tree each;
    for (std::size_t i = 0; i < shapes.size(); ++i) each.set(fmt::format("{}_shape", names[i]), shape_tree(shapes[i]));
    config.set("shapes_dict", std::move(each));
  }
  return config;
}

// Adds to a description what only archives have, and to those of the layers within.
void complete(Tree& object, const Layer& layer) {
  if (Tree build = build_config(layer); !build.is_null()) object.set("build_config", std::move(build));
  if (dynamic_cast<const FunctionalLayer*>(&layer)) object.set("compile_config", Tree::mapping());
  if (layer.class_name() == "Functional") object.set("registered_name", "Functional");
  each_inner_object(object, layer, complete);
}

// The tensors of a layer's tables are named variables of its group; "_lookup_layer/idf_weights" is one of an object
// within it, which nacre has no layer for.
void add_tables(WeightTree& tree, const std::string& path, const std::map<std::string, Tensor>& tables) {
  for (const auto& [key, tensor] : tables) {
    const std::size_t slash = key.rfind('/');
    const std::string place = slash == std::string::npos ? path : path + "/" + key.substr(0, slash);
    const auto found = std::ranges::find(tree.groups, place, &WeightGroup::path);
    WeightGroup& group = found == tree.groups.end() ? tree.groups.emplace_back(WeightGroup{place}) : *found;
    group.named.emplace(key.substr(slash == std::string::npos ? 0 : slash + 1), tensor);
  }
}

std::string present_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  return fmt::format("{:04}-{:02}-{:02}@{:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

// --- reading -----------------------------------------------------------------------------------------------------

// Where the weights of the top-level layers lie by the names that the file has for them.
std::map<std::string, std::string> paths_by_name(const WeightTree& tree) {
  std::map<std::string, std::string> paths;
  for (const WeightGroup& group : tree.groups)
    if (group.name && group.path.starts_with("layers/") && group.path.find('/', 7) == std::string::npos) paths.emplace(*group.name, group.path);
  return paths;
}

// What an archive has for the object at a place and those within it.
Assets assets_at(const KerasArchive& archive, const std::string& path) {
  Assets assets;
  const std::string folder = path.empty() ? "" : path + "/";
  for (const KerasAsset& asset : archive.assets)
    if (asset.path.starts_with(folder)) assets.files.emplace(asset.path.substr(folder.size()), asset.bytes);
  for (const WeightGroup& group : archive.weights.groups)
    for (const auto& [key, tensor] : group.named) {
      if (group.path == path) assets.tensors.emplace(key, tensor);
      else if (group.path.starts_with(folder)) assets.tensors.emplace(group.path.substr(folder.size()) + "/" + key, tensor);
    }
  return assets;
}

// What the file has for the layer's own weights, in their order.
vintages::FloatWeights weights_of(const Layer& layer, const std::vector<VariableRef>& variables, const WeightGroup* group, const std::string& path) {
  try {
    vintages::FloatWeights weights = vintages::float_weights(layer, group ? group->variables : std::vector<Tensor>{});
    if (weights.values.size() != variables.size())
      throw Error("the file has {} weights for it at '{}', it has {}", weights.values.size(), path, variables.size());
    for (std::size_t i = 0; i < variables.size(); ++i) {
      Tensor& value = weights.values[i];
      if (value.shape() != variables[i]->shape())
        throw Error("the file's weight '{}/vars/{}' is {}, '{}' is {}", path, i, value.shape(), variables[i]->path(), variables[i]->shape());
      value = value.cast(variables[i]->type().dtype);
    }
    return weights;
  } catch (Error& error) {
    error.about(layer.label());
    throw;
  }
}

}  // namespace

WeightTree weight_tree(const ModelContents& contents) {
  contents.model->inputs();  // or the error that it is not built
  WeightTree tree;
  for (const auto& [path, layer] : keras_places(*contents.model, {.repeat = true})) {
    const std::string name = path.empty() ? contents.model->title() : layer->own_name();
    tree.groups.push_back({path, name, values_of(own_variables(*layer))});
    add_tables(tree, path, layer->assets().tensors);
  }
  if (!contents.optimizer.empty()) tree.groups.push_back({std::string(optimizer_path), contents.optimizer_name, values_of(contents.optimizer)});
  return tree;
}

Tree archive_config(const ModelContents& contents) {
  Tree config = describe_model(*contents.model);
  complete(config, *contents.model);
  if (!contents.compile_config.is_null()) config.set("compile_config", contents.compile_config);
  return config;
}

KerasArchive model_archive(const ModelContents& contents) {
  KerasArchive archive;
  archive.metadata.set("keras_version", KerasFile().keras_version);
  archive.metadata.set("date_saved", present_time());
  if (!contents.card.is_null()) archive.metadata.set("nacre", contents.card);
  archive.weights = weight_tree(contents);
  archive.config = archive_config(contents);
  for (const auto& [path, layer] : keras_places(*contents.model, {.repeat = true}))
    for (auto& [file, bytes] : layer->assets().files) archive.assets.push_back({path.empty() ? file : path + "/" + file, bytes});
  return archive;
}

KerasFile description_of(const KerasArchive& archive) {
  KerasFile file;
  file.model_config = archive.config;
  const Tree* version = archive.metadata.find("keras_version");
  file.keras_version = version && version->is_string() ? version->as_string() : "";
  if (const Tree* card = archive.metadata.find("nacre")) file.state.set("card", *card);
  if (const Tree* compiled = archive.config.find("compile_config"); compiled && compiled->is_mapping() && !compiled->entries().empty()) {
    file.training_config = *compiled;
    if (const Tree* optimizer = compiled->find("optimizer")) file.training_config.set("optimizer_config", Tree(*optimizer));
  }
  return file;
}

std::shared_ptr<FunctionalLayer> read_model(const KerasArchive& archive, const LoadOptions& options) {
  auto model = read_architecture(description_of(archive), options);
  for (const auto& [path, layer] : keras_places(*model)) {
    if (!layer->sublayers().empty()) continue;
    if (const Assets assets = assets_at(archive, path); !assets.empty()) layer->load_assets(assets);
  }
  if (model->connected()) load_weights(*model, archive.weights, options);
  return model;
}

void load_weights(FunctionalLayer& model, const WeightTree& tree, const LoadOptions& options) {
  std::map<std::string, std::string> by_name;
  if (options.by_name) by_name = paths_by_name(tree);
  const auto skip = [&](std::string_view reason) {
    if (options.skipped) options.skipped->emplace_back(reason);
  };
  std::vector<std::pair<VariableRef, Tensor>> all;  // assigned when everything is known to fit
  std::vector<std::string> quantized;
  std::string replaced, replacement;  // the places of the present top-level layer, in the model and in the file
  for (const auto& [place, layer] : keras_places(model, {.compact = tree.compact})) {
    const std::vector<VariableRef> variables = own_variables(*layer);
    std::string path = place;
    if (options.by_name && place.starts_with("layers/")) {
      if (place.find('/', 7) == std::string::npos) {
        const auto found = by_name.find(layer->own_name());
        replaced = place, replacement = found == by_name.end() ? "" : found->second;
        if (replacement.empty() && !layer->weights().empty()) skip(layer->label() + ": the file has no weights for it");
      }
      if (replacement.empty()) continue;
      path = replacement + place.substr(replaced.size());
    }
    if (variables.empty()) continue;
    try {
      vintages::FloatWeights weights = weights_of(*layer, variables, tree.find(path), path);
      for (std::size_t i = 0; i < variables.size(); ++i) all.emplace_back(variables[i], std::move(weights.values[i]));
      if (weights.quantized) quantized.push_back(layer->path());
    } catch (const Error& error) {
      if (!options.skip_mismatch) throw;
      skip(error.line());
    }
  }
  for (const auto& [variable, value] : all) variable->assign(value);
  note_quantized(options, quantized);
}

void load_optimizer(Optimizer& optimizer, const WeightTree& tree) {
  if (const WeightGroup* group = tree.find(optimizer_path)) load_optimizer(optimizer, group->variables);
}

}  // namespace nacre
