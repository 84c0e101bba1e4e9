#include "api/keras_file.h"

#include <algorithm>

#include "api/keras_config.h"

namespace nacre {

namespace {

// Layers as the HDF5 format has them: without the module that newer files name. Operations keep theirs: Keras leaves it
// out there too, and then cannot open its own file.
Tree legacy_layer(Tree object) {
  if (const Tree* module = object.find("module"); !module || !module->is_string() || !module->as_string().starts_with("keras.src.ops"))
    object.erase("module");
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

Tree training_config(CompileOptions options, const Objective& objective) {
  options.loss = with_whole_names(options.loss, objective);
  Tree optimizer, config = write_config(options, Style::keras);
  config.erase("optimizer");
  config.set("run_eagerly", false);
  config.set("steps_per_execution", 1);
  config.set("jit_compile", false);
  optimizer.set("class_name", options.optimizer->class_name());
  optimizer.set("config", options.optimizer->config_tree(Style::keras));
  config.set("optimizer_config", std::move(optimizer));
  return config;
}

std::vector<NamedTensor> named_values(const std::vector<VariableRef>& variables) {
  std::vector<NamedTensor> values;
  for (const VariableRef& variable : variables) values.push_back({variable->path(), variable->value()});
  return values;
}

// Trainable ones first, as the format wants them.
std::vector<VariableRef> file_order(const Layer& layer) {
  std::vector<VariableRef> variables;
  for (const Weight& weight : layer.trainable_weights()) variables.push_back(weight.variable);
  for (const Weight& weight : layer.non_trainable_weights()) variables.push_back(weight.variable);
  return variables;
}

void load_layer(const Layer& layer, const LayerWeights& saved) {
  const std::vector<VariableRef> variables = file_order(layer);
  if (variables.size() != saved.weights.size())
    throw Error("the file has {} weights for it, it has {}", saved.weights.size(), variables.size()).about(layer.label());
  for (std::size_t i = 0; i < variables.size(); ++i) {
    const Tensor& value = saved.weights[i].tensor;
    if (value.shape() != variables[i]->shape())
      throw Error("the file's weight '{}' is {}, '{}' is {}", saved.weights[i].name, value.shape(), variables[i]->path(), variables[i]->shape())
          .about(layer.label());
    variables[i]->assign(value.cast(variables[i]->type().dtype));
  }
}

}  // namespace

KerasFile weights_file(const FunctionalLayer& model) {
  KerasFile file;
  for (const auto& layer : model.layers()) file.layers.push_back({layer->name(), named_values(file_order(*layer))});
  return file;
}

KerasFile model_file(const Trainer& trainer) {
  trainer.model().inputs();  // or the error that it is not built
  KerasFile file = weights_file(trainer.model());
  file.model_config = legacy_layer(write_object<Layer>(trainer.model(), Style::keras));
  if (trainer.options()) {
    file.training_config = training_config(*trainer.options(), trainer.objective());
    file.optimizer_weights = named_values(trainer.optimizer().variables());
  }
  return file;
}

std::shared_ptr<FunctionalLayer> read_model(const KerasFile& file) {
  if (file.model_config.is_null())
    throw Error("the file holds weights alone, without a model").hint("build the model and load the weights into it").usage();
  auto layer = read_object<Layer>(file.model_config);
  auto model = std::dynamic_pointer_cast<FunctionalLayer>(layer);
  if (!model) throw Error("the file holds a {}, no model", layer->class_name()).usage();
  if (model->connected()) load_weights(*model, file);
  return model;
}

CompileOptions read_compile_options(const KerasFile& file) {
  Tree config = file.training_config;
  config.set("optimizer", Tree(config["optimizer_config"]));
  CompileOptions options;
  const FieldTarget target{&fields_of<CompileOptions>(), &options};
  constexpr std::string_view ignored[] = {"optimizer_config", "run_eagerly", "steps_per_execution", "jit_compile",
                                          "sample_weight_mode", "auto_scale_loss"};
  read_fields({&target, 1}, config, ignored);
  return options;
}

void load_weights(FunctionalLayer& model, const KerasFile& file) {
  std::vector<std::shared_ptr<Layer>> layers;
  for (const auto& layer : model.layers())
    if (!layer->weights().empty()) layers.push_back(layer);
  std::vector<const LayerWeights*> saved;
  for (const LayerWeights& weights : file.layers)
    if (!weights.weights.empty()) saved.push_back(&weights);

  if (std::all_of(layers.begin(), layers.end(), [&](const auto& layer) { return file.find(layer->name()); })) {
    for (const auto& layer : layers) load_layer(*layer, *file.find(layer->name()));
  } else {
    if (layers.size() != saved.size())
      throw Error("the file has weights for {} layers, the model '{}' has {} layers with weights", saved.size(), model.title(), layers.size());
    for (std::size_t i = 0; i < layers.size(); ++i) load_layer(*layers[i], *saved[i]);
  }
}

void load_optimizer(Optimizer& optimizer, const KerasFile& file) {
  std::vector<Tensor> values;
  for (const NamedTensor& saved : file.optimizer_weights) values.push_back(saved.tensor);
  std::vector<VariableRef> variables = optimizer.variables();
  const std::size_t counters = optimizer.scheduled() ? 1 : 2;  // iteration and learning rate
  if (values.size() == counters && variables.size() > counters) variables.resize(counters);
  restore_variables(variables, values, "optimizer");
}

void restore_variables(const std::vector<VariableRef>& variables, const std::vector<Tensor>& values, std::string_view what) {
  if (variables.size() != values.size())
    throw Error("{}: got {} tensors, wanted {}", what, values.size(), variables.size());
  for (std::size_t i = 0; i < variables.size(); ++i) {
    if (values[i].shape() != variables[i]->shape())
      throw Error("{}: '{}' got {}, wanted {}", what, variables[i]->path(), values[i].shape(), variables[i]->shape());
    variables[i]->assign(values[i].cast(variables[i]->type().dtype));
  }
}

}  // namespace nacre
