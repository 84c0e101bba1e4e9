// What depends on numbers: nacre.cond, nacre.switch, nacre.while_loop, nacre.fori_loop. At once they look at the
// numbers and call the functions. In a traced function, each function runs once, and becomes a graph that an op holds.
#include <algorithm>
#include <limits>

#include "backend/graph/ops/branch.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/loop.h"
#include "backend/graph/ops/shape.h"
#include "scripting/functions/called_functions.h"

namespace nacre::scripting {

namespace {

constexpr std::int64_t most_int32 = std::numeric_limits<std::int32_t>::max();

// --- decisions ----------------------------------------------------------------------------------------------------

// True, false, or what a tensor of one element says.
Object condition_of(const Structure& given, std::string_view who) {
  if (!given.tensor) throw Error("{} is {}, wanted true, false or a tensor", who, given.text()).usage();
  const Type type = type_of_tensor(*given.tensor);
  if (type.dtype == DType::string || !type.shape.known() || type.shape.elements() != 1)
    throw Error("{} is {}, wanted one number or boolean", who, given.tensor->kind->text(*given.tensor))
        .hint("nacre.ops.all and nacre.ops.any make one of many")
        .usage();
  return *given.tensor;
}

// Whether its number is known while a function is traced.
bool known_now(const Call& call, const Object& tensor) {
  return !EngineState::of(call).trace() || tensor.kind == &class_of<eager::Array>();
}

bool holds(const Call& call, const Object& condition) { return array_of(call, condition).value.at(0) != 0; }

Value as_flag(Value value) {
  if (value.shape().rank() > 0) value = ops::reshape(value, {});
  return value.dtype() == DType::boolean ? value : ops::not_equal(value, ops::scalar_like(value, 0));
}

Object integer_at(const Call& call, int index, std::string_view who) {
  const Object number = condition_of(Structure::read(call, index).with_tensors(), who);
  if (type_of_tensor(number).dtype == DType::boolean || is_floating(type_of_tensor(number).dtype))
    throw Error("{} is {}, wanted an integer", who, number.kind->text(number)).usage();
  return number;
}

// Throws unless function `number` gives the same as the first one.
void check_same(const std::vector<Structure>& first, const std::vector<Structure>& other, std::size_t number,
                std::string_view who) {
  if (other.size() != first.size())
    throw Error("{}: function 1 gives {}, function {} gives {}", who, numbered(first.size(), "result"), number,
                other.size())
        .usage();
  for (std::size_t i = 0; i < other.size(); ++i)
    if (other[i].text() != first[i].text())
      throw Error("{}: result {} of function 1 is {}, of function {} {}", who, i + 1, first[i].text(), number,
                  other[i].text())
          .hint("all functions give the same tables, dtypes and shapes")
          .usage();
}

// One of several functions of the same operands, chosen while the graph runs.
Results choose(const Call& call, Value choice, const std::vector<Out>& functions, const std::vector<Out>& operands,
               std::string_view who) {
  auto& state = EngineState::of(call);
  std::vector<std::unique_ptr<TracedFunction>> traced;
  std::vector<Structure> results;  // of the first
  HeldFunctions held;
  for (const Out& function : functions) {
    traced.push_back(std::make_unique<TracedFunction>(state));
    std::vector<Structure> found = traced.back()->run(call, function, operands, true);
    if (traced.size() == 1) results = std::move(found);
    else check_same(results, found, traced.size(), who);
  }
  for (const auto& function : traced) held.add(*function);
  // A mask where any of them gives one; the others then say that all counts.
  const std::size_t count = traced.front()->masks().size();
  std::vector<std::optional<Tensor>> masks(count);
  for (const auto& function : traced)
    for (std::size_t i = 0; i < count; ++i) {
      const Value mask = function->masks()[i];
      if (!mask || masks[i] || !mask.shape().known()) continue;
      masks[i] = Tensor(mask.type());
      std::ranges::fill(masks[i]->writable<bool>(), true);
    }

  const Values fixed = held.fixed(), changed = held.changed();
  std::vector<ops::BranchBody> bodies;
  for (const auto& function : traced)
    bodies.push_back([&, function = function.get()](Graph& graph, const Values& in) {
      const std::vector<Values> parts = parted(in, {fixed.size(), changed.size()});
      HeldFunctions::Emitted emitted = held.emit(*function, graph, {}, {parts[0], parts[1]});
      Values values = std::move(emitted.results);
      for (std::size_t i = 0; i < count; ++i)
        if (masks[i]) values.push_back(emitted.masks[i] ? emitted.masks[i] : graph.constant(*masks[i]));
      return joined(std::move(values), emitted.changed);
    });
  const Values found = ops::branch(choice, joined(fixed, changed), bodies);
  auto next = found.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<Object> tensors;
  for (std::size_t i = 0; i < count; ++i) tensors.push_back(state.traced(found[i], masks[i] ? *next++ : Value()));
  for (const VariableRef& variable : held.changed_variables()) choice.graph().update(variable, *next++);
  Results placed;
  std::span<const Object> left = tensors;
  for (const Structure& result : results) {
    placed.push_back(out_of(result.with(left)));
    left = left.subspan(result.count());
  }
  return placed;
}

Results cond(Call& call) {
  const std::vector<Out> functions{function_at(call, 2, "a function for where the condition holds"),
                                   function_at(call, 3, "a function for where it does not")};
  const Object condition = condition_of(Structure::read(call, 1).with_tensors(), "the condition of nacre.cond");
  const std::vector<Out> operands = arguments_from(call, 4);
  if (known_now(call, condition)) return outs_of(call_now(call, functions[holds(call, condition) ? 0 : 1], operands));
  const Value choice = ops::cast(ops::logical_not(as_flag(traced_value(call, condition))), DType::int32);
  return choose(call, choice, functions, operands, "nacre.cond");
}

Results switch_case(Call& call) {
  std::vector<Out> functions;
  if (!call.is_table(2)) throw call.unwanted(2, "a list of functions");
  call.each_item(2, [&](int item) { functions.push_back(function_at(call, item, "a function")); });
  if (functions.empty()) throw Error("nacre.switch got no functions").usage();
  const Object index = integer_at(call, 1, "the index of nacre.switch");
  const std::vector<Out> operands = arguments_from(call, 3);
  const double last = static_cast<double>(functions.size() - 1);
  if (known_now(call, index)) {
    const double place = std::clamp(array_of(call, index).value.at(0), 0.0, last);
    return outs_of(call_now(call, functions[static_cast<std::size_t>(place)], operands));
  }
  const Value given = ops::reshape(traced_value(call, index), {});
  const Value place = ops::minimum(ops::maximum(given, ops::scalar_like(given, 0)), ops::scalar_like(given, last));
  return choose(call, ops::cast(place, DType::int32), functions, operands, "nacre.switch");
}

// --- loops --------------------------------------------------------------------------------------------------------

// What goes from step to step: the items of a list are arguments and results of their own.
std::vector<Structure> state_at(const Call& call, int index) {
  const Structure given = carried(call, Structure::read(call, index).with_tensors());
  if (given.count() == 0) throw call.unwanted(index, "a state: a tensor, or a table with tensors");
  if (given.entries.empty() && !given.items.empty()) return given.items;
  return {given};
}

// … after a step.
std::vector<Structure> carried_all(const Call& call, const std::vector<Structure>& structures) {
  std::vector<Structure> all;
  for (const Structure& structure : structures) all.push_back(carried(call, structure));
  return all;
}

Value one_more(Value count) { return count + ops::scalar_like(count, 1); }

struct WhileConfig {
  std::optional<std::int64_t> maximum_iterations;
  static void describe(auto&& field) {
    field("maximum_iterations", &WhileConfig::maximum_iterations, "after which the loop ends in any case", at_least(0));
  }
};

constexpr std::string_view while_condition = "the condition of nacre.while_loop",
                           while_body = "the body of nacre.while_loop";

Results trace_while(const Call& call, const Out& condition, const Out& body, const std::vector<Structure>& state,
                    std::int64_t most) {
  auto& engine = EngineState::of(call);
  TracedFunction test(engine), step(engine);
  const std::vector<Structure> told = test.run(call, condition, outs_of(opened(test, state)), true);
  if (told.size() != 1) throw Error("{} gives {}, wanted one", while_condition, numbered(told.size(), "value")).usage();
  if (!test.graph().updates().empty())
    throw Error("the condition of nacre.while_loop changes '{}'", test.graph().updates().front().variable->path())
        .hint("change weights in the body")
        .usage();
  if (!told.front().tensor || test.graph().outputs()[0].value.shape().elements() != 1)
    throw Error("{} is {}, wanted true, false or one number", while_condition, told.front().text())
        .hint("nacre.ops.all and nacre.ops.any make one of many")
        .usage();
  check_carried(state, step.run(call, body, outs_of(opened(step, state)), true), while_body);

  HeldFunctions held;
  held.add(test), held.add(step);
  const Values start = values_of(call, state), changed = held.changed(), fixed = held.fixed();
  Values carries = joined(start, changed);
  if (held.random()) carries.push_back(engine.trace()->graph().constant(Tensor::scalar<std::int64_t>(0)));
  const auto emit = [&](const TracedFunction& function, Graph& graph, const Values& carry, const Values& constant) {
    const std::vector<Values> parts = parted(carry, {start.size(), changed.size()});
    return held.emit(function, graph, parts[0], {constant, parts[1], held.random() ? carry.back() : Value()});
  };
  const ops::Looped looped = ops::loop(
      carries, fixed,
      [&](Graph& graph, const Values& carry, const Values& constant) {
        return as_flag(emit(test, graph, carry, constant).results.at(0));
      },
      [&](Graph& graph, const Values& carry, const Values& constant) {
        const HeldFunctions::Emitted emitted = emit(step, graph, carry, constant);
        Values values = joined(emitted.results, emitted.changed);
        if (held.random()) values.push_back(one_more(carry.back()));
        return values;
      },
      most);
  return finish_loop(call, held, state, looped.carries);
}

Results while_loop(Call& call) {
  const Out condition = function_at(call, 1, "a function that tells whether there is another step"),
            body = function_at(call, 2, "a function that makes a step");
  std::vector<Structure> state = state_at(call, 3);
  const auto config = about("while_loop", [&] { return read_options<WhileConfig>(call, 4); });
  const std::int64_t most = config.maximum_iterations.value_or(unknown);
  if (most > most_int32) throw Error("maximum_iterations is {}, wanted at most {}", most, most_int32).usage();
  if (EngineState::of(call).trace()) return trace_while(call, condition, body, state, most);
  for (std::int64_t steps = 0; steps != most; ++steps) {
    const std::vector<Structure> told = call_now(call, condition, outs_of(state));
    if (told.size() != 1)
      throw Error("{} gives {}, wanted one", while_condition, numbered(told.size(), "value")).usage();
    if (!holds(call, condition_of(told.front(), while_condition))) break;
    const std::vector<Structure> next = call_now(call, body, outs_of(state));
    check_carried(state, next, while_body);
    state = carried_all(call, next);
  }
  return outs_of(state);
}

// --- counted loops ------------------------------------------------------------------------------------------------

constexpr std::string_view fori_body = "the body of nacre.fori_loop";

// From `lower` to `upper`, at most so many steps; unknown: how many is known only when the graph runs.
Results trace_fori(const Call& call, const Out& body, Value lower, Value upper, std::int64_t most,
                   const std::vector<Structure>& state) {
  TracedFunction step(EngineState::of(call));
  std::vector<Out> given{step.open({DType::int32, {}})};
  for (Out& part : outs_of(opened(step, state))) given.push_back(std::move(part));
  check_carried(state, step.run(call, body, given, true), fori_body);

  HeldFunctions held;
  held.add(step);
  const Values start = values_of(call, state), changed = held.changed(), fixed = held.fixed();
  const ops::Looped looped = ops::loop(
      joined(joined(start, changed), {lower}), joined(fixed, {upper}),
      [](Graph&, const Values& carry, const Values& constant) { return ops::less(carry.back(), constant.back()); },
      [&](Graph& graph, const Values& carry, const Values& constant) {
        const std::vector<Values> parts = parted(carry, {start.size(), changed.size()});
        const Value index = carry.back(), iteration = held.random() ? ops::cast(index, DType::int64) : Value();
        const HeldFunctions::Emitted emitted = held.emit(step, graph, joined({index}, parts[0]),
                                                         {parted(constant, {fixed.size()})[0], parts[1], iteration});
        return joined(joined(emitted.results, emitted.changed), {one_more(index)});
      },
      most);
  return finish_loop(call, held, state, looped.carries);
}

Results fori_loop(Call& call) {
  const Object lower = integer_at(call, 1, "the lower bound of nacre.fori_loop"),
               upper = integer_at(call, 2, "the upper bound of nacre.fori_loop");
  const Out body = function_at(call, 3, "a function that makes a step");
  std::vector<Structure> state = state_at(call, 4);
  const bool traced = EngineState::of(call).trace() != nullptr;
  const bool known = known_now(call, lower) && known_now(call, upper);
  std::int64_t first = 0, end = 0;
  if (known) {
    const auto number = [&](const Object& bound) {
      const double value = array_of(call, bound).value.at(0);
      if (std::abs(value) > static_cast<double>(most_int32))
        throw Error("nacre.fori_loop counts in int32, got {}", value).usage();
      return static_cast<std::int64_t>(value);
    };
    first = number(lower), end = number(upper);
  }
  if (traced) {
    const auto scalar = [&](const Object& bound) {
      return ops::cast(ops::reshape(traced_value(call, bound), {}), DType::int32);
    };
    const std::int64_t most = known ? std::clamp<std::int64_t>(end - first, 0, most_int32) : unknown;
    return trace_fori(call, body, scalar(lower), scalar(upper), most, state);
  }
  for (std::int64_t i = first; i < end; ++i) {
    std::vector<Out> given{array_object({Tensor::scalar(static_cast<std::int32_t>(i))})};
    for (Out& part : outs_of(state)) given.push_back(std::move(part));
    const std::vector<Structure> next = call_now(call, body, given);
    check_carried(state, next, fori_body);
    state = carried_all(call, next);
  }
  return outs_of(state);
}

}  // namespace

std::span<const Function> control_flow_functions() {
  static constexpr Function functions[] = {
      {"cond",
       bound<cond>,
       {.usage = "nacre.cond(condition, f, g, …)",
        .doc = "f(…) where the condition holds, else g(…). The condition is true, false or a tensor of one element; "
               "numbers among the results become tensors. In a compiled function both f and g are traced, and one of "
               "them runs each time: they give the same tables, dtypes and shapes. They may use and change what is "
               "around them, weights and layers included.",
        .example = R"(
          local f = nacre.compile(function(x)
            return nacre.cond(x:sum():greater(0), function() return x end, function() return -x end)
          end)
          assert(f(nacre.tensor{-3.0, 1.0}):totable()[1] == 3)
        )"}},
      {"switch",
       bound<switch_case>,
       {.usage = "nacre.switch(index, {f, g, …}, …)",
        .doc = "The function of that number, counted from 0, called with what follows; the first or the last for "
               "numbers beyond them. Otherwise it is as nacre.cond.",
        .example = R"(
          local functions = {function(x) return x * 2 end, function(x) return x * x end}
          assert(nacre.switch(nacre.tensor(1), functions, nacre.tensor(5)):item() == 25)
          assert(nacre.switch(9, functions, nacre.tensor(5)):item() == 25)
        )"}},
      {"while_loop",
       bound<while_loop>,
       {.usage = "nacre.while_loop(condition, body, state[, options])",
        .doc = "As long as condition(state) holds, state becomes body(state); gives the last one. The items of a list "
               "are arguments and results of their own. Numbers become tensors; dtypes and shapes stay. In a compiled "
               "function both are traced. There a gradient needs maximum_iterations, and memory for what so many steps "
               "hand on.",
        .example = R"(
          local n, x = nacre.while_loop(
            function(n, x) return x:less(100) end,
            function(n, x) return n + 1, x * 2 end,
            {0, 1.0})
          assert(n:item() == 7 and x:item() == 128)
        )",
        .keys = {fields_of<WhileConfig>}}},
      {"fori_loop",
       bound<fori_loop>,
       {.usage = "nacre.fori_loop(lower, upper, body, state)",
        .doc = "state becomes body(i, state) for i from lower to upper - 1; gives the last one. States are as in "
               "nacre.while_loop, i is an int32 tensor. In a compiled function it has a gradient unless the bounds are "
               "computed there.",
        .example = R"(
          local power = nacre.fori_loop(0, 5, function(i, x) return x * 2 end, nacre.tensor(1.0))
          assert(power:item() == 32)
        )"}},
  };
  return functions;
}

void open_control_flow(lua_State* lua) { State::set_functions(lua, control_flow_functions()); }

}  // namespace nacre::scripting
