#include "scripting/classes/lua_object.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "layers/lambda.h"

namespace nacre::scripting {

namespace {

constexpr int deepest = 8;  // of tables within attributes

std::vector<std::string_view> keys_of(std::span<const FieldTable* const> tables) {
  std::vector<std::string_view> keys;
  for (const FieldTable* table : tables)
    for (const Field& field : *table) keys.push_back(field.key);
  return keys;
}

// --- the contents of a file ---------------------------------------------------------------------------------------

// What a chunk has defined and given.
class Contents {
 public:
  Contents(Sandbox& sandbox, const Call& call, const Kept& given) : sandbox_(sandbox), call_(call) {
    given_ = call.push_kept(given);
  }

  struct Found {
    LuaClassRef kind;  // null: a function
    KeptRef value;
  };
  // `source` is the text, for messages.
  Found find(const std::string& name, const std::string& source) const {
    const auto& defined = sandbox_.definitions().in_sandbox;
    if (name.empty()) {
      if (lua_isfunction(call_.lua(), given_)) return {nullptr, call_.keep(given_)};
      if (defined.size() == 1) return {defined.front().first, defined.front().second};
      throw Error("{} gives {}, and no class is named", source, joined()).hint("class: NAME chooses one").usage();
    }
    const auto named = [&](const auto& entry) { return entry.first->name == name; };
    if (std::ranges::count_if(defined, named) > 1) throw Error("{} has two classes '{}'", source, name).usage();
    if (const auto found = std::ranges::find_if(defined, named); found != defined.end())
      return {found->first, found->second};
    if (call_.is_table(given_)) {
      const SameStack same(call_);
      call_.push_field(given_, name);
      if (lua_isfunction(call_.lua(), -1)) return {nullptr, call_.keep(-1)};
      if (const LuaClassRef kind = class_at(call_, -1)) return {kind, call_.keep(-1)};
    }
    const std::vector<std::string> known = names();
    throw Error("{} has no class '{}'", source, name).hint(suggestion(name, {known.begin(), known.end()})).usage();
  }

 private:
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [kind, table] : sandbox_.definitions().in_sandbox) names.push_back(kind->name);
    if (call_.is_table(given_))
      call_.each_named(
          given_,
          [&](const std::string& key, int value) {
            if (lua_isfunction(call_.lua(), value)) names.push_back(key);
          },
          true);
    std::ranges::sort(names);
    return names;
  }
  std::string joined() const {
    std::string text;
    for (const std::string& name : names()) text += (text.empty() ? "" : ", ") + name;
    return text.empty() ? "no class and no function" : text;
  }

  Sandbox& sandbox_;
  const Call& call_;
  int given_;
};

}  // namespace

LuaConfig read_fields_of_script(const Tree& tree, std::span<const FieldTable* const> options) {
  LuaConfig config;
  const std::vector<std::string_view> known = keys_of(options);
  config.options.at(tree.mark());
  config.fields.at(tree.mark());
  if (!tree.is_null())
    for (const Tree::Entry& entry : tree.entries())
      (std::ranges::find(known, entry.key) == known.end() ? config.fields : config.options).entries().push_back(entry);
  return config;
}

LuaConfig read_lua_config(const Tree& tree, std::span<const FieldTable* const> options) {
  LuaConfig config = read_fields_of_script(tree, options);
  const FieldTable* const keys[] = {&fields_of<LuaKeys>()};
  LuaConfig parted = read_fields_of_script(config.fields, keys);
  config.keys = read_config<LuaKeys>(parted.options);
  config.fields = std::move(parted.fields);
  if (const Tree* source = tree.find("source"); source && source->mark().line == 0 && !source->mark().file.empty())
    config.place = source->mark().file;
  return config;
}

// --- making -------------------------------------------------------------------------------------------------------

LuaObject::LuaObject(const Call& call, LuaClassRef kind, KeptRef methods, const Tree& fields,
                     std::span<const FieldTable* const> options)
    : state_(call.state().handle()),
      kind_(kind->kind),
      name_(kind->name),
      chosen_(kind->name),
      class_(std::move(kind)),
      methods_(std::move(methods)),
      fields_(class_->complete(Fields(fields), keys_of(options))) {
  make_attributes(call);
}

LuaObject::LuaObject(const Call& call, std::string_view kind, KeptRef function)
    : state_(call.state().handle()), kind_(kind), name_("function"), function_(true), methods_(std::move(function)) {
  const SameStack same(call);
  if (std::string known = name_of_function(call, call.push_kept(*methods_)); !known.empty()) name_ = std::move(known);
  make_attributes(call);
}

