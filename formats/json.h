// JSON as trees, in the dialect of Python's json module: NaN, Infinity and -Infinity are numbers.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "formats/tree.h"

namespace nacre {

// Reads one value; it and all within it carry their marks in `file`. Integers beyond 64 bits become reals. Keys are
// unique, the depth is bounded. Throws a usage Error with the mark for anything that is not JSON.
Tree parse_json(std::string_view text, const std::string& file = "");
Tree load_json(const std::filesystem::path& path);

// As Python's json.dumps writes it (ASCII only, ", " and ": "): on one line, or with `indent` spaces per level and a
// newline after each item. Bytes that are not UTF-8 become U+FFFD.
std::string write_json(const Tree& tree, int indent = 0);

}  // namespace nacre
