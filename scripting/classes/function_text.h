// Where functions stand in a text of Lua.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nacre::scripting {

struct FunctionText {
  std::string expression;  // "function(self, x) … end", whatever name it was given
  std::string name;        // "scaled" of `function scaled(x)` and `local function scaled(x)`; "": it has none
};

// The functions that begin and end on these lines, counted from 1. The text is one that Lua has read: what is no Lua
// gives no functions.
std::vector<FunctionText> functions_at(std::string_view chunk, int first_line, int last_line);

}  // namespace nacre::scripting
