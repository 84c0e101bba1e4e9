#include "api/inspect/summary.h"

#include <unistd.h>

#include <cstdio>

#include "api/experiment/experiment.h"
#include "api/save.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "formats/json.h"

namespace nacre::cli {

namespace {

Model model_of(const SummaryArguments& arguments) {
  const std::string extension = arguments.model.extension().string();
  if (extension == ".h5" || extension == ".hdf5") {
    if (!arguments.overrides.empty()) throw Error("'{}' changes a configuration, but this is a saved model", arguments.overrides.front()).usage();
    return load_model(arguments.model);
  }
  const Experiment experiment = Experiment::load(arguments.model, arguments.overrides);
  Model model(experiment.build_model());
  if (!experiment.config().train.compile.loss.empty()) model.compile(experiment.config().train.compile);
  return model;
}

}  // namespace

int summary(const SummaryArguments& arguments) {
  const ModelSummary summary = summarize(model_of(arguments));
  if (arguments.json) std::puts(write_json(summary.tree(), 2).c_str());
  else std::fputs(summary.text(std::min(terminal_width(STDOUT_FILENO), 120)).c_str(), stdout);
  return 0;
}

}  // namespace nacre::cli
