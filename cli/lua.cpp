#include <cstdio>

#include "backend/core/parallel.h"
#include "cli/interrupt.h"
#include "cli/verbs.h"
#include "scripting/engine.h"

namespace nacre::cli {

int lua(const LuaArguments& arguments) {
  set_threads(arguments.threads);
  const Interrupt interrupt;
  Engine engine({.stop = interrupt.flag()});
  engine.run_file(arguments.script.empty() ? "-" : arguments.script, arguments.words, {"nacre", "lua"});
  return 0;
}

}  // namespace nacre::cli
