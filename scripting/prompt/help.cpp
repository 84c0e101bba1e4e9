#include "scripting/prompt/help.h"

#include <algorithm>

#include "scripting/bindings.h"
#include "scripting/operation_examples.h"
#include "scripting/prompt/readable.h"
#include "scripting/reference.h"
#include "scripting/tensors/operations.h"

namespace nacre::scripting {

namespace {

constexpr int columns = 80, widest_key = 26;

constexpr const char* overview =
    R"(nacre.Sequential{…} and nacre.Model{…} make models, nacre.load and
nacre.from_yaml read them from files. nacre.layers, nacre.ops, nacre.optimizers
and the like hold everything by Keras's names. Tab completes names and shows
which there are.

  help(nacre.layers.Dense)   what it does, its keys and their defaults
  help("Adam")               all that has this name
  help(nacre.optimizers)     what is in a table
  help(model)                properties and methods of an object

_ is the last value. A local variable ends with its line. What is not complete
goes on in the next line; an empty line drops it. Ctrl-C drops a line and stops
a computation; exit() or Ctrl-D leaves.
)";

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; (begin = text.find_first_not_of(' ', begin)) != text.npos;) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    words.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return words;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

std::string lines(std::string_view text, int indent = 0) { return wrapped(words_of(text), indent, columns) + "\n"; }

// "size of the last axis; required", "how borders are treated; one of 'valid', 'same'; default 'valid'"
std::string meaning_of(const Field& field) {
  std::vector<std::string> choices(field.constraint.choices.begin(), field.constraint.choices.end());
  const Tree schema = field.schema();
  if (const Tree* words = schema.find("enum"))
    for (const Tree& word : words->items()) choices.push_back(word.text());
  std::string text(field.help);
  if (!choices.empty()) text += "; one of " + joined(choices);
  if (field.constraint.required) return text + "; required";
  return field.default_value.is_null() ? text : text + "; default " + field.default_value.text();
}

std::string fields_text(const FieldTable& fields) {
  int width = 0;
  for (const Field& field : fields) width = std::max(width, std::min(columns_of(field.key), widest_key));
  std::string text;
  for (const Field& field : fields) {
    const std::string key = fmt::format("  {:{}}  ", field.key, width), meaning = lines(meaning_of(field), width + 4);
    if (columns_of(key) > width + 4) text += key + "\n" + meaning;
    else text += key + meaning.substr(key.size());
  }
  return text;
}

// Scripts as they stand, a little to the right.
std::string example_lines(std::string_view script) {
  std::string text = "\n";
  for (std::size_t begin = 0; begin < script.size();) {
    const std::size_t end = std::min(script.find('\n', begin), script.size());
    text += "  " + std::string(script.substr(begin, end - begin)) + "\n";
    begin = end + 1;
  }
  return text;
}

// Without the targets of Markdown's links.
std::string without_links(std::string text) {
  for (std::size_t middle = 0; (middle = text.find("](", middle)) != text.npos;) {
    const std::size_t begin = text.rfind('[', middle), end = text.find(')', middle);
    if (begin == text.npos || end == text.npos) break;
    text.replace(begin, end + 1 - begin, text.substr(begin + 1, middle - begin - 1));
    middle = begin;
  }
  return text;
}

std::string entry_text(const FoundEntry& found) {
  const NamedEntry& entry = found.entry;
  const std::string name = fmt::format("nacre.{}.{}", found.space->name, entry.name);
  static const FieldTable none;
  const FieldTable& own = entry.fields.empty() ? none : *entry.fields.back();
  std::string text;
  if (found.space == &operations_namespace()) text = lines(fmt::format("{}({})", name, joined(entry.places)));
  else text = name + (own.empty() ? "()\n" : "{…}\n");
  text += lines(entry.doc);
  if (!own.empty()) text += "\n" + fields_text(own);
  if (entry.fields.size() > 1) {
    std::vector<std::string> keys;
    for (const Field& field : *entry.fields.front()) keys.emplace_back(field.key);
    text += "\n" + lines("As all of its kind it also takes " + joined(keys) + ".");
  }
  if (found.space == &operations_namespace())
    for (const OperationExample& example : operation_examples())
      if (example.operation == entry.name)
        text += "\n" + lines(fmt::format("{} gives {}", example.call, example.result), 2);
  return text;
}

