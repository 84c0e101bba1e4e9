// YAML 1.2 (core schema) as trees.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "formats/tree.h"

namespace nacre {

// Reads one document; every value and key carries its mark in `file`. Keys are texts as they are written, unique in
// their mapping. Anchors, aliases and merge keys (<<) are expanded, which is bounded, as is the depth. Throws a usage
// Error with the mark for anything that is not YAML. An empty document is null.
Tree parse_yaml(std::string_view text, const std::string& file = "");
Tree load_yaml(const std::filesystem::path& path);

// Readable YAML that reads back as the same tree: lists of scalars and small mappings on one line, the rest in blocks;
// `- Conv2D: {filters: 32, kernel_size: 3}`. Ends with a newline. Texts must be UTF-8.
std::string write_yaml(const Tree& tree);

}  // namespace nacre