LuaObject::LuaObject(const Call& call, std::string_view kind, std::string name, KeptRef table)
    : state_(call.state().handle()),
      kind_(kind),
      name_(std::move(name)),
      methods_(table),
      attributes_(std::move(table)) {}

LuaObject::LuaObject(std::string_view kind, const LuaConfig& config, std::span<const FieldTable* const> options)
    : kind_(kind), chosen_(config.keys.chosen) {
  need_scripts_allowed();
  const LuaKeys& keys = config.keys;
  if (keys.source.empty())
    throw keys.file.empty() ? Error("the key 'file' is missing (of Lua, which defines the class)").usage()
                            : Error("the file '{}' was not read", keys.file)
                                  .hint("files of Lua are named in YAML; scripts take nacre.import")
                                  .usage();
  given_ = LuaSource{keys.source, keys.file};
  const std::string& file = config.place.empty() ? keys.file : config.place;
  const Fields given_fields(config.fields);  // objects among them are not within the sandbox
  sandbox_ = std::make_unique<Sandbox>();
  state_ = sandbox_->handle();
  const KeptRef given = sandbox_->run(script_text(keys.source), file.empty() ? "=source" : "@" + file);
  enter([&](const Call& call) {
    const Contents::Found found =
        Contents(*sandbox_, call, *given).find(keys.chosen, file.empty() ? "the source" : fmt::format("'{}'", file));
    function_ = !found.kind;
    class_ = found.kind;
    methods_ = found.value;
    if (class_ && class_->kind != kind)
      throw Error("'{}' is {}, wanted {}", class_->name, with_article(class_->kind), with_article(kind)).usage();
    const LuaClass of_functions{.name = keys.chosen, .kind = kind_};
    const LuaClass& described = class_ ? *class_ : of_functions;
    name_ = described.name.empty() ? "function" : described.name;
    fields_ = described.complete(given_fields, keys_of(options));
    make_attributes(call);
  });
}

void LuaObject::make_attributes(const Call& call) {
  Out::Named attributes;
  const auto function_of = [&](const Tree& config) -> Out {
    auto* const sandbox = dynamic_cast<Sandbox*>(&call.state());
    if (!sandbox) throw Error("a function of a file is made where its object is").usage();
    const KeptRef function = sandbox->run(config["source"].as_string(), "=function");
    const SameStack same(call);
    if (!lua_isfunction(call.lua(), call.push_kept(*function)))
      throw Error("a field's source gives no function").usage();
    return function;
  };
  for (const Tree::Entry& entry : fields_.values().entries())
    attributes.push_back({entry.key, fields_.out(entry.value, function_of)});
  attributes_ = call.keep(Out(std::move(attributes)));
}

std::optional<Object> LuaObject::made_anew(const Call& call, Tree config) const {
  if (!class_) return std::nullopt;
  for (const Field& key : fields_of<LuaKeys>()) config.erase(key.key);
  const Fields own = fields_.anew();
  Out::Named given;
  for (const Tree::Entry& entry : config.entries())
    if (!own.values().find(entry.key)) given.push_back({entry.key, entry.value});
  for (const Tree::Entry& entry : own.values().entries()) given.push_back({entry.key, own.out(entry.value, {})});
  const SameStack same(call);
  return call.object(call.invoke(methods_, {Out(std::move(given))}));
}

Tree LuaObject::with_defaults(Tree options) const {
  if (class_)
    for (const Tree::Entry& entry : class_->options.entries())
      if (!options.find(entry.key)) options.set(entry.key, entry.value);
  return options;
}

// --- methods ------------------------------------------------------------------------------------------------------

EngineState& LuaObject::state() const {
  const auto state = state_.lock();
  if (!state) throw Error("the script that '{}' belongs to has ended", name_);
  return static_cast<EngineState&>(**state);
}

void LuaObject::enter(const std::function<void(const Call&)>& work) const {
  EngineState& present = state();
  if (const Call* const call = Call::innermost(present)) {
    const SameStack same(*call);
    return work(*call);
  }
  if (!present.sandboxed())
    throw Error("'{}' belongs to a script, which runs on a thread of its own", name_)
        .hint("a class in a file that YAML or a saved model names runs anywhere");
  present.renew();
  const StopFlag stop = present.bounds();
  const Call call(present.lua());
  const SameStack same(call);
  work(call);
}

// Lua's registry, where it is kept, is open to scripts.
int LuaObject::push_table(const Call& call, const KeptRef& table) const {
  const int index = call.push_kept(*table);
  if (!call.is_table(index)) throw Error("the table of '{}' is gone from Lua's registry", name_).usage();
  return index;
}

