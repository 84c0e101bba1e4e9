// Derivatives of all results: nacre.jacobian, nacre.hessian, nacre.jvp. They are made of gradients that are pulled
// back.
#include <algorithm>

#include "scripting/functions/called_functions.h"

namespace nacre::scripting {

namespace {

constexpr std::int64_t most_traced_rows = 256;  // each is a copy of the gradient's graph

// nacre.grad, nacre.vjp
Out autograd(std::string_view name) {
  const std::span<const Function> functions = autograd_functions();
  return Out::Function{std::ranges::find(functions, name, &Function::name)->function};
}

// A function of x that was called, as nacre.vjp does it.
struct Pullback {
  Structure result;
  KeptRef back;
  std::vector<Structure> others;  // further results

  Pullback(const Call& call, const Out& function, Out x) {
    const int top = lua_gettop(call.lua()), first = call.invoke(autograd("vjp"), {function, std::move(x)});
    result = Structure::read(call, first);
    back = call.keep(first + 1);
    for (int i = first + 2; i <= lua_gettop(call.lua()); ++i) others.push_back(Structure::read(call, i));
    lua_settop(call.lua(), top);
  }

  // The gradients of ⟨dy, result⟩ in the tables of x.
  Structure operator()(const Call& call, const std::vector<Object>& dy) const {
    return call_now(call, back, {out_of(result.with(dy))}).at(0);
  }
};

// --- nacre.jacobian, nacre.hessian --------------------------------------------------------------------------------

// Of a function and what lies at `index`.
Results jacobian_of(const Call& call, const Out& function, int index) {
  const Pullback pullback(call, function, Out::At{index});
  const Structure& result = pullback.result;
  if (!result.tensor || !is_floating(type_of_tensor(*result.tensor).dtype))
    throw Error("the function that is differentiated gives {}, wanted a tensor of real numbers", result.text()).usage();
  const Type type = type_of_tensor(*result.tensor);
  const std::int64_t count = type.shape.elements();
  if (count == 0) throw Error("the function that is differentiated gives {}, without elements", type).usage();
  if (EngineState::of(call).trace() && count > most_traced_rows)
    throw Error("the jacobian of {} numbers is too large for a function that is compiled", count)
        .hint(fmt::format("there each is a part of the graph, and {} are the most; outside they may be more",
                          most_traced_rows))
        .usage();
  Structure slopes;
  std::vector<std::vector<Object>> rows;
  for (std::int64_t i = 0; i < count; ++i) {
    Tensor one(type);
    visit(type.dtype, [&]<class T>(T*) { one.writable<T>()[static_cast<std::size_t>(i)] = convert<T>(1); });
    slopes = pullback(call, {array_object({std::move(one)})});
    rows.resize(slopes.count());
    auto row = rows.begin();
    slopes.each([&](const Object& slope) { (row++)->push_back(slope); });
  }
  std::vector<Object> matrices;
  for (const std::vector<Object>& each : rows) matrices.push_back(stacked(call, each, type.shape));
  return {out_of(slopes.with(matrices))};
}

Results jacobian(Call& call) { return jacobian_of(call, function_at(call, 1, "a function"), 2); }

// The jacobian of the gradient.
Results hessian(Call& call) {
  const Out function = function_at(call, 1, "a function");
  read_tensor(call, 2, "a tensor");
  const int gradient = call.invoke(autograd("grad"), {function});
  return jacobian_of(call, call.keep(gradient), 2);
}

// --- nacre.jvp ----------------------------------------------------------------------------------------------------

// f(x) pulled back, and f(x), as a function of what it is pulled back for. Upvalues: f, x.
Results pulled(Call& call) {
  const Pullback pullback(call, call.keep(lua_upvalueindex(1)), call.keep(lua_upvalueindex(2)));
  std::vector<Object> dy;
  Structure::read(call, 1).each([&](const Object& tensor) { dy.push_back(tensor); });
  return {out_of(pullback(call, dy)), out_of(pullback.result)};
}

// The result with zeros in the places of its tensors.
Structure zeros_like(const Structure& result) {
  if (result.count() == 0) throw Error("the function that is differentiated gives no tensor").usage();
  std::vector<Object> zeros;
  result.each([&](const Object& tensor) { zeros.push_back(array_object({Tensor(type_of_tensor(tensor))})); });
  return result.with(zeros);
}

// Zeros in the tables of f(x). What f does meanwhile is not recorded.
Structure traced_zeros(const Call& call, const Out& function, const Structure& x) {
  TracedFunction probe(EngineState::of(call));
  const std::vector<Structure> results = probe.run(call, function, outs_of(opened(probe, {x})));
  return zeros_like(results.empty() ? Structure() : results.front());
}

// f, x, v, and f(x) pulled back. The latter is linear in what it is pulled back for: its gradient is J·v. At once that
// is the function `back` of the one call of f; in a trace, where that belongs to the function around, f is in `pulled`.
Results push_forward(Call& call) {
  const Out function = function_at(call, 1, "a function");
  const Structure x = Structure::read(call, 2), direction = Structure::read(call, 3);
  if (x.text() != direction.text())
    throw Error("got {} as the direction of {}", direction.text(), x.text())
        .hint("it has the same tables, dtypes and shapes")
        .usage();
  std::vector<Object> tangents;
  direction.each([&](const Object& tensor) { tangents.push_back(tensor); });
  if (EngineState::of(call).trace()) {
    const Pullback pullback(call, Out::At{4}, out_of(traced_zeros(call, function, x)));
    return {out_of(pullback.others.at(0)), out_of(pullback(call, tangents))};
  }
  const Pullback forward(call, function, Out::At{2}), pullback(call, forward.back, out_of(zeros_like(forward.result)));
  return {out_of(forward.result), out_of(pullback(call, tangents))};
}

int jvp(lua_State* lua) {
  lua_settop(lua, 3);
  lua_pushvalue(lua, 1);
  lua_pushvalue(lua, 2);
  lua_pushcclosure(lua, bound<pulled>, 2);
  return bound<push_forward>(lua);
}

}  // namespace

std::span<const Function> jacobian_functions() {
  static constexpr Function functions[] = {
      {"jacobian",
       bound<jacobian>,
       {.usage = "nacre.jacobian(f, x)",
        .doc = "The derivatives of each element of f(x) by each of x: a tensor whose axes are those of f(x), then "
               "those of x; a table of such where x is one. One gradient is computed for each element of f(x).",
        .example = R"(
          local j = nacre.jacobian(function(x) return x * x end, nacre.tensor{1.0, 2.0})
          assert(j:totable()[2][2] == 4 and j:totable()[1][2] == 0)
        )"}},
      {"hessian",
       bound<hessian>,
       {.usage = "nacre.hessian(f, x)",
        .doc = "The second derivatives of the number f(x) by the elements of the tensor x. One gradient of the "
               "gradient is computed for each element of x.",
        .example = R"(
          local h = nacre.hessian(function(x) return (x * x * x):sum() end, nacre.tensor{1.0, 2.0})
          assert(h:totable()[2][2] == 12 and h:totable()[1][2] == 0)
        )"}},
      {"jvp",
       jvp,
       {.usage = "nacre.jvp(f, x, v)",
        .doc = "f(x), and how it changes in the direction v, which has the tables and types of x. It costs a few "
               "times as much as f, whose Lua runs twice while a function around it is compiled.",
        .example = R"(
          local y, dy = nacre.jvp(function(x) return x * x end, nacre.tensor{1.0, 2.0}, nacre.tensor{10.0, 1.0})
          assert(y:totable()[2] == 4 and dy:totable()[1] == 20)
        )"}},
  };
  return functions;
}

void open_jacobian(lua_State* lua) { State::set_functions(lua, jacobian_functions()); }

}  // namespace nacre::scripting
