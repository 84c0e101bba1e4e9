#include "scripting/prompt/completion.h"

#include <algorithm>
#include <optional>

#include "scripting/namespace.h"
#include "scripting/prompt/readable.h"
#include "scripting/reference.h"

namespace nacre::scripting {

namespace {

constexpr int most_parents = 8;  // tables that are looked through by __index

bool is_word(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::size_t word_begin(std::string_view text, std::size_t end) {
  while (end > 0 && is_word(text[end - 1])) --end;
  return end;
}

std::size_t without_spaces(std::string_view text, std::size_t end) {
  while (end > 0 && is_space(text[end - 1])) --end;
  return end;
}

// The end of what opens with long brackets at `begin`, [[ or [==[; npos: it is not closed, `begin`: it is none.
std::size_t long_bracket_end(std::string_view text, std::size_t begin) {
  std::size_t level = begin + 1;
  while (level < text.size() && text[level] == '=') ++level;
  if (level >= text.size() || text[level] != '[') return begin;
  const std::string close = "]" + std::string(level - begin - 1, '=') + "]";
  const std::size_t end = text.find(close, level + 1);
  return end == text.npos ? end : end + close.size();
}

// Where brackets are open at the end of the text; none: it is within a text or a comment.
std::optional<std::vector<std::size_t>> open_brackets(std::string_view text) {
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      for (++i; i < text.size() && text[i] != c; ++i)
        if (text[i] == '\\') ++i;
      if (i >= text.size()) return std::nullopt;
      ++i;
    } else if (c == '-' && text.substr(i, 2) == "--") {
      std::size_t end = i + 2 < text.size() && text[i + 2] == '[' ? long_bracket_end(text, i + 2) : i + 2;
      if (end == i + 2) end = text.find('\n', i);
      if (end == text.npos) return std::nullopt;
      i = end;
    } else if (c == '[') {
      const std::size_t end = long_bracket_end(text, i);
      if (end == text.npos) return std::nullopt;
      if (end == i) open.push_back(i++);
      else i = end;
    } else {
      if (c == '(' || c == '{') open.push_back(i);
      if ((c == ')' || c == '}' || c == ']') && !open.empty()) open.pop_back();
      ++i;
    }
  }
  return open;
}

// From the globals on: by a name or a number.
struct Step {
  std::string text;
  std::optional<lua_Integer> number{};
};
using Path = std::vector<Step>;

// Of what stands at the end of the text: model.layers[1], or the method model:fit.
std::optional<Path> path_at_end(std::string_view text) {
  Path path;
  std::size_t end = text.size();
  for (;;) {
    if (end > 0 && text[end - 1] == ']') {
      const std::size_t open = text.rfind('[', end - 1);
      if (open == text.npos || open == 0) return std::nullopt;
      const std::string_view inner = text.substr(open + 1, end - open - 2);
      if (!inner.empty() && inner.size() < 10 && inner.find_first_not_of("0123456789") == inner.npos)
        path.push_back({"", std::stoll(std::string(inner))});
      else if (inner.size() > 2 && (inner.front() == '"' || inner.front() == '\'') && inner.back() == inner.front() &&
               inner.find_first_of("\\\"'", 1) == inner.size() - 1)
        path.push_back({std::string(inner.substr(1, inner.size() - 2))});
      else return std::nullopt;
      end = open;
      continue;
    }
    const std::size_t begin = word_begin(text, end);
    const std::string_view name = text.substr(begin, end - begin);
    if (!is_identifier(name)) return std::nullopt;
    path.push_back({std::string(name)});
    end = begin;
    const bool method = path.size() == 1 && end > 1 && text[end - 1] == ':' && text[end - 2] != ':';
    if (end == 0 || !(text[end - 1] == '.' || method)) break;
    if (--end > 0 && text[end - 1] == '.') break;  // a .. b
  }
  std::reverse(path.begin(), path.end());
  return path;
}

// Looks at values on the stack, and calls nothing but nacre's own properties.
class Looker {
 public:
  explicit Looker(lua_State* lua) : lua_(lua), top_(lua_gettop(lua)) {}
  ~Looker() { lua_settop(lua_, top_); }
  Looker(const Looker&) = delete;
  Looker& operator=(const Looker&) = delete;

