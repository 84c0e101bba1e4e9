// Scripts of Lua for the fuzzer: whatever they do to the bindings, the engine survives.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nacre::test {

// Runs a script as one of somebody else's, with narrow bounds. An Error of the script leaves.
void run_in_sandbox(const std::string& source);

// A script that the bytes choose: calls of nacre's functions and methods with values that fit or do not.
std::string lua_calls(std::string_view bytes);

// Good scripts, small ones.
std::vector<std::string> lua_scripts();

}  // namespace nacre::test
