#include "cli/models.h"

#include "api/save.h"

namespace nacre::cli {

Model compiled_model(const Experiment& experiment, const std::filesystem::path& config, const std::string& device) {
  const bool has_loss = !experiment.config().train.compile.loss.empty();
  const std::string& where = device.empty() ? experiment.config().device : device;
  if (const auto saved = experiment.saved_model(); saved && !has_loss) {
    Model model = load_model(*saved);
    if (model.trainer().options()) {
      const Tree given =
          without_defaults(fields_of<CompileOptions>(), write_config(experiment.config().train.compile, Style::yaml));
      const bool compiles = !given.is_null() && !given.entries().empty();
      if (compiles || experiment.config().train.precision.dtype)
        throw Error("'train.{}' stands there without 'train.loss', but the saved model goes on as it was compiled",
                    compiles ? given.entries().front().key : "dtype")
            .at({config.string(), 0, 0})
            .hint("add the loss, or leave that key out")
            .usage();
      model.set_device(where);
      return model;
    }
  }
  if (!has_loss)
    throw Error("the key 'train.loss' is missing").at({config.string(), 0, 0}).hint("train: {loss: mse}").usage();
  return configured_model(experiment, where);
}

}  // namespace nacre::cli
