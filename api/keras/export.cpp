#include "api/keras/export.h"

#include <algorithm>
#include <set>

#include "api/keras/file.h"
#include "api/keras/places.h"
#include "api/shared_layers.h"
#include "layers/lambda.h"
#include "layers/cell.h"

namespace nacre {

namespace {

constexpr std::string_view old_gate = "hard_sigmoid_keras2", present_gate = "hard_sigmoid";
constexpr double gate_scale = 1.2;

// --- names -------------------------------------------------------------------------------------------------------

using Renames = std::map<std::string, std::string>;

// Keras takes no '/' in names, and HDF5 has no object called ".".
bool is_renamed(const std::string& name) { return name.find('/') != std::string::npos || name == "."; }

// Gives the layers whose names Keras or its files cannot have others that no layer has. Returns those of the model's own
// layers, which its outputs are called by: those within other models may have had the same ones.
Renames rename_layers(FunctionalLayer& model) {
  Renames renames;
  std::set<std::string> taken;
  const std::vector<std::shared_ptr<Layer>> own = model.layers();
  const std::vector<KerasPlace> places = keras_places(model);
  for (const KerasPlace& place : places) taken.insert(place.layer->own_name());
  for (const auto& [path, layer] : places) {
    const std::string name = layer->own_name();
    if (!is_renamed(name)) continue;
    std::string base = name == "." ? "_" : name;
    std::ranges::replace(base, '/', '_');
    std::string free = base;
    for (int i = 1; taken.contains(free); ++i) free = fmt::format("{}_{}", base, i);
    taken.insert(free);
    layer->rename(free);
    if (std::ranges::find(own, layer, &std::shared_ptr<Layer>::get) != own.end()) renames.emplace(name, free);
  }
  return renames;
}

// Losses and the like name the outputs that they belong to.
void rename_outputs(Tree& compile_config, const Renames& renames) {
  for (const std::string_view key : {"loss", "loss_weights", "metrics", "weighted_metrics"})
    if (Tree* named = compile_config.find(key); named && named->is_mapping() && !named->find("class_name"))
      for (Tree::Entry& entry : named->entries())
        if (const auto found = renames.find(entry.key); found != renames.end()) entry.key = found->second;
}

// --- gates -------------------------------------------------------------------------------------------------------

// Whether layers are called by their names there: those may be anything.
bool holds_names(const Tree::Entry& entry) {
  constexpr std::string_view keys[] = {"name", "inbound_nodes", "input_layers", "output_layers"};
  return std::ranges::find(keys, entry.key) != std::end(keys);
}

bool has_old_gates(const Tree& tree) {
  if (tree == Tree(old_gate)) return true;
  if (tree.is_sequence()) return std::ranges::any_of(tree.items(), has_old_gates);
  return tree.is_mapping() && std::ranges::any_of(tree.entries(), [](const Tree::Entry& entry) {
    return !holds_names(entry) && has_old_gates(entry.value);
  });
}

Tree layer_tree(std::string_view module, std::string_view class_name, Tree config) {
  return spell_object(module, class_name, std::move(config), Style::keras, false);
}

// An Activation as a stack of the same name: scaled, then the present function.
void put_scale_before(Tree& activation) {
  const Tree config = activation["config"];
  Tree inner = config, scale, stack;
  const std::string name = config["name"].as_string();
  inner.set("name", name + "_gate");
  inner.set("activation", present_gate);
  scale.set("name", name + "_scale");
  scale.set("scale", gate_scale);
  for (const std::string_view key : {"trainable", "dtype"})
    if (const Tree* value = config.find(key)) scale.set(key, *value), stack.set(key, *value);
  stack.set("name", name);
  stack.set("layers", Tree::Sequence{layer_tree("keras.layers", "Rescaling", std::move(scale)), layer_tree("keras.layers", "Activation", std::move(inner))});
  activation.set("module", "keras");
  activation.set("class_name", "Sequential");
  activation.set("config", std::move(stack));
}

void replace_old_gates(Tree& tree) {
  if (tree == Tree(old_gate)) {
    tree = present_gate;
  } else if (tree.is_sequence()) {
    for (Tree& item : tree.items()) replace_old_gates(item);
  } else if (tree.is_mapping()) {
    const Tree *class_name = tree.find("class_name"), *config = tree.find("config");
    if (class_name && *class_name == Tree("Activation") && config && config->is_mapping() && config->find("activation") &&
        (*config)["activation"] == Tree(old_gate))
      return put_scale_before(tree);
    for (Tree::Entry& entry : tree.entries())
      if (!holds_names(entry)) replace_old_gates(entry.value);
  }
}

bool uses_old_gate(const Tree& config, std::string_view key) {
  const Tree* activation = config.find(key);
  return activation && *activation == Tree(old_gate);
}

// Multiplies those of `parts` equal blocks of the last axis that are wanted.
void scale_blocks(Variable& variable, const std::vector<bool>& wanted) {
  Tensor value = variable.value().cast(DType::float32);
  const std::span<float> numbers = value.writable<float>();
  const auto last = static_cast<std::size_t>(value.shape()[-1]), block = last / wanted.size();
  for (std::size_t i = 0; i < numbers.size(); ++i)
    if (wanted[i % last / block]) numbers[i] = static_cast<float>(numbers[i] * gate_scale);
  variable.assign(value.cast(variable.type().dtype));
}

// Which blocks of a cell's weights belong to gates with the old function. None where no scale is right.
std::vector<bool> old_blocks(const Cell& cell, const Tree& config, std::vector<std::string>& warnings) {
  const std::int64_t size = cell.own_weights().front().variable->shape()[-1] / config[config.find("units") ? "units" : "filters"].as_integer();
  const bool state = uses_old_gate(config, "activation"), gates = uses_old_gate(config, "recurrent_activation");
  if (size == 1) return {state};
  if (size == 3) return {gates, gates, state};  // update, reset, candidate
  if (state)  // it stands behind the state too, which has no weights
    warnings.push_back(fmt::format("{}: its activation is the hard_sigmoid of Keras 1 and 2; in Keras 3 the numbers differ", cell.label()));
  return {gates, gates, false, gates};  // input, forget, candidate, output
}

// `copy` has the values of `layer` and is given those that the present function wants.
void scale_gates(const Layer& layer, const Layer& copy, std::vector<std::string>& warnings) {
  const Tree config = layer.config_tree(Style::keras);
  const std::vector<Weight>& weights = copy.own_weights();
  if (const auto* cell = dynamic_cast<const Cell*>(&layer); cell && !weights.empty()) {
    const std::vector<bool> blocks = old_blocks(*cell, config, warnings);
    for (const Weight& weight : weights) scale_blocks(*weight.variable, blocks);
  } else if (uses_old_gate(config, "activation")) {
    for (const Weight& weight : weights)
      for (const std::string_view last : {"/kernel", "/bias", "/pointwise_kernel"})
        if (weight.variable->path().ends_with(last)) scale_blocks(*weight.variable, {true});
  }
  const auto inner = layer.sublayers(), inner_copies = copy.sublayers();
  for (std::size_t i = 0; i < std::min(inner.size(), inner_copies.size()); ++i) scale_gates(*inner[i], *inner_copies[i], warnings);
}

// --- the copy ----------------------------------------------------------------------------------------------------

std::shared_ptr<FunctionalLayer> copy_of(const FunctionalLayer& model, const Tree& config) {
  const SharedLayers shared;
  auto copy = std::dynamic_pointer_cast<FunctionalLayer>(read_layer(config));
  std::map<std::string, VariableRef> variables;  // by path, which a model has once
  for (const Weight& weight : model.weights()) variables.emplace(weight.variable->path(), weight.variable);
  for (const Weight& weight : copy->weights()) {
    const auto found = variables.find(weight.variable->path());
    ensure(found != variables.end(), "a copy of '{}' has a weight '{}' of its own", model.title(), weight.variable->path());
    weight.variable->assign(found->second->value());
  }
  return copy;
}

// What Keras 3 has no class for, once per class, and functions in Lua.
void warn_of_unknown(FunctionalLayer& model, std::vector<std::string>& warnings) {
  std::set<std::string_view> said;
  for (const auto& [path, layer] : keras_places(model)) {
    if (holds_script(*layer)) warnings.push_back(fmt::format("{}: its function is Lua, so Keras will not open the file", layer->label()));
    const auto* info = registry<Layer>().find(layer->class_name(), layer->module());
    const std::string_view module = info ? info->module : "";
    if (module == "keras" || module.starts_with("keras.") || !said.insert(layer->class_name()).second) continue;
    warnings.push_back(module.starts_with("keras_hub") ? fmt::format("{}: Keras opens the file only with KerasHub", layer->label())
                                                       : fmt::format("{}: Keras 3 has no such layer and will not open the file", layer->label()));
  }
}

}  // namespace

ModelContents::ModelContents(const Trainer& trainer) : model(std::static_pointer_cast<FunctionalLayer>(trainer.model().shared_from_this())) {
  if (const ModelCard& says = model->card(); says != ModelCard()) card = write_config(says, Style::yaml);
  if (!trainer.options()) return;
  compile_config = nacre::compile_config(trainer);
  optimizer_name = trainer.optimizer().name();
  optimizer = trainer.optimizer().variables();
}

ModelContents contents_for_keras(const Trainer& trainer, std::vector<std::string>& warnings) {
  ModelContents contents(trainer);
  FunctionalLayer& model = *contents.model;
  warn_of_unknown(model, warnings);
  const auto places = keras_places(model);
  const bool renamed = std::ranges::any_of(places, [](const KerasPlace& place) { return is_renamed(place.layer->own_name()); });
  Tree config = describe_model(model);
  const bool gates = has_old_gates(config);
  if (!renamed && !gates) return contents;
  replace_old_gates(config);
  contents.model = copy_of(model, config);
  if (gates) {
    scale_gates(model, *contents.model, warnings);
    if (!contents.optimizer.empty()) warnings.push_back("the optimizer's state is left out: weights were scaled to give the same numbers with Keras 3's hard_sigmoid");
    contents.optimizer.clear();
  }
  rename_outputs(contents.compile_config, rename_layers(*contents.model));
  return contents;
}

}  // namespace nacre
