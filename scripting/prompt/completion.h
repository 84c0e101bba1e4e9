// What may follow at the end of a line: for the prompt's Tab.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nacre::scripting {

class State;

struct Completion {
  std::size_t typed = 0;           // bytes of the name that are there, at the text's end
  std::vector<std::string> names;  // what it may be, sorted
};

// Of a chunk up to the cursor: global names and keywords, fields of tables, methods and properties of nacre's objects,
// names of registries (nacre.layers.Con), keys of tables (nacre.layers.Dense{un, model:fit(x, y, {ep). Runs no function
// of a script.
Completion complete(State& state, std::string_view text);

}  // namespace nacre::scripting
