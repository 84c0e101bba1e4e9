// A Lua error jumps out of C++ frames without running destructors. Therefore what runs inside lua_pcall (push_tree,
// index_variable, run) holds plain pointers and numbers only and throws nothing; trees are built outside of it, with
// calls that cannot raise.
#include "formats/expression.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "formats/scalar.h"

extern "C" {
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
}

namespace nacre {

namespace {

constexpr std::size_t most_memory = 16 << 20;
constexpr std::size_t longest_text = 64 << 10;  // one step may copy or compare all of it
constexpr int most_steps = 1'000'000;
constexpr std::size_t longest_expression = 64 << 10;
constexpr int deepest = 64;
constexpr std::size_t most_values = 100'000;

// What the functions inside the protected call see and leave behind.
struct Context {
  const Variables* variables = nullptr;
  const char* source = nullptr;
  std::size_t source_size = 0;
  std::size_t memory = 0;
  int pushed = 0;  // values of variables
  bool out_of_steps = false, out_of_memory = false, text_too_long = false;
  std::array<char, 128> unknown_name{};
};

void* allocate(void* user, void* block, std::size_t old_size, std::size_t new_size) {
  auto& context = *static_cast<Context*>(user);
  if (!block) {
    if (old_size == LUA_TSTRING && new_size > longest_text) {
      context.text_too_long = true;
      return nullptr;
    }
    old_size = 0;
  }
  if (new_size == 0) {
    std::free(block);
    context.memory -= old_size;
    return nullptr;
  }
  if (new_size > old_size && context.memory + (new_size - old_size) > most_memory) {
    context.out_of_memory = true;
    return nullptr;
  }
  void* result = std::realloc(block, new_size);
  if (result) context.memory = context.memory - old_size + new_size;
  return result;
}

Context& context_of(lua_State* lua) {
  void* user = nullptr;
  lua_getallocf(lua, &user);
  return *static_cast<Context*>(user);
}

void stop(lua_State* lua, lua_Debug*) {
  context_of(lua).out_of_steps = true;
  luaL_error(lua, "too many steps");
}

// Pushes one value, which counts as a step; the depth of trees is bounded by their parsers.
void push_tree(lua_State* lua, const Tree& tree) {
  if (++context_of(lua).pushed > most_steps) stop(lua, nullptr);
  luaL_checkstack(lua, 4, "a value is nested too deep");
  if (tree.is_null()) {
    lua_pushnil(lua);
  } else if (tree.is_bool()) {
    lua_pushboolean(lua, tree.as_bool());
  } else if (tree.is_integer()) {
    lua_pushinteger(lua, tree.as_integer());
  } else if (tree.is_number()) {
    lua_pushnumber(lua, tree.as_number());
  } else if (tree.is_string()) {
    lua_pushlstring(lua, tree.as_string().data(), tree.as_string().size());
  } else if (tree.is_sequence()) {
    lua_createtable(lua, static_cast<int>(tree.items().size()), 0);
    lua_Integer index = 0;
    for (const Tree& item : tree.items()) {
      push_tree(lua, item);
      lua_rawseti(lua, -2, ++index);
    }
  } else {
    lua_createtable(lua, 0, static_cast<int>(tree.entries().size()));
    for (const Tree::Entry& entry : tree.entries()) {
      lua_pushlstring(lua, entry.key.data(), entry.key.size());
      push_tree(lua, entry.value);
      lua_rawset(lua, -3);
    }
  }
}

// __index of the globals: a name that is no function is a variable.
int index_variable(lua_State* lua) {
  std::size_t size = 0;
  const char* name = luaL_checklstring(lua, 2, &size);
  Context& context = context_of(lua);
  const auto found = context.variables->find(std::string_view(name, size));
  if (found != context.variables->end()) {
    push_tree(lua, found->second);
    return 1;
  }
  std::strncpy(context.unknown_name.data(), name, context.unknown_name.size() - 1);
  return luaL_error(lua, "unknown name '%s'", name);
}

// The functions that a library keeps; the rest, which can run long in one step or is not repeatable, goes.
void keep_only(lua_State* lua, std::span<const char* const> names) {
  lua_newtable(lua);
  for (const char* name : names) {
    lua_getfield(lua, -2, name);
    lua_setfield(lua, -2, name);
  }
  lua_remove(lua, -2);
}

constexpr std::array math_names{"abs",  "acos", "asin", "atan", "ceil", "cos",       "deg",       "exp", "floor", "fmod", "huge", "log", "max",
                                "maxinteger", "min", "mininteger", "modf", "pi", "rad", "sin", "sqrt", "tan", "tointeger", "type", "ult"};
constexpr std::array string_names{"format", "len", "lower", "sub", "upper"};
constexpr std::array base_names{"ipairs", "select", "tonumber", "tostring", "type"};

// round(x): to the nearest integer, halves away from zero.
int round_number(lua_State* lua) {
  const lua_Number value = std::round(luaL_checknumber(lua, 1));
  lua_Integer integer = 0;
  if (lua_numbertointeger(value, &integer)) lua_pushinteger(lua, integer);
  else lua_pushnumber(lua, value);
  return 1;
}

int run(lua_State* lua) {
  const Context& context = *static_cast<const Context*>(lua_touserdata(lua, 1));
  lua_newtable(lua);  // the globals that the expression sees
  luaL_requiref(lua, LUA_GNAME, luaopen_base, 0);
  for (const char* name : base_names) {
    lua_getfield(lua, -1, name);
    lua_setfield(lua, 2, name);
  }
  lua_pop(lua, 1);
  luaL_requiref(lua, LUA_MATHLIBNAME, luaopen_math, 0);
  keep_only(lua, math_names);
  lua_pushcfunction(lua, round_number);
  lua_setfield(lua, -2, "round");
  for (lua_pushnil(lua); lua_next(lua, -2);) {  // floor(x) as well as math.floor(x), but math.type must not hide type
    lua_pushvalue(lua, -2);
    lua_insert(lua, -2);
    if (lua_getfield(lua, 2, lua_tostring(lua, -2)) == LUA_TNIL) {
      lua_pop(lua, 1);
      lua_settable(lua, 2);
    } else {
      lua_pop(lua, 3);
    }
  }
  lua_setfield(lua, 2, "math");
  luaL_requiref(lua, LUA_STRLIBNAME, luaopen_string, 0);
  keep_only(lua, string_names);
  lua_pushvalue(lua, -1);
  lua_setfield(lua, 2, "string");
  // ("x"):upper() goes through the metatable of texts, which luaopen_string has filled with everything.
  lua_pushliteral(lua, "");
  lua_getmetatable(lua, -1);
  lua_pushvalue(lua, -3);
  lua_setfield(lua, -2, "__index");
  lua_settop(lua, 2);
  lua_newtable(lua);
  lua_pushcfunction(lua, index_variable);
  lua_setfield(lua, -2, "__index");
  lua_setmetatable(lua, 2);

  if (luaL_loadbufferx(lua, context.source, context.source_size, "=expression", "t") != LUA_OK) return lua_error(lua);
  lua_pushvalue(lua, 2);
  lua_setupvalue(lua, -2, 1);  // _ENV
  lua_sethook(lua, stop, LUA_MASKCOUNT, most_steps);
  lua_call(lua, 0, LUA_MULTRET);
  if (lua_gettop(lua) != 3) return luaL_error(lua, "one value is wanted, not %d", lua_gettop(lua) - 2);
  return 1;
}

// Reads the value at the top of the stack. Only calls that neither raise nor allocate.
Tree take_value(lua_State* lua, int depth, std::size_t& values) {
  if (depth > deepest || ++values > most_values || !lua_checkstack(lua, 4)) throw Error("the result is too large or refers to itself");
  const auto text_at = [&](int index) {
    std::size_t size = 0;
    const char* bytes = lua_tolstring(lua, index, &size);
    return std::string(bytes, size);
  };
  switch (lua_type(lua, -1)) {
    case LUA_TNIL: return {};
    case LUA_TBOOLEAN: return lua_toboolean(lua, -1) != 0;
    case LUA_TNUMBER:
      if (lua_isinteger(lua, -1)) return static_cast<std::int64_t>(lua_tointeger(lua, -1));
      return static_cast<double>(lua_tonumber(lua, -1));
    case LUA_TSTRING: return text_at(-1);
    case LUA_TTABLE: break;
    default: throw Error("the result is a {}, wanted a number, a text, a list or a mapping", lua_typename(lua, lua_type(lua, -1)));
  }
  const lua_Unsigned length = lua_rawlen(lua, -1);
  Tree sequence = Tree::sequence(), mapping = Tree::mapping();
  for (lua_Unsigned i = 1; i <= length; ++i) {
    lua_rawgeti(lua, -1, static_cast<lua_Integer>(i));
    sequence.push(take_value(lua, depth + 1, values));
    lua_pop(lua, 1);
  }
  for (lua_pushnil(lua); lua_next(lua, -2); lua_pop(lua, 1)) {
    if (lua_isinteger(lua, -2)) {
      if (const lua_Integer index = lua_tointeger(lua, -2); index >= 1 && static_cast<lua_Unsigned>(index) <= length) continue;
    }
    if (length > 0 || lua_type(lua, -2) != LUA_TSTRING) throw Error("the result is a table that is neither a list nor a mapping");
    mapping.entries().push_back({text_at(-2), take_value(lua, depth + 1, values), {}});
  }
  // Lua visits keys in another order every time.
  std::sort(mapping.entries().begin(), mapping.entries().end(), [](const Tree::Entry& a, const Tree::Entry& b) { return a.key < b.key; });
  return length > 0 || mapping.entries().empty() ? sequence : mapping;
}

struct Closer {
  void operator()(lua_State* lua) const { lua_close(lua); }
};

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

}  // namespace

Tree evaluate(std::string_view expression, const Variables& variables) {
  const auto fail = [&](std::string message) {
    return Error("in '{}': {}", expression.substr(0, 200), message).usage();
  };
  if (trimmed(expression).empty()) throw fail("the expression is empty");
  if (expression.size() > longest_expression) throw fail("the expression is too long");
  const std::string source = "return " + std::string(expression);
  Context context;
  context.variables = &variables;
  context.source = source.data();
  context.source_size = source.size();
  const std::unique_ptr<lua_State, Closer> state(lua_newstate(allocate, &context));
  if (!state) throw fail("out of memory");
  lua_State* lua = state.get();
  lua_pushcfunction(lua, run);
  lua_pushlightuserdata(lua, &context);
  const int result = lua_pcall(lua, 1, 1, 0);
  lua_sethook(lua, nullptr, 0, 0);
  if (result == LUA_OK) {
    try {
      std::size_t values = 0;
      return take_value(lua, 0, values);
    } catch (const Error& error) {
      throw fail(error.message());
    }
  }
  if (context.text_too_long) throw fail("a text grows too long").hint(fmt::format("it may have {} KiB", longest_text >> 10));
  if (context.out_of_memory || result == LUA_ERRMEM) throw fail("the expression needs too much memory").hint("an expression may use 16 MiB");
  if (context.out_of_steps) throw fail("the expression takes too many steps").hint("does a loop in it never end?");
  if (const std::string name = context.unknown_name.data(); !name.empty()) {
    std::vector<std::string_view> known;
    for (const auto& [key, value] : variables) known.push_back(key);
    const std::size_t own = known.size();
    known.insert(known.end(), math_names.begin(), math_names.end());
    Error error = fail(fmt::format("unknown name '{}'", name));
    if (nearest(name, known).empty()) known.resize(own);
    if (!known.empty()) error.hint(suggestion(name, known));
    throw error;
  }
  std::string message = "unknown error";
  if (lua_type(lua, -1) == LUA_TSTRING) message = lua_tostring(lua, -1);
  if (constexpr std::string_view prefix = "expression:"; message.starts_with(prefix))
    if (const std::size_t end = message.find(": "); end != std::string::npos) message.erase(0, end + 2);
  throw fail(message);
}

namespace {

// The position of the brace that closes an expression beginning at `begin`, or npos. Braces within Lua's quotes
// do not count.
std::size_t closing_brace(std::string_view text, std::size_t begin) {
  int depth = 0;
  for (std::size_t i = begin; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      for (++i; i < text.size() && text[i] != c; ++i)
        if (text[i] == '\\') ++i;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && depth-- == 0) {
      return i;
    }
  }
  return std::string_view::npos;
}

Tree value_of(std::string_view expression, const Variables& variables) {
  constexpr std::string_view environment = "env:";
  const std::string_view text = trimmed(expression);
  if (!text.starts_with(environment)) return evaluate(text, variables);
  const std::string name(trimmed(text.substr(environment.size())));
  const char* value = name.empty() ? nullptr : std::getenv(name.c_str());
  if (!value) throw Error("in '{}': the environment variable '{}' is not set", text, name).hint(fmt::format("set it: {}=… nacre …", name)).usage();
  return Tree(std::string(value));
}

// A value within a longer text.
std::string interpolated(const Tree& value) {
  if (value.is_string()) return value.as_string();
  if (value.is_number() && !value.is_integer()) {
    const double number = value.as_number();
    return number == std::floor(number) && std::abs(number) < 0x1p53 ? std::to_string(value.as_integer()) : fmt::format("{}", number);
  }
  return value.text();
}

Tree substitute_text(const std::string& text, const Variables& variables) {
  std::string result;
  for (std::size_t position = 0;;) {
    const std::size_t start = text.find("${", position);
    if (start == std::string::npos) return result.append(text, position);
    if (start > position && text[start - 1] == '$') {  // $${
      result.append(text, position, start - 1 - position).append("${");
      position = start + 2;
      continue;
    }
    result.append(text, position, start - position);
    const std::size_t end = closing_brace(text, start + 2);
    if (end == std::string::npos) throw Error("the expression in '{}' has no end", text.substr(0, 200)).hint("write $${ where ${ is meant as it stands").usage();
    const std::string_view expression = std::string_view(text).substr(start + 2, end - start - 2);
    Tree value = value_of(expression, variables);
    if (start == 0 && end + 1 == text.size()) {
      if (value.is_string() && trimmed(expression).starts_with("env:")) return plain_scalar(value.as_string());
      return value;
    }
    result += interpolated(value);
    position = end + 1;
  }
}

// The marks of all values within, which an expression makes without any.
void put_marks(Tree& tree, const Mark& mark) {
  tree.at(mark);
  if (tree.is_sequence())
    for (Tree& item : tree.items()) put_marks(item, mark);
  if (tree.is_mapping())
    for (Tree::Entry& entry : tree.entries()) {
      entry.mark = mark;
      put_marks(entry.value, mark);
    }
}

Tree substitute_at(const std::string& text, const Variables& variables, const Mark& mark) {
  try {
    Tree value = substitute_text(text, variables);
    put_marks(value, mark);
    return value;
  } catch (Error& error) {
    error.at(mark);
    throw;
  }
}

}  // namespace

bool has_expression(std::string_view text) { return text.find("${") != std::string_view::npos; }

Tree substitute(const Tree& tree, const Variables& variables) {
  if (tree.is_string() && has_expression(tree.as_string())) return substitute_at(tree.as_string(), variables, tree.mark());
  if (tree.is_sequence()) {
    Tree result = Tree::sequence().at(tree.mark());
    for (const Tree& item : tree.items()) result.push(substitute(item, variables));
    return result;
  }
  if (tree.is_mapping()) {
    Tree result = Tree::mapping().at(tree.mark());
    for (const Tree::Entry& entry : tree.entries()) {
      std::string key = entry.key;
      if (has_expression(key)) {
        key = interpolated(substitute_at(key, variables, entry.mark));
        if (result.find(key)) throw Error("the key '{}' stands here twice", key).at(entry.mark).usage();
      }
      result.entries().push_back({std::move(key), substitute(entry.value, variables), entry.mark});
    }
    return result;
  }
  return tree;
}

}  // namespace nacre
