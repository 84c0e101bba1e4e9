#include <unistd.h>

#include <cstdio>

#include "backend/core/parallel.h"
#include "cli/interrupt.h"
#include "cli/prompt.h"
#include "cli/terminal.h"
#include "cli/training.h"
#include "cli/verbs.h"
#include "scripting/engine.h"

namespace nacre::cli {

int lua(const LuaArguments& arguments) {
  return run_together([&](const Processes& processes) {
    set_threads(arguments.threads || !processes.several() ? arguments.threads : processes.threads());
    const bool reads_input = arguments.script.empty() || arguments.script == "-";
    if (reads_input && processes.several())
      throw Error("several processes cannot read one script from standard input").hint("name its file").usage();
    if (arguments.script.empty() && is_terminal(STDIN_FILENO)) return run_prompt(arguments.sandbox);
    const Interrupt interrupt;
    Engine engine({.sandbox = arguments.sandbox, .stop = interrupt.flag(), .processes = processes});
    engine.run_file(reads_input ? "-" : arguments.script, arguments.words, {"nacre", "lua"});
    return 0;
  });
}

}  // namespace nacre::cli
