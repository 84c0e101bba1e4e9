// Tables whose names a registry knows: nacre.layers, nacre.ops, …. What is registered is there without a binding of its
// own.
#pragma once

#include "formats/config.h"
#include "scripting/state.h"

namespace nacre::scripting {

// What is known of a name.
struct NamedEntry {
  std::string_view name, doc;
  std::vector<const FieldTable*> fields{};  // the class's own last
  std::vector<std::string> places{};        // of the arguments of an operation: names
};

// One constant for each table.
struct Namespace {
  const char* name;                // "layers"
  lua_CFunction index;             // __index: `make` with the name as its upvalue, or an error with the nearest name
  lua_CFunction make;              // what each name gives
  lua_CFunction method = nullptr;  // what objects give for the same names; null: nothing
  void (*add_names)(std::vector<std::string_view>& names);
  std::optional<NamedEntry> (*find)(std::string_view name);
};

// All of the engine's.
std::vector<const Namespace*> namespaces();

// Pushes the table; raises.
void push_namespace(lua_State* lua, const Namespace& space);
// An empty table with this __index; raises.
void push_indexed(lua_State* lua, lua_CFunction index);

// The classes of a registry as names.
template <class Base>
void add_class_names(std::vector<std::string_view>& names) {
  for (const ClassInfo<Base>& info : registry<Base>().classes())
    if (!info.qualified && info.class_name != handed_object) names.push_back(info.class_name);
}
template <class Base>
std::optional<NamedEntry> find_class(std::string_view name) {
  const ClassInfo<Base>* info = registry<Base>().find(name);
  if (!info || info->qualified) return std::nullopt;
  return NamedEntry{.name = info->class_name, .doc = info->doc, .fields = info->fields};
}

// Which of them the value is; null: none. They neither raise nor allocate.
const Namespace* namespace_at(lua_State* lua, int index);
// The entry of which the value is the function: nacre.layers.Dense.
struct FoundEntry {
  const Namespace* space;
  NamedEntry entry;
};
std::optional<FoundEntry> entry_at(lua_State* lua, int index);

}  // namespace nacre::scripting
