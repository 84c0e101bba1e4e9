#include "scripting/sandbox.h"

#include <algorithm>
#include <array>
#include <cstdio>

extern "C" {
#include <lualib.h>
}

namespace nacre::scripting {

namespace {

// Moves functions of the library at the top into the table under it, or, under a name, as a table of their own.
void keep(lua_State* lua, const char* library, std::span<const char* const> names) {
  for (const char* name : names) {
    lua_getfield(lua, -1, name);
    lua_setfield(lua, -3, name);
  }
  lua_pop(lua, 1);
  if (library) lua_setfield(lua, -2, library);
}

constexpr std::array base_names{"assert", "error",  "ipairs", "next",   "pairs",    "pcall",    "rawequal",
                                "rawget", "rawlen", "rawset", "select", "tonumber", "tostring", "type"};
constexpr std::array math_names{"abs",  "acos", "asin", "atan", "ceil",       "cos",  "deg",        "exp",  "floor",
                                "fmod", "huge", "log",  "max",  "maxinteger", "min",  "mininteger", "modf", "pi",
                                "rad",  "sin",  "sqrt", "tan",  "tointeger",  "type", "ult"};
constexpr std::array string_names{"byte", "char", "len"};

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
std::uint64_t arguments(lua_State* lua) { return static_cast<std::uint64_t>(lua_gettop(lua)); }
// Texts among the arguments, times what they are repeated.
std::uint64_t size_of_texts(lua_State* lua) {
  std::uint64_t size = 0;
  for (int i = 1; i <= lua_gettop(lua); ++i) size += lua_rawlen(lua, i);
  return size;
}
std::uint64_t repeated_size(lua_State* lua) {
  const lua_Integer times = std::max<lua_Integer>(lua_tointeger(lua, 2), 0);
  std::uint64_t size = 0;
  return __builtin_mul_overflow(size_of_texts(lua), static_cast<std::uint64_t>(times), &size) ? ~std::uint64_t{0}
                                                                                              : size;
}

// The function that is the upvalue, its places counted as steps. It runs in this frame, for the lines of its errors.
template <auto places>
int counted(lua_State* lua) {
  State::count_steps(lua, places(lua));
  return lua_tocfunction(lua, lua_upvalueindex(1))(lua);
}

constexpr luaL_Reg table_functions[] = {{"concat", counted<range_from<3>>},
                                        {"insert", counted<moved_by_insert>},
                                        {"pack", counted<arguments>},
                                        {"remove", counted<moved_by_remove>},
                                        {"unpack", counted<range_from<2>>}};
constexpr luaL_Reg string_functions[] = {{"format", counted<size_of_texts>}, {"lower", counted<size_of_texts>},
                                         {"rep", counted<repeated_size>},    {"reverse", counted<size_of_texts>},
                                         {"sub", counted<size_of_texts>},    {"upper", counted<size_of_texts>}};

// Of the library at the top: the functions that count what they do. Before keep().
void keep_counted(lua_State* lua, std::span<const luaL_Reg> functions) {
  for (const luaL_Reg& function : functions) {
    lua_getfield(lua, -1, function.name);
    lua_pushcclosure(lua, function.func, 1);
    lua_setfield(lua, -3, function.name);
  }
}

// A line for whoever runs the program, where no program reads it as a result.
int print(lua_State* lua) {
  const int count = lua_gettop(lua);
  luaL_Buffer line;
  luaL_buffinit(lua, &line);
  for (int i = 1; i <= count; ++i) {
    if (i > 1) luaL_addchar(&line, '\t');
    luaL_tolstring(lua, i, nullptr);
    luaL_addvalue(&line);
  }
  luaL_pushresult(&line);
  std::size_t size = 0;
  const char* const text = lua_tolstring(lua, -1, &size);
  State::count_steps(lua, size);
  std::FILE* const output = static_cast<const Sandbox&>(State::of(lua)).output();
  for (std::size_t i = 0; i < size; ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if ((c >= 0x20 && c != 0x7f) || c == '\t') std::fputc(c, output);
    else std::fprintf(output, "\\x%02x", static_cast<unsigned>(c));
  }
  std::fputc('\n', output);
  return 0;
}

constexpr const char* why_not =
    "Lua that comes with a file, and a script under --sandbox, may be anybody's: it computes with tensors, layers and "
    "classes, and reaches no files, no processes, no other code and no training";

void refuse_name(Call& call) {
  throw Error("nacre has no '{}' in the sandbox", call.text(2, "a name")).hint(why_not).usage();
}

// What is not among the globals: nil, but for names that Lua has elsewhere.
Out missing_global(Call& call) {
  if (lua_type(call.lua(), 2) != LUA_TSTRING) return {};
  const std::string name = call.text(2, "a name");
  if (is_missing_in_sandbox(name)) throw Error("the sandbox has no '{}'", name).hint(why_not).usage();
  return {};
}

constexpr const char* names_of_nacre[] = {"Activation",
                                          "Callback",
                                          "Constraint",
                                          "Initializer",
                                          "Input",
                                          "Layer",
                                          "LearningRateSchedule",
                                          "Loss",
                                          "Metric",
                                          "Model",
                                          "Optimizer",
                                          "Regularizer",
                                          "Sequential",
                                          "Variable",
                                          "activations",
                                          "arange",
                                          "check_grad",
                                          "compile",
                                          "cond",
                                          "constraints",
                                          "custom_gradient",
                                          "dataset",
                                          "deserialize",
                                          "eye",
                                          "fori_loop",
                                          "full",
                                          "full_like",
                                          "grad",
                                          "hessian",
                                          "initializers",
                                          "jacobian",
                                          "jvp",
                                          "layers",
                                          "linspace",
                                          "losses",
                                          "map",
                                          "metrics",
                                          "newaxis",
                                          "null",
                                          "one_hot",
                                          "ones",
                                          "ones_like",
                                          "ops",
                                          "optimizers",
                                          "rand",
                                          "randn",
                                          "random",
                                          "regularizers",
                                          "scan",
                                          "schedules",
                                          "set_seed",
                                          "stop_gradient",
                                          "switch",
                                          "tensor",
                                          "value_and_grad",
                                          "vjp",
                                          "while_loop",
                                          "zeros",
                                          "zeros_like"};

int open(lua_State* lua) {
  lua_settop(lua, 0);
  push_indexed(lua, bound<missing_global>);
  luaL_requiref(lua, LUA_GNAME, luaopen_base, 0);
  keep(lua, nullptr, base_names);
  lua_newtable(lua);
  luaL_requiref(lua, LUA_MATHLIBNAME, luaopen_math, 0);
  keep(lua, "math", math_names);
  lua_newtable(lua);
  luaL_requiref(lua, LUA_TABLIBNAME, luaopen_table, 0);
  keep_counted(lua, table_functions);
  keep(lua, "table", {});
  lua_pushcfunction(lua, print);
  lua_setfield(lua, 1, "print");
  lua_newtable(lua);
  luaL_requiref(lua, LUA_STRLIBNAME, luaopen_string, 0);
  keep_counted(lua, string_functions);
  keep(lua, nullptr, string_names);
  lua_pushliteral(lua, "");  // whose metatable has all of the library
  lua_getmetatable(lua, -1);
  lua_pushvalue(lua, -3);
  lua_setfield(lua, -2, "__index");
  lua_pop(lua, 2);
  lua_setfield(lua, 1, "string");

  lua_newtable(lua);  // nacre, as scripts have it
  open_nacre(lua);
  push_indexed(lua, bound<refuse_name>);
  for (const char* name : names_of_nacre) {
    lua_getfield(lua, -2, name);
    lua_setfield(lua, -2, name);
  }
  lua_setfield(lua, 1, "nacre");
  lua_settop(lua, 1);
  lua_rawseti(lua, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  return 0;
}

constexpr int deepest = 4;        // of sandboxes within one another
constexpr long most_within = 16;  // of sandboxes within one, at any depth

struct Chunk {
  const std::string& source;
  const std::string& name;
};

int run_chunk(lua_State* lua) {
  const Chunk& chunk = *static_cast<const Chunk*>(lua_touserdata(lua, 1));
  lua_settop(lua, 0);
  if (luaL_loadbufferx(lua, chunk.source.data(), chunk.source.size(), chunk.name.c_str(), "t") != LUA_OK)
    return lua_error(lua);
  lua_call(lua, 0, 1);
  return 1;
}

}  // namespace

const std::set<std::string>& names_in_sandbox() {
  static const std::set<std::string> names = [] {
    const Sandbox sandbox{Sandbox::Apart{}};
    lua_State* const lua = sandbox.lua();
    std::set<std::string> found;
    const auto walk = [&](const auto& self, const std::string& prefix, int depth) -> void {
      const int table = lua_gettop(lua);
      for (lua_pushnil(lua); lua_next(lua, table); lua_pop(lua, 1)) {
        const std::string name = prefix + lua_tostring(lua, -2);
        found.insert(name);
        if (depth < 1 && lua_istable(lua, -1)) self(self, name + ".", depth + 1);
      }
    };
    lua_rawgeti(lua, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    walk(walk, "", 0);
    return found;
  }();
  return names;
}

bool is_missing_in_sandbox(std::string_view name) {
  static constexpr std::string_view missing[] = {
      "collectgarbage", "coroutine", "debug",        "dofile", "getmetatable", "io",    "load", "loadfile", "os",
      "package",        "require",   "setmetatable", "utf8",   "warn",         "xpcall"};
  if (std::ranges::find(missing, name) != std::end(missing)) return true;
  const std::size_t dot = name.find('.');
  const std::string_view library = name.substr(0, dot);
  return dot != std::string_view::npos && (library == "math" || library == "string" || library == "table") &&
         !names_in_sandbox().contains(std::string(name));
}

Sandbox::Sandbox(const Limits& limits, std::FILE* output) : EngineState(limits), output_(output) {
  if (const auto* around = Call::under_way() ? dynamic_cast<const Sandbox*>(&Call::current().state()) : nullptr) {
    depth_ = around->depth_ + 1;
    together_ = around->together_;
    if (depth_ > deepest) throw Error("Lua of files makes objects of Lua more than {} deep", deepest).usage();
    if (together_.use_count() - 1 > most_within)
      throw Error("Lua of a file makes more than {} objects that come with a text of their own", most_within)
          .hint("objects of its own classes are not counted")
          .usage();
  } else {
    together_ = std::make_shared<const int>();
  }
  call(open, nullptr, 0);
}

Sandbox::Sandbox(Apart) : EngineState(sandbox_limits), output_(stderr) { call(open, nullptr, 0); }

KeptRef Sandbox::run(const std::string& source, const std::string& name) {
  if (!Call::innermost(*this)) renew();
  Chunk chunk{source, name};
  call(run_chunk, &chunk, 1);
  const Call here(lua());
  KeptRef result = here.keep(-1);
  lua_pop(lua(), 1);
  return result;
}

}  // namespace nacre::scripting
