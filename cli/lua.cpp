#include <unistd.h>

#include <cstdio>

#include "backend/core/parallel.h"
#include "cli/interrupt.h"
#include "cli/prompt.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "scripting/engine.h"

namespace nacre::cli {

int lua(const LuaArguments& arguments) {
  set_threads(arguments.threads);
  if (arguments.script.empty() && is_terminal(STDIN_FILENO)) return run_prompt(arguments.sandbox);
  const Interrupt interrupt;
  Engine engine({.sandbox = arguments.sandbox, .stop = interrupt.flag()});
  engine.run_file(arguments.script.empty() ? "-" : arguments.script, arguments.words, {"nacre", "lua"});
  return 0;
}

}  // namespace nacre::cli
