#include "scripting/prompt/prompt.h"

#include <algorithm>
#include <cstdio>

#include "scripting/bindings.h"
#include "scripting/prompt/help.h"
#include "scripting/prompt/readable.h"

namespace nacre {

namespace scripting {

namespace {

constexpr int most_values = 100;  // that are shown
constexpr char exit_key = 0;      // its address: where Lua's registry has the exit code

void help(Call& call) { std::fputs(help_text(call).c_str(), stdout); }

// exit([code]): ends the chunk with an error that is not shown.
int leave(lua_State* lua) {
  if (lua_isboolean(lua, 1)) lua_pushinteger(lua, lua_toboolean(lua, 1) ? 0 : 1);
  else lua_pushinteger(lua, luaL_optinteger(lua, 1, 0));
  lua_rawsetp(lua, LUA_REGISTRYINDEX, &exit_key);
  return luaL_error(lua, "exit");
}

void set_global(lua_State* lua, const char* name) {  // to the value at the top, whatever the globals' metatable says
  lua_rawgeti(lua, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  lua_pushstring(lua, name);
  lua_pushvalue(lua, -3);
  lua_rawset(lua, -3);
  lua_pop(lua, 2);
}

struct Command {
  const char* name;
  lua_CFunction function;
};
constexpr Command commands[] = {{"help", bound<help>}, {"exit", leave}, {"quit", leave}};

int open_prompt(lua_State* lua) {
  for (const Command& command : commands) {
    lua_pushcfunction(lua, command.function);
    set_global(lua, command.name);
  }
  return 0;
}

// What Lua makes of a chunk behind some words.
class Reading {
 public:
  Reading(lua_State* lua, std::string_view before, std::string_view chunk)
      : before_(before), lines_(std::string(chunk) + "\n") {
    const int status = lua_load(lua, next, this, "=prompt", "t");
    good_ = status == LUA_OK;
    if (status == LUA_ERRSYNTAX) too_early_ = std::string_view(lua_tostring(lua, -1)).ends_with("near <eof>");
    lua_pop(lua, 1);
  }

  bool good() const { return good_; }
  bool ends_too_early() const { return too_early_; }
  std::size_t understood() const { return read_; }  // bytes of the chunk up to the mistake
  std::string source() const { return std::string(before_) + lines_; }

 private:
  // Byte by byte, so that it is known how far Lua came.
  static const char* next(lua_State*, void* self, std::size_t* size) {
    auto& reading = *static_cast<Reading*>(self);
    if (!std::exchange(reading.begun_, true) && !reading.before_.empty()) {
      *size = reading.before_.size();
      return reading.before_.data();
    }
    *size = reading.read_ < reading.lines_.size() ? 1 : 0;
    return *size ? &reading.lines_[reading.read_++] : nullptr;
  }

  std::string_view before_;
  std::string lines_;
  std::size_t read_ = 0;
  bool begun_ = false, good_ = false, too_early_ = false;
};

// A chunk as an expression, whose values are wanted, and as statements.
struct Readings {
  Reading expression, statements;
  Readings(lua_State* lua, std::string_view chunk) : expression(lua, "return ", chunk), statements(lua, "", chunk) {}
  // The one that is right, or went further.
  const Reading& best() const {
    if (expression.good() || statements.good()) return expression.good() ? expression : statements;
    return expression.understood() > statements.understood() ? expression : statements;
  }
};

int run_source(lua_State* lua) {
  const auto& source = *static_cast<const std::string*>(lua_touserdata(lua, 1));
  lua_settop(lua, 0);
  if (luaL_loadbufferx(lua, source.data(), source.size(), "=prompt", "t") != LUA_OK) return lua_error(lua);
  lua_call(lua, 0, LUA_MULTRET);
  if (!lua_isnoneornil(lua, 1)) {
    luaL_checkstack(lua, 4, nullptr);
    lua_pushvalue(lua, 1);
    set_global(lua, "_");
  }
  return lua_gettop(lua);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view spaces = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(spaces);
  return begin == text.npos ? "" : text.substr(begin, text.find_last_not_of(spaces) - begin + 1);
}

// Whether the chunk is only the name of one of ours, which is meant as its call.
bool is_command(lua_State* lua, std::string_view chunk) {
  for (const Command& command : commands)
    if (chunk == command.name) {
      lua_rawgeti(lua, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
      bool same = false;
      for (lua_pushnil(lua); lua_next(lua, -2); lua_pop(lua, 1))
        same = same || (lua_type(lua, -2) == LUA_TSTRING && lua_tostring(lua, -2) == chunk &&
                        lua_tocfunction(lua, -1) == command.function);
      lua_pop(lua, 1);
      return same;
    }
  return false;
}

// The values from `first` to the top of the stack.
std::string values_text(State& state, int first, int width, bool expression) {
  lua_State* const lua = state.lua();
  int last = lua_gettop(lua);
  while (last >= first && lua_isnil(lua, last) && !(expression && last == first)) --last;
  if (last - first >= most_values) last = first + most_values - 1;
  std::vector<std::string> texts;
  std::string line;
  for (int i = first; i <= last; ++i) {
    texts.push_back(readable(state.lua(), i, width));
    line += (i == first ? "" : ", ") + texts.back();
  }
  if (line.find('\n') == line.npos && columns_of(line) <= width) return line;
  std::string lines;
  for (const std::string& text : texts) lines += (lines.empty() ? "" : "\n") + text;
  return lines;
}

}  // namespace
}  // namespace scripting

Prompt::Prompt(Engine& engine) : state_(engine.state()) { state_.call(scripting::open_prompt, nullptr, 0); }

bool Prompt::wants_more(std::string_view chunk) const {
  const scripting::Readings readings(state_.lua(), chunk);
  return !readings.expression.good() && !readings.statements.good() &&
         (readings.expression.ends_too_early() || readings.statements.ends_too_early());
}

std::string Prompt::run(std::string_view chunk, int width) {
  lua_State* const lua = state_.lua();
  const int top = lua_gettop(lua);
  const std::string_view word = scripting::trimmed(chunk);
  const std::string call = std::string(word) + "()";
  const scripting::Readings readings(lua, scripting::is_command(lua, word) ? call : chunk);
  std::string source = readings.best().source();
  try {
    state_.definitions().chunks.emplace("=prompt", source);  // for classes that are saved
    state_.call(scripting::run_source, &source, LUA_MULTRET);
    const scripting::Call here(lua);  // what is shown may run methods of Lua
    std::string text = scripting::values_text(state_, top + 1, width, readings.expression.good());
    lua_settop(lua, top);
    return text;
  } catch (...) {
    lua_settop(lua, top);
    if (exit_code()) return "";
    throw;
  }
}

std::optional<int> Prompt::exit_code() const {
  lua_State* const lua = state_.lua();
  lua_rawgetp(lua, LUA_REGISTRYINDEX, &scripting::exit_key);
  const auto code = lua_isinteger(lua, -1) ? std::optional(static_cast<int>(lua_tointeger(lua, -1))) : std::nullopt;
  lua_pop(lua, 1);
  return code;
}

scripting::Completion Prompt::complete(std::string_view text) const { return scripting::complete(state_, text); }

}  // namespace nacre
