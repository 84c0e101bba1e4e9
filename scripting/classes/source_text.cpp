// The text of functions and classes that a script defined: found where they stand in the script, and known to be theirs
// because it becomes the same code. What they use from around them goes with them, as it is when they are written.
#include <algorithm>
#include <cmath>
#include <set>

#include "formats/file.h"
#include "scripting/classes/function_code.h"
#include "scripting/classes/function_text.h"
#include "scripting/classes/lua_object.h"
#include "scripting/tensors/operations.h"

namespace nacre::scripting {

namespace {

constexpr std::size_t most_definitions = 150;  // Lua has at most 200 local variables
constexpr std::size_t most_values = 10'000;    // in tables
constexpr int deepest_table = 32;

// --- literals -----------------------------------------------------------------------------------------------------

std::string text_literal(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') result += '\\', result += c;
    else if (code < 0x20 || code == 0x7f) result += fmt::format("\\{:03}", code);
    else result += c;
  }
  return result + '"';
}

std::string literal(double number) {
  if (std::isnan(number)) return "(0/0)";
  if (std::isinf(number)) return number < 0 ? "(-1/0)" : "(1/0)";
  std::string text = fmt::format("{:.17g}", number);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return number < 0 || std::signbit(number) ? "(" + text + ")" : text;
}

std::string literal(std::int64_t number) {
  if (number >= 0) return std::to_string(number);
  return fmt::format("({} - 1)", number + 1);  // the least one is no literal
}

// Plain values.
std::string literal(const Tree& value) {
  if (value.is_null()) return "nil";
  if (value.is_bool()) return value.as_bool() ? "true" : "false";
  if (value.is_integer()) return literal(value.as_integer());
  if (value.is_number()) return literal(value.as_number());
  if (value.is_string()) return text_literal(value.as_string());
  std::string text = "{";
  if (value.is_sequence())
    for (const Tree& item : value.items()) text += literal(item) + ", ";
  else
    for (const Tree::Entry& entry : value.entries())
      text += fmt::format("[{}] = {}, ", text_literal(entry.key), literal(entry.value));
  return text + "}";
}

// --- functions ----------------------------------------------------------------------------------------------------

struct Place {
  std::string chunk;
  int first_line = 0, last_line = 0;
};

// Where the function at the index stands; none: it is one of C.
std::optional<Place> place_of_function(const Call& call, int index) {
  lua_Debug debug;
  lua_pushvalue(call.lua(), index);
  lua_getinfo(call.lua(), ">S", &debug);
  if (*debug.what == 'C') return std::nullopt;
  return Place{debug.source, debug.linedefined, debug.lastlinedefined};
}

// The texts that a chunk of that name may have, the latest first.
std::vector<std::string> texts_of(const Call& call, const std::string& chunk) {
  if (!chunk.starts_with('@') && !chunk.starts_with('=')) return {chunk};
  std::vector<std::string> texts;
  const auto [first, last] = EngineState::of(call).definitions().chunks.equal_range(chunk);
  for (auto known = last; known != first;) texts.push_back((--known)->second);
  if (texts.empty() && chunk.starts_with('@')) try {
      texts.push_back(read_file(chunk.substr(1)));
    } catch (const Error&) {
    }
  return texts;
}

FunctionCode code_of(const Call& call, int index) {
  std::string dump;
  lua_pushvalue(call.lua(), index);
  const int status = lua_dump(
      call.lua(),
      [](lua_State*, const void* bytes, std::size_t size, void* text) {
        try {
          static_cast<std::string*>(text)->append(static_cast<const char*>(bytes), size);
          return 0;
        } catch (const std::bad_alloc&) {
          return 1;
        }
      },
      &dump, 1);
  lua_pop(call.lua(), 1);
  if (status != 0) throw std::bad_alloc();
  return FunctionCode(dump);
}

std::vector<std::string> upvalues_of(const Call& call, int index) {
  std::vector<std::string> names;
  for (int i = 1;; ++i) {
    const char* const name = lua_getupvalue(call.lua(), index, i);
    if (!name) return names;
    lua_pop(call.lua(), 1);
    names.emplace_back(name);
  }
}

// Whether the text becomes the code of the function that stands at the index.
bool is_text_of(const Call& call, const std::string& text, int line, int index,
                const std::vector<std::string>& upvalues) {
  lua_State* const lua = call.lua();
  const int top = lua_gettop(lua);
  if (!lua_checkstack(lua, 8)) return false;
  std::string chunk, locals;
  for (const std::string& name : upvalues)
    if (name != "_ENV") locals += (locals.empty() ? "local " : ", ") + name;
  chunk = locals + std::string(static_cast<std::size_t>(std::max(line - 1, 0)), '\n') + " return " + text;
  bool same = luaL_loadbufferx(lua, chunk.data(), chunk.size(), "=text", "t") == LUA_OK &&
              lua_pcall(lua, 0, 1, 0) == LUA_OK && lua_isfunction(lua, -1);
  same = same && code_of(call, lua_gettop(lua)).same_as(code_of(call, index));
  lua_settop(lua, top);
  return same;
}

// The texts that may be the function's, and those that are.
std::vector<FunctionText> texts_of_function(const Call& call, int index) {
  const auto place = place_of_function(call, index);
  if (!place) return {};
  const std::vector<std::string> upvalues = upvalues_of(call, index);
  for (const std::string& chunk : texts_of(call, place->chunk)) {
    std::vector<FunctionText> found = functions_at(chunk, place->first_line, place->last_line);
    std::erase_if(found, [&](const FunctionText& text) {
      return !is_text_of(call, text.expression, place->first_line, index, upvalues);
    });
    if (!found.empty()) return found;
  }
  return {};
}

// --- what goes with them ------------------------------------------------------------------------------------------

class Writer {
 public:
  explicit Writer(const Call& call) : call_(call), lua_(call.lua()) {}

