#include "scripting/lambda.h"

#include <array>

#include "layers/operations.h"
#include "scripting/compute.h"
#include "scripting/operations.h"

extern "C" {
#include <lualib.h>
}

namespace nacre {

namespace scripting {

namespace {

constexpr Limits trace_limits{
    .memory = 64 << 20, .steps = 10'000'000, .text = 16 << 10, .handed = 100'000, .handed_in_all = true};

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
constexpr std::array math_names{"abs", "ceil", "cos", "exp", "floor", "fmod", "huge",     "log",
                                "max", "min",  "pi",  "sin", "sqrt",  "tan",  "tointeger"};

// How many places of a table a function of C goes over: tables may claim lengths that they never have.
std::uint64_t span(lua_Integer first, lua_Integer last) {
  return last < first ? 0 : static_cast<std::uint64_t>(last) - static_cast<std::uint64_t>(first);
}
lua_Integer length(lua_State* lua) { return lua_istable(lua, 1) ? static_cast<lua_Integer>(lua_rawlen(lua, 1)) : 0; }
lua_Integer integer_or(lua_State* lua, int index, lua_Integer otherwise) {
  return lua_isnoneornil(lua, index) ? otherwise : lua_tointeger(lua, index);
}
// table.insert(list, place, value) and table.remove(list, place) move what follows.
std::uint64_t moved_by_insert(lua_State* lua) {
  return lua_gettop(lua) == 3 ? span(lua_tointeger(lua, 2), length(lua)) : 0;
}
std::uint64_t moved_by_remove(lua_State* lua) {
  const lua_Integer last = length(lua);
  return span(integer_or(lua, 2, last), last);
}
// The arguments at `first` and after it are the range, by default all of the table.
template <int first>
std::uint64_t range_from(lua_State* lua) {
  return span(integer_or(lua, first, 1), integer_or(lua, first + 1, length(lua)));
}

// The function that is the upvalue, its places counted as steps. It runs in this frame, for the lines of its errors.
template <auto places>
int counted(lua_State* lua) {
  State::count_steps(lua, places(lua));
  return lua_tocfunction(lua, lua_upvalueindex(1))(lua);
}

constexpr luaL_Reg table_functions[] = {{"concat", counted<range_from<3>>},
                                        {"insert", counted<moved_by_insert>},
                                        {"remove", counted<moved_by_remove>},
                                        {"unpack", counted<range_from<2>>}};

struct Chunk {
  const std::string& source;  // "return function …"
  const Out& inputs;
  const Out& arguments;
};

int run(lua_State* lua) {
  const Chunk& chunk = *static_cast<const Chunk*>(lua_touserdata(lua, 1));
  State::open_class(lua, class_of<Traced>());
  lua_settop(lua, 0);

  lua_newtable(lua);  // all that the function sees
  luaL_requiref(lua, LUA_GNAME, luaopen_base, 0);
  keep(lua, nullptr, base_names);
  lua_newtable(lua);
  luaL_requiref(lua, LUA_MATHLIBNAME, luaopen_math, 0);
  keep(lua, "math", math_names);
  lua_newtable(lua);
  luaL_requiref(lua, LUA_TABLIBNAME, luaopen_table, 0);
  for (const luaL_Reg& function : table_functions) {
    lua_getfield(lua, -1, function.name);
    lua_pushcclosure(lua, function.func, 1);
    lua_setfield(lua, -3, function.name);
  }
  keep(lua, "table", {});
  lua_newtable(lua);  // nacre
  push_operations(lua);
  lua_setfield(lua, -2, "ops");
  lua_setfield(lua, -2, "nacre");

  if (luaL_loadbufferx(lua, chunk.source.data(), chunk.source.size(), "=lambda", "t") != LUA_OK) return lua_error(lua);
  lua_pushvalue(lua, 1);
  lua_setupvalue(lua, -2, 1);  // _ENV
  lua_call(lua, 0, 1);
  if (!lua_isfunction(lua, -1)) return luaL_error(lua, "wanted a function: function(x) return … end");
  State::push(lua, chunk.inputs);
  State::push(lua, chunk.arguments);
  lua_call(lua, 2, 1);
  return 1;
}

Values trace(Context& context, const std::string& source, const Values& inputs, const Tree& arguments) {
  ComputingState state(trace_limits);
  TraceScope scope(context);
  const ComputingState::Tracing tracing(state, scope);
  Out::List given;
  for (const Value& input : inputs) given.emplace_back(state.traced(input));
  const std::string text = "return " + source;
  const Out in = given.size() == 1 ? given.front() : Out(std::move(given)), others(arguments);
  Chunk chunk{text, in, others};
  state.call(run, &chunk, 1);
  Values found;
  const Call call(state.lua());
  const Tree returned = call.tree(-1, [&](const Object& object) {
    found.push_back(traced_value(call, object));
    return tensor_reference(found.size() - 1);
  });
  const bool tensors = referred_tensor(returned) ||
                       (returned.is_sequence() && !found.empty() && returned.items().size() == found.size());
  if (!tensors) throw Error("it gives {}, wanted a tensor or a list of tensors", returned.text());
  return found;
}

}  // namespace
}  // namespace scripting

Values trace_lambda(Context& context, const std::string& source, const Values& inputs, const Tree& arguments) {
  try {
    return scripting::trace(context, source, inputs, arguments);
  } catch (const Error& error) {
    throw Error("in the Lua function: {}", error.what());
  }
}

void enable_lua() { lambda_tracer() = trace_lambda; }

}  // namespace nacre