std::string reference_text(const LuaEntry& entry) {
  std::string text = lines(entry.usage) + lines(without_links(entry.doc));
  for (const FieldTable* fields : entry.keys) text += "\n" + fields_text(*fields);
  return text + example_lines(entry.example);
}

// --- values and names ---------------------------------------------------------------------------------------------

std::string space_text(const Namespace& space) {
  std::vector<std::string_view> known;
  space.add_names(known);
  std::vector<std::string> names(known.begin(), known.end());
  std::sort(names.begin(), names.end());
  return fmt::format("nacre.{}:\n", space.name) + lines(joined(names), 2);
}

std::string object_text(const Object& object) {
  std::vector<std::string> properties, methods;
  for (const Member& member : object.kind->members)
    (member.get ? properties : methods).push_back(std::string(member.name) + (member.get ? "" : "()"));
  std::vector<std::string_view> others;
  if (object.kind->other_names) object.kind->other_names(object, others);
  std::sort(others.begin(), others.end());
  std::string text = object.kind->text(object) + "\n";
  if (!properties.empty()) text += "Properties:\n" + lines(joined(properties), 2);
  if (!methods.empty()) text += "Methods, called with a colon:\n" + lines(joined(methods), 2);
  if (!others.empty()) text += "Also:\n" + lines(joined({others.begin(), others.end()}), 2);
  return text;
}

// All that has the name; with "nacre." only what stands there.
std::string name_text(std::string_view name) {
  const bool placed = name.starts_with("nacre.");
  const std::string_view wanted = placed ? name.substr(6) : name;
  std::vector<std::string> texts;
  const auto add = [&](std::string text) {
    if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(std::move(text));
  };
  std::vector<std::string_view> known;
  for (const Namespace* space : namespaces()) {
    if (wanted == space->name) return space_text(*space);
    const std::string prefix = std::string(space->name) + ".";
    const bool inside = wanted.starts_with(prefix);
    if (inside || !placed)
      if (const auto entry = space->find(inside ? wanted.substr(prefix.size()) : wanted))
        add(entry_text({space, *entry}));
    known.push_back(space->name);
    space->add_names(known);
  }
  const std::vector<LuaEntry> entries = lua_entries();
  for (const LuaEntry& entry : entries) {
    const std::string_view own = std::string_view(entry.name).substr(entry.name.rfind('.') + 1);
    if (name == entry.name || (!placed && name == own)) add(reference_text(entry));
    known.push_back(own);
  }
  if (texts.empty()) throw Error("nothing is known of '{}'", name).hint(suggestion(wanted, known)).usage();
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : "\n") + text;
  return all;
}

std::string function_text(lua_State* lua, int index) {
  if (const lua_CFunction function = lua_tocfunction(lua, index))
    for (const LuaEntry& entry : lua_entries())
      if (entry.function == function) return reference_text(entry);
  lua_Debug debug;
  lua_pushvalue(lua, index);
  lua_getinfo(lua, ">S", &debug);
  if (debug.linedefined <= 0) return "a function of which no more is known here\n";
  return fmt::format("a function of {}, line {}\n", debug.short_src, debug.linedefined);
}

}  // namespace

std::string help_text(const Call& call) {
  lua_State* const lua = call.lua();
  if (!call.given(1)) return overview;
  if (lua_type(lua, 1) == LUA_TSTRING) return name_text(call.text(1, "a name"));
  if (const auto object = call.object(1)) return object_text(*object);
  if (const Namespace* space = namespace_at(lua, 1)) return space_text(*space);
  if (const auto found = entry_at(lua, 1)) return entry_text(*found);
  if (lua_isfunction(lua, 1)) return function_text(lua, 1);
  return call.described(1) + "\n";
}

}  // namespace nacre::scripting
