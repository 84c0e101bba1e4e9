// nacre.custom_gradient(forward, backward): functions whose gradient a script gives. At once the tape calls `backward`;
// in a traced function it is traced beside `forward`, and gradients emit what it made.
#include "backend/graph/ops/custom_gradient.h"

#include <algorithm>

#include "scripting/functions/called_functions.h"

namespace nacre::scripting {

namespace {

// "the backward function of nacre.custom_gradient (s.lua:3)"
std::string description_of(const Call& call, int index) {
  lua_Debug debug;
  lua_pushvalue(call.lua(), index);
  lua_getinfo(call.lua(), ">S", &debug);
  std::string text = "the backward function of nacre.custom_gradient";
  if (debug.linedefined > 0)
    text += fmt::format(" ({}:{})", *debug.source == '@' ? debug.source + 1 : debug.short_src, debug.linedefined);
  return text;
}

// Tables and types of tensors, without their elements.
struct Outline {
  std::vector<Structure> structures;
  Types types;  // of all tensors in them, in order

  explicit Outline(const std::vector<Structure>& given) {
    for (const Structure& structure : given) {
      structure.each([&](const Object& tensor) { types.push_back(type_of_tensor(tensor)); });
      structures.push_back(structure.with(std::vector<Object>(structure.count())));
    }
  }
};

// What `backward` gives, for each tensor among the arguments of `forward`.
class GradientReader {
 public:
  GradientReader(const Outline& arguments, std::string who) : arguments_(arguments), who_(std::move(who)) {}

  // Places among all tensors in `given`; none: there is no gradient.
  std::vector<std::optional<std::size_t>> read(const std::vector<Structure>& given) {
    if (given.size() != arguments_.structures.size())
      throw Error("{} gives {} for {}", who_, numbered(given.size(), "gradient"),
                  numbered(arguments_.structures.size(), "argument"))
          .hint("one for each argument, nil for those that have none")
          .usage();
    for (std::size_t i = 0; i < given.size(); ++i) {
      argument_ = i + 1;
      meet(arguments_.structures[i], &given[i]);
    }
    return std::move(places_);
  }

 private:
  [[noreturn]] void refuse(const Structure& given, std::string_view wanted) const {
    throw Error("{} gives {} as the gradient of argument {}, wanted {}", who_, given.text(), argument_, wanted).usage();
  }

  void meet(const Structure& argument, const Structure* given) {
    const bool none = !given || (!given->tensor && !given->is_table && given->constant.is_null());
    if (argument.tensor) return meet_tensor(none ? nullptr : given);
    if (!argument.is_table) {
      if (!none) refuse(*given, "nil");
      return;
    }
    if (!none && (!given->is_table || given->items.size() > argument.items.size())) refuse(*given, "a table like it");
    for (std::size_t i = 0; i < argument.items.size(); ++i)
      meet(argument.items[i], none || i >= given->items.size() ? nullptr : &given->items[i]);
    std::size_t met = 0;
    for (const auto& [key, value] : argument.entries) {
      const Structure* found = nullptr;
      if (!none)
        for (const auto& [name, one] : given->entries)
          if (name == key) found = &one, ++met;
      meet(value, found);
    }
    if (!none && met != given->entries.size()) refuse(*given, "a table with no other names");
  }

  void meet_tensor(const Structure* given) {
    const Type& type = arguments_.types[places_.size()];
    places_.emplace_back();
    if (!given) return;
    if (!given->tensor) refuse(*given, fmt::format("a tensor {}", type));
    if (!is_floating(type.dtype)) refuse(*given, fmt::format("nil: {} has none", type));
    const Type found = type_of_tensor(*given->tensor);
    if (found.dtype != type.dtype || !same(found.shape, type.shape)) refuse(*given, type.text());
    places_.back() = next_++;
  }