bool LuaObject::has(std::string_view method) const {
  if (function_) return method == "call";
  bool found = false;
  enter([&](const Call& call) {
    for (const KeptRef& table : {attributes_, methods_}) {
      call.push_field(push_table(call, table), method);
      found = found || lua_isfunction(call.lua(), -1);
    }
  });
  return found;
}

std::vector<std::string> LuaObject::methods() const {
  if (function_) return {"call"};
  std::set<std::string> names;
  enter([&](const Call& call) {
    for (const KeptRef& table : {attributes_, methods_})
      call.each_named(
          push_table(call, table),
          [&](const std::string& key, int value) {
            if (lua_isfunction(call.lua(), value)) names.insert(key);
          },
          true);
  });
  return {names.begin(), names.end()};
}

void LuaObject::need_method(std::string_view method) const {
  if (has(method)) return;
  const std::vector<std::string> known = methods();
  throw Error("'{}' has no method '{}'", name_, method)
      .hint(known.empty() ? fmt::format("function {}:{}(…) … end makes one", name_, method)
                          : suggestion(method, {known.begin(), known.end()}))
      .usage();
}

Tree LuaObject::setting(std::string_view key) const {
  Tree value;
  if (function_) return value;
  enter([&](const Call& call) {
    for (const KeptRef& table : {methods_, attributes_}) {
      call.push_field(push_table(call, table), key);
      const int type = lua_type(call.lua(), -1);
      if (type == LUA_TBOOLEAN || type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE)
        value = call.tree(-1);
    }
  });
  return value;
}

void LuaObject::invoke(std::string_view method, const Out& self, const std::vector<Out>& arguments,
                       const std::function<void(const Call& call, int first)>& read) const {
  enter([&](const Call& call) {
    std::vector<Out> given;
    int function = 0;
    if (function_) {
      function = call.push_kept(*methods_);
    } else {
      given.push_back(self);
      for (const KeptRef& table : {attributes_, methods_}) {
        call.push_field(push_table(call, table), method);
        function = lua_gettop(call.lua());
        if (lua_isfunction(call.lua(), function)) break;
      }
    }
    if (!lua_isfunction(call.lua(), function)) throw Error("'{}' has no method '{}'", name_, method).usage();
    given.insert(given.end(), arguments.begin(), arguments.end());
    const int first = call.invoke(Out::At{function}, given);
    if (read) read(call, first);
  });
}

// --- attributes ---------------------------------------------------------------------------------------------------

bool LuaObject::at_home(const Call& call) const {
  const auto state = state_.lock();
  return state && *state == &call.state();
}

std::optional<Out> LuaObject::attribute(const Call& call, std::string_view key) const {
  if (function_ || !at_home(call)) return std::nullopt;
  for (const KeptRef& table : {attributes_, methods_}) {
    call.push_field(push_table(call, table), key);
    if (!lua_isnil(call.lua(), -1)) return Out(Out::At{lua_gettop(call.lua())});
  }
  return std::nullopt;
}

void LuaObject::set_attribute(const Call& call, std::string_view key, const Out& value) const {
  if (!at_home(call)) throw Error("'{}' came from a file: its attributes are its own", name_).usage();
  call.set_field(push_table(call, attributes_), key, value);
}

