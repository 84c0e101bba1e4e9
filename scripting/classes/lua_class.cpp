#include "scripting/classes/lua_class.h"

#include <algorithm>

#include "api/experiment/kinds.h"
#include "layers/lambda.h"
#include "scripting/bindings.h"
#include "scripting/classes/custom.h"
#include "scripting/classes/lua_object.h"

namespace nacre::scripting {

namespace {

constexpr std::size_t most_fields = 1000;

// Calls visit.operator()<Base>() for the kinds whose objects scripts hold, but layers.
template <class Visit>
void each_plain_kind(Visit&& visit) {
  each_kind([&]<class Base>() {
    if constexpr (!std::is_same_v<Base, Layer> && !std::is_same_v<Base, Source>) visit.template operator()<Base>();
  });
}

// An object in Keras's spelling, {class_name: Dense, module: keras.layers, config: …}; none: it is a plain value.
std::optional<Object> read_spelled(const Tree& value) {
  const Tree *name = value.find("class_name"), *module = value.find("module"), *config = value.find("config");
  if (!name || !module || !config || !name->is_string() || !module->is_string()) return std::nullopt;
  std::optional<Object> found;
  const auto read = [&]<class Base>() -> std::shared_ptr<Base> {
    const ClassInfo<Base>* info = registry<Base>().find(name->as_string(), module->as_string());
    return info && info->module == module->as_string() ? read_object<Base>(value) : nullptr;
  };
  if (auto layer = read.template operator()<Layer>()) return make_object(LayerObject{.layer = std::move(layer)});
  each_plain_kind([&]<class Base>() {
    if (found) return;
    if (auto object = read.template operator()<Base>()) found = make_object(std::move(object));
  });
  return found;
}

Tree write_spelled(const Object& object) {
  if (object.kind == &class_of<LayerObject>())
    return write_object<Layer>(*std::static_pointer_cast<LayerObject>(object.value)->layer, Style::keras);
  Tree spelling;
  if (object.kind == &class_of<KeptRef>()) {
    const KeptRef& function = *std::static_pointer_cast<KeptRef>(object.value);
    const auto state = function->state().lock();
    const Call* const call = state ? Call::innermost(**state) : nullptr;
    if (!call) throw Error("a function of a script is written by its script alone");
    const SameStack same(*call);
    Tree config;
    config.set("source", source_of_function(*call, call->push_kept(*function)).text);
    return spell_object(function_module, lua_class_name, std::move(config), Style::keras, false);
  }
  each_plain_kind([&]<class Base>() {
    if (object.kind == &class_of<std::shared_ptr<Base>>())
      spelling = write_object<Base>(**std::static_pointer_cast<std::shared_ptr<Base>>(object.value), Style::keras);
  });
  return spelling;
}

// An object like it, with objects of its own within; none: it holds nothing that two could share.
std::optional<Object> made_anew(const Object& object) {
  if (object.kind == &class_of<KeptRef>()) return std::nullopt;
  const Scripted* const own = scripted_of(object);
  if (!own) return read_spelled(write_spelled(object));
  const Call* const call = Call::under_way() ? &Call::current() : nullptr;
  if (!call || !own->lua().at_home(*call)) return read_spelled(write_spelled(object));
  Tree options;
  const auto take = [&]<class Base>(const Base& base) { options = base.config_tree(Style::yaml); };
  if (object.kind == &class_of<LayerObject>()) take(*std::static_pointer_cast<LayerObject>(object.value)->layer);
  each_plain_kind([&]<class Base>() {
    if (object.kind == &class_of<std::shared_ptr<Base>>())
      take(**std::static_pointer_cast<std::shared_ptr<Base>>(object.value));
  });
  return own->lua().made_anew(*call, std::move(options));
}

bool can_be_field(const Object& object) {
  bool can = object.kind == &class_of<LayerObject>() || object.kind == &class_of<KeptRef>();
  each_plain_kind([&]<class Base>() { can = can || object.kind == &class_of<std::shared_ptr<Base>>(); });
  return can;
}

// What a default says of the values that its field takes; null: any.
std::string_view wanted_kind(const Tree& fallback) {
  if (fallback.is_bool()) return "true or false";
  if (fallback.is_number()) return "a number";
  if (fallback.is_string()) return "a text or an object";
  return fallback.is_null() ? "" : "a table or an object";
}

bool fits(const Tree& value, const Tree& fallback) {
  if (fallback.is_null()) return true;
  if (fallback.is_bool()) return value.is_bool();
  if (fallback.is_number()) return value.is_number();
  if (fallback.is_string()) return value.is_string() || value.is_mapping();
  return value.is_mapping() || value.is_sequence() || (value.is_string() && fallback.find("class_name"));
}

}  // namespace

// --- Fields -------------------------------------------------------------------------------------------------------

Tree Fields::numbered(Object object) {
  if (!can_be_field(object))
    throw Error("got {}, which a field cannot hold", object.kind->text(object))
        .hint("fields are numbers, texts, tables, layers and other objects with a config, and functions")
        .usage();
  Tree config, spelling;
  config.set("number", static_cast<std::int64_t>(objects_.size()));
  spelling.set("class_name", handed_object);
  spelling.set("config", std::move(config));
  objects_.push_back(std::move(object));
  return spelling;
}

Tree Fields::taken(const Tree& value) {
  if (value.is_sequence()) {
    Tree list = Tree::sequence().at(value.mark());
    for (const Tree& item : value.items()) list.push(taken(item));
    return list;
  }
  if (!value.is_mapping()) return value;
  if (const Tree* name = value.find("class_name"); name && *name == Tree(handed_object)) {
    if (!Call::under_way()) throw Error("got an object of a script, wanted its config").at(value.mark()).usage();
    return numbered(Call::current().handed(value["config"]["number"].as_integer())).at(value.mark());
  }
  if (auto object = read_spelled(value)) return numbered(*std::move(object)).at(value.mark());
  Tree mapping = Tree::mapping().at(value.mark());
  for (const Tree::Entry& entry : value.entries())
    mapping.entries().push_back({entry.key, taken(entry.value), entry.mark});
  return mapping;
}

const Object* Fields::object_of(const Tree& value) const {
  const Tree* const name = value.find("class_name");
  if (!name || *name != Tree(handed_object)) return nullptr;
  return &objects_.at(static_cast<std::size_t>(value["config"]["number"].as_integer()));
}

void Fields::set(std::string_view key, const Fields& from, const Tree& value) {
  const std::function<Tree(const Tree&)> moved = [&](const Tree& tree) -> Tree {
    if (const Object* object = from.object_of(tree)) return numbered(*object);
    if (tree.is_sequence()) {
      Tree list = Tree::sequence();
      for (const Tree& item : tree.items()) list.push(moved(item));
      return list;
    }
    if (!tree.is_mapping()) return tree;
    Tree mapping = Tree::mapping();
    for (const Tree::Entry& entry : tree.entries()) mapping.set(entry.key, moved(entry.value));
    return mapping;
  };
  values_.set(key, moved(value));
}

Out Fields::out(const Tree& value, const std::function<Out(const Tree& config)>& function_of) const {
  if (const Object* object = object_of(value)) {
    if (object->kind == &class_of<KeptRef>()) return Out(*std::static_pointer_cast<KeptRef>(object->value));
    return *object;
  }
  if (value.is_sequence()) {
    Out::List list;
    for (const Tree& item : value.items()) list.push_back(out(item, function_of));
    return list;
  }
  if (!value.is_mapping()) return value;
  if (const Tree* module = value.find("module"); module && *module == Tree(function_module))
    return function_of(value["config"]);
  Out::Named named;
  for (const Tree::Entry& entry : value.entries()) named.push_back({entry.key, out(entry.value, function_of)});
  return named;
}

Fields Fields::anew() const {
  Fields copy = *this;
  for (Object& object : copy.objects_)
    if (auto made = made_anew(object)) object = *std::move(made);
  return copy;
}

std::string Fields::text(const Tree& value) const {
  if (const Object* object = object_of(value)) return object->kind->text(*object);
  return value.text();
}

Tree Fields::written(const Tree& value) const {
  if (const Object* object = object_of(value)) return write_spelled(*object);
  if (value.is_sequence()) {
    Tree list = Tree::sequence();
    for (const Tree& item : value.items()) list.push(written(item));
    return list;
  }
  if (!value.is_mapping()) return value;
  Tree mapping = Tree::mapping();
  for (const Tree::Entry& entry : value.entries()) mapping.set(entry.key, written(entry.value));
  return mapping;
}

// --- classes ------------------------------------------------------------------------------------------------------

Fields LuaClass::complete(const Fields& given, const std::vector<std::string_view>& others) const {
  Fields all;
  std::vector<std::string_view> known;
  for (const std::string& key : required) known.emplace_back(key);
  for (const Tree::Entry& entry : defaults.values().entries()) known.emplace_back(entry.key);
  for (const Tree::Entry& entry : given.values().entries()) {
    if (std::ranges::find(known, entry.key) != known.end()) continue;
    known.insert(known.end(), others.begin(), others.end());
    throw Error("unknown key '{}'", entry.key)
        .at(entry.mark ? entry.mark : entry.value.mark())
        .hint(suggestion(entry.key, known))
        .usage();
  }
  for (const std::string& key : required) {
    const Tree* const value = given.values().find(key);
    if (!value) throw Error("the key '{}' is missing (a field of '{}')", key, name).at(given.values().mark()).usage();
    all.set(key, given, *value);
  }
  const Fields own_defaults = defaults.anew();
  for (const auto& [key, fallback, mark] : defaults.values().entries()) {
    const Tree* const value = given.values().find(key);
    if (value && !fits(*value, fallback))
      throw Error("wanted {}, got {}", wanted_kind(fallback), given.text(*value))
          .at(value->mark())
          .about(fmt::format("'{}'", key))
          .usage();
    if (value) all.set(key, given, *value);
    else all.set(key, own_defaults, fallback);
  }
  return all;
}

bool LuaClass::takes(const std::string& field, const Tree& value) const {
  const Tree* const fallback = defaults.values().find(field);
  return !fallback || fits(value, *fallback);
}

template <>
const Class& class_of<LuaClassRef>() {
  static const Class kind{.name = "class", .members = {}, .metamethods = {}, .text = [](const Object& object) {
                            const LuaClass& found = **std::static_pointer_cast<LuaClassRef>(object.value);
                            return fmt::format("class '{}' ({})", found.name, found.kind);
                          }};
  return kind;
}

LuaClassRef class_at(const Call& call, int index) {
  lua_State* const lua = call.lua();
  if (!lua_istable(lua, index) || !lua_checkstack(lua, 4) || !lua_getmetatable(lua, index)) return nullptr;
  const int top = lua_gettop(lua) - 1;
  call.push_field(-1, "__call");
  LuaClassRef found;
  if (lua_iscfunction(lua, -1) && lua_getupvalue(lua, -1, 1))
    if (const auto held = call.find<LuaClassRef>(-1)) found = *held;
  lua_settop(lua, top);
  return found;
}

void refuse_class(const Call& call, int index) {
  if (const LuaClassRef kind = class_at(call, index))
    throw Error("got class '{}', wanted an object of it", kind->name)
        .hint(fmt::format("{}{{}} makes one", kind->name))
        .usage();
}

namespace {

// What the class's table may not be asked for, as its objects have it already.
void check_key(const std::string& key, std::span<const std::string_view> reserved) {
  if (std::ranges::find(reserved, key) != reserved.end())
    throw Error("a field cannot be called '{}', which all objects of the kind have", key).usage();
  if (key.empty() || key.find_first_of(".${}") != std::string::npos)
    throw Error("a field cannot be called {}", Tree(key).text()).usage();
}

}  // namespace

LuaClass describe_class(const Call& call, std::string_view kind, std::span<const std::string_view> options,
                        std::span<const std::string_view> reserved) {
  if (call.is_table(1))
    throw call.unwanted(1, "the name of a class")
        .hint(fmt::format("nacre.{}(\"Name\", {{fields}}), then its methods", definer_of(kind)))
        .usage();
  LuaClass described{.name = call.text(1, "the name of a class"), .kind = kind};
  const std::string& name = described.name;
  const bool word =
      !name.empty() && std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '_'; });
  if (!word || std::isdigit(static_cast<unsigned char>(name.front())) || name.size() > 100)
    throw Error("got the name {}, wanted one of letters, digits and '_'", Tree(name).text()).usage();
  if (call.given(2)) {
    if (!call.is_table(2)) throw call.unwanted(2, "a table of fields with their defaults: {units = 8}");
    call.each_item(2, [&](int item) { described.required.push_back(call.text(item, "the name of a field")); });
    Tree defaults = Tree::mapping();
    call.each_named(
        2,
        [&](const std::string& key, int value) {
          if (lua_isfunction(call.lua(), value) && std::ranges::find(reserved, key) != reserved.end())
            throw Error("got a function as the field '{}'", key)
                .hint(fmt::format("methods stand behind the class: function {}:{}(…) … end", name, key))
                .usage();
          const bool option = std::ranges::find(options, key) != options.end();
          (option ? described.options : defaults).set(key, call.tree(value));
        },
        true);
    if (!described.options.entries().empty()) described.options = Fields(described.options).written();
    std::ranges::sort(defaults.entries(), {}, &Tree::Entry::key);
    if (defaults.entries().size() + described.required.size() > most_fields)
      throw Error("a class has at most {} fields", most_fields).usage();
    for (const Tree::Entry& entry : defaults.entries()) check_key(entry.key, reserved);
    for (const std::string& key : described.required) {
      check_key(key, reserved);
      if (defaults.find(key) || std::ranges::count(described.required, key) > 1)
        throw Error("the field '{}' stands twice", key).usage();
    }
    described.defaults = Fields(defaults);
  }
  Definitions& definitions = EngineState::of(call).definitions();
  if (!definitions.imports.empty() && call.place().file == definitions.imports.back()->file)
    described.source = definitions.imports.back();
  return described;
}