  const Outline& arguments_;
  std::string who_;
  std::vector<std::optional<std::size_t>> places_;
  std::size_t argument_ = 0, next_ = 0;
};

std::vector<Object> tensors_in(const std::vector<Structure>& structures) {
  std::vector<Object> tensors;
  for (const Structure& structure : structures)
    structure.each([&](const Object& tensor) { tensors.push_back(tensor); });
  return tensors;
}

// What `forward` gives: its result, then what it keeps for `backward`.
std::vector<Structure> forward_results(const Call& call, const std::vector<Out>& arguments) {
  std::vector<Structure> results = call_now(call, call.keep(lua_upvalueindex(1)), arguments, false);
  if (!results.empty()) results.front() = results.front().with_tensors();
  if (results.empty() || results.front().count() == 0)
    throw Error("the forward function of nacre.custom_gradient gives {}, wanted tensors",
                results.empty() ? "nothing" : results.front().text())
        .usage();
  return results;
}

// --- at once ------------------------------------------------------------------------------------------------------

// Only the function `backward` is a value of Lua that the tape keeps.
class Backward {
 public:
  Backward(const Call& call, const Structure& result, std::vector<Structure> kept,
           const std::vector<Structure>& arguments)
      : function_(call.keep(lua_upvalueindex(2))),
        who_(description_of(call, lua_upvalueindex(2))),
        result_({result}),
        kept_(std::move(kept)),
        arguments_(arguments) {}

  std::vector<std::optional<eager::Array>> operator()(std::span<const std::optional<eager::Array>> cotangents) const {
    const Call& call = Call::current();
    std::vector<Object> slopes;
    for (std::size_t i = 0; i < cotangents.size(); ++i)
      slopes.push_back(array_object(cotangents[i] ? *cotangents[i] : eager::Array{Tensor(result_.types[i])}));
    std::vector<Out> given{out_of(result_.structures.front().with(slopes))};
    for (Out& kept : outs_of(kept_)) given.push_back(std::move(kept));
    const std::vector<Structure> results = call_now(call, function_, given);
    const std::vector<Object> tensors = tensors_in(results);
    std::vector<std::optional<eager::Array>> gradients;
    for (const auto& place : GradientReader(arguments_, who_).read(results))
      gradients.push_back(place ? std::optional(array_of(call, tensors[*place])) : std::nullopt);
    return gradients;
  }

