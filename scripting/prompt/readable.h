// Values of Lua as a person reads them: what the prompt shows, and print of tables.
#pragma once

#include <string>
#include <string_view>

#include "scripting/state.h"

namespace nacre::scripting {

// The value at `index`. Texts stand in quotes, names of tables are sorted, and lines are broken to `width` columns; of
// long texts, long or deep tables, and of tables that hold themselves only a part is shown. A __tostring is called; one
// that fails is named in the text.
std::string readable(lua_State* lua, int index, int width);

// Lua's print, but for tables, whose contents it shows, unless they have a __tostring.
int print_readable(lua_State* lua);

// Words in lines of at most `width` columns, with `indent` spaces before each line.
std::string wrapped(const std::vector<std::string>& words, int indent, int width);

int columns_of(std::string_view text);  // of UTF-8
bool is_identifier(std::string_view text);
std::span<const std::string_view> keywords();

}  // namespace nacre::scripting
