#include <unistd.h>

#include <cstdio>

#include "api/experiment/experiment.h"
#include "api/save.h"
#include "backend/core/parallel.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "formats/json.h"

namespace nacre::cli {

namespace {

DatasetRef open_data(const std::string& text) {
  const std::string extension = std::filesystem::path(text).extension().string();
  if (extension == ".yaml" || extension == ".yml") return Experiment::load(text).open_evaluation_data();
  return parse_source(text)->open("");
}

}  // namespace

int evaluate(const EvaluateArguments& arguments) {
  set_threads(arguments.threads);
  Model model = load_model(arguments.model, {.untrusted = arguments.untrusted});
  if (!model.trainer().options())
    throw Error("the model was saved without loss and metrics, so there is nothing to measure")
        .at({arguments.model.string(), 0, 0})
        .hint("compile it before it is saved");
  if (!arguments.device.empty()) model.set_device(arguments.device);
  const Interrupt interrupt;
  EvaluateOptions options;
  options.stop = interrupt.flag();
  if (arguments.batch_size) options.batch_size = arguments.batch_size;
  const DatasetRef data = open_data(arguments.data);
  const Logs logs = model.evaluate(data, options);
  if (interrupt.flag()->load()) throw Error("interrupted before all {} samples were seen", data->size());
  if (arguments.json) {
    Tree report;
    for (const auto& [name, value] : logs) report.set(name, value);
    std::puts(write_json(report, 2).c_str());
  } else {
    say(stdout, data->description());
    for (const auto& [name, value] : logs) say(stdout, fmt::format("{:<24} {:.6g}", name, value));
  }
  return 0;
}

}  // namespace nacre::cli
