// Models as the contents of Keras's HDF5 files: what is written.
#include "api/keras/file.h"

#include <set>

#include "api/keras/places.h"
#include "api/shared_layers.h"

namespace nacre {

namespace {

// Layers as the HDF5 format has them: without the module that newer files name, but with the package of those that are
// not Keras's own. Operations keep their module: Keras leaves it out there too, and then cannot open its own file.
Tree legacy_layer(Tree object) {
  const Tree *module = object.find("module"), *class_name = object.find("class_name"), *registered = object.find("registered_name");
  const std::string place = module && module->is_string() ? module->as_string() : "";
  if (registered && registered->is_string() && place.starts_with("keras_hub")) object.set("class_name", Tree(*registered));
  // The one class whose name in Python is not its public one.
  else if (class_name && *class_name == Tree("GroupQueryAttention")) object.set("class_name", "GroupedQueryAttention");
  if (!place.starts_with("keras.src.ops")) object.erase("module");
  object.erase("registered_name");
  if (Tree* config = object.find("config"))
    if (Tree* layers = config->find("layers"))
      for (Tree& layer : layers->items()) layer = legacy_layer(std::move(layer));
  return object;
}

// Keras writes "mse" and "crossentropy" but opens only files with the whole names, "mean_squared_error".
Losses with_whole_names(const Losses& losses, const Objective& objective) {
  const auto named = losses.resolve(objective.outputs(), "losses");
  Losses whole = losses;
  if (losses.all && depends_on_shapes(losses.all->word)) whole.all.reset(), whole.each = named;
  for (std::size_t i = 0; i < named.size(); ++i) {
    if (!named[i] || named[i]->word.empty()) continue;
    const Loss* loss = objective.loss(i);  // none before the first data, for words that depend on it
    if (!loss && depends_on_shapes(named[i]->word)) continue;
    const std::string word = snake_case(loss ? loss->class_name() : read_object<Loss>(Tree(named[i]->word))->class_name());
    if (whole.all) whole.all->word = word;
    else if (!whole.each.empty()) whole.each[i]->word = word;
    else whole.named.at(objective.outputs()[i]).word = word;
  }
  return whole;
}

// Under their paths, which the state of some optimizers does not have for itself alone.
std::vector<NamedTensor> named_values(const std::vector<VariableRef>& variables) {
  std::vector<NamedTensor> values;
  std::set<std::string> taken;
  for (const VariableRef& variable : variables) {
    std::string name = variable->path();
    for (int i = 1; !taken.insert(name).second; ++i) name = fmt::format("{}_{}", variable->path(), i);
    values.push_back({std::move(name), variable->value()});
  }
  return values;
}

// The older form: the optimizer stands under another key, without its module.
Tree training_config(Tree config) {
  Tree optimizer = config["optimizer"];
  config.erase("optimizer");
  optimizer.erase("module");
  optimizer.erase("registered_name");
  config.set("optimizer_config", std::move(optimizer));
  return config;
}

}  // namespace

Tree compile_config(const Trainer& trainer) {
  CompileOptions options = *trainer.options();
  options.loss = with_whole_names(options.loss, trainer.objective());
  Tree config = write_config(options, Style::keras);
  for (const std::string_view own : {"matmul_precision", "deterministic", "recompute", "learning_rate_multipliers"}) config.erase(own);
  config.set("run_eagerly", false);
  config.set("steps_per_execution", 1);
  config.set("jit_compile", false);
  return config;
}

std::vector<VariableRef> file_order(const Layer& layer) {
  std::vector<VariableRef> variables;
  for (const Weight& weight : layer.trainable_weights()) variables.push_back(weight.variable);
  for (const Weight& weight : layer.non_trainable_weights()) variables.push_back(weight.variable);
  return variables;
}

KerasFile weights_file(const ModelContents& contents) {
  contents.model->inputs();  // or the error that it is not built
  KerasFile file;
  for (const auto& layer : contents.model->layers())
    if (!is_operation(*layer)) file.layers.push_back({layer->name(), named_values(file_order(*layer))});
  return file;
}

KerasFile model_file(const ModelContents& contents) {
  KerasFile file = weights_file(contents);
  file.model_config = legacy_layer(describe_model(*contents.model));
  if (!contents.card.is_null()) file.state.set("card", contents.card);
  if (contents.compile_config.is_null()) return file;
  file.training_config = training_config(contents.compile_config);
  file.optimizer_weights = named_values(contents.optimizer);
  return file;
}

}  // namespace nacre
