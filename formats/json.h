// JSON as trees. What is read may be in the dialect of Python's json module: NaN, Infinity and -Infinity are numbers.
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

// JSON has neither NaN nor infinities: null stands for them, or what Python calls them where it is Keras that reads.
enum class NotFinite : std::uint8_t { null, named };
// As Python's json.dumps writes it (ASCII only, ", " and ": "): on one line, or with `indent` spaces per level and a
// newline after each item. Bytes that are not UTF-8 become U+FFFD.
std::string write_json(const Tree& tree, int indent = 0, NotFinite not_finite = NotFinite::null);

}  // namespace nacre
