// Objects of classes that scripts define, and functions of scripts in the places of objects.
#pragma once

#include "scripting/classes/lua_class.h"
#include "scripting/sandbox.h"

namespace nacre::scripting {

// How configurations name them: {Lua: {file: my_layers.lua, class: Gate, units: 8}}. A file is read where the
// configuration is: beyond that, `source` is what counts.
struct LuaKeys {
  std::string file, chosen, source;
  static void describe(auto&& field) {
    field("file", &LuaKeys::file, "of Lua, which defines the class");
    field("class", &LuaKeys::chosen, "the class or function; may be left out where the file has only one");
    field("source", &LuaKeys::source, "the text of Lua itself, as saved models hold it");
  }
};
struct LuaConfig {
  LuaKeys keys;
  std::string place;               // of the file, for messages; "": none was read
  Tree options = Tree::mapping();  // keys of the tables
  Tree fields = Tree::mapping();   // all others
};
LuaConfig read_lua_config(const Tree& tree, std::span<const FieldTable* const> options);
// The same of a script, which has the class already.
LuaConfig read_fields_of_script(const Tree& tree, std::span<const FieldTable* const> options);

// Keeps the stack of Lua as it is, and has room on it.
class SameStack {
 public:
  explicit SameStack(const Call& call) : lua_(call.lua()), top_(lua_gettop(call.lua())) {
    if (!lua_checkstack(lua_, LUA_MINSTACK)) throw Error("functions of Lua are nested too deep");
  }
  ~SameStack() { lua_settop(lua_, top_); }
  SameStack(const SameStack&) = delete;
  SameStack& operator=(const SameStack&) = delete;

 private:
  lua_State* lua_;
  int top_;
};

// A flag that is true while it lives: a method is under way.
class UnderWay {
 public:
  explicit UnderWay(bool& flag) : flag_(flag) { flag_ = true; }
  ~UnderWay() { flag_ = false; }
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;

 private:
  bool& flag_;
};

// The class of plain functions within fields; those of objects are "nacre.layers" and the like.
inline constexpr std::string_view function_module = "nacre";

// It runs in the script that made it, or, where it comes from a file, in a sandbox of its own.
class LuaObject {
 public:
  // Of the script that calls; `methods` is the class's table. `options` are what may stand beside the fields, for
  // hints.
  LuaObject(const Call& call, LuaClassRef kind, KeptRef methods, const Tree& fields,
            std::span<const FieldTable* const> options);
  // A function of the script that calls, as the method "call".
  LuaObject(const Call& call, std::string_view kind, KeptRef function);
  // A table of the script that calls, with methods.
  LuaObject(const Call& call, std::string_view kind, std::string name, KeptRef table);
  // Of a file. Throws usage Errors with the file's line or that of the configuration.
  LuaObject(std::string_view kind, const LuaConfig& config, std::span<const FieldTable* const> options);

  // "Gate"; of a function the name that its text has for it, or "function".
  const std::string& name() const { return name_; }
  const Fields& fields() const { return fields_; }
  bool is_function() const { return function_; }
  // Another object of the class with these fields, for calls of its own state; none: it is a function. Of the config's
  // keys those count that are no fields.
  std::optional<Object> made_anew(const Call& call, Tree config) const;
  // The class's defaults for what all objects of the kind have, under those that are given.
  Tree with_defaults(Tree options) const;
  // Whether its state ends with it: what runs there must not own it.
  bool owns_state() const { return sandbox_ != nullptr; }
  EngineState& state() const;  // throws Error when it has ended

  // Runs work(call) in the state; its stack is as before afterwards.
  void enter(const std::function<void(const Call&)>& work) const;
  bool has(std::string_view method) const;
  void need_method(std::string_view method) const;  // throws a usage Error with the nearest that there is
  std::vector<std::string> methods() const;         // sorted
  // What the class or the object has under that key, where it is a plain value; else null.
  Tree setting(std::string_view key) const;
  // Calls self:method(arguments…) and read(call, first) with its results, from index `first` to the top of the stack.
  void invoke(std::string_view method, const Out& self, const std::vector<Out>& arguments,
              const std::function<void(const Call& call, int first)>& read = {}) const;

