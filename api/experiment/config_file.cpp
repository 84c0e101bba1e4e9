#include "api/experiment/config_file.h"

#include <algorithm>
#include <charconv>

#include "api/experiment/block.h"
#include "api/zoo.h"
#include "formats/yaml.h"

namespace nacre {

namespace {

constexpr int deepest_include = 16;

Tree with_includes(Tree tree, const std::filesystem::path& folder, int depth) {
  const Tree* include = tree.find("include");
  if (!include) return tree;
  if (depth >= deepest_include)
    throw Error("includes are nested more than {} deep", deepest_include).at(include->mark()).hint("does a file include itself?").usage();
  Tree merged = Tree::mapping();
  const Tree::Sequence files = include->is_sequence() ? include->items() : Tree::Sequence{*include};
  for (const Tree& file : files) {
    const std::filesystem::path path = folder / file.as_string();
    try {
      merge_tree(merged, with_includes(load_yaml(path), path.parent_path(), depth + 1));
    } catch (Error& error) {
      error.within(fmt::format("included at {}", file.mark().text()));
      throw;
    }
  }
  tree.erase("include");
  merge_tree(merged, tree);
  return std::move(merged).at(tree.mark());
}

ConfigFile finished(Tree tree, std::filesystem::path folder, std::span<const std::string> overrides) {
  if (!tree.is_mapping())
    throw Error("wanted a mapping with the key 'model', got {}", tree.text()).at(tree.mark()).usage();
  ConfigFile config{with_includes(std::move(tree), folder, 0), std::move(folder)};
  for (const std::string& override : overrides) apply_override(config.tree, override);
  return config;
}

std::string_view before_parenthesis(std::string_view key) { return key.substr(0, key.find('(')); }

// The layer line with this name in a list of lines such as {Conv2D: {name: conv1}}.
Tree* line_named(Tree::Sequence& lines, std::string_view name) {
  for (Tree& line : lines) {
    if (!line.is_mapping() || line.entries().size() != 1) continue;
    Tree& fields = line.entries().front().value;
    if (const Tree* value = fields.find("name"); value && value->is_string() && value->as_string() == name) return &fields;
  }
  return nullptr;
}

Error no_such(std::string_view step, std::string_view assignment, const std::vector<std::string_view>& known) {
  return std::move(Error("override '{}': there is no '{}'", assignment, step).hint(suggestion(step, known)).usage());
}

// Replaces the default of an argument in "residual(filters, strides=1)".
void set_argument(Tree::Entry& block, std::string_view argument, std::string_view value, std::string_view assignment) {
  BlockSignature signature = parse_signature(block.key, block.mark);
  std::vector<std::string_view> known;
  for (BlockSignature::Argument& candidate : signature.arguments) {
    if (candidate.name == argument) {
      candidate.standard = value;
      candidate.required = false;
      block.key = signature.text();
      return;
    }
    known.push_back(candidate.name);
  }
  throw no_such(argument, assignment, known);
}

}  // namespace

void merge_tree(Tree& base, const Tree& over) {
  if (!base.is_mapping() || !over.is_mapping()) {
    base = over;
    return;
  }
  for (const Tree::Entry& entry : over.entries()) {
    auto& entries = base.entries();
    const auto present = std::find_if(entries.begin(), entries.end(), [&](const Tree::Entry& e) { return e.key == entry.key; });
    if (present == entries.end()) {
      entries.push_back(entry);
    } else {
      merge_tree(present->value, entry.value);
      present->mark = entry.mark;
    }
  }
}

void apply_override(Tree& tree, std::string_view assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0)
    throw Error("override '{}': wanted KEY=VALUE", assignment).hint("for example train.epochs=3").usage();
  std::string_view path = assignment.substr(0, equals);
  const std::string_view text = assignment.substr(equals + 1);
  Tree value = parse_yaml(text, fmt::format("override '{}'", assignment));

  Tree* place = &tree;
  bool in_blocks = false;
  while (!path.empty()) {
    const std::size_t dot = path.find('.');
    const std::string_view step = path.substr(0, dot);
    const bool last = dot == std::string_view::npos;
    path = last ? std::string_view() : path.substr(dot + 1);
    if (step.empty()) throw Error("override '{}': an empty step in the path", assignment).usage();

    if (in_blocks) {
      std::vector<std::string_view> known;
      Tree::Entry* block = nullptr;
      for (Tree::Entry& entry : place->entries()) {
        known.push_back(before_parenthesis(entry.key));
        if (known.back() == step) block = &entry;
      }
      if (!block) throw no_such(step, assignment, known);
      if (last || path.find('.') != std::string_view::npos)
        throw Error("override '{}': wanted blocks.BLOCK.ARGUMENT", assignment).usage();
      return set_argument(*block, path, text, assignment);
    }
    if (place->is_sequence()) {
      Tree::Sequence& items = place->items();
      std::size_t index = items.size();
      std::from_chars(step.data(), step.data() + step.size(), index);
      Tree* found = line_named(items, step);
      if (!found && index < items.size()) found = &items[index];
      if (!found) throw no_such(step, assignment, {}).hint("name an element of a list by its index from 0 or by its name");
      place = found;
    } else {
      if (place->is_null()) *place = Tree::mapping();
      if (!place->is_mapping())
        throw Error("override '{}': '{}' is {}, it has no '{}'", assignment, assignment.substr(0, equals), place->text(), step).usage();
      in_blocks = step == "blocks" && !last;
      Tree* next = place->find(step);
      place = next ? next : &place->set(step, Tree());
    }
    if (last) *place = std::move(value);
  }
}

Variables resolve_expressions(Tree& tree) {
  Variables variables;
  if (Tree* given = tree.find("variables"); given && !given->is_null())
    for (Tree::Entry& entry : given->entries()) {
      entry.value = substitute(entry.value, variables);
      variables[entry.key] = entry.value;
    }
  for (Tree::Entry& entry : tree.entries())
    if (entry.key != "model" && entry.key != "variables") entry.value = substitute(entry.value, variables);
  return variables;
}

ConfigFile load_config(const std::filesystem::path& file, std::span<const std::string> overrides) {
  if (const std::optional<std::string> zoo = zoo_name(file)) {
    Tree model, config;
    model.set("zoo", *zoo);
    config.set("model", std::move(model));
    return finished(std::move(config), {}, overrides);
  }
  return finished(load_yaml(file), file.parent_path(), overrides);
}

ConfigFile parse_config(std::string_view text, std::string name, std::filesystem::path folder,
                        std::span<const std::string> overrides) {
  return finished(parse_yaml(text, std::move(name)), std::move(folder), overrides);
}

}  // namespace nacre
