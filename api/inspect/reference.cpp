#include "api/inspect/reference.h"

#include <algorithm>
#include <set>
#include <type_traits>

#include "api/experiment/experiment.h"
#include "api/experiment/kinds.h"
#include "api/inspect/samples.h"
#include "api/model.h"
#include "formats/yaml.h"
#include "layers/layers.h"

namespace nacre {

namespace {

std::string plural(std::string_view kind) { return std::string(kind) + (kind.ends_with('s') ? "es" : "s"); }

// The page of a kind: "layer" → "layers.md".
std::string page_of(std::string_view kind) {
  std::string page = plural(kind);
  std::replace(page.begin(), page.end(), ' ', '_');
  return page + ".md";
}

std::string in_line(const Tree& tree) {
  Tree holder;
  holder.set("x", tree);
  std::string text = write_yaml(holder).substr(3);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string code(std::string_view text) { return fmt::format("`{}`", text); }

std::string joined(const std::vector<std::string>& parts, std::string_view between) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : std::string(between)) + part;
  return text;
}

std::string words_of(const Tree& schema);

// "list of 2 × integer", "mapping of text", "integer or text".
std::string type_words(const Tree& schema) {
  const Tree* type = schema.find("type");
  if (!type) return "anything";
  std::vector<std::string> parts;
  for (const Tree& name : type->is_sequence() ? type->items() : Tree::Sequence{*type})
    parts.push_back(name == Tree("string")   ? "text"
                    : name == Tree("array")  ? "list"
                    : name == Tree("object") ? "mapping"
                                             : name.as_string());
  const std::string words = joined(parts, " or ");
  const Tree *items = schema.find("items"), *values = schema.find("additionalProperties");
  if (words == "list" && items) {
    const Tree* size = schema.find("minItems");
    return size ? fmt::format("list of {} × {}", size->as_integer(), words_of(*items)) : "list of " + words_of(*items);
  }
  return words == "mapping" && values && values->is_mapping() ? "mapping of " + words_of(*values) : words;
}

// What a JSON Schema says: "integer, at least 1", "[initializer](initializers.md) or null".
std::string words_of(const Tree& schema) {
  std::string words;
  if (const Tree* reference = schema.find("$ref")) {
    std::string kind = reference->as_string().substr(std::string_view("#/$defs/").size());
    const std::string page = page_of(kind);
    std::replace(kind.begin(), kind.end(), '_', ' ');
    words = fmt::format("[{}]({})", kind, page);
  } else if (const Tree* choices = schema.find("enum")) {
    std::vector<std::string> parts;
    for (const Tree& choice : choices->items()) parts.push_back(code(in_line(choice)));
    words = joined(parts, ", ");
  } else if (const Tree* either = schema.find("anyOf")) {
    std::vector<std::string> parts;
    for (const Tree& part : either->items())
      if (const std::string text = words_of(part); std::find(parts.begin(), parts.end(), text) == parts.end())
        parts.push_back(text);
    words = joined(parts, " or ");
  } else {
    words = type_words(schema);
  }
  const auto bound = [&](std::string_view key, std::string_view text) {
    if (const Tree* value = schema.find(key)) words += fmt::format(", {} {:g}", text, value->as_number());
  };
  bound("minimum", "at least");
  bound("exclusiveMinimum", "above");
  bound("maximum", "at most");
  bound("exclusiveMaximum", "below");
  return words;
}

// What stands in a file when nothing is given; nothing for parts that have fields of their own.
std::string default_of(const Field& field) {
  if (field.constraint.required) return "required";
  const std::string text = in_line(field.default_value);
  return text.find('\n') == std::string::npos ? table_cell(code(text)) : "";
}

// The fields that nearly all classes of a kind have, to be told once; null when there are none.
template <class Base>
const FieldTable* common_table() {
  const FieldTable* common = nullptr;
  std::size_t count = 0;
  for (const ClassInfo<Base>& info : registry<Base>().classes())
    if (info.fields.size() == 2) common = info.fields.front(), ++count;
  return 2 * count > registry<Base>().classes().size() ? common : nullptr;
}

template <class Base>
std::string common_fields() {
  const FieldTable* common = common_table<Base>();
  return common ? "\nFields that nearly all have besides their own:\n\n" + field_table(*common) : "";
}

template <class Base>
std::string entry_of(const ClassInfo<Base>& info) {
  std::vector<std::string> names = spellings_of(info);
  const std::string name = names.front();
  names.erase(names.begin());
  std::string text = fmt::format("\n### {}\n\n{}\n", name, info.doc);
  for (std::string& other : names) other = code(other);
  if (!names.empty()) text += fmt::format("\nAlso written {}.", joined(names, ", "));
  if (info.module.empty()) text += "\nKeras has no such class.";
  else text += fmt::format("\nIn Keras: {}.", code(fmt::format("{}.{}", info.module, info.class_name)));
  if constexpr (std::is_same_v<Base, Layer>)
    if (const OperationArguments* arguments = operation_arguments(info.spelling())) {
      std::vector<std::string> words;
      for (const OperationArgument& argument : *arguments) words.push_back(code(argument.name));
      text += fmt::format(" Arguments of the call: {}.", joined(words, ", "));
    }
  text += "\n";
  for (const FieldTable* table : info.fields)
    if (table != common_table<Base>() && !table->empty()) text += "\n" + field_table(*table);
  if (const auto example = example_of(info)) text += fmt::format("\n```yaml\n{}```\n", write_yaml(*example));
  return text;
}

// Classes of Lua have a reference of their own.
template <class Base>
bool is_documented(const ClassInfo<Base>& info) {
  return !info.doc.empty() && info.class_name != lua_class_name;
}

template <class Base>
std::string page() {
  std::string text = common_fields<Base>();
  for (const ClassInfo<Base>& info : registry<Base>().classes())
    if (is_documented(info)) text += entry_of(info);
  return text;
}

std::string title_of(std::string_view kind) {
  std::string title = plural(kind);
  title.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(title.front())));
  return title;
}

