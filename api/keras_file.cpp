#include "api/keras_file.h"

#include <algorithm>

#include "api/keras_config.h"

namespace nacre {

namespace {

void check_layer(const Layer& layer, const std::vector<VariableRef>& variables, const LayerWeights& saved) {
  if (variables.size() != saved.weights.size())
    throw Error("the file has {} weights for it, it has {}", saved.weights.size(), variables.size()).about(layer.label());
  for (std::size_t i = 0; i < variables.size(); ++i)
    if (const Tensor& value = saved.weights[i].tensor; value.shape() != variables[i]->shape())
      throw Error("the file's weight '{}' is {}, '{}' is {}", saved.weights[i].name, value.shape(), variables[i]->path(), variables[i]->shape())
          .about(layer.label());
}

// `saved` is null when the file has nothing for the layer.
void load_layer(const Layer& layer, const LayerWeights* saved, const LoadOptions& options) {
  const auto skip = [&](std::string_view reason) {
    if (options.skipped) options.skipped->emplace_back(reason);
  };
  if (!saved) return skip(layer.label() + ": the file has no weights for it");
  const std::vector<VariableRef> variables = file_order(layer);
  try {
    check_layer(layer, variables, *saved);
  } catch (const Error& error) {
    if (!options.skip_mismatch) throw;
    return skip(error.what());
  }
  for (std::size_t i = 0; i < variables.size(); ++i) variables[i]->assign(saved->weights[i].tensor.cast(variables[i]->type().dtype));
}

}  // namespace

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

void load_weights(FunctionalLayer& model, const KerasFile& file, const LoadOptions& options) {
  std::vector<std::shared_ptr<Layer>> layers;
  for (const auto& layer : model.layers())
    if (!layer->weights().empty()) layers.push_back(layer);
  std::vector<const LayerWeights*> saved;
  for (const LayerWeights& weights : file.layers)
    if (!weights.weights.empty()) saved.push_back(&weights);

  const bool names_fit = std::all_of(layers.begin(), layers.end(), [&](const auto& layer) { return file.find(layer->name()); });
  if (options.by_name || names_fit) {
    for (const auto& layer : layers) load_layer(*layer, file.find(layer->name()), options);
  } else {
    if (layers.size() != saved.size())
      throw Error("the file has weights for {} layers, the model '{}' has {} layers with weights", saved.size(), model.title(), layers.size());
    for (std::size_t i = 0; i < layers.size(); ++i) load_layer(*layers[i], saved[i], options);
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
