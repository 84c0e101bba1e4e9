#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "api/experiment/evaluation_data.h"
#include "api/inspect/evaluation_report.h"
#include "api/save.h"
#include "backend/core/parallel.h"
#include "cli/interrupt.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "formats/json.h"

namespace nacre::cli {

int evaluate(const EvaluateArguments& arguments) {
  set_threads(arguments.threads);
  Model model = load_model(arguments.model, {.untrusted = arguments.untrusted});
  const EvaluationData asked(arguments.data);
  // What is published as weights alone was not saved as compiled: it is measured as the data's file says, and a
  // classifier with named classes as one where that says nothing.
  if (const auto measures = asked.measures(); measures && !model.trainer().options()) model.compile(*measures);
  if (!model.trainer().options() && !model.graph().card().labels.empty())
    model.compile({.loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  if (!model.trainer().options())
    throw Error("the model was saved without loss and metrics, so there is nothing to measure")
        .at({arguments.model.string(), 0, 0})
        .hint("name them in the YAML file of --data, as train: {loss: …, metrics: […]}, or compile it before it is saved");
  if (!arguments.device.empty()) model.set_device(arguments.device);
  const Interrupt interrupt;
  EvaluationOptions options{.worst = arguments.worst};
  options.stop = interrupt.flag();
  if (arguments.batch_size) options.batch_size = arguments.batch_size;
  const DatasetRef data = asked.open(model);
  EvaluationReport report{.data = data->description(), .samples = data->size(), .logs = {}, .outputs = {}};
  if (arguments.details) report = evaluation_report(model, data, options);
  else report.logs = model.evaluate(data, {.batch_size = options.batch_size, .stop = options.stop});
  if (interrupt.flag()->load()) throw Error("interrupted before all {} samples were seen", data->size());
  if (arguments.json) {
    std::puts(write_json(report.tree(), 2).c_str());
  } else {
    say(stdout, report.data);
    for (const auto& [name, value] : report.logs) say(stdout, fmt::format("{:<24} {:.6g}", name, value));
    if (const std::string details = report.details(std::clamp(terminal_width(STDOUT_FILENO), 80, 120)); !details.empty())
      fmt::print("\n{}", details);
  }
  return 0;
}

}  // namespace nacre::cli
