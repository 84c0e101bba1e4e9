// Reading an experiment's YAML file: includes, overrides, variables, expressions.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "formats/expression.h"
#include "formats/tree.h"

namespace nacre {

// A configuration as it was written, with includes merged and overrides applied but expressions still in place.
struct ConfigFile {
  Tree tree;
  std::filesystem::path folder;  // paths in the configuration are relative to it
};

// Reads a YAML file. `include: FILE` (or a list of files) stands for the keys of those files, over which the file's
// own keys win, mappings being merged key by key. Then each override KEY=VALUE is applied. Throws usage Errors.
// "zoo:NAME" stands for a file that says `model: {zoo: NAME}` and no more.
ConfigFile load_config(const std::filesystem::path& file, std::span<const std::string> overrides = {});
ConfigFile parse_config(std::string_view text, std::string name, std::filesystem::path folder,
                        std::span<const std::string> overrides = {});

// Sets what a path such as "train.epochs" names; the value is read as YAML. Within a list an element is named by its
// index or, for layers, by its `name`; within `blocks` a block is named without its arguments, and the step after it
// names one of them, whose default is set. The last key may be new, the way to it must exist or be made of mappings.
void apply_override(Tree& tree, std::string_view assignment);

// Replaces the expressions in everything but `model` (whose blocks have variables of their own) by their values.
// `variables:` of the file are evaluated first, in order, each seeing those before it; they are returned.
Variables resolve_expressions(Tree& tree);

// Merges `over` into `base`: mappings key by key, anything else is replaced.
void merge_tree(Tree& base, const Tree& over);

}  // namespace nacre
