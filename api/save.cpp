#include "api/save.h"

#include "api/keras_file.h"

namespace nacre {

namespace {

void want_h5(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  if (extension != ".h5" && extension != ".hdf5")
    throw Error("cannot tell the format of '{}'", path.filename().string()).hint("the name of a model's file ends in .h5").usage();
}

// The error's place is the file, unless it knows better.
template <class Work>
decltype(auto) in_file(const std::filesystem::path& path, Work&& work) {
  try {
    return work();
  } catch (Error& error) {
    error.at({path.string()});
    throw;
  }
}

}  // namespace

void save_model(const Model& model, const std::filesystem::path& path) {
  want_h5(path);
  model.trainer().initialize(0);
  write_keras_h5(path, model_file(model.trainer()));
}

Model load_model(const std::filesystem::path& path, const LoadOptions& options) {
  register_models();
  want_h5(path);
  return in_file(path, [&] {
    const KerasFile file = read_keras_h5(path);
    Model model(read_model(file));
    if (!options.compile || file.training_config.is_null()) return model;
    within([] { return "while reading how the model was compiled"; }, [&] {
      try {
        model.compile(read_compile_options(file));
      } catch (Error& error) {
        error.hint("load it without compiling to predict only");
        throw;
      }
      if (file.optimizer_weights.empty() || !model.graph().connected()) return;
      std::vector<VariableRef> variables;
      for (const Weight& weight : model.graph().trainable_weights()) variables.push_back(weight.variable);
      Optimizer& optimizer = model.trainer().optimizer();
      optimizer.build(variables);
      load_optimizer(optimizer, file);
    });
    return model;
  });
}

void save_weights(const Model& model, const std::filesystem::path& path) {
  want_h5(path);
  model.graph().inputs();  // or the error that it is not built
  model.trainer().initialize(0);
  write_keras_h5(path, weights_file(model.graph()));
}

void load_weights(const Model& model, const std::filesystem::path& path) {
  want_h5(path);
  model.graph().inputs();
  in_file(path, [&] { load_weights(model.graph(), read_keras_h5(path)); });
}

}  // namespace nacre
