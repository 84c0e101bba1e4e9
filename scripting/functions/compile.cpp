// nacre.compile(f): what f computes as one graph. f runs once for each kind of arguments; what it does with tensors is
// recorded, and runs from then on as one compiled step.
#include <algorithm>

#include "scripting/bindings.h"
#include "scripting/functions/structure.h"

namespace nacre::scripting {

namespace {

constexpr std::size_t most_traces = 64;  // of one function

// A function for arguments of certain types.
struct Trace {
  std::string key;
  std::shared_ptr<eager::Program> program;
  std::vector<Structure> results;   // as the function gave them; their tensors are the program's first outputs
  std::vector<std::size_t> masked;  // which of these tensors have a mask, the further outputs
  std::string layers_state;         // of the layers it calls, as they were
  std::vector<std::shared_ptr<Layer>> layers;

  bool fresh() const {
    std::string state;
    for (const auto& layer : layers) append_state(state, *layer);
    return state == layers_state;
  }
};

struct Compiled {
  std::vector<Trace> traces;  // most recent last
};

}  // namespace

template <>
const Class& class_of<Compiled>();

namespace {

// The arguments of a compiled function, and what is known of a trace for them.
struct Arguments {
  std::vector<Structure> structures;
  std::string key;
  eager::Arrays arrays;  // of the tensors in them

