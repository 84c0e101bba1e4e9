#include "scripting/tensors/given_arguments.h"

namespace nacre::scripting {

GivenArguments::GivenArguments(const Call& call, std::string_view function)
    : call_(call), lua_(call.lua()), key_("op ") {
  key_ += function;
  for (int i = 1; i <= call.count(); ++i) meet(i, 0);
}

template <class Number>
void GivenArguments::append(char tag, Number number) {
  key_ += tag;
  key_.append(reinterpret_cast<const char*>(&number), sizeof number);
}

void GivenArguments::meet(int index, int depth) {
  switch (lua_type(lua_, index)) {
    case LUA_TNIL:
    case LUA_TNONE: key_ += '0'; break;
    case LUA_TBOOLEAN: key_ += lua_toboolean(lua_, index) ? 'y' : 'n'; break;
    case LUA_TNUMBER:
      if (lua_isinteger(lua_, index)) append('i', lua_tointeger(lua_, index));
      else append('d', lua_tonumber(lua_, index));
      break;
    case LUA_TSTRING: {
      std::size_t size = 0;
      const char* text = lua_tolstring(lua_, index, &size);
      append('s', size);
      key_.append(text, size);
      break;
    }
    case LUA_TTABLE: meet_table(lua_absindex(lua_, index), depth); break;
    default:
      if (auto object = call_.object(index)) {
        weights_ = weights_ || object->kind == &class_of<Weight>();
        arrays_ = arrays_ && is_tensor(*object) && object->kind != &class_of<Traced>();
        objects_.push_back(*std::move(object));
        key_ += 'T';
      } else {
        plain_ = plain_ && lua_type(lua_, index) == LUA_TLIGHTUSERDATA;  // nacre.null
        key_ += '0';
      }
  }
}

void GivenArguments::meet_table(int index, int depth) {
  if (depth > 16 || !lua_checkstack(lua_, 4)) {
    plain_ = false;
    return;
  }
  key_ += '{';
  const auto length = static_cast<lua_Integer>(lua_rawlen(lua_, index));
  for (lua_pushnil(lua_); lua_next(lua_, index); lua_pop(lua_, 1)) {
    if (lua_isinteger(lua_, -2) && lua_tointeger(lua_, -2) >= 1 && lua_tointeger(lua_, -2) <= length) continue;
    plain_ = plain_ && (lua_type(lua_, -2) == LUA_TSTRING || lua_isinteger(lua_, -2));
    if (lua_type(lua_, -2) == LUA_TSTRING || lua_isinteger(lua_, -2)) meet(lua_gettop(lua_) - 1, depth + 1);
    meet(lua_gettop(lua_), depth + 1);
  }
  key_ += ',';
  for (lua_Integer i = 1; i <= length; ++i) {
    lua_rawgeti(lua_, index, i);
    meet(lua_gettop(lua_), depth + 1);
    lua_pop(lua_, 1);
  }
  key_ += '}';
}

}  // namespace nacre::scripting