  LuaSource write_function(const KeptRef& function) {
    const std::string name = "the_function";
    locals_.push_back(name);
    if (is_text_function(function)) place_function(name, function, "the function");
    else header_ += fmt::format("{} = {}; ", name, expression(function, "the function", name));
    return finished(name);
  }

  LuaSource write_class(const LuaClass& kind, const KeptRef& table) { return finished(class_named(kind, table)); }

 private:
  struct Statement {
    int line;
    std::string text;
  };

  // A text in which lines keep their numbers as far as that can be.
  LuaSource finished(const std::string& result) {
    std::string text;
    for (const std::string& name : locals_) text += (text.empty() ? "local " : ", ") + name;
    text += "; " + classes_ + header_;
    int line = 1;
    std::ranges::stable_sort(statements_, {}, &Statement::line);
    for (const Statement& statement : statements_) {
      for (; line < statement.line; ++line) text += '\n';
      text += statement.text + "; ";
      line += static_cast<int>(std::ranges::count(statement.text, '\n'));
    }
    return {text + "return " + result, file_};
  }

  [[noreturn]] static void refuse(const std::string& owner, const std::string& name, const std::string& what) {
    throw Error("{} uses '{}', {}, which its text cannot hold", owner, name, what).usage();
  }

  [[noreturn]] static void refuse_missing(const std::string& owner, const std::string& name) {
    throw Error("{} uses '{}', and the sandbox, in which it runs when it is loaded, has no '{}'", owner, name, name)
        .usage();
  }

  bool is_text_function(const KeptRef& value) const {
    const SameStack same(call_);
    const int index = call_.push_kept(*value);
    return lua_isfunction(lua_, index) && !lua_iscfunction(lua_, index);
  }
  bool is_same(const KeptRef& a, const KeptRef& b) const {
    const SameStack same(call_);
    return lua_rawequal(lua_, call_.push_kept(*a), call_.push_kept(*b));
  }

