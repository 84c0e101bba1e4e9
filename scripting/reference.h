// The reference of Lua: all that the table nacre holds and what its objects do, from the entries beside the bindings.
#pragma once

#include <string>
#include <vector>

#include "formats/config.h"

struct lua_State;

namespace nacre {

// The page lua.md of `nacre reference`, as Markdown. The same on every machine.
std::string lua_reference();

// What the page tells of, in its order.
struct LuaEntry {
  std::string name;  // "nacre.grad", "nacre.optimizers", "tensor.shape", "tensor.__add"
  std::string usage, doc;
  std::string example;                    // a script that runs
  std::vector<const FieldTable*> keys{};  // of the table of names that it takes
  int (*function)(lua_State*) = nullptr;  // null: a property, or a table
};
std::vector<LuaEntry> lua_entries();

}  // namespace nacre