 private:
  KeptRef function_;
  std::string who_;
  Outline result_;
  std::vector<Structure> kept_;
  Outline arguments_;
};

Results compute_now(const Call& call, const std::vector<Structure>& arguments) {
  eager::Eager& eager = *EngineState::of(call).eager();
  // Where gradients have gradients, what is kept goes on to the arguments.
  const bool again = eager.recording_again();
  eager::Arrays inputs;
  std::vector<Out> given;
  for (const Structure& argument : arguments)
    given.push_back(argument.map([&](const Object& tensor) {
      inputs.push_back(array_of(call, tensor));
      return Out(array_object(again ? inputs.back() : eager::Eager::stop(inputs.back())));
    }));
  std::vector<Structure> results = forward_results(call, given);
  eager::Arrays made;
  std::vector<Tensor> values;
  for (const Object& tensor : tensors_in({results.front()})) {
    values.push_back(made.emplace_back(array_of(call, tensor)).value);
    if (!again && eager.followed(made.back()))
      throw Error("the forward function of nacre.custom_gradient uses what gradients are taken of and is no argument")
          .hint("hand it over as an argument, or as nacre.stop_gradient(…)")
          .usage();
  }
  if (eager.recording()) {
    std::vector<Structure> kept(results.begin() + 1, results.end());
    if (!again)
      for (Structure& one : kept) {
        std::vector<Object> stopped;
        one.each(
            [&](const Object& tensor) { stopped.push_back(array_object(eager::Eager::stop(array_of(call, tensor)))); });
        one = one.with(stopped);
      }
    const eager::Arrays linked =
        eager.join(std::move(values), inputs, Backward(call, results.front(), std::move(kept), arguments));
    for (std::size_t i = 0; i < made.size(); ++i) made[i].origin = linked[i].origin, made[i].output = linked[i].output;
  }
  auto next = made.begin();
  return {results.front().map([&](const Object&) { return Out(array_object(*next++)); })};
}

// --- in a trace ---------------------------------------------------------------------------------------------------

Results trace_both(const Call& call, const std::vector<Structure>& arguments) {
  auto& state = EngineState::of(call);
  const Values inputs = values_of(call, arguments);
  std::vector<Structure> given;
  auto input = inputs.begin();
  for (const Structure& argument : arguments) {
    std::vector<Object> tensors;
    argument.each([&](const Object& tensor) { tensors.push_back(state.traced(*input++, traced_mask(call, tensor))); });
    given.push_back(argument.with(tensors));
  }
  const std::vector<Structure> results = forward_results(call, outs_of(given));
  const Values made = values_of(call, {results.front()});

  TracedFunction backward(state);
  std::vector<Out> told = outs_of(opened(backward, {results.front()}));
  for (std::size_t i = 1; i < results.size(); ++i) told.push_back(out_of(results[i]));
  const std::string who = description_of(call, lua_upvalueindex(2));
  const std::vector<Structure> slopes = backward.run(call, call.keep(lua_upvalueindex(2)), told, true);
  if (!backward.graph().updates().empty())
    throw Error("{} changes '{}'", who, backward.graph().updates().front().variable->path())
        .hint("it is computed where gradients are taken, perhaps more than once; change weights outside of it")
        .usage();
  const std::vector<std::optional<std::size_t>> places = GradientReader(Outline(given), who).read(slopes);
  HeldFunctions held;
  held.add(backward);
  const Values residuals = held.fixed();
  const auto body = std::make_shared<Graph>();
  Values cotangents, fixed, targets;
  for (const Value value : made)
    cotangents.push_back(body->input(fmt::format("dy{}", cotangents.size()), value.type()));
  for (const Value value : residuals) fixed.push_back(body->input(fmt::format("in{}", fixed.size()), value.type()));
  const HeldFunctions::Emitted emitted = held.emit(backward, *body, cotangents, {fixed, {}});
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (!places[i]) continue;
    body->output(fmt::format("dx{}", targets.size()), emitted.results[*places[i]]);
    targets.push_back(inputs[i]);
  }
  const Values passed = ops::custom_gradient(made, targets, residuals, body);
  auto next = passed.begin();
  return {
      results.front().map([&](const Object& tensor) { return Out(state.traced(*next++, traced_mask(call, tensor))); })};
}

// --- the function that nacre.custom_gradient gives ----------------------------------------------------------------

// Upvalues: forward, backward.
Results call_custom(Call& call) {
  std::vector<Structure> arguments;
  for (int i = 1; i <= call.count(); ++i) arguments.push_back(Structure::read(call, i));
  return EngineState::of(call).trace() ? trace_both(call, arguments) : compute_now(call, arguments);
}

void check_functions(Call& call) {
  for (const int index : {1, 2})
    if (!lua_isfunction(call.lua(), index))
      throw call.unwanted(index, index == 1 ? "a function that computes" : "a function that gives the gradients");
}

int custom_gradient(lua_State* lua) {
  lua_settop(lua, 2);
  bound<check_functions>(lua);
  lua_pushcclosure(lua, bound<call_custom>, 2);
  return 1;
}

}  // namespace

std::span<const Function> custom_gradient_functions() {
  static constexpr Function functions[] = {
      {"custom_gradient",
       custom_gradient,
       {.usage = "nacre.custom_gradient(forward, backward)",
        .doc =
            "A function that computes forward(x, …), and whose gradient is backward's. forward gives the result, and "
            "what else it gives is kept: backward(dy, kept, …) gives a gradient for each argument, nil where there is "
            "none. dy has the tables of the result. Gradients go to the arguments alone, and have gradients in turn: "
            "other "
            "tensors that gradients are taken of are refused in forward, and are constants where a function is "
            "compiled.",
        .example = R"(
          local square = nacre.custom_gradient(
            function(x) return x * x, x end,
            function(dy, x) return nacre.ops.clip(dy * 2 * x, -1, 1) end)
          local g = nacre.grad(function(x) return square(x):sum() end)
          assert(g(nacre.tensor{0.25, 3.0}):totable()[2] == 1)
        )"}},
  };
  return functions;
}

void open_custom_gradient(lua_State* lua) { State::set_functions(lua, custom_gradient_functions()); }

}  // namespace nacre::scripting
