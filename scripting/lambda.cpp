#include "scripting/lambda.h"

#include "layers/operations.h"
#include "scripting/classes/custom.h"
#include "scripting/tensors/compute.h"
#include "scripting/tensors/operations.h"

namespace nacre {

namespace scripting {

namespace {

Values trace(Context& context, const std::string& source, const Values& inputs, const Tree& arguments) {
  Sandbox sandbox;
  Values found;
  traced_in(sandbox, context, [&] {
    const KeptRef function = sandbox.run("return " + source, "=lambda");
    Out::List given;
    for (const Value& input : inputs) given.emplace_back(sandbox.traced(input));
    const Out in = given.size() == 1 ? given.front() : Out(std::move(given));
    const StopFlag stop = sandbox.bounds();
    const Call call(sandbox.lua());
    const int index = call.push_kept(*function);
    if (!lua_isfunction(call.lua(), index)) throw Error("wanted a function: function(x) return … end");
    std::vector<Out> parameters{in};
    if (!lua_iscfunction(call.lua(), index) || arguments != Tree::mapping()) parameters.emplace_back(arguments);
    const int first = call.invoke(Out::At{index}, parameters);
    const Tree returned = call.tree(first, [&](const Object& object) {
      found.push_back(traced_value(call, object));
      return tensor_reference(found.size() - 1);
    });
    const bool tensors = referred_tensor(returned) ||
                         (returned.is_sequence() && !found.empty() && returned.items().size() == found.size());
    if (!tensors) throw Error("it gives {}, wanted a tensor or a list of tensors", returned.text());
  });
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
