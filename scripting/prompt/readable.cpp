#include "scripting/prompt/readable.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "backend/core/unicode.h"
#include "scripting/bindings.h"

namespace nacre::scripting {

namespace {

constexpr std::size_t longest_text = 10'000, longest_inner_text = 200;  // bytes
constexpr int deepest_table = 4;
constexpr std::size_t most_entries = 100;   // of a table
constexpr std::size_t most_pieces = 1'000;  // of all tables
constexpr std::size_t most_keys = 100'000;  // that are sorted

constexpr std::array<std::string_view, 22> reserved{
    "and", "break", "do",  "else", "elseif", "end",    "false",  "for",  "function", "goto",  "if",
    "in",  "local", "nil", "not",  "or",     "repeat", "return", "then", "true",     "until", "while"};

std::string escaped_lines(std::string_view text) {
  std::string lines;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines += (begin ? "\n" : "") + escaped(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

std::string quoted(std::string_view text, std::size_t longest) {
  std::string_view shown = text.substr(0, longest);
  if (shown.size() < text.size())
    while (!shown.empty() && (static_cast<unsigned char>(text[shown.size()]) & 0xc0u) == 0x80u) shown.remove_suffix(1);
  std::string inner;
  for (const char c : shown) {
    if (c == '"' || c == '\\') inner += '\\';
    inner += c;
  }
  const std::string rest = shown.size() < text.size() ? fmt::format(" … ({} bytes)", text.size()) : "";
  return '"' + escaped(inner) + '"' + rest;
}

std::string number_text(lua_State* lua, int index) {
  if (lua_isinteger(lua, index)) return std::to_string(lua_tointeger(lua, index));
  const double value = lua_tonumber(lua, index);
  if (value != value) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{:.14g}", value);
  return text.find_first_not_of("-0123456789") == std::string::npos ? text + ".0" : text;
}

// A value on its way to a text: one that is whole, or entries between braces.
struct Piece {
  std::string text;  // without entries
  std::string key;   // ahead of it: "units = "
  std::vector<Piece> entries{};
  bool table = false;
};

class Reader {
 public:
  explicit Reader(lua_State* lua) : lua_(lua) {}

  Piece read(int index, std::size_t longest, int depth) {
    ++pieces_;
    switch (lua_type(lua_, index)) {
      case LUA_TNIL: return {"nil", ""};
      case LUA_TBOOLEAN: return {lua_toboolean(lua_, index) ? "true" : "false", ""};
      case LUA_TNUMBER: return {number_text(lua_, index), ""};
      case LUA_TSTRING: {
        std::size_t size = 0;
        const char* bytes = lua_tolstring(lua_, index, &size);
        return {quoted({bytes, size}, longest), ""};
      }
      case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(lua_, index)) return {"nacre.null", ""};
        break;
      case LUA_TTABLE: return read_table(lua_absindex(lua_, index), depth);
      case LUA_TFUNCTION:
        if (const auto found = entry_at(lua_, index))
          return {fmt::format("function nacre.{}.{}", found->space->name, found->entry.name), ""};
        break;
      default: break;
    }
    std::string text = escaped_lines(said(index));
    if (text.size() > longest_text) text = text.substr(0, valid_utf8(text.substr(0, longest_text))) + " …";
    return {std::move(text), ""};
  }

 private:
  // tostring(value).
  std::string said(int index) {
    if (!lua_checkstack(lua_, 4)) throw Error("Lua needs too much memory");
    index = lua_absindex(lua_, index);
    lua_pushcfunction(lua_, [](lua_State* inner) {
      luaL_tolstring(inner, 1, nullptr);
      return 1;
    });
    lua_pushvalue(lua_, index);
    const bool failed = lua_pcall(lua_, 1, 1, 0) != LUA_OK;
    std::size_t size = 0;
    const char* bytes = lua_type(lua_, -1) == LUA_TSTRING ? lua_tolstring(lua_, -1, &size) : "";
    std::string text(bytes, size);
    lua_pop(lua_, 1);
    if (failed) return fmt::format("<{} whose __tostring failed: {}>", luaL_typename(lua_, index), text);
    return text;
  }

  // Neither calls nor allocates.
  bool has_metafield(int index, std::string_view name) {
    if (!lua_getmetatable(lua_, index)) return false;
    bool found = false;
    for (lua_pushnil(lua_); lua_next(lua_, -2); lua_pop(lua_, 1))
      found = found || (lua_type(lua_, -2) == LUA_TSTRING && lua_tostring(lua_, -2) == name);
    lua_pop(lua_, 1);
    return found;
  }

  // Numbers come first, then texts, then the rest.
  struct Key {
    int order = -1;
    double number = 0;
    std::string text{};
    auto members() const { return std::tie(order, number, text); }
    bool operator<(const Key& other) const { return members() < other.members(); }
    bool operator==(const Key& other) const { return members() == other.members(); }
  };
  Key key_at(int index) {
    switch (lua_type(lua_, index)) {
      case LUA_TNUMBER: return {0, lua_tonumber(lua_, index), number_text(lua_, index)};
      case LUA_TSTRING: {
        std::size_t size = 0;
        const char* bytes = lua_tolstring(lua_, index, &size);
        return {1, 0, {bytes, size}};
      }
      case LUA_TBOOLEAN: return {2, 0, lua_toboolean(lua_, index) ? "true" : "false"};
      default: break;
    }
    if (const auto object = Call(lua_).object(index)) return {3, 0, object->kind->text(*object)};
    return {3, 0, fmt::format("{} {}", luaL_typename(lua_, index), lua_topointer(lua_, index))};
  }
  static std::string written(const Key& key) {
    if (key.order != 1) return fmt::format("[{}] = ", key.text);
    if (is_identifier(key.text)) return key.text + " = ";
    return fmt::format("[{}] = ", quoted(key.text, longest_inner_text));
  }

  bool full(const Piece& piece) const { return piece.entries.size() >= most_entries || pieces_ > most_pieces; }
  bool in_list(int index, lua_Integer length) const {
    return lua_isinteger(lua_, index) && lua_tointeger(lua_, index) >= 1 && lua_tointeger(lua_, index) <= length;
  }

  Piece read_table(int index, int depth) {
    if (!lua_checkstack(lua_, 8)) return {"{…}", ""};
    if (const Namespace* space = namespace_at(lua_, index)) {
      if (depth > 0) return {fmt::format("nacre.{}", space->name), ""};
      std::vector<std::string_view> names;
      space->add_names(names);
      return {fmt::format("nacre.{}: {} names, which Tab shows and help() tells", space->name, names.size()), ""};
    }
    if (has_metafield(index, "__tostring")) return {escaped_lines(said(index)), ""};
    const void* self = lua_topointer(lua_, index);
    if (std::find(path_.begin(), path_.end(), self) != path_.end()) return {"<cycle>", ""};
    Piece piece;
    piece.table = true;
    lua_pushnil(lua_);
    if (!lua_next(lua_, index)) return piece;
    lua_pop(lua_, 2);
    if (depth == deepest_table || pieces_ > most_pieces) return {"{…}", ""};
    path_.push_back(self);
    const auto length = static_cast<lua_Integer>(lua_rawlen(lua_, index));
    std::size_t left = 0;
    for (lua_Integer i = 1; i <= length; ++i) {
      if (full(piece)) {
        left += static_cast<std::size_t>(length - i + 1);
        break;
      }
      lua_rawgeti(lua_, index, i);
      piece.entries.push_back(read(-1, longest_inner_text, depth + 1));
      lua_pop(lua_, 1);
    }
    left += read_named(index, length, depth, piece);
    if (left > 0) piece.entries.push_back({fmt::format("… {} more", left), ""});
    path_.pop_back();
    return piece;
  }

  // Adds the entries that are not of the list; how many were left out.
  std::size_t read_named(int index, lua_Integer length, int depth, Piece& piece) {
    std::vector<Key> keys;
    std::size_t count = 0;
    for (lua_pushnil(lua_); lua_next(lua_, index); lua_pop(lua_, 1)) {
      if (in_list(-2, length)) continue;
      if (++count <= most_keys) keys.push_back(key_at(-2));
    }
    std::sort(keys.begin(), keys.end());
    std::size_t wanted = 0;
    if (!full(piece)) wanted = std::min(keys.size(), most_entries - piece.entries.size());
    keys.resize(wanted);
    if (!lua_checkstack(lua_, static_cast<int>(wanted) + 4)) return count;
    // The values go onto the stack first: reading them may run scripts, which may change the table.
    const int top = lua_gettop(lua_);
    std::vector<int> places(wanted);
    for (lua_pushnil(lua_); lua_next(lua_, index);) {
      const Key key = in_list(-2, length) ? Key{} : key_at(-2);
      const auto found = std::lower_bound(keys.begin(), keys.end(), key);
      if (found == keys.end() || !(*found == key)) {
        lua_pop(lua_, 1);
        continue;
      }
      lua_insert(lua_, -2);
      places[static_cast<std::size_t>(found - keys.begin())] = lua_gettop(lua_) - 1;
    }
    for (std::size_t i = 0; i < wanted; ++i) {
      if (pieces_ > most_pieces) {
        wanted = i;
        break;
      }
      piece.entries.push_back(read(places[i], longest_inner_text, depth + 1));
      piece.entries.back().key = written(keys[i]);
    }
    lua_settop(lua_, top);
    return count - wanted;
  }

  lua_State* lua_;
  std::vector<const void*> path_;
  std::size_t pieces_ = 0;
};

std::string in_one_line(const Piece& piece) {
  if (!piece.table) return piece.key + piece.text;
  std::string text = piece.key + "{";
  for (const Piece& entry : piece.entries) text += (&entry == &piece.entries.front() ? "" : ", ") + in_one_line(entry);
  return text + "}";
}

// In lines, of which all but the first begin with `indent` spaces; `after` is what follows the last.
std::string in_lines(const Piece& piece, int indent, int width, int after) {
  std::string line = in_one_line(piece);
  if (!piece.table || indent + columns_of(line) + after <= width) return line;
  const std::string margin(static_cast<std::size_t>(indent) + 2, ' ');
  std::string text = piece.key + "{";
  int column = width + 1;  // where the open line ends
  for (const Piece& entry : piece.entries) {
    const bool last = &entry == &piece.entries.back();
    const std::string part = in_lines(entry, indent + 2, width, 1) + (last ? "" : ",");
    const bool small = entry.key.empty() && part.find('\n') == std::string::npos;
    if (small && column + 1 + columns_of(part) <= width) {
      text += " " + part;
      column += 1 + columns_of(part);
    } else {
      text += "\n" + margin + part;
      column = small ? indent + 2 + columns_of(part) : width + 1;
    }
  }
  return text + "\n" + std::string(static_cast<std::size_t>(indent), ' ') + "}";
}

constexpr int printed_width = 80;

Out text_of_table(Call& call) { return readable(call.lua(), 1, printed_width); }

}  // namespace

std::string readable(lua_State* lua, int index, int width) {
  if (const auto layer = Call(lua).find<LayerObject>(index); layer && layer->model) return layer->model->summary();
  return in_lines(Reader(lua).read(index, longest_text, 0), 0, width, 0);
}

int print_readable(lua_State* lua) {
  const int count = lua_gettop(lua);
  for (int i = 1; i <= count; ++i) {
    const bool plain = lua_istable(lua, i) && luaL_getmetafield(lua, i, "__tostring") == LUA_TNIL;
    if (plain) {
      lua_pushcfunction(lua, bound<text_of_table>);
      lua_pushvalue(lua, i);
      lua_call(lua, 1, 1);
    } else {
      luaL_tolstring(lua, i, nullptr);
    }
    std::size_t size = 0;
    const char* bytes = lua_tolstring(lua, -1, &size);
    if (i > 1) std::fputc('\t', stdout);
    std::fwrite(bytes, 1, size, stdout);
    lua_settop(lua, count);
  }
  std::fputc('\n', stdout);
  std::fflush(stdout);
  return 0;
}

std::string wrapped(const std::vector<std::string>& words, int indent, int width) {
  std::string text;
  int column = width;
  for (const std::string& word : words) {
    const int size = columns_of(word);
    if (column + 1 + size <= width) {
      text += " " + word;
      column += 1 + size;
    } else {
      text += (text.empty() ? "" : "\n") + std::string(static_cast<std::size_t>(indent), ' ') + word;
      column = indent + size;
    }
  }
  return text;
}

int columns_of(std::string_view text) {
  return static_cast<int>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u; }));
}

bool is_identifier(std::string_view text) {
  constexpr std::string_view digits = "0123456789",
                             letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
  return !text.empty() && digits.find(text.front()) == digits.npos && text.find_first_not_of(letters) == text.npos &&
         std::find(reserved.begin(), reserved.end(), text) == reserved.end();
}

std::span<const std::string_view> keywords() { return reserved; }

}  // namespace nacre::scripting
