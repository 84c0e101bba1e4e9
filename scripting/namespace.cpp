#include "scripting/namespace.h"

#include "scripting/bindings.h"
#include "scripting/tensors/operations.h"

namespace nacre::scripting {

std::vector<const Namespace*> namespaces() {
  std::vector<const Namespace*> all = class_namespaces();
  all.insert(all.begin(), &layers_namespace());
  all.push_back(&data_namespace());
  all.push_back(&operations_namespace());
  return all;
}

void push_indexed(lua_State* lua, lua_CFunction index) {
  lua_newtable(lua);
  lua_newtable(lua);
  lua_pushcfunction(lua, index);
  lua_setfield(lua, -2, "__index");
  lua_setmetatable(lua, -2);
}

void push_namespace(lua_State* lua, const Namespace& space) {
  push_indexed(lua, space.index);
  lua_pushvalue(lua, -1);
  lua_rawsetp(lua, LUA_REGISTRYINDEX, &space);
}

const Namespace* namespace_at(lua_State* lua, int index) {
  if (!lua_istable(lua, index) || !lua_checkstack(lua, 1)) return nullptr;
  index = lua_absindex(lua, index);
  for (const Namespace* space : namespaces()) {
    lua_rawgetp(lua, LUA_REGISTRYINDEX, space);
    const bool same = lua_rawequal(lua, -1, index);
    lua_pop(lua, 1);
    if (same) return space;
  }
  return nullptr;
}

std::optional<FoundEntry> entry_at(lua_State* lua, int index) {
  const lua_CFunction function = lua_tocfunction(lua, index);
  if (!function || !lua_checkstack(lua, 1)) return std::nullopt;
  for (const Namespace* space : namespaces()) {
    if ((space->make != function && space->method != function) || !lua_getupvalue(lua, index, 1)) continue;
    std::size_t size = 0;
    const char* bytes = lua_type(lua, -1) == LUA_TSTRING ? lua_tolstring(lua, -1, &size) : "";
    auto entry = space->find({bytes, size});
    lua_pop(lua, 1);
    if (entry) return FoundEntry{space, *std::move(entry)};
  }
  return std::nullopt;
}

}  // namespace nacre::scripting