// A page for each family, and one that names them all and tells their common fields.
void add_layers(std::map<std::string, std::string>& pages) {
  struct Family {
    std::string_view title;
    std::vector<std::string> names;
    std::string entries;
  };
  std::vector<Family> families;
  std::set<std::string_view> listed;
  const auto add = [&](std::string_view title, const ClassInfo<Layer>& info) {
    auto family = std::find_if(families.begin(), families.end(), [&](const Family& known) { return known.title == title; });
    if (family == families.end()) family = families.insert(families.end(), {title, {}, {}});
    family->names.emplace_back(info.spelling());
    family->entries += entry_of(info);
  };
  for (const LayerFamily& family : layer_families())
    for (const ClassInfo<Layer>& info : family.list()) {
      listed.insert(registry<Layer>().get(info.spelling()).spelling());
      add(family.title, info);
    }
  for (const ClassInfo<Layer>& info : registry<Layer>().classes())
    if (is_documented(info) && !listed.contains(info.spelling())) add("Models", info);

  std::string contents = "# Layers\n" + common_fields<Layer>();
  for (const Family& family : families) {
    std::string file = "layers_" + std::string(family.title) + ".md";
    std::transform(file.begin(), file.end(), file.begin(), [](unsigned char c) { return c == ' ' ? '_' : std::tolower(c); });
    contents += fmt::format("\n## [{}]({})\n\n{}\n", family.title, file, joined(family.names, ", "));
    pages[file] = fmt::format("# {}\n{}", family.title, family.entries);
  }
  pages[page_of("layer")] = contents;
}

std::string experiment_page() {
  const auto section = [](std::string_view title, std::string_view text, const FieldTable& fields) {
    return fmt::format("\n## {}\n\n{}\n\n{}", title, text, field_table(fields));
  };
  return "# Configurations\n\nThe keys of a YAML file that `nacre train` takes.\n" +
         section("The file", "At the top.", fields_of<ExperimentConfig>()) +
         section("model", "The network: a stack, a graph, or one that was saved.", fields_of<ModelConfig>()) +
         section("data", "What it learns from.", fields_of<DataConfig>()) +
         section("data.normalize", "One of these ways, or none.", fields_of<NormalizeConfig>()) +
         section("train", "Keras's arguments of compile, and how exactly and in how much memory steps are computed …",
                 fields_of<CompileOptions>()) +
         section("train, too", "… of fit …", fields_of<FitConfig>()) +
         section("train, at last", "… and in what numbers.", fields_of<PrecisionConfig>());
}

}  // namespace

// | would end it.
std::string table_cell(std::string text) {
  for (std::size_t i = 0; (i = text.find('|', i)) != std::string::npos; i += 2) text.insert(i, "\\");
  return text;
}

std::string field_table(const FieldTable& fields) {
  std::string text = "| field | type | default | meaning |\n|---|---|---|---|\n";
  for (const Field& field : fields) {
    Tree schema = field.schema();
    annotate_schema(schema, "", field.constraint, Tree());
    text += fmt::format("| {} | {} | {} | {} |\n", code(field.key), table_cell(words_of(schema)),
                        default_of(field), table_cell(std::string(field.help)));
  }
  return text;
}

std::map<std::string, std::string> reference_pages() {
  register_models();
  std::map<std::string, std::string> pages;
  add_layers(pages);
  each_kind([&]<class Base>() {
    if constexpr (!std::is_same_v<Base, Layer>) {
      const std::string_view kind = registry<Base>().kind();
      pages[page_of(kind)] = fmt::format("# {}\n{}", title_of(kind), page<Base>());
    }
  });
  pages["configurations.md"] = experiment_page();
  std::string contents = "# Reference\n\nEvery class and key, generated from the program itself with `nacre reference "
                         "tutorials/reference`.\nNames, defaults and meaning are Keras's own.\n\n";
  for (const auto& [file, text] : pages)
    contents += fmt::format("- [{}]({})\n", text.substr(2, text.find('\n') - 2), file);
  pages["README.md"] = contents + "- [Lua](lua.md): functions and objects of scripts\n- [Status](status.md): what runs where\n";
  return pages;
}

}  // namespace nacre