  // Puts the path's value at the top of the stack.
  bool follow(const std::optional<Path>& path) {
    if (!path || !lua_checkstack(lua_, 20)) return false;
    lua_rawgeti(lua_, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    return std::all_of(path->begin(), path->end(), [&](const Step& step) {
      const bool found = get(step);
      lua_replace(lua_, top_ + 1);
      lua_settop(lua_, top_ + 1);
      return found;
    });
  }

  // What the value at the top is indexed by; with `functions` what of it can be called.
  std::vector<std::string> names(std::string_view beginning, bool functions) {
    std::vector<std::string> found;
    const auto add = [&](std::string_view name) {
      if (name.starts_with(beginning) && is_identifier(name)) found.emplace_back(name);
    };
    if (const auto object = Call(lua_).object(-1)) {
      for (const std::string_view name : member_names(*object)) add(name);
      if (functions) std::erase_if(found, [&](const std::string& name) { return !is_function(name); });
      return found;
    }
    for (int parents = 0; parents < most_parents; ++parents) {
      if (const Namespace* space = namespace_at(lua_, -1)) {
        std::vector<std::string_view> known;
        space->add_names(known);
        for (const std::string_view name : known) add(name);
        break;
      }
      if (lua_istable(lua_, -1))
        for (lua_pushnil(lua_); lua_next(lua_, -2); lua_pop(lua_, 1))
          if (lua_type(lua_, -2) == LUA_TSTRING && (!functions || lua_isfunction(lua_, -1)))
            add(lua_tostring(lua_, -2));
      if (!to_parent()) break;
    }
    return found;
  }

 private:
  // The value at the top indexed by the step, above it.
  bool get(const Step& step) {
    if (Call(lua_).object(-1) || namespace_at(lua_, -1)) return ask(step);
    lua_pushvalue(lua_, -1);
    for (int parents = 0; parents < most_parents; ++parents) {
      if (namespace_at(lua_, -1)) return ask(step);
      if (lua_istable(lua_, -1) && find(step)) return true;
      if (!to_parent()) return false;
    }
    return false;
  }

  // Puts what a table holds under the key above it.
  bool find(const Step& step) {
    if (step.number) {
      lua_rawgeti(lua_, -1, *step.number);
      if (!lua_isnil(lua_, -1)) return true;
      lua_pop(lua_, 1);
      return false;
    }
    for (lua_pushnil(lua_); lua_next(lua_, -2); lua_pop(lua_, 1))  // making a text of the name could raise
      if (lua_type(lua_, -2) == LUA_TSTRING && lua_tostring(lua_, -2) == step.text) {
        lua_remove(lua_, -2);
        return true;
      }
    return false;
  }

  // In place of the value at the top, what its metatable has as __index, if that is a table.
  bool to_parent() {
    if (!lua_getmetatable(lua_, -1)) return false;
    if (!find({"__index"}) || !lua_istable(lua_, -1)) return false;
    lua_replace(lua_, -3);
    lua_pop(lua_, 1);
    return true;
  }

  // An index of nacre's.
  bool ask(const Step& step) {
    lua_pushcfunction(lua_, [](lua_State* inner) {
      const auto& wanted = *static_cast<const Step*>(lua_touserdata(inner, 2));
      if (wanted.number) lua_geti(inner, 1, *wanted.number);
      else lua_getfield(inner, 1, wanted.text.c_str());
      return 1;
    });
    lua_pushvalue(lua_, -2);
    lua_pushlightuserdata(lua_, const_cast<Step*>(&step));
    return lua_pcall(lua_, 2, 1, 0) == LUA_OK;
  }

  bool is_function(const std::string& name) {
    const bool function = ask({name}) && lua_isfunction(lua_, -1);
    lua_pop(lua_, 1);
    return function;
  }

  lua_State* lua_;
  int top_;
};

// The keys of the table within which the name stands: what is called with it knows them.
std::vector<std::string> keys(lua_State* lua, std::string_view before, const std::vector<std::size_t>& brackets,
                              std::string_view beginning) {
  if (brackets.empty() || before[brackets.back()] != '{') return {};
  const std::size_t end = without_spaces(before, before.size());
  if (end != brackets.back() + 1 && before[end - 1] != ',' && before[end - 1] != ';') return {};
  std::size_t called = without_spaces(before, brackets.back());
  if (called > 0 && (before[called - 1] == '(' || before[called - 1] == ',')) {
    if (brackets.size() < 2 || before[brackets[brackets.size() - 2]] != '(') return {};
    called = without_spaces(before, brackets[brackets.size() - 2]);
  }
  Looker looker(lua);
  if (!looker.follow(path_at_end(before.substr(0, called)))) return {};
  std::vector<const FieldTable*> tables;
  if (const auto entry = entry_at(lua, -1)) tables = entry->entry.fields;
  else if (const lua_CFunction function = lua_tocfunction(lua, -1))
    for (const LuaEntry& told : lua_entries())
      if (told.function == function) tables = told.keys;
  std::vector<std::string> found;
  for (const FieldTable* table : tables)
    for (const Field& field : *table)
      if (field.key.starts_with(beginning)) found.push_back(fmt::format("{} = ", field.key));
  return found;
}

}  // namespace

Completion complete(State& state, std::string_view text) {
  const std::size_t begin = word_begin(text, text.size());
  const std::string_view beginning = text.substr(begin), before = text.substr(0, begin);
  const auto brackets = open_brackets(before);
  if (!brackets || (!beginning.empty() && !is_word(beginning.front()))) return {};
  Completion completion{beginning.size(), {}};
  std::vector<std::string>& names = completion.names;
  const char sign = before.empty() ? ' ' : before.back();
  Looker looker(state.lua());
  if (sign == '.' || sign == ':') {
    if (looker.follow(path_at_end(before.substr(0, before.size() - 1)))) names = looker.names(beginning, sign == ':');
  } else {
    names = keys(state.lua(), before, *brackets, beginning);
    if (names.empty() && looker.follow(Path())) {
      names = looker.names(beginning, false);
      for (const std::string_view word : keywords())
        if (word.starts_with(beginning)) names.emplace_back(word);
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return completion;
}

}  // namespace nacre::scripting
