#include "scripting/module.h"

#include "scripting/bindings.h"
#include "scripting/lambda.h"

extern "C" int luaopen_nacre(lua_State* lua) {
  using namespace nacre::scripting;
  luaL_checkversion(lua);
  State::serve(lua, [](lua_State* host) noexcept -> State* {
    try {
      nacre::enable_lua();
      return new EngineState(host);
    } catch (const std::exception&) {
      return nullptr;
    }
  });
  push_nacre(lua);
  return 1;
}
