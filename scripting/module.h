// nacre in a Lua state of somebody else's: `require "nacre"` in lua5.4, or in a C++ program
//
//   luaL_requiref(lua, "nacre", luaopen_nacre, false);
//
// The state is found through its registry, so that any of its coroutines may call, and several states in a process have
// nothing to do with one another. What nacre holds ends when the state is closed. Lua's memory and instructions have no
// limits of ours; a Ctrl-C that the program handles also ends training, evaluation and prediction.
#pragma once

extern "C" {
#include <lua.h>

// Pushes the table nacre, which is no global name.
int luaopen_nacre(lua_State* lua);
}
