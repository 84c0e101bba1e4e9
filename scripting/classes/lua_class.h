// Classes that scripts define: what nacre.Layer, nacre.Loss and their like give.
//
//   local Gate = nacre.Layer("Gate", {"units", activation = "sigmoid"})
//
// is a table that takes methods and makes objects, Gate{units = 4}. Beside the methods a class has fields: names in the
// list must be given, others have a default, whose kind of value is wanted.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "formats/config.h"
#include "scripting/state.h"

namespace nacre::scripting {

// A text of Lua that makes a class, or several, or a function.
struct LuaSource {
  std::string text;
  std::string file;  // for messages
};

// Values of fields: plain ones, with objects and functions of a script in their midst.
class Fields {
 public:
  Fields() = default;
  // The mapping's objects are those that the present call of Lua has handed over, and those in Keras's spelling, with
  // their module.
  explicit Fields(const Tree& mapping) : values_(taken(mapping)) {}

  const Tree& values() const { return values_; }  // objects as numbers; see text()
  void set(std::string_view key, const Fields& from, const Tree& value);
  // As Lua gets it. Functions that stand in files are made by `function_of`.
  Out out(const Tree& value, const std::function<Out(const Tree& config)>& function_of) const;
  // The same with objects of their own, made from the configs of these, so that no two objects share a layer.
  Fields anew() const;
  // For messages.
  std::string text(const Tree& value) const;
  // With objects in Keras's spelling, whatever the style around.
  Tree written() const { return written(values_); }

 private:
  Tree taken(const Tree& value);
  Tree numbered(Object object);
  const Object* object_of(const Tree& value) const;  // null: it is none
  Tree written(const Tree& value) const;

  std::vector<Object> objects_;  // before the values, which take numbers among them
  Tree values_ = Tree::mapping();
};

struct LuaClass {
  std::string name;
  std::string_view kind;  // of the registry: "layer"
  std::vector<std::string> required{};
  Fields defaults{};
  Tree options = Tree::mapping();             // defaults of what all objects of the kind have: {learning_rate = 0.01}
  std::shared_ptr<const LuaSource> source{};  // the file that was imported; null: the script itself

  // The fields of an object; throws usage Errors with the nearest key. `others`: what may stand beside them, for hints.
  Fields complete(const Fields& given, const std::vector<std::string_view>& others) const;
  // Whether the field's default lets it be such a plain value.
  bool takes(const std::string& field, const Tree& value) const;
};
using LuaClassRef = std::shared_ptr<const LuaClass>;
template <>
const Class& class_of<LuaClassRef>();

// The class that a table is; null: none.
LuaClassRef class_at(const Call& call, int index);

// Throws a usage Error where the table is a class, and an object is wanted.
void refuse_class(const Call& call, int index);

// What a state knows of the classes that its scripts define.
struct Definitions {
  std::multimap<std::string, std::string> chunks{};           // texts that were run, by Lua's names for them
  std::vector<std::shared_ptr<const LuaSource>> imports{};    // under way, the innermost last
  std::vector<std::pair<LuaClassRef, KeptRef>> in_sandbox{};  // all, where they stand in a file: with their tables
  int builds = 0;                                             // of layers, that are under way
};

// What nacre.Layer(name[, fields]) and its like describe: arguments 1 and 2. `options` are what all objects of the kind
// have, `reserved` can be no names of fields.
LuaClass describe_class(const Call& call, std::string_view kind, std::span<const std::string_view> options,
                        std::span<const std::string_view> reserved);
// Such a function, for lua_CFunctions: `describe` gives a LuaClassRef, `make` makes an object; its upvalue is the
// class, its arguments are the class's table and the object's fields. Raises.
int define_class(lua_State* lua, lua_CFunction describe, lua_CFunction make);

}  // namespace nacre::scripting