  // Writes `target = function … end`.
  void place_function(const std::string& target, const KeptRef& function, const std::string& owner) {
    const SameStack same(call_);
    const int index = call_.push_kept(*function);
    const auto place = place_of_function(call_, index);
    const std::vector<FunctionText> texts = texts_of_function(call_, index);
    if (!place || texts.empty())
      throw Error("the text of {} is not known", owner)
          .hint("a function that was loaded from a string, or whose file has changed, has none")
          .usage();
    if (place->chunk.starts_with('@')) file_ = place->chunk.substr(1);
    statements_.push_back({place->first_line, fmt::format("{} = {}", target, texts.front().expression)});
    const std::vector<std::string> upvalues = upvalues_of(call_, index);
    for (std::size_t i = 0; i < upvalues.size(); ++i) {
      lua_getupvalue(lua_, index, static_cast<int>(i) + 1);
      if (upvalues[i] == "_ENV") define_globals(code_of(call_, index).fields_of_upvalue(i), owner);
      else define(upvalues[i], call_.keep(-1), true, owner);
      lua_pop(lua_, 1);
    }
  }

  // Those that a function takes from the table of globals, which is at the top.
  void define_globals(const std::set<std::string>& names, const std::string& owner) {
    const SameStack same(call_);
    const int environment = lua_gettop(lua_);
    lua_rawgeti(lua_, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    if (!lua_rawequal(lua_, environment, -1)) refuse(owner, "_ENV", "a table of its own");
    for (const std::string& name : names) {
      if (names_in_sandbox().contains(name)) continue;
      const std::size_t dot = name.find('.');
      if (dot != std::string::npos) {
        if (is_missing_in_sandbox(name)) refuse_missing(owner, name);
        continue;
      }
      call_.push_field(environment, name);
      // What the script itself calls so is written.
      const bool own = lua_isfunction(lua_, -1) && !lua_iscfunction(lua_, -1);
      if (!lua_isnil(lua_, -1) && !own && is_missing_in_sandbox(name)) refuse_missing(owner, name);
      if (!lua_isnil(lua_, -1)) define(name, call_.keep(-1), false, owner);
      lua_pop(lua_, 1);
    }
  }

  // Whether the name is new; throws when it stands for another value.
  bool is_new(const std::string& name, const KeptRef& value) {
    for (const auto& [known, other] : defined_)
      if (known == name) {
        if (is_same(other, value)) return false;
        throw Error("two values that it uses are called '{}'", name).usage();
      }
    if (defined_.size() >= most_definitions) throw Error("it uses more than {} values", most_definitions).usage();
    defined_.emplace_back(name, value);
    return true;
  }

  void define(const std::string& name, const KeptRef& value, bool local, const std::string& owner) {
    if (!is_new(name, value)) return;
    if (local) locals_.push_back(name);
    if (is_text_function(value)) return place_function(name, value, fmt::format("'{}', which {} uses", name, owner));
    header_ += fmt::format("{} = {}; ", name, expression(value, owner, name));
  }

  // A value as an expression.
  std::string expression(const KeptRef& value, const std::string& owner, const std::string& name) {
    const SameStack same(call_);
    const int index = call_.push_kept(*value);
    switch (lua_type(lua_, index)) {
      case LUA_TNIL:
      case LUA_TBOOLEAN:
      case LUA_TNUMBER:
      case LUA_TSTRING: return literal(call_.tree(index));
      default: break;
    }
    if (const std::string path = path_of(index); !path.empty()) return path;
    if (const auto operation = operation_of(call_, index)) return "_ENV.nacre.ops." + *operation;
    if (const LuaClassRef kind = class_at(call_, index)) return class_named(*kind, value);
    if (!call_.is_table(index)) refuse(owner, name, call_.described(index));
    return table_text(index, owner, name, 0);
  }

  // A table of plain values.
  std::string table_text(int index, const std::string& owner, const std::string& name, int depth) {
    if (depth > deepest_table || !lua_checkstack(lua_, 8)) refuse(owner, name, "a table that is nested too deep");
    std::string text = "{";
    const auto value_text = [&](int at) {
      switch (lua_type(lua_, at)) {
        case LUA_TBOOLEAN:
        case LUA_TNUMBER:
        case LUA_TSTRING: return literal(call_.tree(at));
        case LUA_TTABLE:
          if (!class_at(call_, at)) return table_text(at, owner, name, depth + 1);
          [[fallthrough]];
        default: refuse(owner, name, "a table of more than numbers, texts and tables");
      }
    };
    std::map<std::string, std::string> entries;  // in the same order each time
    for (lua_pushnil(lua_); lua_next(lua_, index); lua_pop(lua_, 1)) {
      if (++written_ > most_values) refuse(owner, name, "a table that is too large");
      const int value = lua_gettop(lua_), key = value - 1;
      if (lua_type(lua_, key) != LUA_TSTRING && lua_type(lua_, key) != LUA_TNUMBER &&
          lua_type(lua_, key) != LUA_TBOOLEAN)
        refuse(owner, name, "a table with " + call_.described(key) + " as a key");
      entries.emplace(literal(call_.tree(key)), value_text(value));
    }
    for (const auto& [key, value] : entries) text += fmt::format("[{}] = {}, ", key, value);
    return text + "}";
  }

  // Where the sandbox has it: "_ENV.nacre.ops".
  std::string path_of(int index) const {
    for (const std::string& name : names_in_sandbox()) {
      const SameStack same(call_);
      const std::size_t dot = name.find('.');
      lua_rawgeti(lua_, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
      call_.push_field(-1, name.substr(0, dot));
      if (dot != std::string::npos) {
        if (!lua_istable(lua_, -1)) continue;
        call_.push_field(-1, name.substr(dot + 1));
      }
      if (lua_rawequal(lua_, -1, index)) return "_ENV." + name;
    }
    return "";
  }

  // The name of the class, which is written when it is met first.
  std::string class_named(const LuaClass& kind, const KeptRef& table) {
    std::string name = "class_" + kind.name;
    if (!is_new(name, table)) return name;
    if (kind.source) throw Error("it uses the class '{}' of the file '{}'", kind.name, kind.source->file).usage();
    locals_.push_back(name);
    std::string fields;
    for (const std::string& key : kind.required) fields += text_literal(key) + ", ";
    for (const Tree::Entry& entry : kind.defaults.written().entries())
      fields += fmt::format("[{}] = {}, ", text_literal(entry.key),
                            entry.value.is_null() ? "_ENV.nacre.null" : literal(entry.value));
    classes_ +=
        fmt::format("{} = _ENV.nacre.{}({}, {{{}}}); ", name, definer_of(kind.kind), text_literal(kind.name), fields);
    std::map<std::string, KeptRef> members;
    const SameStack same(call_);
    const int place = call_.push_kept(*table);
    if (!call_.is_table(place)) throw Error("the class '{}' is gone from Lua's registry", kind.name).usage();
    call_.each_named(place, [&](const std::string& key, int value) { members.emplace(key, call_.keep(value)); });
    for (const auto& [key, value] : members) {
      const std::string target = fmt::format("{}[{}]", name, text_literal(key)),
                        owner = fmt::format("its method '{}'", key);
      if (is_text_function(value)) place_function(target, value, owner);
      else header_ += fmt::format("{} = {}; ", target, expression(value, fmt::format("'{}'", kind.name), key));
    }
    return name;
  }

  const Call& call_;
  lua_State* lua_;
  std::vector<std::string> locals_;
  std::vector<std::pair<std::string, KeptRef>> defined_;
  std::string classes_, header_, file_ = "script";
  std::vector<Statement> statements_;
  std::size_t written_ = 0;  // values of tables
};

}  // namespace

LuaSource source_of_function(const Call& call, int index) { return Writer(call).write_function(call.keep(index)); }

LuaSource source_of_class(const Call& call, const LuaClass& kind, int table) {
  if (!kind.source) return Writer(call).write_class(kind, call.keep(table));
  // What the file says holds as long as the script has changed nothing.
  const SameStack same(call);
  call.each_named(table, [&](const std::string& key, int value) {
    if (!lua_isfunction(call.lua(), value)) return;
    const auto place = place_of_function(call, value);
    if (place && place->chunk != "@" + kind.source->file)
      throw Error("its method '{}' is not from '{}', but from elsewhere", key, kind.source->file).usage();
  });
  return *kind.source;
}

std::string name_of_function(const Call& call, int index) {
  if (const auto operation = operation_of(call, index)) return *operation;
  const std::vector<FunctionText> texts = texts_of_function(call, index);
  return texts.empty() ? "" : texts.front().name;
}

}  // namespace nacre::scripting