void LuaObject::each_object(const Call& call,
                            const std::function<void(const Object&, const std::string& name)>& visit) const {
  std::vector<std::pair<std::string, Object>> found;
  std::set<const void*> seen;  // tables may hold one another
  const std::function<void(int, const std::string&, int)> walk = [&](int table, const std::string& prefix, int depth) {
    if (depth > deepest || !seen.insert(lua_topointer(call.lua(), table)).second) return;
    const auto meet = [&](int value, std::string name) {
      if (auto object = call.object(value)) found.emplace_back(std::move(name), *std::move(object));
      else if (call.is_table(value) && !class_at(call, value)) walk(value, name, depth + 1);
    };
    const SameStack same(call);
    lua_State* const lua = call.lua();
    for (lua_Integer i = 1; i <= static_cast<lua_Integer>(std::min<std::size_t>(lua_rawlen(lua, table), 10'000)); ++i) {
      lua_rawgeti(lua, table, i);
      meet(lua_gettop(lua), fmt::format("{}_{}", prefix, i));
      lua_pop(lua, 1);
    }
    for (lua_pushnil(lua); lua_next(lua, table); lua_pop(lua, 1)) {
      if (lua_type(lua, -2) != LUA_TSTRING) continue;
      const std::string key = call.text(lua_gettop(lua) - 1, "a name");
      meet(lua_gettop(lua), prefix.empty() ? key : prefix + "_" + key);
    }
  };
  walk(push_table(call, attributes_), "", 0);
  std::ranges::stable_sort(found, {}, [](const auto& entry) -> const std::string& { return entry.first; });
  for (const auto& [name, object] : found) visit(object, name);
}

Tree LuaObject::plain_attributes() const {
  Tree all = Tree::mapping();
  enter([&](const Call& call) {
    call.each_named(
        push_table(call, attributes_),
        [&](const std::string& key, int value) {
          const int type = lua_type(call.lua(), value);
          if (type != LUA_TBOOLEAN && type != LUA_TNUMBER && type != LUA_TSTRING && type != LUA_TTABLE) return;
          try {
            bool plain = true;
            Tree tree = call.tree(value, [&](const Object&) { return plain = false, Tree(); });
            if (plain) all.set(key, std::move(tree));
          } catch (const Error&) {  // a table that is no list and no mapping
          }
        },
        true);
  });
  std::ranges::sort(all.entries(), {}, &Tree::Entry::key);
  return all;
}

// --- files --------------------------------------------------------------------------------------------------------

namespace {

// A path of this machine is nobody else's business.
std::string last_part(const std::string& file) {
  const std::string name = std::filesystem::path(file).filename().string();
  return name.empty() ? file : name;
}

}  // namespace

LuaSource LuaObject::source() const {
  if (given_) return *given_;
  LuaSource found;
  enter([&](const Call& call) {
    const int table = function_ ? call.push_kept(*methods_) : push_table(call, methods_);
    found = function_ ? source_of_function(call, table) : source_of_class(call, *class_, table);
  });
  return found;
}

void LuaObject::check_source(const Tree& config) const {
  const std::string& text = config["source"].as_string();
  if (given_ || text == checked_) return;
  try {
    LuaObject(kind_, read_lua_config(config, {}), {});
  } catch (const Error& error) {
    throw Error("its source does not stand by itself: {}", error.line());
  }
  checked_ = text;
}

// Those that are plain values as they are now: methods and scripts may have set them.
Tree LuaObject::fields_now() const {
  Tree fields = fields_.written();
  const auto state = state_.lock();
  if (!state || (!static_cast<EngineState&>(**state).sandboxed() && !Call::innermost(**state))) return fields;
  const Tree present = plain_attributes();
  for (Tree::Entry& entry : fields.entries()) {
    const Tree* const now = present.find(entry.key);
    if (!now || *now == entry.value || (class_ && !class_->takes(entry.key, *now))) continue;
    // Lua has one spelling for an empty list and for no names.
    if (entry.value.is_mapping() && now->is_sequence() && now->items().empty() && entry.value.entries().empty())
      continue;
    entry.value = *now;
  }
  return fields;
}

Tree LuaObject::config(Style style) const {
  Tree config = Tree::mapping();
  const bool files = style == Style::keras;
  const auto keep = [&](Error& error) {
    if (!files) return;
    throw Error("'{}' cannot be saved: {}", name_, error.message())
        .at(error.mark())
        .hint("put the class into a file of its own, which the script takes with nacre.import")
        .usage();
  };
  if (!class_ && !function_) throw Error("a table with methods has no config").usage();
  if (files || given_ || (class_ && class_->source)) {
    try {
      const LuaSource text = files || given_ ? source() : *class_->source;
      if (!text.file.empty()) config.set("file", files ? last_part(text.file) : text.file);
      if (files || text.file.empty()) config.set("source", text.text);
    } catch (Error& error) {
      keep(error);
    }
  }
  if (!chosen_.empty()) config.set("class", chosen_);
  for (const Tree::Entry& entry : fields_now().entries()) config.set(entry.key, entry.value);
  if (files) {
    try {
      check_source(config);
    } catch (Error& error) {
      keep(error);
    }
  }
  return config;
}

// --- results ------------------------------------------------------------------------------------------------------

Value read_value(const Call& call, int index, const std::string& method) {
  const auto object = call.object(index);
  if (lua_type(call.lua(), index) != LUA_TNUMBER && !(object && is_tensor(*object)))
    throw Error("{} gives {}, wanted a tensor", method, call.described(index)).usage();
  return traced_value(call, read_tensor(call, index, "a tensor"));
}

Values read_values(const Call& call, int first, const std::string& method) {
  Values values;
  each_result(call, first, [&](int index) { values.push_back(read_value(call, index, method)); });
  if (values.empty())
    throw Error("{} gives nothing, wanted a tensor", method).hint("does it return its result?").usage();
  return values;
}

}  // namespace nacre::scripting
