#include "formats/config.h"

#include <algorithm>
#include <cctype>

namespace nacre {

namespace {

const Field* find_field(std::span<const FieldTarget> targets, std::string_view key, void*& object) {
  for (const FieldTarget& target : targets)
    for (const Field& field : *target.fields)
      if (field.key == key) {
        object = target.object;
        return &field;
      }
  return nullptr;
}

}  // namespace

void read_fields(std::span<const FieldTarget> targets, const Tree& mapping, std::span<const std::string_view> ignored) {
  static const Tree::Mapping none;
  const Tree::Mapping& entries = mapping.is_null() ? none : mapping.entries();
  for (const Tree::Entry& entry : entries) {
    void* object = nullptr;
    const Field* field = find_field(targets, entry.key, object);
    if (!field) {
      if (std::find(ignored.begin(), ignored.end(), entry.key) != ignored.end()) continue;
      std::vector<std::string_view> known;
      for (const FieldTarget& target : targets)
        for (const Field& candidate : *target.fields) known.push_back(candidate.key);
      throw Error("unknown key '{}'", entry.key)
          .at(entry.mark ? entry.mark : entry.value.mark())
          .hint(suggestion(entry.key, known))
          .usage();
    }
    try {
      field->read(entry.value, object);
    } catch (Error& error) {
      error.at(entry.value.mark()).at(entry.mark).about(fmt::format("'{}'", entry.key)).usage();
      throw;
    }
  }
  for (const FieldTarget& target : targets)
    for (const Field& field : *target.fields)
      if (field.constraint.required && !mapping.find(field.key))
        throw Error("the key '{}' is missing ({})", field.key, field.help).at(mapping.mark()).usage();
}

Tree write_fields(const FieldTable& fields, const void* object, Style style) {
  Tree tree = Tree::mapping();
  for (const Field& field : fields) tree.set(field.key, field.write(object, style));
  return tree;
}

Tree without_defaults(const FieldTable& fields, Tree config) {
  for (const Field& field : fields)
    if (const Tree* value = config.find(field.key); value && *value == field.default_value && !field.constraint.required)
      config.erase(field.key);
  return config;
}

Tree schema_of(std::span<const FieldTable* const> tables) {
  Tree properties = Tree::mapping(), required = Tree::sequence();
  for (const FieldTable* table : tables)
    for (const Field& field : *table) {
      Tree schema = field.schema();
      annotate_schema(schema, field.help, field.constraint, field.default_value);
      properties.set(field.key, std::move(schema));
      if (field.constraint.required) required.push(field.key);
    }
  Tree schema = schema_type("object");
  schema.set("properties", std::move(properties));
  if (!required.items().empty()) schema.set("required", std::move(required));
  schema.set("additionalProperties", false);
  return schema;
}

std::string snake_case(std::string_view class_name) {
  // Keras: insert "_" before an upper-case letter followed by lower-case ones, and between lower and upper case.
  auto upper = [](char c) { return std::isupper(static_cast<unsigned char>(c)) != 0; };
  auto lower = [](char c) { return std::islower(static_cast<unsigned char>(c)) != 0; };
  std::string text;
  for (std::size_t i = 0; i < class_name.size(); ++i) {
    const char c = class_name[i];
    const bool starts_word = i > 0 && upper(c) &&
                             (lower(class_name[i - 1]) || (i + 1 < class_name.size() && lower(class_name[i + 1])));
    if (starts_word) text += '_';
    text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return text;
}

ObjectSpelling object_spelling(const Tree& tree, std::string_view kind) {
  if (tree.is_string()) return {tree.as_string(), {}, tree.mark()};
  if (tree.is_mapping()) {
    if (const Tree* name = tree.find("class_name")) {
      const Tree *config = tree.find("config"), *module = tree.find("module");
      return {name->as_string(), config ? *config : Tree(), name->mark(),
              module && module->is_string() ? module->as_string() : ""};
    }
    if (tree.entries().size() == 1) {
      const Tree::Entry& entry = tree.entries().front();
      // Lua writes no keys like an empty list.
      const bool no_keys = entry.value.is_null() || (entry.value.is_sequence() && entry.value.items().empty());
      if (no_keys) return {entry.key, Tree(), entry.mark};
      if (entry.value.is_mapping()) return {entry.key, entry.value, entry.mark};
    }
  }
  throw Error("wanted {} {}, got {}", std::string_view("aeiou").find(kind.front()) == std::string_view::npos ? "a" : "an", kind, tree.text())
      .at(tree.mark())
      .hint("write its name, or {Name: {key: value}}")
      .usage();
}

Tree spell_object(std::string_view module, std::string_view class_name, Tree config, Style style, bool bare_in_keras) {
  Tree tree;
  if (style != Style::keras) {
    if (config.is_null() || config.entries().empty()) return bare_in_keras ? Tree(snake_case(class_name)) : Tree(class_name);
    tree.set(class_name, std::move(config));
    return tree;
  }
  if (bare_in_keras) return snake_case(class_name);
  tree.set("module", module.empty() ? Tree() : Tree(module));
  tree.set("class_name", class_name);
  tree.set("config", config.is_null() ? Tree::mapping() : std::move(config));
  tree.set("registered_name", Tree());
  return tree;
}

Tree schema_type(std::string_view type) {
  Tree schema;
  schema.set("type", type);
  return schema;
}

Tree definition_reference(std::string_view kind) {
  std::string name(kind);
  std::replace(name.begin(), name.end(), ' ', '_');
  Tree schema;
  schema.set("$ref", "#/$defs/" + name);
  return schema;
}

void FieldKind<DType>::read(const Tree& tree, DType& value) { value = dtype_named(tree.as_string()); }

void FieldKind<Shape>::read(const Tree& tree, Shape& value) {
  value = {};
  if (tree.is_integer()) return value.append(tree.as_integer());
  for (const Tree& size : tree.items()) value.append(size.is_null() ? unknown : size.as_integer());
}

Tree FieldKind<Shape>::write(const Shape& value, Style) {
  Tree tree = Tree::sequence();
  for (std::int64_t size : value) tree.push(size == unknown ? Tree() : Tree(size));
  return tree;
}

Tree FieldKind<Shape>::schema() {
  Tree size;
  size.set("type", Tree::Sequence{"integer", "null"});
  Tree schema = schema_type("array");
  schema.set("items", std::move(size));
  return schema;
}

void read_extent(const Tree& tree, std::span<std::int64_t> sizes) {
  if (!tree.is_sequence()) return std::fill(sizes.begin(), sizes.end(), tree.as_integer());
  if (tree.items().size() != sizes.size())
    throw Error("wanted {} number{}, got {}", sizes.size(), sizes.size() == 1 ? "" : "s", tree.text()).at(tree.mark()).usage();
  std::transform(tree.items().begin(), tree.items().end(), sizes.begin(), [](const Tree& item) { return item.as_integer(); });
}

Tree write_extent(std::span<const std::int64_t> sizes, Style style) {
  if (style != Style::keras && std::all_of(sizes.begin(), sizes.end(), [&](std::int64_t size) { return size == sizes[0]; }))
    return sizes[0];
  Tree tree = Tree::sequence();
  for (std::int64_t size : sizes) tree.push(size);
  return tree;
}

Tree extent_schema(std::size_t n) {
  Tree list = schema_type("array");
  list.set("items", schema_type("integer"));
  list.set("minItems", static_cast<std::int64_t>(n));
  list.set("maxItems", static_cast<std::int64_t>(n));
  Tree schema;
  schema.set("anyOf", Tree::Sequence{schema_type("integer"), std::move(list)});
  return schema;
}

std::size_t read_choice(const Tree& tree, std::span<const std::string_view> names) {
  const std::string& word = tree.as_string();
  const auto found = std::find(names.begin(), names.end(), word);
  if (found == names.end())
    throw Error("unknown value '{}'", word)
        .at(tree.mark())
        .hint(suggestion(word, {names.begin(), names.end()}))
        .usage();
  return static_cast<std::size_t>(found - names.begin());
}

Tree choice_schema(std::span<const std::string_view> names) {
  Tree words = Tree::sequence(), schema;
  for (std::string_view name : names) words.push(name);
  schema.set("enum", std::move(words));
  return schema;
}

void check_constraint(const Constraint& constraint, const Tree& tree) {
  if (tree.is_sequence()) {
    for (const Tree& item : tree.items()) check_constraint(constraint, item);
  } else if (tree.is_number() && !constraint.accepts(tree.as_number())) {
    std::string wanted;
    if (std::isfinite(constraint.low)) wanted = fmt::format("{} {}", constraint.low_open ? "above" : "at least", constraint.low);
    if (std::isfinite(constraint.high))
      wanted += fmt::format("{}{} {}", wanted.empty() ? "" : " and ", constraint.high_open ? "below" : "at most", constraint.high);
    throw Error("got {}, wanted {}", tree.text(), wanted).at(tree.mark()).usage();
  } else if (tree.is_string() && !constraint.choices.empty()) {
    read_choice(tree, constraint.choices);
  }
}

void annotate_schema(Tree& schema, std::string_view help, const Constraint& constraint, const Tree& default_value) {
  if (!help.empty()) schema.set("description", help);
  if (!constraint.choices.empty()) {
    schema.erase("type");
    schema.set("enum", *choice_schema(constraint.choices).find("enum"));
  }
  if (std::isfinite(constraint.low)) schema.set(constraint.low_open ? "exclusiveMinimum" : "minimum", constraint.low);
  if (std::isfinite(constraint.high)) schema.set(constraint.high_open ? "exclusiveMaximum" : "maximum", constraint.high);
  if (!constraint.required && !default_value.is_null()) schema.set("default", default_value);
}

}  // namespace nacre