namespace {

void note_class(Call& call) {
  auto& state = EngineState::of(call);
  if (!state.sandboxed()) return;
  state.definitions().in_sandbox.emplace_back(*call.get<LuaClassRef>(1, "a class"), call.keep(2));
}

Out text_of_class(Call& call) {
  const LuaClassRef kind = class_at(call, 1);
  return kind ? fmt::format("class '{}' ({})", kind->name, kind->kind) : std::string("class");
}

}  // namespace

int define_class(lua_State* lua, lua_CFunction describe, lua_CFunction make) {
  lua_settop(lua, 2);
  lua_pushcfunction(lua, describe);
  lua_insert(lua, 1);
  lua_call(lua, 2, 1);
  lua_newtable(lua);  // the class's table
  lua_newtable(lua);  // and its metatable
  lua_pushvalue(lua, 1);
  lua_pushcclosure(lua, make, 1);
  lua_setfield(lua, 3, "__call");
  lua_pushcfunction(lua, bound<text_of_class>);
  lua_setfield(lua, 3, "__tostring");
  lua_setmetatable(lua, 2);
  lua_pushcfunction(lua, bound<note_class>);
  lua_pushvalue(lua, 1);
  lua_pushvalue(lua, 2);
  lua_call(lua, 2, 0);
  return 1;
}

}  // namespace nacre::scripting
