#include "cli/models.h"

#include "api/save.h"

namespace nacre::cli {

Model compiled_model(const Experiment& experiment, const std::filesystem::path& config) {
  const bool has_loss = !experiment.config().train.compile.loss.empty();
  if (const auto saved = experiment.saved_model(); saved && !has_loss) {
    Model model = load_model(*saved);
    if (model.trainer().options()) {
      const Tree given =
          without_defaults(fields_of<CompileOptions>(), write_config(experiment.config().train.compile, Style::yaml));
      if (!given.is_null() && !given.entries().empty())
        throw Error("'train.{}' stands there without 'train.loss', but the saved model goes on as it was compiled",
                    given.entries().front().key)
            .at({config.string(), 0, 0})
            .hint("add the loss, or leave that key out")
            .usage();
      return model;
    }
  }
  if (!has_loss)
    throw Error("the key 'train.loss' is missing").at({config.string(), 0, 0}).hint("train: {loss: mse}").usage();
  Model model(experiment.build_model());
  model.compile(experiment.config().train.compile);
  return model;
}

}  // namespace nacre::cli
