// nacre.ops.NAME and arithmetic: Keras's operations for every class of objects that has Class::apply.
#pragma once

#include "scripting/namespace.h"

namespace nacre::scripting {

// + - * / // % ^ and unary minus; comparisons are refused, for Lua's give nothing but true or false.
std::span<const Function> operators();
[[noreturn]] void refuse_comparison(Call& call);

// nacre.ops.NAME(…) with the arguments of the call.
Results operate(Call& call, std::string_view name);

// x:NAME(…), for Class::other.
std::optional<Out> operation_method(Call& call, std::string_view key);
void operation_names(const Object& object, std::vector<std::string_view>& names);
// Another name for the operation, by which Keras calls its function; "": none.
std::string_view operation_alias(std::string_view operation);
// The names of its arguments by place.
std::vector<std::string> operation_places(std::string_view operation);

// The operation that a function is: "relu" of nacre.ops.relu.
std::optional<std::string> operation_of(const Call& call, int index);

const Namespace& operations_namespace();  // nacre.ops

}  // namespace nacre::scripting
