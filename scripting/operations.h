// nacre.ops.NAME and arithmetic: Keras's operations for every class of objects that has Class::apply.
#pragma once

#include "scripting/state.h"

namespace nacre::scripting {

// + - * / // % ^ and unary minus; comparisons are refused, for Lua's give nothing but true or false.
std::span<const luaL_Reg> operators();

// x:NAME(…), for Class::other.
std::optional<Out> operation_method(Call& call, std::string_view key);
void operation_names(const Object& object, std::vector<std::string_view>& names);

// Pushes the table nacre.ops; raises.
void push_operations(lua_State* lua);

}  // namespace nacre::scripting
