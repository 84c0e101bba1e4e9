#include "scripting/lambda.h"

#include "layers/operations.h"
#include "scripting/compute.h"
#include "scripting/custom.h"
#include "scripting/operations.h"

namespace nacre {

namespace scripting {

namespace {

struct Chunk {
  const std::string& source;  // "return function …"
  const Out& inputs;
  const Out& arguments;
};

int run(lua_State* lua) {
  const Chunk& chunk = *static_cast<const Chunk*>(lua_touserdata(lua, 1));
  State::open_class(lua, class_of<Traced>());
  lua_settop(lua, 0);

  push_safe_globals(lua);  // all that the function sees
  lua_newtable(lua);  // nacre
  push_namespace(lua, operations_namespace());
  lua_setfield(lua, -2, "ops");
  lua_setfield(lua, -2, "nacre");

  if (luaL_loadbufferx(lua, chunk.source.data(), chunk.source.size(), "=lambda", "t") != LUA_OK) return lua_error(lua);
  lua_pushvalue(lua, 1);
  lua_setupvalue(lua, -2, 1);  // _ENV
  lua_call(lua, 0, 1);
  if (!lua_isfunction(lua, -1)) return luaL_error(lua, "wanted a function: function(x) return … end");
  State::push(lua, chunk.inputs);
  State::push(lua, chunk.arguments);
  lua_call(lua, 2, 1);
  return 1;
}

Values trace(Context& context, const std::string& source, const Values& inputs, const Tree& arguments) {
  ComputingState state(sandbox_limits);
  TraceScope scope(context);
  const ComputingState::Tracing tracing(state, scope);
  Out::List given;
  for (const Value& input : inputs) given.emplace_back(state.traced(input));
  const std::string text = "return " + source;
  const Out in = given.size() == 1 ? given.front() : Out(std::move(given)), others(arguments);
  Chunk chunk{text, in, others};
  state.call(run, &chunk, 1);
  Values found;
  const Call call(state.lua());
  const Tree returned = call.tree(-1, [&](const Object& object) {
    found.push_back(traced_value(call, object));
    return tensor_reference(found.size() - 1);
  });
  const bool tensors = referred_tensor(returned) ||
                       (returned.is_sequence() && !found.empty() && returned.items().size() == found.size());
  if (!tensors) throw Error("it gives {}, wanted a tensor or a list of tensors", returned.text());
  return found;
}

}  // namespace
}  // namespace scripting

Values trace_lambda(Context& context, const std::string& source, const Values& inputs, const Tree& arguments) {
  try {
    return scripting::trace(context, source, inputs, arguments);
  } catch (const Error& error) {
    throw Error("in the Lua function: {}", error.line()).hint(error.hint_text());
  }
}

void enable_lua() {
  lambda_tracer() = trace_lambda;
  register_models();
  scripting::register_handed_objects();
  scripting::register_lua_classes();
}

}  // namespace nacre
