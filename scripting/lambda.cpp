// A Lua error jumps out of C++ frames without running destructors. Therefore functions that Lua calls do their work in a
// frame of its own, which catches what C++ throws and leaves a message, and raise only afterwards, holding nothing.
#include "scripting/lambda.h"

#include <array>
#include <cstdlib>
#include <memory>
#include <span>

#include "layers/operations.h"

extern "C" {
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
}

namespace nacre {

namespace {

constexpr std::size_t most_memory = 64 << 20;
constexpr int most_steps = 10'000'000;
constexpr int deepest = 32;
constexpr int most_handed = 100'000;  // values that the function hands to operations, all together
constexpr const char* value_kind = "nacre.value";

// What the functions inside of the protected call see and leave behind.
struct Trace {
  Context& context;
  const std::string& source;
  const Values& inputs;
  const Tree& arguments;
  std::vector<Value> values{};  // what userdata refer to, by number
  std::string message{};        // of the last C++ error
  std::size_t memory = 0;
  int handed = 0;
};

void* allocate(void* user, void* block, std::size_t old_size, std::size_t new_size) {
  auto& trace = *static_cast<Trace*>(user);
  if (!block) old_size = 0;
  if (new_size == 0) {
    std::free(block);
    trace.memory -= old_size;
    return nullptr;
  }
  if (new_size > old_size && trace.memory + (new_size - old_size) > most_memory) return nullptr;
  void* result = std::realloc(block, new_size);
  if (result) trace.memory = trace.memory - old_size + new_size;
  return result;
}

Trace& trace_of(lua_State* lua) {
  void* user = nullptr;
  lua_getallocf(lua, &user);
  return *static_cast<Trace*>(user);
}

void stop(lua_State* lua, lua_Debug*) { luaL_error(lua, "too many steps: does a loop never end?"); }

// Does work that may throw; false: the message waits in the trace.
template <class Work>
bool protect(lua_State* lua, Work&& work) noexcept {
  Trace& trace = trace_of(lua);
  try {
    work(trace);
    return true;
  } catch (const Error& error) {
    trace.message = error.message();
    if (!error.hint_text().empty()) trace.message += "\n  hint: " + error.hint_text();
  } catch (const std::exception& error) {
    trace.message = error.what();
  }
  return false;
}

int raise(lua_State* lua) { return luaL_error(lua, "%s", trace_of(lua).message.c_str()); }

// --- values of Lua as trees; calls that neither raise nor allocate --------------------------------------------------

// Tensors become {tensor: k}, k counting `inputs`.
Tree tree_at(lua_State* lua, int index, Trace& trace, Values& inputs, int depth = 0) {
  if (depth > deepest || !lua_checkstack(lua, 4)) throw Error("a table is nested too deep");
  if (++trace.handed > most_handed) throw Error("operations are handed more than {} values", most_handed);
  index = lua_absindex(lua, index);
  switch (lua_type(lua, index)) {
    case LUA_TNONE:
    case LUA_TNIL: return {};
    case LUA_TBOOLEAN: return lua_toboolean(lua, index) != 0;
    case LUA_TNUMBER:
      if (lua_isinteger(lua, index)) return static_cast<std::int64_t>(lua_tointeger(lua, index));
      return static_cast<double>(lua_tonumber(lua, index));
    case LUA_TSTRING: return Tree(lua_tostring(lua, index));
    case LUA_TUSERDATA: {
      inputs.push_back(trace.values.at(*static_cast<const std::size_t*>(lua_touserdata(lua, index))));
      return tensor_reference(inputs.size() - 1);
    }
    case LUA_TTABLE: break;
    default: throw Error("got a {}, wanted tensors, numbers, texts or tables", lua_typename(lua, lua_type(lua, index)));
  }
  const auto length = static_cast<lua_Integer>(lua_rawlen(lua, index));
  Tree tree = length > 0 ? Tree::sequence() : Tree::mapping();
  for (lua_Integer i = 1; i <= length; ++i) {
    lua_rawgeti(lua, index, i);
    tree.push(tree_at(lua, -1, trace, inputs, depth + 1));
    lua_pop(lua, 1);
  }
  if (length > 0) return tree;
  for (lua_pushnil(lua); lua_next(lua, index); lua_pop(lua, 1)) {
    if (lua_type(lua, -2) != LUA_TSTRING) throw Error("got a table that is neither a list nor has names");
    tree.set(lua_tostring(lua, -2), tree_at(lua, -1, trace, inputs, depth + 1));
  }
  return tree.entries().empty() ? Tree::sequence() : tree;
}

void push_number_of(lua_State* lua, std::size_t number) {
  *static_cast<std::size_t*>(lua_newuserdatauv(lua, sizeof(std::size_t), 0)) = number;
  luaL_setmetatable(lua, value_kind);
}

void push_tree(lua_State* lua, const Tree& tree) {
  luaL_checkstack(lua, 4, "a value is nested too deep");
  if (tree.is_null()) lua_pushnil(lua);
  else if (tree.is_bool()) lua_pushboolean(lua, tree.as_bool());
  else if (tree.is_integer()) lua_pushinteger(lua, tree.as_integer());
  else if (tree.is_number()) lua_pushnumber(lua, tree.as_number());
  else if (tree.is_string()) lua_pushlstring(lua, tree.as_string().data(), tree.as_string().size());
  else if (tree.is_sequence()) {
    lua_newtable(lua);
    lua_Integer index = 0;
    for (const Tree& item : tree.items()) push_tree(lua, item), lua_rawseti(lua, -2, ++index);
  } else {
    lua_newtable(lua);
    for (const Tree::Entry& entry : tree.entries()) push_tree(lua, entry.value), lua_setfield(lua, -2, entry.key.c_str());
  }
}

// --- operations ---------------------------------------------------------------------------------------------------

// Keras's arguments from those on the stack: by place those of the call, then the config's fields; by name from a table at
// the end.
Values apply(lua_State* lua, Trace& trace, const char* name) {
  const std::string alias = fmt::format("ops.{}", name);
  const ClassInfo<Layer>& info = registry<Layer>().get(alias);
  std::vector<std::string> places;
  for (const OperationArgument& argument : *operation_arguments(alias))
    if (argument.kind != OperationArgument::Kind::keywords) places.push_back(argument.name);
  const bool spread = operation_arguments(alias)->front().kind == OperationArgument::Kind::spread;
  for (const Field& field : *info.fields.back()) places.emplace_back(field.key);

  Values inputs;
  Tree given = Tree::mapping(), all = Tree::sequence();
  const int count = lua_gettop(lua);
  for (int i = 1; i <= count; ++i) {
    Tree argument = tree_at(lua, i, trace, inputs);
    if (argument.is_mapping() && !referred_tensor(argument)) {
      if (i != count) throw Error("arguments by name stand at the end");
      for (Tree::Entry& entry : argument.entries()) given.set(entry.key, std::move(entry.value));
    } else if (spread) {
      all.push(std::move(argument));
    } else {
      if (i > static_cast<int>(places.size())) throw Error("{} takes {} arguments, got {}", name, places.size(), count);
      given.set(places[static_cast<std::size_t>(i) - 1], std::move(argument));
    }
  }
  if (spread) given.set(places.front(), std::move(all));
  return apply_operation(trace.context, name, std::move(inputs), std::move(given));
}

// Applies the operation to what is on the stack; pushes its results.
int operate(lua_State* lua, const char* name) {
  std::size_t first = 0, count = 0;
  const bool done = protect(lua, [&](Trace& trace) {
    const Values results = apply(lua, trace, name);
    first = trace.values.size(), count = results.size();
    trace.values.insert(trace.values.end(), results.begin(), results.end());
  });
  if (!done) return raise(lua);
  luaL_checkstack(lua, static_cast<int>(count) + 2, "too many results");
  for (std::size_t i = 0; i < count; ++i) push_number_of(lua, first + i);
  return static_cast<int>(count);
}

int call_named(lua_State* lua) { return operate(lua, lua_tostring(lua, lua_upvalueindex(1))); }

// nacre.ops.NAME
int index_operations(lua_State* lua) {
  luaL_checkstring(lua, 2);
  lua_settop(lua, 2);
  lua_pushcclosure(lua, call_named, 1);
  return 1;
}

// x.shape, x.dtype, x:NAME(…)
int index_value(lua_State* lua) {
  const std::string_view key = luaL_checkstring(lua, 2);
  const auto* number = static_cast<const std::size_t*>(luaL_checkudata(lua, 1, value_kind));
  const Trace& trace = trace_of(lua);
  if (key == "dtype") {
    const std::string_view name = name_of(trace.values[*number].dtype());
    lua_pushlstring(lua, name.data(), name.size());
    return 1;
  }
  if (key != "shape") return index_operations(lua);
  lua_newtable(lua);
  lua_Integer index = 0;
  for (std::int64_t size : trace.values[*number].shape()) lua_pushinteger(lua, size), lua_rawseti(lua, -2, ++index);
  return 1;
}

// Lua hands a unary operator its operand twice.
int negate(lua_State* lua) {
  lua_settop(lua, 1);
  return operate(lua, "negative");
}

int refuse_comparison(lua_State* lua) {
  return luaL_error(lua, "Lua's comparisons give true or false alone; use nacre.ops.greater, nacre.ops.less, nacre.ops.equal, …");
}

template <const char* const* name>
int binary(lua_State* lua) {
  return operate(lua, *name);
}
constexpr const char *add = "add", *subtract = "subtract", *multiply = "multiply", *divide = "true_divide", *whole = "floor_divide",
                     *rest = "mod", *power = "power";

constexpr luaL_Reg value_methods[] = {
    {"__add", binary<&add>},   {"__sub", binary<&subtract>},   {"__mul", binary<&multiply>}, {"__div", binary<&divide>},
    {"__idiv", binary<&whole>}, {"__mod", binary<&rest>},       {"__pow", binary<&power>},    {"__unm", negate},
    {"__lt", refuse_comparison}, {"__le", refuse_comparison},   {"__index", index_value},     {nullptr, nullptr},
};

// --- the function -------------------------------------------------------------------------------------------------

void keep(lua_State* lua, const char* library, std::span<const char* const> names) {
  for (const char* name : names) {
    lua_getfield(lua, -1, name);
    lua_setfield(lua, -3, name);
  }
  lua_pop(lua, 1);
  if (library) lua_setfield(lua, -2, library);
}

constexpr std::array base_names{"assert", "error", "ipairs", "pairs", "select", "tonumber", "tostring", "type"};
constexpr std::array math_names{"abs", "ceil", "cos", "exp", "floor", "fmod", "huge", "log", "max", "min", "pi", "sin", "sqrt", "tan", "tointeger"};
constexpr std::array table_names{"concat", "insert", "remove", "unpack"};

int run(lua_State* lua) {
  const Trace& trace = trace_of(lua);
  luaL_newmetatable(lua, value_kind);
  luaL_setfuncs(lua, value_methods, 0);
  lua_pushboolean(lua, 0);
  lua_setfield(lua, -2, "__metatable");
  lua_settop(lua, 0);

  lua_newtable(lua);  // all that the function sees
  luaL_requiref(lua, LUA_GNAME, luaopen_base, 0);
  keep(lua, nullptr, base_names);
  lua_newtable(lua);
  luaL_requiref(lua, LUA_MATHLIBNAME, luaopen_math, 0);
  keep(lua, "math", math_names);
  lua_newtable(lua);
  luaL_requiref(lua, LUA_TABLIBNAME, luaopen_table, 0);
  keep(lua, "table", table_names);
  lua_newtable(lua);  // nacre
  lua_newtable(lua);  // nacre.ops
  lua_newtable(lua);
  lua_pushcfunction(lua, index_operations);
  lua_setfield(lua, -2, "__index");
  lua_setmetatable(lua, -2);
  lua_setfield(lua, -2, "ops");
  lua_setfield(lua, -2, "nacre");

  lua_pushfstring(lua, "return %s", trace.source.c_str());
  std::size_t size = 0;
  const char* text = lua_tolstring(lua, 2, &size);
  if (luaL_loadbufferx(lua, text, size, "=lambda", "t") != LUA_OK) return lua_error(lua);
  lua_pushvalue(lua, 1);
  lua_setupvalue(lua, -2, 1);  // _ENV
  lua_sethook(lua, stop, LUA_MASKCOUNT, most_steps);
  lua_call(lua, 0, 1);
  if (!lua_isfunction(lua, -1)) return luaL_error(lua, "wanted a function: function(x) return … end");

  if (trace.inputs.size() == 1) {
    push_number_of(lua, 0);
  } else {
    lua_newtable(lua);
    for (std::size_t i = 0; i < trace.inputs.size(); ++i) push_number_of(lua, i), lua_rawseti(lua, -2, static_cast<lua_Integer>(i) + 1);
  }
  push_tree(lua, trace.arguments);
  lua_call(lua, 2, 1);
  return 1;
}

struct Closer {
  void operator()(lua_State* lua) const { lua_close(lua); }
};

}  // namespace

Values trace_lambda(Context& context, const std::string& source, const Values& inputs, const Tree& arguments) {
  Trace trace{.context = context, .source = source, .inputs = inputs, .arguments = arguments};
  trace.values = inputs;
  const std::unique_ptr<lua_State, Closer> state(lua_newstate(allocate, &trace));
  if (!state) throw Error("out of memory");
  lua_State* lua = state.get();
  lua_pushcfunction(lua, run);
  const int result = lua_pcall(lua, 0, 1, 0);
  lua_sethook(lua, nullptr, 0, 0);
  if (result == LUA_ERRMEM) throw Error("the function needs too much memory").hint("it may use 64 MiB");
  if (result != LUA_OK) throw Error("in the Lua function: {}", lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : "unknown error");
  Values found;
  const Tree returned = tree_at(lua, -1, trace, found);
  const bool tensors = referred_tensor(returned) || (returned.is_sequence() && !found.empty() && returned.items().size() == found.size());
  if (!tensors) throw Error("the Lua function gives {}, wanted a tensor or a list of tensors", returned.text());
  return found;
}

void enable_lua() { lambda_tracer() = trace_lambda; }

}  // namespace nacre