  explicit Arguments(const Call& call) {
    for (int i = 1; i <= call.count(); ++i) {
      structures.push_back(Structure::read(call, i));
      structures.back().append_to(key);
      key += ';';
      structures.back().each([&](const Object& tensor) { arrays.push_back(array_of(call, tensor)); });
    }
    for (const eager::Array& array : arrays) key += array.mask ? array.mask->value.type().text() : "-";
  }
  // Of the program: the tensors, and the masks that there are.
  eager::Arrays inputs() const {
    eager::Arrays inputs = arrays;
    for (const eager::Array& array : arrays)
      if (array.mask) inputs.push_back(*array.mask);
    return inputs;
  }
};

Trace trace(const Call& call, const Arguments& arguments) {
  auto& state = EngineState::of(call);
  auto graph = std::make_unique<Graph>();
  Values inputs, masks;
  for (const eager::Array& array : arguments.arrays)
    inputs.push_back(graph->input(fmt::format("x{}", inputs.size()), array.value.type()));
  for (const eager::Array& array : arguments.arrays)
    masks.push_back(array.mask ? graph->input(fmt::format("mask {}", masks.size()), array.mask->value.type())
                               : Value());
  const Type whole{DType::int64, {}};
  const Value seed = graph->input("seed", whole), step = graph->input("step", whole);
  Context context(*graph, false, seed, step);
  TraceScope scope(context);
  Trace result{.key = arguments.key, .program = {}, .results = {}, .masked = {}, .layers_state = {}, .layers = {}};
  {
    const ComputingState::Tracing tracing(state, scope);
    std::vector<Out> given;
    std::size_t next = 0;
    for (const Structure& argument : arguments.structures)
      given.push_back(argument.map([&](const Object&) {
        const std::size_t place = next++;
        return Out(state.traced(inputs[place], masks[place]));
      }));
    const KeptRef function = call.keep(lua_upvalueindex(1));
    const int first = call.invoke(function, given);
    for (int i = first; i <= lua_gettop(call.lua()); ++i) result.results.push_back(Structure::read(call, i));
    Values made;  // masks of results
    for (const Structure& one : result.results)
      one.each([&](const Object& tensor) {
        graph->output(fmt::format("y{}", made.size()), traced_value(call, tensor));
        made.push_back(traced_mask(call, tensor));
      });
    for (std::size_t i = 0; i < made.size(); ++i) {
      if (!made[i]) continue;
      graph->output(fmt::format("mask {}", i), made[i]);
      result.masked.push_back(i);
    }
  }
  for (const Weight& weight : scope.weights()) initialize(weight, state.seed());
  result.layers = scope.layers();
  for (const auto& layer : result.layers) append_state(result.layers_state, *layer);
  result.program = state.eager()->make(std::move(graph));
  return result;
}

// The function that nacre.compile gives: upvalues are the function and what is known of it.
Results call_compiled(Call& call) {
  auto& state = EngineState::of(call);
  if (state.trace()) {  // a part of the graph that is being made
    const KeptRef function = call.keep(lua_upvalueindex(1));
    std::vector<Out> given;
    for (int i = 1; i <= call.count(); ++i) given.emplace_back(Out::At{i});
    Results results;
    for (int i = call.invoke(function, given); i <= lua_gettop(call.lua()); ++i) results.emplace_back(Out::At{i});
    return results;
  }
  const auto compiled = call.find<Compiled>(lua_upvalueindex(2));
  if (!compiled) throw Error("a compiled function has lost its traces").hint("make it anew: nacre.compile(f)").usage();
  const Arguments arguments(call);
  std::vector<Trace>& traces = compiled->traces;
  auto found = std::ranges::find(traces, arguments.key, &Trace::key);
  if (found != traces.end() && !found->fresh()) traces.erase(found), found = traces.end();
  if (found == traces.end()) {
    Trace made = trace(call, arguments);
    if (traces.size() == most_traces) traces.erase(traces.begin());
    traces.push_back(std::move(made));
  } else {
    std::rotate(found, found + 1, traces.end());
  }
  const Trace& used = traces.back();
  const ComputingState::Draws draws = state.next_draws();
  eager::Arrays inputs = arguments.inputs();
  inputs.push_back({Tensor::scalar(draws.seed)});
  inputs.push_back({Tensor::scalar(draws.step)});
  eager::Arrays outputs = state.eager()->run(used.program, std::move(inputs));
  auto mask = outputs.end() - std::ssize(used.masked);
  for (const std::size_t place : used.masked)
    outputs[place].mask = std::make_shared<const eager::Array>(std::move(*mask++));
  auto next = outputs.begin();
  Results results;
  for (const Structure& result : used.results)
    results.push_back(result.map([&](const Object&) { return Out(array_object(*next++)); }));
  return results;
}

Out new_compiled(Call&) { return make_object(Compiled()); }
void refuse_function(Call& call) { throw call.unwanted(1, "a function"); }

int compile(lua_State* lua) {
  lua_settop(lua, 1);
  if (!lua_isfunction(lua, 1) && luaL_getmetafield(lua, 1, "__call") == LUA_TNIL) return bound<refuse_function>(lua);
  lua_settop(lua, 1);
  lua_pushcfunction(lua, bound<new_compiled>);
  lua_call(lua, 0, 1);
  lua_pushcclosure(lua, bound<call_compiled>, 2);
  return 1;
}

}  // namespace

template <>
const Class& class_of<Compiled>() {
  static const Class kind{.name = "compiled function", .members = {}, .metamethods = {}, .text = [](const Object&) {
                            return std::string("compiled function");
                          }};
  return kind;
}

std::span<const Function> compile_functions() {
  static constexpr Function functions[] = {
      {"compile",
       compile,
       {.usage = "nacre.compile(f)",
        .doc =
            "A function that gives what f gives, as one compiled graph. f runs once for each kind of arguments, told "
            "apart by the shapes and dtypes of tensors and by the values of all else, and what it does with tensors is "
            "recorded: later calls run that, updates of weights and new random numbers included, and none of f's Lua. "
            "Tensors that f has from elsewhere are constants of what is recorded, with the numbers that they have "
            "then; assignments to elements of arguments stay within. "
            "What needs a tensor's numbers meanwhile, such as item() or a branch, is refused with its line; nacre.cond "
            "and nacre.while_loop decide by them.",
        .example = R"(
          local dense, mse = nacre.layers.Dense{units = 1}, nacre.losses.MeanSquaredError()
          local optimizer = nacre.optimizers.Adam{learning_rate = 0.1}
          local x, y = nacre.ones{8, 3}, nacre.zeros{8, 1}
          dense(x)
          local runs = 0
          local step = nacre.compile(function(x, y)
            runs = runs + 1
            local loss, gradients = nacre.value_and_grad(function() return mse(y, dense(x)) end, dense)()
            optimizer:apply(gradients, dense)
            return loss
          end)
          local first = step(x, y):item()
          for _ = 1, 50 do step(x, y) end
          assert(step(x, y):item() < first and runs == 1)
        )"}},
  };
  return functions;
}

void open_compile(lua_State* lua) {
  State::open_class(lua, class_of<Compiled>());
  State::open_class(lua, class_of<Traced>());
  State::set_functions(lua, compile_functions());
}

}  // namespace nacre::scripting
