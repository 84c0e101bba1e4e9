// Lua that comes with a file: what it sees, and how far it may go. It reaches no files, no processes and no other code;
// its steps, its memory, its texts and what it hands to operations are bounded.
#pragma once

#include <set>
#include <string>

#include "scripting/bindings.h"

namespace nacre::scripting {

inline constexpr Limits sandbox_limits{.memory = 64 << 20,
                                       .steps = 10'000'000,
                                       .text = 16 << 10,
                                       .handed = 100'000,
                                       .handed_in_all = true,
                                       .held = std::size_t{1} << 30};

// Pushes a table of what such Lua sees of Lua's own: parts of the basic functions, of math and of table. Raises.
void push_safe_globals(lua_State* lua);

// A state in which classes of a file run, as they do in the script that defined them: see nacre.Layer. They see tensors,
// operations, layers and the other classes; each call from C++ may take as many steps as the first.
class Sandbox final : public EngineState {
 public:
  Sandbox();
  bool sandboxed() const override { return true; }

  // Runs a chunk, which defines classes and gives one value. Throws Error with its lines.
  KeptRef run(const std::string& source, const std::string& name);
};

// What there is in one by its name: "math", "math.floor", "nacre.ops", ….
const std::set<std::string>& names_in_sandbox();

}  // namespace nacre::scripting
