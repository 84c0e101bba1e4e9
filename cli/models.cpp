#include "cli/models.h"

#include "api/dtype_policy.h"
#include "api/save.h"
#include "api/zoo.h"
#include "backend/core/parallel.h"

namespace nacre::cli {

namespace {

// Compiled as far as the configuration or its saved model says how.
Model model_of(const Experiment& experiment, const std::filesystem::path& config, const std::string& device) {
  const bool has_loss = !experiment.config().train.compile.loss.empty();
  const std::string& where = device.empty() ? experiment.config().device : device;
  if (const auto saved = experiment.saved_model(); saved && !has_loss) {
    Model model = load_model(*saved);
    if (model.trainer().options()) {
      const CompileOptions& options = experiment.config().train.compile;
      Tree given = without_defaults(fields_of<CompileOptions>(), write_config(options, Style::yaml));
      if (given.is_mapping()) given.erase("deterministic");  // no part of a saved model
      const bool compiles = !given.is_null() && !given.entries().empty();
      if (compiles || experiment.config().train.precision.dtype)
        throw Error("'train.{}' stands there without 'train.loss', but the saved model goes on as it was compiled",
                    compiles ? given.entries().front().key : "dtype")
            .at({config.string(), 0, 0})
            .hint("add the loss, or leave that key out")
            .usage();
      model.set_device(where);
      model.set_deterministic(options.deterministic);
      return model;
    }
  }
  return configured_model(experiment, where);
}

Subject configured(const SubjectArguments& arguments, Compiling compiling) {
  Experiment experiment = Experiment::load(arguments.model, arguments.overrides);
  set_threads(arguments.threads ? arguments.threads : static_cast<int>(experiment.config().threads.value_or(0)));
  const std::string& device = arguments.device.empty() ? experiment.config().device : arguments.device;
  Model model = compiling == Compiling::required   ? compiled_model(experiment, arguments.model, device)
                : compiling == Compiling::possible ? model_of(experiment, arguments.model, device)
                                                   : configured_model(experiment, device);
  std::string name = experiment.config().name;
  return {std::move(model), std::move(name), std::move(experiment)};
}

Subject saved(const SubjectArguments& arguments, Compiling compiling) {
  if (!arguments.overrides.empty())
    throw Error("'{}' changes a configuration, but this is a saved model", arguments.overrides.front()).usage();
  set_threads(arguments.threads);
  Model model =
      load_any_model(arguments.model, {.compile = compiling != Compiling::none, .untrusted = arguments.untrusted});
  if (compiling == Compiling::required && !model.trainer().options())
    throw Error("the model was saved without loss and optimizer, so there is nothing to train")
        .at({arguments.model.string(), 0, 0})
        .hint("compile it before it is saved, or name it in a configuration: model: {file: ...}, train: {loss: ...}")
        .usage();
  if (!arguments.device.empty()) model.set_device(arguments.device);
  return {model, model.graph().title(), std::nullopt};
}

}  // namespace

Model compiled_model(const Experiment& experiment, const std::filesystem::path& config, const std::string& device) {
  const auto missing = [&] {
    return Error("the key 'train.loss' is missing")
        .at({config.string(), 0, 0})
        .hint(zoo_name(config.string()) ? "train.loss=sparse_categorical_crossentropy for classes, train.loss=mse for numbers"
                                        : "train: {loss: mse}")
        .usage();
  };
  if (experiment.config().train.compile.loss.empty() && !experiment.saved_model()) throw missing();
  Model model = model_of(experiment, config, device);
  if (!model.trainer().options()) throw missing();
  return model;
}

Subject open_subject(const SubjectArguments& arguments, Compiling compiling) {
  Subject subject = !arguments.untrusted && is_experiment(arguments.model) ? configured(arguments, compiling)
                                                                           : saved(arguments, compiling);
  if (!arguments.dtype.empty()) subject.model = with_dtype(subject.model, {arguments.dtype});
  return subject;
}

void check_batch(const Model& model, std::int64_t batch) {
  for (const Symbol& input : model.graph().inputs()) {
    const Shape& shape = input.type().shape;
    if (shape.rank() > 0 && shape[0] != unknown && shape[0] != batch)
      throw Error("the model takes batches of {}, not of {}", shape[0], batch)
          .hint(fmt::format("--batch {} measures it", shape[0]))
          .usage();
  }
}

}  // namespace nacre::cli