  // Attributes, for calls of its own state.
  bool at_home(const Call& call) const;
  std::optional<Out> attribute(const Call& call, std::string_view key) const;
  void set_attribute(const Call& call, std::string_view key, const Out& value) const;
  // Calls visit(index of the value, name) for all attributes that are tables or objects, also those in tables; names of
  // the latter are numbered, "blocks_1". Sorted by name.
  void each_object(const Call& call, const std::function<void(const Object&, const std::string& name)>& visit) const;
  // All attributes that are plain values.
  Tree plain_attributes() const;

  // The class and the fields, for files (Style::keras) with the source: throws Error when it has none that stands by
  // itself.
  Tree config(Style style) const;

 private:
  int push_table(const Call& call, const KeptRef& table) const;
  LuaSource source() const;
  Tree fields_now() const;
  void check_source(const Tree& config) const;
  void make_attributes(const Call& call);

  std::unique_ptr<Sandbox> sandbox_;  // that it owns
  StateHandle state_;
  std::string_view kind_;
  std::string name_, chosen_;
  bool function_ = false;
  LuaClassRef class_;  // null: a function, or a table with methods
  KeptRef methods_, attributes_;
  Fields fields_;
  std::optional<LuaSource> given_;  // of a configuration; its file as it stands there
  mutable std::string checked_;     // the source that is known to stand by itself
};

// What objects of nacre that are such objects have in common.
class Scripted {
 public:
  explicit Scripted(LuaObject object) : lua_(std::move(object)) {}
  virtual ~Scripted() = default;
  const LuaObject& lua() const { return lua_; }
  virtual Object self() const = 0;  // as methods see it
  virtual void attribute_set(const Call&, int /*value*/) {}

 protected:
  void invoke(std::string_view method, const std::vector<Out>& arguments,
              const std::function<void(const Call& call, int first)>& read = {}) const {
    lua_.invoke(method, self(), arguments, read);
  }
  LuaObject lua_;
};

// Runs work(call) where what methods do with tensors goes into the graph of the context.
template <class Work>
void traced_in(EngineState& state, Context& context, Work&& work) {
  if (state.trace() && &state.trace()->graph() == &context.graph()) return work();
  TraceScope scope(context);
  const ComputingState::Tracing tracing(state, scope);
  work();
}

// Calls visit(index) for what a method gave, from `first` to the top of the stack: results, and the items of tables.
template <class Visit>
void each_result(const Call& call, int first, Visit&& visit) {
  const int last = lua_gettop(call.lua());
  for (int i = first; i <= last; ++i) {
    if (call.is_table(i)) call.each_item(i, visit);
    else visit(i);
  }
}
// Whether a method gave something there.
inline bool has_result(const Call& call, int index) {
  return index <= lua_gettop(call.lua()) && !lua_isnil(call.lua(), index);
}
// The values among results of a method, in the graph that is being traced: one tensor or several, as results or in a
// table. `method` is for messages: "'call' of 'Gate'".
Values read_values(const Call& call, int first, const std::string& method);
Value read_value(const Call& call, int index, const std::string& method);

// --- sources ------------------------------------------------------------------------------------------------------

// Texts of Lua that make the same value elsewhere: a chunk that gives the function, or defines the class. Throw Errors
// that say what they use that cannot be written.
LuaSource source_of_function(const Call& call, int index);
LuaSource source_of_class(const Call& call, const LuaClass& kind, int table);
// The function of the table nacre that defines classes of the kind: "Layer".
std::string_view definer_of(std::string_view kind);
// The name that the function's text has for it; "": none.
std::string name_of_function(const Call& call, int index);

}  // namespace nacre::scripting
