#include "api/keras/file.h"

#include <algorithm>
#include <iterator>

#include "api/shared_layers.h"
#include "api/vintage/float_weights.h"
#include "api/vintage/optimizer_state.h"
#include "api/vintage/weights.h"

namespace nacre {

namespace {

// Where the present layers have no weights some old ones had the state of their random numbers.
void erase_random_states(std::vector<LayerWeights>& layers) {
  for (LayerWeights& layer : layers)
    std::erase_if(layer.weights, [](const NamedTensor& weight) { return weight.name.ends_with("StateVar:0"); });
}

// What the layer's weights become; nothing when it is skipped. `saved` is null when the file has nothing for the layer.
std::vector<Assignment> match_layer(const Layer& layer, const LayerWeights* saved, const Vintage& vintage, const LoadOptions& options) {
  const auto skip = [&](std::string_view reason) {
    if (options.skipped) options.skipped->emplace_back(reason);
    return std::vector<Assignment>{};
  };
  if (!saved) return skip(layer.label() + ": the file has no weights for it");
  try {
    return match_weights(layer, saved->weights, vintage);
  } catch (const Error& error) {
    if (!options.skip_mismatch) throw;
    return skip(error.line());
  }
}

}  // namespace

void note(const LoadOptions& options, const std::string& line) {
  if (options.notes) options.notes->push_back(line);
  else PlainProgress(stderr).warn(line);
}

void note_quantized(const LoadOptions& options, const std::vector<std::string>& paths) {
  if (paths.empty()) return;
  note(options, fmt::format("the quantised weights of {} layer{} ('{}'{}) are read as the floating numbers that they stand for; where Keras rounds the "
                            "inputs of such layers too, its predictions are less exact than these",
                            paths.size(), paths.size() == 1 ? "" : "s", paths.front(), paths.size() == 1 ? "" : ", …"));
}

std::shared_ptr<FunctionalLayer> read_architecture(const KerasFile& file, const LoadOptions& options) {
  if (file.model_config.is_null())
    throw Error("the file holds weights alone, without a model").hint("build the model and load the weights into it").usage();
  Notes notes;
  const SharedLayers shared;
  auto layer = read_layer(modern_layer(file.model_config, vintage_of(file), notes));
  for (const std::string& line : notes) note(options, line);
  auto model = std::dynamic_pointer_cast<FunctionalLayer>(layer);
  if (!model) throw Error("the file holds a {}, no model", layer->class_name()).usage();
  if (const Tree* card = file.state.find("card")) {
    try {
      model->set_card(read_config<ModelCard>(*card));
    } catch (const Error& error) {
      note(options, fmt::format("the model's labels and preprocessing are not read: {}", error.line()));
    }
  }
  return model;
}

std::shared_ptr<FunctionalLayer> read_model(const KerasFile& file, const LoadOptions& options) {
  auto model = read_architecture(file, options);
  if (model->connected()) load_weights(*model, file, options);
  return model;
}

CompileOptions read_compile_options(const KerasFile& file) {
  Tree config = modern_training_config(file.training_config, vintage_of(file));
  config.set("optimizer", Tree(config["optimizer_config"]));
  CompileOptions options;
  const FieldTarget target{&fields_of<CompileOptions>(), &options};
  constexpr std::string_view ignored[] = {"optimizer_config", "run_eagerly", "steps_per_execution", "jit_compile",
                                          "sample_weight_mode"};
  read_fields({&target, 1}, config, ignored);
  return options;
}

void load_weights(FunctionalLayer& model, const KerasFile& file, const LoadOptions& options) {
  const Vintage vintage = vintage_of(file);
  std::vector<std::shared_ptr<Layer>> layers;
  for (const auto& layer : model.layers())
    if (!layer->weights().empty()) layers.push_back(layer);
  std::vector<LayerWeights> saved = file.layers;
  erase_random_states(saved);
  std::erase_if(saved, [](const LayerWeights& layer) { return layer.weights.empty(); });
  if (vintage.major >= 3) {
    Notes notes;
    vintages::scale_loras(saved, file.model_config, notes);
    for (const std::string& line : notes) note(options, line);
  }
  const auto find = [&](const Layer& layer) {
    const auto found = std::find_if(saved.begin(), saved.end(), [&](const LayerWeights& each) { return each.layer == layer.name(); });
    return found == saved.end() ? nullptr : &*found;
  };

  // All assignments are known to fit before the first is made.
  std::vector<Assignment> all;
  const auto match = [&](const Layer& layer, const LayerWeights* weights) {
    std::vector<Assignment> each = match_layer(layer, weights, vintage, options);
    std::move(each.begin(), each.end(), std::back_inserter(all));
  };
  if (options.by_name || std::all_of(layers.begin(), layers.end(), [&](const auto& layer) { return find(*layer); })) {
    for (const auto& layer : layers) match(*layer, find(*layer));
  } else {
    if (layers.size() != saved.size())
      throw Error("the file has weights for {} layers, the model '{}' has {} layers with weights", saved.size(), model.title(), layers.size());
    for (std::size_t i = 0; i < layers.size(); ++i) match(*layers[i], &saved[i]);
  }
  for (const auto& [variable, value] : all) variable->assign(value);
  note_quantized(options, vintages::quantized_layers(saved, model));
}

void load_optimizer(Optimizer& optimizer, const KerasFile& file) {
  if (vintage_of(file).major < 3) return restore_old_state(optimizer, file);
  std::vector<Tensor> values;
  for (const NamedTensor& saved : file.optimizer_weights) values.push_back(saved.tensor);
  load_optimizer(optimizer, values);
}

void load_optimizer(Optimizer& optimizer, const std::vector<Tensor>& values) {
  std::vector<VariableRef> variables = optimizer.variables();
  const std::size_t counters = optimizer.scheduled() ? 1 : 2;  // iteration and learning rate
  if (values.size() == counters && variables.size() > counters) variables.resize(counters);  // before the first step
  // Keras 2 left the learning rate to the config.
  if (counters == 2 && values.size() + 1 == variables.size()) variables.erase(variables.begin() + 1);
  restore_variables(variables, values, "optimizer");
}

void restore_variables(const std::vector<VariableRef>& variables, const std::vector<Tensor>& values, std::string_view what) {
  if (variables.size() != values.size())
    throw Error("{}: got {} tensors, wanted {}", what, values.size(), variables.size());
  for (std::size_t i = 0; i < variables.size(); ++i)
    if (values[i].shape() != variables[i]->shape())
      throw Error("{}: '{}' got {}, wanted {}", what, variables[i]->path(), values[i].shape(), variables[i]->shape());
  for (std::size_t i = 0; i < variables.size(); ++i) variables[i]->assign(values[i].cast(variables[i]->type().dtype));
}

}  // namespace nacre
