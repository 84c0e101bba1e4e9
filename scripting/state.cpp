#include "scripting/state.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace nacre::scripting {

namespace {

constexpr int deepest = 64;
constexpr std::size_t most_calls = 8;      // of the lines on the way to an error
constexpr int steps_between_looks = 1000;  // instructions
constexpr std::uint64_t steps_of_a_call = 20;
constexpr std::size_t report_from = 64 << 10;
constexpr std::size_t object_overhead = 256;                 // bytes, about, that an object takes besides what it holds
constexpr std::string_view no_memory = "not enough memory";  // Lua's own words
constexpr const char* too_many_steps = "too many steps: does a loop never end?";

// Lua's own memory is used up.
struct LuaMemoryUsedUp {};

std::string text_at(lua_State* lua, int index) {
  std::size_t size = 0;
  const char* bytes = lua_tolstring(lua, index, &size);
  return {bytes, size};
}

// Runs work(lua), which may raise and holds nothing, under lua_pcall. Its results lie on the stack.
template <class Work>
void shielded(lua_State* lua, int results, const Work& work) {
  if (!lua_checkstack(lua, 4)) throw LuaMemoryUsedUp();
  lua_pushcfunction(lua, [](lua_State* inner) {
    const auto* task = static_cast<const Work*>(lua_touserdata(inner, 1));
    lua_settop(inner, 0);
    (*task)(inner);
    return lua_gettop(inner);
  });
  lua_pushlightuserdata(lua, const_cast<Work*>(&work));
  const int status = lua_pcall(lua, 1, results, 0);
  if (status == LUA_OK) return;
  const std::string text = lua_type(lua, -1) == LUA_TSTRING ? text_at(lua, -1) : "an unknown error";
  lua_pop(lua, 1);
  if (status == LUA_ERRMEM || text == no_memory) throw LuaMemoryUsedUp();
  throw Error(text);
}

// Raises a message with the line of the script that runs.
int raise_here(lua_State* lua, const char* message) {
  lua_Debug debug;
  for (int level = 0; lua_getstack(lua, level, &debug); ++level) {
    lua_getinfo(lua, "Sl", &debug);
    if (debug.currentline <= 0) continue;
    lua_pushfstring(lua, "%s:%d: %s", debug.short_src, debug.currentline, message);
    return lua_error(lua);
  }
  lua_pushstring(lua, message);
  return lua_error(lua);
}

// "script.lua:3: attempt to …", perhaps with a hint, as an Error with its mark.
Error error_of(const std::string& text) {
  constexpr std::string_view before_hint = "\n  hint: ";
  if (const std::size_t hint = text.find(before_hint); hint != std::string::npos)
    return error_of(text.substr(0, hint)).hint(text.substr(hint + before_hint.size()));
  const std::size_t end = text.find(": ");
  const std::size_t colon = end == std::string::npos || end == 0 ? std::string::npos : text.rfind(':', end - 1);
  if (colon == std::string::npos || colon == 0 || end - colon < 2 || end - colon > 10) return Error(text);
  const std::string digits = text.substr(colon + 1, end - colon - 1);
  if (digits.find_first_not_of("0123456789") != std::string::npos) return Error(text);
  return Error(text.substr(end + 2)).at({text.substr(0, colon), std::atoi(digits.c_str()), 0});
}

void push_element(lua_State* lua, const Tensor& tensor, std::int64_t index) {
  const auto at = static_cast<std::size_t>(index);
  switch (tensor.dtype()) {
    case DType::boolean: return lua_pushboolean(lua, tensor.data<bool>()[at]);
    case DType::int64: return lua_pushinteger(lua, tensor.data<std::int64_t>()[at]);
    case DType::uint8:
    case DType::int32: return lua_pushinteger(lua, static_cast<lua_Integer>(tensor.at(index)));
    case DType::string: {
      const std::string& text = tensor.data<std::string>()[at];
      lua_pushlstring(lua, text.data(), text.size());
      return;
    }
    default: return lua_pushnumber(lua, tensor.at(index));
  }
}

void push_elements(lua_State* lua, const Tensor& tensor, int axis, std::int64_t& index) {
  if (axis == tensor.shape().rank()) return push_element(lua, tensor, index++);
  luaL_checkstack(lua, 4, "a tensor has too many axes");
  const std::int64_t count = tensor.shape().sizes()[static_cast<std::size_t>(axis)];
  lua_createtable(lua, static_cast<int>(std::min<std::int64_t>(count, 1 << 20)), 0);
  for (std::int64_t i = 1; i <= count; ++i) push_elements(lua, tensor, axis + 1, index), lua_rawseti(lua, -2, i);
}

thread_local const Call* current_call = nullptr;

// --- states of others ---------------------------------------------------------------------------------------------

constexpr char service_key = 0;  // its address: where Lua's registry has the Service

// A userdata.
struct Service {
  const void* key;  // what else lies there is none
  State* state;
};

Service* service_at(lua_State* lua, int index) {
  if (lua_type(lua, index) != LUA_TUSERDATA || lua_rawlen(lua, index) != sizeof(Service)) return nullptr;
  auto* service = static_cast<Service*>(lua_touserdata(lua, index));
  return service->key == &service_key ? service : nullptr;
}

lua_State* main_thread(lua_State* lua) {
  lua_rawgeti(lua, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_State* const main = lua_tothread(lua, -1);
  lua_pop(lua, 1);
  return main;
}

// --- what every class has -----------------------------------------------------------------------------------------

const Member* member_of(const Class& kind, std::string_view name) {
  const auto found =
      std::find_if(kind.members.begin(), kind.members.end(), [&](const Member& member) { return member.name == name; });
  return found == kind.members.end() ? nullptr : &*found;
}

Object any_self(const Call& call) {
  if (auto self = call.object(1)) return *self;
  throw call.unwanted(1, "an object of nacre").hint("methods are called with a colon: object:method()");
}

[[noreturn]] void refuse_key(const Call& call, const Object& self, const std::string& key) {
  throw Error("{} has no '{}'", call.described(1), key)
      .hint(name_hint(key, self.kind->other_words, member_names(self)))
      .usage();
}

// The class whose keys are no texts, when there is such a key; else null.
const Class* class_by_key(const Call& call) { return lua_type(call.lua(), 2) == LUA_TSTRING ? nullptr : call.kind(1); }

Out index_object(Call& call) {
  if (const Class* kind = class_by_key(call); kind && kind->at) return kind->at(call);
  const Object self = any_self(call);
  const std::string key = call.text(2, "the name of a member");
  if (const Member* member = member_of(*self.kind, key))
    return member->get ? member->get(call) : Out(Out::Function{member->method});
  if (self.kind->other)
    if (auto value = self.kind->other(call, key)) return *std::move(value);
  refuse_key(call, self, key);
}

// __index. Upvalues: functions by their keys that were found before; whether to keep those that are found.
int index_or_kept(lua_State* lua) {
  const bool text = lua_type(lua, 2) == LUA_TSTRING;
  if (text) {
    lua_pushvalue(lua, 2);
    if (lua_rawget(lua, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    lua_settop(lua, 2);
  }
  const int count = bound<index_object>(lua);
  if (text && count == 1 && lua_toboolean(lua, lua_upvalueindex(2)) && lua_iscfunction(lua, -1)) {
    lua_pushvalue(lua, 2);
    lua_pushvalue(lua, -2);
    lua_rawset(lua, lua_upvalueindex(1));
  }
  return count;
}

void set_member(Call& call) {
  if (const Class* kind = class_by_key(call); kind && kind->set_at) return kind->set_at(call);
  const Object self = any_self(call);
  const std::string key = call.text(2, "the name of a member");
  const Member* member = member_of(*self.kind, key);
  if (!member && self.kind->set_other && self.kind->set_other(call, key)) return;
  if (!member) refuse_key(call, self, key);
  if (!member->set) throw Error("{}: '{}' cannot be set", call.described(1), key).usage();
  member->set(call);
}

Out text_of_object(Call& call) {
  const Object self = any_self(call);
  return self.kind->text(self);
}

Out same_objects(Call& call) {
  const auto a = call.object(1), b = call.object(2);
  if (!a || !b || a->kind != b->kind) return false;
  return a->value == b->value || (a->kind->same && a->kind->same(a->value.get(), b->value.get()));
}

}  // namespace

std::string name_hint(std::string_view name, std::span<const OtherWord> words,
                      const std::vector<std::string_view>& known) {
  const auto word = std::ranges::find(words, name, &OtherWord::first);
  return word == words.end() ? suggestion(name, known) : fmt::format("here it is {}", word->second);
}

std::vector<std::string_view> member_names(const Object& object) {
  std::vector<std::string_view> names;
  for (const Member& member : object.kind->members) names.emplace_back(member.name);
  if (object.kind->other_names) object.kind->other_names(object, names);
  return names;
}

std::string with_article(std::string_view noun) {
  if (noun == "nil" || noun == "no value") return std::string(noun);
  return (std::string_view("aeiou").find(noun.front()) == std::string_view::npos ? "a " : "an ") + std::string(noun);
}

// --- Out ----------------------------------------------------------------------------------------------------------

Out::Out() = default;
Out::Out(bool value) : value_(value) {}
Out::Out(std::int64_t value) : value_(value) {}
Out::Out(double value) : value_(value) {}
Out::Out(std::string value) : value_(std::move(value)) {}
Out::Out(std::string_view value) : value_(std::string(value)) {}
Out::Out(const char* value) : value_(std::string(value)) {}
Out::Out(Object object) : value_(std::move(object)) {}
Out::Out(Function function) : value_(std::move(function)) {}
Out::Out(Elements elements) : value_(std::move(elements)) {}
Out::Out(List items) : value_(std::move(items)) {}
Out::Out(Named entries) : value_(std::move(entries)) {}
Out::Out(Mixed table) : value_(std::make_shared<const Mixed>(std::move(table))) {}
Out::Out(At place) : value_(place) {}
Out::Out(KeptRef kept) : value_(std::move(kept)) {}

Out::Out(const Shape& shape) : value_(shape) {}

Out::Out(const Tree& tree) {
  if (tree.is_null()) return;
  if (tree.is_bool()) value_ = tree.as_bool();
  else if (tree.is_integer()) value_ = tree.as_integer();
  else if (tree.is_number()) value_ = tree.as_number();
  else if (tree.is_string()) value_ = tree.as_string();
  else if (tree.is_sequence()) value_ = List(tree.items().begin(), tree.items().end());
  else {
    Named entries;
    for (const Tree::Entry& entry : tree.entries()) entries.push_back({entry.key, entry.value});
    value_ = std::move(entries);
  }
}

void State::push_object(lua_State* lua, const Object& object) {
  lua_rawgetp(lua, LUA_REGISTRYINDEX, object.kind);
  if (!lua_istable(lua, -1)) luaL_error(lua, "the class of %ss is gone from Lua's registry", object.kind->name);
  auto* number = static_cast<std::uint64_t*>(lua_newuserdatauv(lua, sizeof(std::uint64_t), 0));
  State& state = of(lua);
  const std::size_t most = state.limits_.held;
  if (most > 0 && state.held_ + object.bytes > most) {
    lua_gc(lua, LUA_GCCOLLECT);
    if (state.held_ + object.bytes > most)
      luaL_error(lua, "tensors take more than %d MiB", static_cast<int>(most >> 20));
  }
  *number = state.adopt(object);
  if (*number == 0) luaL_error(lua, "%s", no_memory.data());
  lua_insert(lua, -2);
  lua_setmetatable(lua, -2);
  // Memory outside of Lua counts like Lua's own.
  state.unreported_ += object.bytes + object_overhead;
  if (state.unreported_ < report_from || !lua_gc(lua, LUA_GCISRUNNING)) return;
  const std::size_t kibibytes = std::min<std::size_t>(state.unreported_ >> 10, 1 << 20);
  state.unreported_ = 0;
  lua_gc(lua, LUA_GCSTEP, static_cast<int>(kibibytes));
}

namespace {

// "(2, None)" of a list of sizes; whatever it holds by now.
int text_of_sizes(lua_State* lua) {
  luaL_checktype(lua, 1, LUA_TTABLE);
  const auto count = static_cast<lua_Integer>(lua_rawlen(lua, 1));
  luaL_Buffer buffer;
  luaL_buffinit(lua, &buffer);
  luaL_addchar(&buffer, '(');
  for (lua_Integer i = 1; i <= count; ++i) {
    if (i > 1) luaL_addstring(&buffer, ", ");
    lua_rawgeti(lua, 1, i);
    if (lua_isinteger(lua, -1) && lua_tointeger(lua, -1) == unknown) {
      lua_pop(lua, 1);
      lua_pushliteral(lua, "None");
    } else {
      luaL_tolstring(lua, -1, nullptr);
      lua_remove(lua, -2);
    }
    luaL_addvalue(&buffer);
  }
  luaL_addstring(&buffer, count == 1 ? ",)" : ")");
  luaL_pushresult(&buffer);
  return 1;
}

int same_sizes(lua_State* lua) {
  bool same = lua_istable(lua, 1) && lua_istable(lua, 2) && lua_rawlen(lua, 1) == lua_rawlen(lua, 2);
  for (lua_Integer i = same ? static_cast<lua_Integer>(lua_rawlen(lua, 1)) : 0; same && i >= 1; --i) {
    lua_rawgeti(lua, 1, i);
    lua_rawgeti(lua, 2, i);
    same = lua_rawequal(lua, -1, -2) != 0;
    lua_pop(lua, 2);
  }
  lua_pushboolean(lua, same);
  return 1;
}

}  // namespace

// A list that is shown as shapes are.
void State::push_shape(lua_State* lua, const Shape& shape) {
  lua_createtable(lua, shape.rank(), 0);
  lua_Integer index = 0;
  for (const std::int64_t size : shape) lua_pushinteger(lua, size), lua_rawseti(lua, -2, ++index);
  if (luaL_newmetatable(lua, "shape")) {
    lua_pushcfunction(lua, text_of_sizes);
    lua_setfield(lua, -2, "__tostring");
    lua_pushcfunction(lua, same_sizes);
    lua_setfield(lua, -2, "__eq");
    lua_pushboolean(lua, 0);
    lua_setfield(lua, -2, "__metatable");
  }
  if (lua_istable(lua, -1)) lua_setmetatable(lua, -2);
  else lua_pop(lua, 1);
}

// Of the table at the top.
void State::set_items(lua_State* lua, const Out::List& items) {
  lua_Integer index = 0;
  for (const Out& item : items) push(lua, item), lua_rawseti(lua, -2, ++index);
}

void State::set_entries(lua_State* lua, const Out::Named& entries) {
  for (const Out::Entry& entry : entries) {
    lua_pushlstring(lua, entry.key.data(), entry.key.size());
    push(lua, entry.value);
    lua_rawset(lua, -3);
  }
}

void State::push(lua_State* lua, const Out& out) {
  luaL_checkstack(lua, 6, "a value is nested too deep");
  const Out::Value& value = out.value();
  if (const bool* flag = std::get_if<bool>(&value)) lua_pushboolean(lua, *flag);
  else if (const auto* integer = std::get_if<std::int64_t>(&value)) lua_pushinteger(lua, *integer);
  else if (const auto* number = std::get_if<double>(&value)) lua_pushnumber(lua, *number);
  else if (const auto* text = std::get_if<std::string>(&value)) lua_pushlstring(lua, text->data(), text->size());
  else if (const auto* object = std::get_if<Object>(&value)) push_object(lua, *object);
  else if (const auto* function = std::get_if<Out::Function>(&value)) {
    if (!function->name.empty()) lua_pushlstring(lua, function->name.data(), function->name.size());
    lua_pushcclosure(lua, function->function, function->name.empty() ? 0 : 1);
  } else if (const auto* elements = std::get_if<Out::Elements>(&value)) {
    std::int64_t index = 0;
    push_elements(lua, elements->tensor, 0, index);
  } else if (const auto* items = std::get_if<Out::List>(&value)) {
    lua_createtable(lua, static_cast<int>(std::min<std::size_t>(items->size(), 1 << 20)), 0);
    set_items(lua, *items);
  } else if (const auto* entries = std::get_if<Out::Named>(&value)) {
    lua_newtable(lua);
    set_entries(lua, *entries);
  } else if (const auto* mixed = std::get_if<std::shared_ptr<const Out::Mixed>>(&value)) {
    lua_newtable(lua);
    set_items(lua, (*mixed)->items);
    set_entries(lua, (*mixed)->entries);
  } else if (const Shape* shape = std::get_if<Shape>(&value)) {
    push_shape(lua, *shape);
  } else if (const auto* kept = std::get_if<KeptRef>(&value)) {
    lua_rawgeti(lua, LUA_REGISTRYINDEX, (*kept)->reference());
  } else {
    lua_pushnil(lua);
  }
}

Kept::Kept(const State& state, int reference) : state_(state.handle()), reference_(reference) {}

Kept::~Kept() {
  if (const auto state = state_.lock(); state && (*state)->lua_)
    luaL_unref((*state)->lua(), LUA_REGISTRYINDEX, reference_);
}

template <>
const Class& class_of<KeptRef>() {
  static const Class kind{.name = "function", .members = {}, .metamethods = {}, .text = [](const Object&) {
                            return std::string("a function");
                          }};
  return kind;
}

// --- State --------------------------------------------------------------------------------------------------------

State::State(const Limits& limits) : limits_(limits), lua_(lua_newstate(allocate, this), {.owned = true}) {
  if (!lua_) throw Error("out of memory");
  lua_setwarnf(lua(), warn, this);
  if (limits_.steps > 0 || limits_.stop) lua_sethook(lua(), watch, LUA_MASKCOUNT, steps_between_looks);
}

State::State(lua_State* host)
    : limits_{.memory = std::numeric_limits<std::size_t>::max()}, lua_(main_thread(host), {.owned = false}) {}

State::~State() = default;

void State::close() noexcept {
  if (!lua_) return;
  // While it is still known: finalisers, and the last objects, may use what derived classes have.
  if (serves()) std::exchange(objects_, {}).clear();
  else lua_close(lua());
  static_cast<void>(lua_.release());
}

State* State::find(lua_State* lua) {
  void* user = nullptr;
  if (lua_getallocf(lua, &user) == allocate) return static_cast<State*>(user);
  lua_rawgetp(lua, LUA_REGISTRYINDEX, &service_key);
  const Service* service = service_at(lua, -1);
  lua_pop(lua, 1);
  return service ? service->state : nullptr;
}

State& State::of(lua_State* lua) { return *find(lua); }

void State::serve(lua_State* host, State* (*make)(lua_State* host) noexcept) {
  if (find(host)) return;
  luaL_checkstack(host, 4, nullptr);
  auto* service = static_cast<Service*>(lua_newuserdatauv(host, sizeof(Service), 0));
  *service = {&service_key, nullptr};
  lua_newtable(host);
  lua_pushcfunction(host, end_service);
  lua_setfield(host, -2, "__gc");
  lua_pushboolean(host, 0);
  lua_setfield(host, -2, "__metatable");
  lua_setmetatable(host, -2);  // before all objects, so that at the end of Lua it is the last to be collected
  lua_rawsetp(host, LUA_REGISTRYINDEX, &service_key);
  service->state = make(host);
  if (!service->state) luaL_error(host, "nacre cannot begin: is there too little memory?");
}

// __gc of what lies in the registry. A script that finds it there may call it too, with anything and at any time.
int State::end_service(lua_State* lua) {
  Service* service = service_at(lua, 1);
  if (!service || !service->state) return 0;
  for (const Call* call = current_call; call; call = call->outer_)
    if (&call->state_ == service->state) return 0;
  delete std::exchange(service->state, nullptr);
  return 0;
}

void* State::allocate(void* user, void* block, std::size_t old_size, std::size_t new_size) {
  auto& state = *static_cast<State*>(user);
  if (!block) {
    if (old_size == LUA_TSTRING && state.limits_.text > 0 && new_size > state.limits_.text) {
      state.text_too_long_ = true;
      return nullptr;
    }
    old_size = 0;
  }
  if (new_size == 0) {
    std::free(block);
    state.memory_ -= old_size;
    return nullptr;
  }
  if (new_size > old_size && state.memory_ + (new_size - old_size) > state.limits_.memory) return nullptr;
  void* result = std::realloc(block, new_size);
  if (result) state.memory_ = state.memory_ - old_size + new_size;
  return result;
}

// Lua calls it every so many instructions.
void State::watch(lua_State* lua, lua_Debug*) {
  State& state = of(lua);
  if (state.interrupted()) {
    lua_sethook(lua, watch, LUA_MASKCOUNT, 1);  // so that what caught the error does not go on either
    raise_here(lua, "interrupted");
  }
  const int steps = lua_gethookcount(lua);
  if (steps != steps_between_looks) lua_sethook(lua, watch, LUA_MASKCOUNT, steps_between_looks);  // that is over
  count_steps(lua, static_cast<std::uint64_t>(steps));
}

void State::count_steps(lua_State* lua, std::uint64_t steps) {
  if (of(lua).spend(steps)) return;
  lua_sethook(lua, watch, LUA_MASKCOUNT, 1);  // as in watch()
  raise_here(lua, too_many_steps);
}

bool State::spend(std::uint64_t steps) {
  if (limits_.steps == 0) return true;
  const auto left = static_cast<std::uint64_t>(std::max<std::int64_t>(limits_.steps - steps_, 0));
  steps_ += static_cast<std::int64_t>(std::min(steps, left + 1));
  return steps <= left;
}

void State::warn(void* user, const char* message, int continued) {
  auto& state = *static_cast<State*>(user);
  if (!state.warning_ && !continued && message[0] == '@') {
    if (std::strcmp(message, "@on") == 0) state.warnings_ = true;
    if (std::strcmp(message, "@off") == 0) state.warnings_ = false;
    return;
  }
  if (state.warnings_)
    std::fprintf(stderr, "%s%s%s", state.warning_ ? "" : "warning: ", message, continued ? "" : "\n");
  state.warning_ = continued != 0;
}

std::uint64_t State::adopt(const Object& object) noexcept {
  try {
    if (free_.empty()) {
      if (objects_.size() == std::numeric_limits<std::uint32_t>::max()) return 0;
      objects_.emplace_back();
      free_.reserve(objects_.capacity());  // release() has room
      free_.push_back(static_cast<std::uint32_t>(objects_.size() - 1));
    }
    const std::uint32_t at = free_.back();
    free_.pop_back();
    Place& place = objects_[at];
    place.object = object;
    place.taken = true;
    place.order = ++adopted_;
    ++place.visits;
    held_ += object.bytes;
    return std::uint64_t{place.visits} << 32 | at;
  } catch (const std::bad_alloc&) {
    return 0;
  }
}

void State::release(std::uint64_t number) noexcept {
  const auto at = static_cast<std::uint32_t>(number);
  Place& place = objects_[at];
  const Object last = std::move(place.object);  // outlives the entry: what it ends may look here
  place.taken = false;
  held_ -= last.bytes;
  free_.push_back(at);
}

State::Place* State::place_at(lua_State* lua, int index) {
  if (lua_type(lua, index) != LUA_TUSERDATA || lua_rawlen(lua, index) != sizeof(std::uint64_t)) return nullptr;
  const std::uint64_t number = *static_cast<const std::uint64_t*>(lua_touserdata(lua, index));
  const auto at = static_cast<std::uint32_t>(number);
  if (at >= objects_.size()) return nullptr;
  Place& place = objects_[at];
  return place.taken && place.visits == number >> 32 ? &place : nullptr;
}

const Object* State::find(lua_State* lua, int index) {
  const Place* const place = place_at(lua, index);
  return place ? &place->object : nullptr;
}

// __gc, which a script may call too, with anything.
int State::collect(lua_State* lua) {
  State* const state = find(lua);  // objects may outlive it
  if (state && state->find(lua, 1)) state->release(*static_cast<const std::uint64_t*>(lua_touserdata(lua, 1)));
  return 0;
}

void State::set_functions(lua_State* lua, std::span<const Function> functions) {
  for (const Function& function : functions) {
    lua_pushcfunction(lua, function.function);
    lua_setfield(lua, -2, function.name);
  }
}

void State::open_class(lua_State* lua, const Class& kind) {
  luaL_checkstack(lua, 4, nullptr);
  lua_newtable(lua);
  lua_newtable(lua);
  lua_pushboolean(lua, kind.keeps_methods);
  lua_pushcclosure(lua, index_or_kept, 2);
  lua_setfield(lua, -2, "__index");
  static constexpr Function common[] = {{"__newindex", bound<set_member>},
                                        {"__gc", collect},
                                        {"__tostring", bound<text_of_object>},
                                        {"__eq", bound<same_objects>}};
  set_functions(lua, common);
  set_functions(lua, kind.metamethods);
  lua_pushstring(lua, kind.name);
  lua_setfield(lua, -2, "__name");
  lua_pushboolean(lua, 0);
  lua_setfield(lua, -2, "__metatable");
  lua_rawsetp(lua, LUA_REGISTRYINDEX, &kind);
}

// --- errors -------------------------------------------------------------------------------------------------------

Mark place_of(lua_State* lua, int level) {
  lua_Debug debug;
  for (; lua_getstack(lua, level, &debug); ++level) {
    lua_getinfo(lua, "Sl", &debug);
    if (debug.currentline > 0) return {*debug.source == '@' ? debug.source + 1 : debug.short_src, debug.currentline, 0};
  }
  return {};
}

// Where the functions were called in which an error has come up, innermost first.
void State::note_calls(lua_State* lua) noexcept {
  try {
    calls_.clear();
    lua_Debug debug;
    bool first = true;
    for (int level = 0; lua_getstack(lua, level, &debug) && calls_.size() < most_calls; ++level) {
      lua_getinfo(lua, "Sl", &debug);
      if (debug.currentline <= 0 || std::exchange(first, false)) continue;
      calls_.push_back({*debug.source == '@' ? debug.source + 1 : debug.short_src, debug.currentline, 0});
    }
  } catch (const std::exception&) {
    calls_.clear();
  }
}

namespace {

// What the innermost function of Lua can name: its variables, and globals.
std::vector<std::string> names_known(lua_State* lua) {
  std::vector<std::string> names;
  const auto add = [&](const char* name) {
    if (*name != '\0' && *name != '(') names.emplace_back(name);
    lua_pop(lua, 1);
  };
  lua_Debug debug;
  for (int level = 0; lua_getstack(lua, level, &debug); ++level) {
    lua_getinfo(lua, "lf", &debug);
    if (debug.currentline > 0) {
      for (int i = 1; const char* name = lua_getlocal(lua, &debug, i); ++i) add(name);
      for (int i = 1; const char* name = lua_getupvalue(lua, -1, i); ++i) add(name);
    }
    lua_pop(lua, 1);
    if (debug.currentline > 0) break;
  }
  lua_pushglobaltable(lua);
  for (lua_pushnil(lua); lua_next(lua, -2); lua_pop(lua, 1))
    if (lua_type(lua, -2) == LUA_TSTRING) names.push_back(text_at(lua, -2));
  lua_pop(lua, 1);
  return names;
}

}  // namespace

// What helps against the message on the stack, which is Lua's.
void State::note_hint(lua_State* lua) noexcept {
  try {
    hint_.clear();
    const std::string text = text_at(lua, -1);
    if (text.find("concatenate a tensor value") != std::string::npos)
      hint_ = "tostring(t) is its text, t:item() its number";
    if (text.find("number expected, got tensor") != std::string::npos) hint_ = "t:item() is its number";
    constexpr std::string_view unknown = "a nil value (global '";
    const std::size_t at = text.find(unknown);
    if (at == std::string::npos || !lua_checkstack(lua, 4)) return;
    const std::size_t start = at + unknown.size(), end = text.find('\'', start);
    const std::vector<std::string> names = names_known(lua);
    const std::string_view meant =
        nearest(std::string_view(text).substr(start, end - start), {names.begin(), names.end()});
    if (!meant.empty()) hint_ = fmt::format("did you mean '{}'?", meant);
  } catch (const std::exception&) {
    hint_.clear();
  }
}

namespace {
constexpr char error_key = 0;  // its address: where Lua's registry has an error that is no text
constexpr std::string_view no_text = "the script raised an error that is no text";
}  // namespace

// Makes a text of any error, where it is raised.
int State::explain(lua_State* lua) {
  State& state = of(lua);
  state.object_thrown_ = lua_type(lua, 1) != LUA_TSTRING && !lua_isnil(lua, 1);
  lua_rawgetp(lua, LUA_REGISTRYINDEX, &error_key);
  const bool again = state.object_thrown_ && !state.object_text_.empty() && lua_rawequal(lua, 1, -1);
  lua_settop(lua, 1);
  if (state.object_thrown_ && !again) {
    lua_pushvalue(lua, 1);
    lua_rawsetp(lua, LUA_REGISTRYINDEX, &error_key);
  }
  if (again) {
    lua_pushlstring(lua, state.object_text_.data(), state.object_text_.size());
  } else if (!lua_tostring(lua, 1) && !(luaL_callmeta(lua, 1, "__tostring") && lua_type(lua, -1) == LUA_TSTRING)) {
    lua_Debug debug;
    for (int level = 0; lua_getstack(lua, level, &debug); ++level) {
      lua_getinfo(lua, "Sl", &debug);
      if (debug.currentline > 0) break;
    }
    lua_pushfstring(lua, "%s:%d: %s (%s)", debug.short_src, debug.currentline, no_text.data(), luaL_typename(lua, 1));
  }
  if (state.object_thrown_ && !again) state.object_text_ = text_at(lua, -1);
  const bool known = state.calls_noted_ && state.thrown_ && text_at(lua, -1) == state.thrown_->what();
  if (!known) state.note_calls(lua);
  state.note_hint(lua);
  state.calls_noted_ = known;
  return 1;
}

Error State::failure(lua_State* lua, int status, bool explained) {
  const std::string text = lua_type(lua, -1) == LUA_TSTRING ? text_at(lua, -1) : "an error while another was explained";
  lua_pop(lua, 1);
  if (status == LUA_ERRMEM || text == no_memory) {
    if (text_too_long_)
      return Error("a text grows too long").hint(fmt::format("it may have {} KiB", limits_.text >> 10));
    Error error("Lua needs too much memory");
    return !serves() ? error.hint(fmt::format("it may use {} MiB", limits_.memory >> 20)) : error;
  }
  Error error = thrown_ && text == thrown_->what() ? *thrown_ : error_of(text).hint(explained ? hint_ : "");
  if (explained)
    for (const Mark& call : calls_) error.within(fmt::format("called at {}", call.text()));
  return error;
}

void State::call(lua_CFunction function, void* argument, int results) {
  const StopFlag stop = bounds();
  if (!lua_checkstack(lua(), 4)) throw Error("Lua needs too much memory");
  calls_.clear();
  lua_pushcfunction(lua(), explain);
  const int handler = lua_gettop(lua());
  lua_pushcfunction(lua(), function);
  lua_pushlightuserdata(lua(), argument);
  const int status = lua_pcall(lua(), 1, results, handler);
  lua_remove(lua(), handler);
  if (status != LUA_OK) throw failure(lua(), status, status == LUA_ERRRUN);
}

// A count of results; -1: the error lies on the stack.
int State::attempt(lua_State* lua, Results (*work)(Call&)) noexcept {
  State& state = of(lua);
  std::string text;
  bool object = false;  // the script's own error goes on as what it is
  try {
    try {
      Call call(lua);
      try {
        return call.push(work(call));
      } catch (const Error& error) {
        throw call.with_names(error);
      }
    } catch (Error& error) {
      const Mark here = place_of(lua);
      if (!error.mark()) error.at(here);
      else if (here && error.mark().file != here.file) error.within(fmt::format("called at {}", here.text()));
      text = error.what();
      object = std::exchange(state.object_thrown_, false) && error.message().starts_with(no_text);
      state.calls_noted_ = std::exchange(state.passed_on_, false);
      state.thrown_ = std::move(error);
    } catch (const LuaMemoryUsedUp&) {
      text = no_memory;
    } catch (const std::bad_alloc&) {
      lua_gc(lua, LUA_GCCOLLECT);  // what nobody needs any more is not there the next time
      text = fmt::format("{}: out of memory\n  hint: smaller tensors or a smaller batch_size need less",
                         place_of(lua).text());
    } catch (const std::exception& error) {
      text = fmt::format("{}: {}", place_of(lua).text(), error.what());
    }
    lua_settop(lua, 0);
    const auto push_text = [&](lua_State* inner) {
      if (object) lua_rawgetp(inner, LUA_REGISTRYINDEX, &error_key);
      else lua_pushlstring(inner, text.data(), text.size());
    };
    try {
      shielded(lua, 1, push_text);
    } catch (const Error&) {  // by a hook of the program's, which has a say at every call
      shielded(lua, 1, push_text);
    }
  } catch (...) {
    lua_settop(lua, 0);
    lua_pushnil(lua);  // there is no memory even for a message
  }
  return -1;
}

int enter(lua_State* lua, Results (*work)(Call&)) {
  if (!State::find(lua)) return luaL_error(lua, "nacre has ended in this Lua state");
  const int count = State::attempt(lua, work);
  if (count >= 0) return count;
  return lua_isnil(lua, -1) ? luaL_error(lua, "%s", no_memory.data()) : lua_error(lua);
}

// --- Call ---------------------------------------------------------------------------------------------------------

Call::Call(lua_State* lua)
    : lua_(lua), state_(State::of(lua)), count_(lua_gettop(lua)), outer_(std::exchange(current_call, this)) {
  if (!state_.limits_.handed_in_all) state_.handed_ = 0;
}

Call::~Call() { current_call = outer_; }

const Call& Call::current() {
  ensure(current_call, "no call from Lua is under way");
  return *current_call;
}

bool Call::under_way() { return current_call != nullptr; }

const Call* Call::innermost(const State& state) {
  const Call* call = current_call;
  while (call && &call->state_ != &state) call = call->outer_;
  return call;
}

int Call::push(const Results& results) const {
  const auto count = static_cast<int>(results.size());
  if (!lua_checkstack(lua_, count + 4)) throw LuaMemoryUsedUp();
  shielded(lua_, count, [&](lua_State* inner) {
    for (const Out& result : results) State::push(inner, result);
  });
  for (int i = 0; i < count; ++i)
    if (const auto* place = std::get_if<Out::At>(&results[static_cast<std::size_t>(i)].value())) {
      lua_pushvalue(lua_, place->index);
      lua_replace(lua_, i - count - 1);
    }
  return count;
}

KeptRef Call::keep(int index) const {
  index = lua_absindex(lua_, index);
  if (!lua_checkstack(lua_, 4)) throw LuaMemoryUsedUp();
  lua_pushcfunction(lua_, [](lua_State* inner) {
    lua_pushinteger(inner, luaL_ref(inner, LUA_REGISTRYINDEX));
    return 1;
  });
  lua_pushvalue(lua_, index);
  if (lua_pcall(lua_, 1, 1, 0) != LUA_OK) {
    lua_pop(lua_, 1);
    throw LuaMemoryUsedUp();
  }
  const auto reference = static_cast<int>(lua_tointeger(lua_, -1));
  lua_pop(lua_, 1);
  return std::make_shared<Kept>(state_, reference);
}

KeptRef Call::keep(const Out& value) const {
  push({value});
  KeptRef kept = keep(-1);
  lua_pop(lua_, 1);
  return kept;
}

void Call::push_field(int table, std::string_view key) const {
  table = lua_absindex(lua_, table);
  push({Out(key)});
  lua_rawget(lua_, table);
}

void Call::set_field(int table, std::string_view key, const Out& value) const {
  table = lua_absindex(lua_, table);
  if (!lua_checkstack(lua_, 6)) throw LuaMemoryUsedUp();
  lua_pushcfunction(lua_, [](lua_State* inner) {
    lua_rawset(inner, 1);
    return 0;
  });
  lua_pushvalue(lua_, table);
  push({Out(key), value});
  if (lua_pcall(lua_, 3, 0, 0) == LUA_OK) return;
  lua_pop(lua_, 1);
  throw LuaMemoryUsedUp();
}

int Call::push_kept(const Kept& kept) const {
  if (!lua_checkstack(lua_, 4)) throw LuaMemoryUsedUp();
  lua_rawgeti(lua_, LUA_REGISTRYINDEX, kept.reference());
  return lua_gettop(lua_);
}

void Call::load(const std::string& source, const std::string& name) const {
  if (!lua_checkstack(lua_, 8)) throw LuaMemoryUsedUp();
  const int status = luaL_loadbufferx(lua_, source.data(), source.size(), name.c_str(), "t");
  if (status != LUA_OK) throw state_.failure(lua_, status, false).usage();
}

int Call::invoke(const Out& function, const std::vector<Out>& arguments) const {
  const auto count = static_cast<int>(arguments.size());
  if (!lua_checkstack(lua_, count + 8)) throw LuaMemoryUsedUp();
  lua_pushcfunction(lua_, State::explain);
  const int handler = lua_gettop(lua_);
  push({function});
  push(arguments);
  const int status = lua_pcall(lua_, count, LUA_MULTRET, handler);
  lua_remove(lua_, handler);
  if (status == LUA_OK) return handler;
  Error error = state_.failure(lua_, status, false);
  // Where it came up is known here; whoever reports it does not see that far.
  state_.passed_on_ = status == LUA_ERRRUN;
  throw error;
}

void Call::go_on() const {
  if (state_.interrupted()) throw Error("interrupted");
  if (!state_.spend(steps_of_a_call)) throw Error(too_many_steps);
}

std::string Call::upvalue() const { return text_at(lua_, lua_upvalueindex(1)); }

std::optional<Object> Call::object(int index) const {
  const Object* found = state_.find(lua_, index);
  return found ? std::optional(*found) : std::nullopt;
}

const Class* Call::kind(int index) const {
  const Object* const found = state_.find(lua_, index);
  return found ? found->kind : nullptr;
}

void Call::replace(int index, Object object) const {
  index = lua_absindex(lua_, index);
  const Object* const before = state_.find(lua_, index);
  ensure(before && lua_checkstack(lua_, 1), "no object stands at {}", index);
  if (before->kind != object.kind) {
    lua_rawgetp(lua_, LUA_REGISTRYINDEX, object.kind);
    const bool known = lua_istable(lua_, -1);
    if (known) lua_setmetatable(lua_, index);
    else lua_pop(lua_, 1);
    if (!known) throw Error("the class of {}s is gone from Lua's registry", object.kind->name);
  }
  const std::size_t most = state_.limits_.held;
  if (most > 0 && object.bytes > before->bytes && state_.held_ + (object.bytes - before->bytes) > most)
    throw Error("tensors take more than {} MiB", most >> 20).usage();
  state_.held_ += object.bytes - before->bytes;
  std::swap(state_.place_at(lua_, index)->object, object);  // what it was ends last
}

std::uint64_t Call::order(int index) const {
  const State::Place* const place = state_.place_at(lua_, index);
  return place ? place->order : 0;
}

std::string Call::described(int index) const {
  if (const auto found = object(index)) return found->kind->text(*found);
  if (lua_type(lua_, index) == LUA_TSTRING) return Tree(text_at(lua_, index)).text();
  return with_article(lua_typename(lua_, lua_type(lua_, index)));
}

Error Call::unwanted(int index, std::string_view wanted) const {
  return Error("got {}, wanted {}", described(index), wanted).usage();
}

std::string Call::text(int index, std::string_view wanted) const {
  if (lua_type(lua_, index) != LUA_TSTRING) throw unwanted(index, wanted);
  return text_at(lua_, index);
}

Tree Call::hand(const Object& object) const {
  Tree config, spelling;
  config.set("number", static_cast<std::int64_t>(handed_.size()));
  spelling.set("class_name", handed_object);
  spelling.set("config", std::move(config));
  handed_.push_back(object);
  return spelling;
}

Error Call::with_names(const Error& error) const {
  std::string message = error.message();
  for (std::size_t number = 0; number < handed_.size(); ++number) {
    const std::string spelling = fmt::format("{{class_name: '{}', config: {{number: {}}}}}", handed_object, number);
    for (std::size_t at = 0; (at = message.find(spelling, at)) != std::string::npos;)
      message.replace(at, spelling.size(), handed_[number].kind->text(handed_[number]));
  }
  if (message == error.message()) return error;
  Error named = Error(message).at(error.mark()).about(error.subject()).hint(error.hint_text());
  for (const std::string& scope : error.scopes()) named.within(scope);
  if (error.kind() == Error::Kind::usage) named.usage();
  return named;
}

const Object& Call::handed(std::int64_t number) const {
  need(number >= 0 && number < static_cast<std::int64_t>(handed_.size()), "there is no object {}", number);
  return handed_[static_cast<std::size_t>(number)];
}

Tree Call::tree(int index, const ObjectReader& objects) const { return tree_at(index, objects, place(), 0); }

Tree Call::tree_at(int index, const ObjectReader& objects, const Mark& mark, int depth) const {
  if (depth > deepest || !lua_checkstack(lua_, 4))
    throw Error("a table is nested too deep").hint("does it hold itself?").usage();
  if (++state_.handed_ > state_.limits_.handed)
    throw Error("{} handed more than {} values", state_.limits_.handed_in_all ? "operations are" : "nacre is",
                state_.limits_.handed)
        .usage();
  index = lua_absindex(lua_, index);
  switch (lua_type(lua_, index)) {
    case LUA_TNONE:
    case LUA_TNIL: return Tree().at(mark);
    case LUA_TBOOLEAN: return Tree(lua_toboolean(lua_, index) != 0).at(mark);
    case LUA_TNUMBER:
      if (lua_isinteger(lua_, index)) return Tree(static_cast<std::int64_t>(lua_tointeger(lua_, index))).at(mark);
      return Tree(static_cast<double>(lua_tonumber(lua_, index))).at(mark);
    case LUA_TSTRING: return Tree(text_at(lua_, index)).at(mark);
    case LUA_TTABLE: state_.check_table(*this, index); break;
    case LUA_TLIGHTUSERDATA:
      if (!lua_touserdata(lua_, index)) return Tree().at(mark);
      [[fallthrough]];
    default:
      const auto found = lua_isfunction(lua_, index) ? make_object(keep(index)) : object(index);
      if (!found) throw unwanted(index, "numbers, texts, tables or objects of nacre");
      return (objects ? objects(*found) : hand(*found)).at(mark);
  }
  const auto length = static_cast<lua_Integer>(lua_rawlen(lua_, index));
  Tree::Mapping entries;
  bool names = false, numbers = false;  // besides 1 … length
  for (lua_pushnil(lua_); lua_next(lua_, index); lua_pop(lua_, 1)) {
    const bool integer = lua_isinteger(lua_, -2);
    if (integer && lua_tointeger(lua_, -2) >= 1 && lua_tointeger(lua_, -2) <= length) continue;
    if (!integer && lua_type(lua_, -2) != LUA_TSTRING)
      throw Error("got a table with {} as a key, wanted a list or names", described(-2)).usage();
    (integer ? numbers : names) = true;
    std::string key = integer ? std::to_string(lua_tointeger(lua_, -2)) : text_at(lua_, -2);
    if (length > 0 && names)
      throw Error("got a table that is a list and has the name '{}', wanted one of both", key).usage();
    entries.push_back({std::move(key), tree_at(-1, objects, mark, depth + 1), mark});
  }
  Tree::Sequence items;
  for (lua_Integer i = 1; i <= length; ++i) {
    lua_rawgeti(lua_, index, i);
    items.push_back(tree_at(-1, objects, mark, depth + 1));
    lua_pop(lua_, 1);
  }
  if (entries.empty()) return Tree(std::move(items)).at(mark);
  for (std::size_t i = 0; i < items.size(); ++i) entries.push_back({std::to_string(i + 1), std::move(items[i]), mark});
  std::sort(entries.begin(), entries.end(), [](const Tree::Entry& a, const Tree::Entry& b) { return a.key < b.key; });
  const auto twice = std::adjacent_find(entries.begin(), entries.end(),
                                        [](const Tree::Entry& a, const Tree::Entry& b) { return a.key == b.key; });
  if (twice != entries.end())
    throw Error("got a table with the number {} and a text '{}' as keys", twice->key, twice->key).usage();
  // {class_name = "Zeros", config = {}}: Lua has one spelling for an empty list and for no names.
  const auto config = std::ranges::find(entries, "config", &Tree::Entry::key);
  if (config != entries.end() && config->value.is_sequence() && config->value.items().empty() &&
      std::ranges::find(entries, "class_name", &Tree::Entry::key) != entries.end())
    config->value = Tree::mapping().at(mark);
  return Tree(std::move(entries)).at(mark);
}

void Call::each_named(int index, const std::function<void(const std::string& key, int value)>& visit,
                      bool with_list) const {
  if (!lua_checkstack(lua_, 4)) throw LuaMemoryUsedUp();
  index = lua_absindex(lua_, index);
  const auto length = static_cast<lua_Integer>(lua_rawlen(lua_, index));
  for (lua_pushnil(lua_); lua_next(lua_, index); lua_pop(lua_, 1)) {
    if (with_list && lua_isinteger(lua_, -2) && lua_tointeger(lua_, -2) >= 1 && lua_tointeger(lua_, -2) <= length)
      continue;
    if (lua_type(lua_, -2) != LUA_TSTRING)
      throw Error("got a table with {} as a key, wanted names", described(-2)).usage();
    visit(text_at(lua_, -2), lua_gettop(lua_));
  }
}

void Call::each_item(int index, const std::function<void(int value)>& visit) const {
  if (!lua_checkstack(lua_, 4)) throw LuaMemoryUsedUp();
  index = lua_absindex(lua_, index);
  const auto length = static_cast<lua_Integer>(lua_rawlen(lua_, index));
  for (lua_Integer i = 1; i <= length; ++i) {
    lua_rawgeti(lua_, index, i);
    visit(lua_gettop(lua_));
    lua_pop(lua_, 1);
  }
}

}  // namespace nacre::scripting
