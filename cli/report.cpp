#include <cstdio>

#include "api/inspect/run_report.h"
#include "backend/core/parallel.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "formats/file.h"

namespace nacre::cli {

int report(const ReportArguments& arguments) {
  set_threads(arguments.threads);
  const Interrupt interrupt;
  RunReportOptions options{.device = arguments.device, .samples = arguments.samples, .stop = interrupt.flag()};
  if (arguments.batch_size) options.batch_size = arguments.batch_size;
  options.data = arguments.data;
  const std::filesystem::path page = arguments.output.value_or(arguments.run_folder / "report.html");
  write_file_atomically(page, run_report(arguments.run_folder, options));
  say(stdout, page.string());
  return 0;
}

}  // namespace nacre::cli
