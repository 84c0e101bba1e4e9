#include "api/inspect/parity.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "api/experiment/evaluation_data.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "formats/json.h"

namespace nacre::cli {

namespace {

// The two devices of "reference,cpu".
std::pair<const Backend*, const Backend*> devices_of(const std::string& text) {
  const std::size_t comma = text.find(',');
  if (comma == std::string::npos || text.find(',', comma + 1) != std::string::npos)
    throw Error("--devices: wanted two, got '{}'", text).hint("--devices reference,cpu").usage();
  return {&backend_for(text.substr(0, comma)), &backend_for(text.substr(comma + 1))};
}

// Null: made up.
DatasetRef data_of(const ParityArguments& arguments, const Subject& subject) {
  if (arguments.data == "random") return nullptr;
  if (!arguments.data.empty()) return EvaluationData(arguments.data).open(subject.model);
  if (!subject.experiment || !subject.experiment->config().data.train) return nullptr;
  return preprocessed(subject.experiment->open_data().train, subject.model.graph().card().preprocessing);
}

}  // namespace

int parity(const ParityArguments& arguments) {
  const auto [trusted, checked] = devices_of(arguments.devices);
  SubjectArguments wanted = arguments;
  wanted.device = checked->name();
  const Subject subject = open_subject(wanted, Compiling::possible);
  check_batch(subject.model, arguments.batch);
  ParityOptions options{
      .trusted = trusted, .checked = checked, .batch_size = arguments.batch, .tolerance = arguments.tolerance};
  if (arguments.seed) options.seed = *arguments.seed;
  else if (subject.experiment) options.seed = static_cast<std::uint64_t>(subject.experiment->config().seed);
  ParityReport report = nacre::parity(subject.model, data_of(arguments, subject), options);
  report.model = subject.name;
  if (arguments.json) std::puts(write_json(report.tree(), 2).c_str());
  else std::fputs(report.text(std::clamp(terminal_width(STDOUT_FILENO), 80, 120), arguments.top).c_str(), stdout);
  return report.agrees() ? 0 : 1;
}

}  // namespace nacre::cli
