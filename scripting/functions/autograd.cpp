// Gradients of functions of Lua: nacre.grad, nacre.value_and_grad, nacre.vjp, nacre.stop_gradient, nacre.check_grad. At
// once they follow what has been recorded; in a traced function they are more of its graph.
#include <algorithm>
#include <cmath>

#include "backend/graph/ops/elementwise.h"
#include "scripting/bindings.h"
#include "scripting/functions/traced_part.h"

namespace nacre::scripting {

namespace {

// Whether it may be a function; what it is turns out when it is called.
bool may_be_called(const Call& call, int index) {
  return lua_isfunction(call.lua(), index) || call.is_table(index) || call.object(index);
}

// --- of what ------------------------------------------------------------------------------------------------------

// What gradients are taken of: tensors in an argument, or weights. They come back in the same tables.
struct Target {
  int argument = 0;  // its place; 0: weights that are no argument
  int weights = 0;   // index of what has the weights, which the function gets as it is; 0: tensors
  Structure structure{};
};

// A layer has its weights from its first call on, which may be in the function.
Structure structure_of_weights(const Call& call, int index) {
  const auto tensor_of = [&](const Weight& weight) -> Structure {
    want_value(call, weight);
    return {.tensor = weight_object(weight)};
  };
  if (const auto weight = call.find<Weight>(index)) return tensor_of(*weight);
  Structure structure;
  structure.is_table = true;
  for (const Weight& weight : read_weights(call, index)) structure.items.push_back(tensor_of(weight));
  return structure;
}

bool is_built(const Call& call, int index) {
  if (const auto layer = call.find<LayerObject>(index)) return layer->layer->built();
  bool built = true;
  if (call.is_table(index)) call.each_item(index, [&](int item) { built = built && is_built(call, item); });
  return built;
}

constexpr std::string_view real_tensors =
    "wanted a tensor of real numbers: nacre.tensor(3.0), tensor:cast(\"float32\")";

Target target_of_argument(const Call& call, int place, int index) {
  if (call.find<LayerObject>(index)) return {place, index};
  Target target{.argument = place, .structure = Structure::read(call, index)};
  std::size_t floating = 0;
  target.structure.each([&](const Object& tensor) {
    if (!is_floating(type_of_tensor(tensor).dtype))
      throw Error("got {}, of which there is no gradient", tensor.kind->text(tensor))
          .hint(std::string(real_tensors))
          .usage();
    ++floating;
  });
  if (floating == 0) throw call.unwanted(index, fmt::format("a tensor, a layer or weights as argument {}", place));
  return target;
}

bool has_floating(const Structure& structure) {
  bool floating = false;
  structure.each([&](const Object& tensor) { floating = floating || is_floating(type_of_tensor(tensor).dtype); });
  return floating;
}

Error no_target() {
  return Error("got no argument that a gradient could be taken of").hint(std::string(real_tensors)).usage();
}

// As the second argument of nacre.grad says: the numbers of arguments, or weights. nil: the first argument. `first` is
// the index of the function's first argument.
std::vector<Target> read_targets(const Call& call, int wanted, int first) {
  const auto argument = [&](int index) {
    const std::int64_t place = call.tree(index).as_integer();
    if (place < 1 || first + place - 1 > call.count())
      throw Error("got {} as the number of an argument, of which there are {}", place, call.count() - first + 1)
          .usage();
    return target_of_argument(call, static_cast<int>(place), first + static_cast<int>(place) - 1);
  };
  lua_State* const lua = call.lua();
  if (lua_isnoneornil(lua, wanted)) {
    if (call.count() < first) throw Error("the function that is differentiated was called without an argument").usage();
    return {target_of_argument(call, 1, first)};
  }
  if (lua_type(lua, wanted) == LUA_TNUMBER) return {argument(wanted)};
  bool numbers = call.is_table(wanted);
  if (numbers) call.each_item(wanted, [&](int item) { numbers = numbers && lua_type(lua, item) == LUA_TNUMBER; });
  if (numbers) {
    std::vector<Target> targets;
    call.each_item(wanted, [&](int item) {
      targets.push_back(argument(item));
      const int place = targets.back().argument;
      if (std::ranges::count(targets, place, &Target::argument) > 1)
        throw Error("got argument {} twice among those that gradients are taken of", place).usage();
    });
    if (targets.empty())
      throw call.unwanted(wanted, "numbers of arguments, a layer or weights").hint("without them it is argument 1");
    return targets;
  }
  structure_of_weights(call, wanted);  // or its error
  return {{0, wanted}};
}

// --- derivatives --------------------------------------------------------------------------------------------------

// A function that was called, and the gradients of its first result.
class Derivative {
 public:
  virtual ~Derivative() = default;
  // For cotangents of the tensors in the first result; none: ones. Those of tensors, then those of weights.
  virtual std::vector<Object> gradients(const Call& call, const std::vector<Object>& cotangents) = 0;

  Structure result;  // the first
  std::vector<Target> targets;
  Results others;  // further results, after `result`

  // The gradients as the targets are.
  Results gradients_as_targets(const Call& call, const std::vector<Object>& cotangents) {
    const std::vector<Object> slopes = gradients(call, cotangents);
    auto next = slopes.begin();
    Results results(targets.size());
    for (const bool weights : {false, true})
      for (std::size_t i = 0; i < targets.size(); ++i)
        if ((targets[i].weights != 0) == weights)
          results[i] = targets[i].structure.map([&](const Object&) { return Out(*next++); });
    return results;
  }
};

// The arguments of the function, from index `first` on, those of targets that are tensors opened by open(tensor).
template <class Open>
std::vector<Out> opened_arguments(const Call& call, int first, const std::vector<Target>& targets, const Open& open) {
  std::vector<Out> arguments;
  for (int i = first; i <= call.count(); ++i) arguments.emplace_back(Out::At{i});
  for (const Target& target : targets)
    if (!target.weights)
      arguments[static_cast<std::size_t>(target.argument) - 1] =
          target.structure.map([&](const Object& tensor) { return Out(open(tensor)); });
  return arguments;
}

}  // namespace

template <>
const Class& class_of<std::shared_ptr<Derivative>>();

namespace {

class EagerDerivative final : public Derivative {
 public:
  EagerDerivative(const Call& call, const Out& function, int first, std::vector<Target> wanted) {
    targets = std::move(wanted);
    auto& eager = *EngineState::of(call).eager();
    std::vector<VariableRef> watched;
    bool built = true;
    for (const Target& target : targets) {
      if (target.weights) built = built && is_built(call, target.weights);
      const Structure given = target.weights ? structure_of_weights(call, target.weights) : target.structure;
      given.each([&](const Object& tensor) {
        if (is_weight(tensor)) watched.push_back(variable_of(tensor));
      });
    }
    eager::Eager::Recording recording(eager, watched, !built);
    const std::vector<Out> arguments = opened_arguments(call, first, targets, [&](const Object& tensor) {
      if (is_weight(tensor)) {
        add_leaf(recording, tensor);
        return tensor;
      }
      leaves_.push_back(eager.watch(array_of(call, tensor)));
      types_.push_back(leaves_.back().value.type());
      return array_object(leaves_.back());
    });
    const int results = call.invoke(function, arguments);
    if (lua_gettop(call.lua()) < results) throw Error("the function that is differentiated gives nothing").usage();
    result = Structure::read(call, results);
    result.each([&](const Object& tensor) { outputs_.push_back(array_of(call, tensor)); });
    for (int i = results + 1; i <= lua_gettop(call.lua()); ++i) others.emplace_back(Out::At{i});
    for (Target& target : targets) {
      if (!target.weights) continue;
      target.structure = structure_of_weights(call, target.weights);
      target.structure.each([&](const Object& weight) { add_leaf(recording, weight); });
    }
  }

  std::vector<Object> gradients(const Call& call, const std::vector<Object>& cotangents) override {
    auto& eager = *EngineState::of(call).eager();
    std::vector<eager::Array> given;
    for (const Object& cotangent : cotangents) given.push_back(array_of(call, cotangent));
    std::vector<Object> slopes;
    const auto found = eager.gradients(outputs_, given, leaves_);
    for (std::size_t i = 0; i < found.size(); ++i)
      slopes.push_back(array_object(found[i] ? *found[i] : eager::Array{Tensor(types_[i])}));
    return slopes;
  }

 private:
  static bool is_weight(const Object& tensor) { return tensor.kind == &class_of<Weight>(); }
  static VariableRef variable_of(const Object& weight) {
    return std::static_pointer_cast<Weight>(weight.value)->variable;
  }
  void add_leaf(eager::Eager::Recording& recording, const Object& weight) {
    leaves_.push_back(recording.leaf(variable_of(weight)));
    types_.push_back(type_of_tensor(weight));
  }

  std::vector<eager::Array> outputs_, leaves_;
  Types types_;
};

class TracedDerivative final : public Derivative {
 public:
  TracedDerivative(const Call& call, const Out& function, int first, std::vector<Target> wanted)
      : part_(EngineState::of(call)) {
    targets = std::move(wanted);
    const std::vector<Out> arguments =
        opened_arguments(call, first, targets, [&](const Object& tensor) { return part_.open(call, tensor); });
    const std::vector<Structure> results = part_.run(call, function, arguments);
    if (results.empty()) throw Error("the function that is differentiated gives nothing").usage();
    for (Target& target : targets) {
      if (!target.weights) continue;
      target.structure = structure_of_weights(call, target.weights);
      target.structure.each([&](const Object& weight) { part_.open(call, weight); });
    }
    const std::vector<Object> objects = part_.close();
    count_ = results.front().count();
    auto next = objects.begin();
    const auto take = [&](const Object&) { return Out(*next++); };
    result = results.front().with(objects);
    next += static_cast<std::ptrdiff_t>(count_);
    for (std::size_t i = 1; i < results.size(); ++i) others.push_back(results[i].map(take));
  }

  std::vector<Object> gradients(const Call& call, const std::vector<Object>& cotangents) override {
    std::vector<std::optional<Object>> given(cotangents.begin(), cotangents.end());
    if (given.empty()) {
      result.each([&](const Object& tensor) {
        Tensor ones(type_of_tensor(tensor));
        visit(ones.dtype(), [&]<class T>(T*) { std::ranges::fill(ones.writable<T>(), convert<T>(1)); });
        given.emplace_back(array_object({std::move(ones)}));
      });
    }
    return part_.gradients(call, given);
  }

 private:
  TracedPart part_;
  std::size_t count_ = 0;
};

std::unique_ptr<Derivative> differentiate(const Call& call, const Out& function, int first,
                                          std::vector<Target> targets) {
  if (EngineState::of(call).trace())
    return std::make_unique<TracedDerivative>(call, function, first, std::move(targets));
  return std::make_unique<EagerDerivative>(call, function, first, std::move(targets));
}

// --- nacre.grad, nacre.value_and_grad -----------------------------------------------------------------------------

// The function that nacre.grad gives: upvalues are the function and what it is differentiated by.
template <bool with_value>
Results call_gradient(Call& call) {
  const KeptRef function = call.keep(lua_upvalueindex(1));
  const auto derivative = differentiate(call, function, 1, read_targets(call, lua_upvalueindex(2), 1));
  const Structure& result = derivative->result;
  const auto given = [&] { return result.tensor ? result.tensor->kind->text(*result.tensor) : "no tensor"; };
  if (!result.tensor || type_of_tensor(*result.tensor).shape.elements() != 1)
    throw Error("the function that is differentiated gives {}, wanted one number", given())
        .hint("sum or average it, or use nacre.vjp, which takes the gradients of the results")
        .usage();
  if (!is_floating(type_of_tensor(*result.tensor).dtype))
    throw Error("the function that is differentiated gives {}, wanted a real number", given())
        .hint("numbers that are counted or compared, as by argmax and greater, have no gradient")
        .usage();
  Results results;
  if (with_value) results.emplace_back(*result.tensor);
  for (Out& slope : derivative->gradients_as_targets(call, {})) results.push_back(std::move(slope));
  for (Out& other : derivative->others) results.push_back(std::move(other));
  return results;
}

void refuse_function(Call& call) { throw call.unwanted(1, "a function"); }

template <bool with_value>
int make_gradient(lua_State* lua) {
  lua_settop(lua, 2);
  if (!lua_isfunction(lua, 1) && luaL_getmetafield(lua, 1, "__call") == LUA_TNIL) return bound<refuse_function>(lua);
  lua_settop(lua, 2);
  lua_pushcclosure(lua, bound<call_gradient<with_value>>, 2);
  return 1;
}

// --- nacre.vjp ----------------------------------------------------------------------------------------------------

// back(dy)
Results pull_back(Call& call) {
  const auto derivative = *call.self<std::shared_ptr<Derivative>>();
  std::vector<Object> cotangents;
  if (call.given(2)) {
    const Structure given = Structure::read(call, 2);
    given.each([&](const Object& tensor) { cotangents.push_back(tensor); });
    if (lua_type(call.lua(), 2) == LUA_TNUMBER) cotangents.push_back(read_tensor(call, 2, "a tensor"));
    if (cotangents.size() != derivative->result.count())
      throw Error("got {} gradients for {} results", cotangents.size(), derivative->result.count()).usage();
    auto cotangent = cotangents.begin();
    derivative->result.each([&](const Object& tensor) {
      const Type wanted = type_of_tensor(tensor), found = type_of_tensor(*cotangent++);
      if (found != wanted)
        throw Error("the gradient of a result {} is {}", wanted, found)
            .hint("it has the dtype and the shape of the result: nacre.ones_like(y), tensor:cast(y.dtype)")
            .usage();
    });
  }
  return derivative->gradients_as_targets(call, cotangents);
}

constexpr Function pullback_metamethods[] = {
    {"__call",
     bound<pull_back>,
     {.usage = "back([dy])",
      .doc =
          "What nacre.vjp gives: the gradients of Σ dy · y, one result for each argument of f that holds tensors, in "
          "the same tables. dy has the tables and shapes of y; without it all of dy is 1. It may be called more than "
          "once.",
      .example = R"(
        local y, back = nacre.vjp(function(a, b) return a * b end, nacre.tensor{1.0, 2.0}, nacre.tensor{3.0, 4.0})
        local da, db = back(nacre.tensor{1.0, 10.0})
        assert(da:totable()[2] == 40 and db:totable()[2] == 20)
        local ones = back()
        assert(ones:totable()[2] == 4)
      )"}},
};

// nacre.vjp(f, x, …) → y, back, other results: back(dy) gives the gradients of ⟨dy, y⟩ with respect to each argument
// that holds tensors, layers or weights.
Results vjp(Call& call) {
  if (call.count() < 2) throw Error("nacre.vjp takes a function and its arguments").usage();
  if (!may_be_called(call, 1)) throw call.unwanted(1, "a function");
  std::vector<Target> targets;
  for (int i = 2; i <= call.count(); ++i) {
    const auto object = call.object(i);
    if (!call.is_table(i) && !(object && (is_tensor(*object) || object->kind == &class_of<LayerObject>()))) continue;
    if (!(object && object->kind == &class_of<LayerObject>()) && !has_floating(Structure::read(call, i))) continue;
    targets.push_back(target_of_argument(call, i - 1, i));
  }
  if (targets.empty()) throw no_target();
  const KeptRef function = call.keep(1);
  const std::shared_ptr<Derivative> derivative = differentiate(call, function, 2, std::move(targets));
  Results results{derivative->result.map([](const Object& tensor) { return Out(tensor); }),
                  Out(make_object(derivative))};
  for (Out& other : derivative->others) results.push_back(std::move(other));
  return results;
}

// --- the rest -----------------------------------------------------------------------------------------------------

// nacre.stop_gradient(x)
Out stop_gradient(Call& call) {
  const Object object = read_tensor(call, 1, "a tensor");
  auto& state = EngineState::of(call);
  if (!state.trace() || object.kind == &class_of<eager::Array>())
    return array_object(eager::Eager::stop(array_of(call, object)));
  return state.traced(ops::stop_gradient(traced_value(call, object)), traced_mask(call, object));
}

struct CheckConfig {
  double epsilon = 1e-3, tolerance = 1e-2;
  static void describe(auto&& field) {
    field("epsilon", &CheckConfig::epsilon, "by which numbers are moved", above(0));
    field("tolerance", &CheckConfig::tolerance, "largest difference that passes, in parts of 1 or of the slope",
          above(0));
  }
};

// nacre.check_grad(f, x, …[, {epsilon = …, tolerance = …}]) → whether gradients agree with differences, the largest
// difference: of the sum of f's first result, for each number of each tensor argument.
Results check_grad(Call& call) {
  const bool named =
      call.count() > 2 && call.is_named(call.count()) && Structure::read(call, call.count()).count() == 0;
  const auto config =
      about("check_grad", [&] { return named ? read_options<CheckConfig>(call, call.count()) : CheckConfig(); });
  const int last = call.count() - (named ? 1 : 0);
  if (last < 2) throw Error("nacre.check_grad takes a function and its arguments").usage();
  if (!may_be_called(call, 1)) throw call.unwanted(1, "a function");
  if (EngineState::of(call).trace()) throw Error("gradients are checked outside of traced functions").usage();
  const KeptRef function = call.keep(1);
  std::vector<Target> targets;
  std::vector<Structure> arguments;
  for (int i = 2; i <= last; ++i) {
    arguments.push_back(Structure::read(call, i));
    bool floating = arguments.back().count() > 0;
    arguments.back().each(
        [&](const Object& tensor) { floating = floating && is_floating(type_of_tensor(tensor).dtype); });
    if (floating) targets.push_back(target_of_argument(call, i - 1, i));
  }
  if (targets.empty()) throw no_target();

  lua_State* const lua = call.lua();
  const int top = lua_gettop(lua);
  const auto sum_at = [&](int index) {
    double sum = 0;
    Structure::read(call, index).each([&](const Object& tensor) {
      const Tensor value = array_of(call, tensor).value;
      for (std::int64_t i = 0; i < value.size(); ++i) sum += value.at(i);
    });
    return sum;
  };
  EagerDerivative derivative(call, function, 2, targets);
  const std::vector<Object> slopes = derivative.gradients(call, {});
  lua_settop(lua, top);

  double largest = 0;
  std::size_t number = 0;  // of the tensor among all targets
  for (std::size_t t = 0; t < targets.size(); ++t) {
    std::vector<Object> tensors;
    targets[t].structure.each([&](const Object& tensor) { tensors.push_back(tensor); });
    for (std::size_t k = 0; k < tensors.size(); ++k, ++number) {
      const Tensor start = array_of(call, tensors[k]).value, slope = array_of(call, slopes[number]).value;
      for (std::int64_t i = 0; i < start.size(); ++i) {
        const auto moved = [&](double distance) {
          Tensor values = start.cast(DType::float64);
          values.writable<double>()[static_cast<std::size_t>(i)] += distance;
          const Object other = array_object({values.cast(start.dtype())});
          std::vector<Out> given;
          std::size_t place = 0;
          for (std::size_t a = 0; a < arguments.size(); ++a) {
            const bool here = targets[t].argument == static_cast<int>(a) + 1;
            place = 0;
            given.push_back(
                arguments[a].map([&](const Object& tensor) { return Out(here && place++ == k ? other : tensor); }));
          }
          const int results = call.invoke(function, given);
          const double sum = sum_at(results);
          lua_settop(lua, top);
          return sum;
        };
        const double difference = (moved(config.epsilon) - moved(-config.epsilon)) / (2 * config.epsilon);
        const double expected = slope.at(i),
                     apart = std::abs(difference - expected) / std::max(1.0, std::abs(expected));
        largest = std::isnan(apart) ? apart : std::max(largest, apart);
      }
    }
  }
  return {Out(largest <= config.tolerance), Out(largest)};
}

}  // namespace

template <>
const Class& class_of<std::shared_ptr<Derivative>>() {
  static const Class kind{
      .name = "pullback", .members = {}, .metamethods = pullback_metamethods, .text = [](const Object&) {
        return std::string("pullback");
      }};
  return kind;
}

const Class& pullback_class() { return class_of<std::shared_ptr<Derivative>>(); }

std::span<const Function> autograd_functions() {
  static constexpr Function functions[] = {
      {"grad",
       make_gradient<false>,
       {.usage = "nacre.grad(f[, of])",
        .doc =
            "A function that takes f's arguments and gives the gradient of f's first result, which is one number, and "
            "then f's other results. `of` says of what it is taken: an argument by its number (default 1) or several, "
            "a layer, a model, a weight, or a list of weights; gradients come in the same tables, and each `of` that "
            "is an argument gives a result of its own. It goes through loops and branches of Lua, and may be taken "
            "again.",
        .example = R"(
          local function f(x) return (x ^ 3):sum() end
          local x = nacre.tensor{1.0, 2.0}
          assert(nacre.grad(f)(x):totable()[2] == 12)                 -- 3 x²
          local function slope(x) return nacre.grad(f)(x):sum() end
          assert(nacre.grad(slope)(x):totable()[2] == 12)             -- 6 x

          local dense, inputs = nacre.layers.Dense{units = 1}, nacre.ones{4, 3}
          dense(inputs)                                               -- makes its weights
          local gradients = nacre.grad(function() return dense(inputs):mean() end, dense)()
          assert(#gradients == #dense.trainable_weights and gradients[1]:sum():item() == 3)
        )"}},
      {"value_and_grad",
       make_gradient<true>,
       {.usage = "nacre.value_and_grad(f[, of])",
        .doc = "As nacre.grad, but the function gives f's first result ahead of the gradients: what a training loop "
               "wants.",
        .example = R"(
          local dense, mse = nacre.layers.Dense{units = 1}, nacre.losses.MeanSquaredError()
          local optimizer = nacre.optimizers.SGD{learning_rate = 0.1}
          local x, y = nacre.tensor{{0.0}, {1.0}}, nacre.tensor{{1.0}, {3.0}}
          dense(x)
          local losses = {}
          for step = 1, 20 do
            local loss, gradients = nacre.value_and_grad(function() return mse(y, dense(x)) end, dense)()
            optimizer:apply(gradients, dense)
            losses[step] = loss:item()
          end
          assert(losses[20] < losses[1])
        )"}},
      {"vjp",
       bound<vjp>,
       {.usage = "nacre.vjp(f, x, …)",
        .doc =
            "Calls f(x, …), which may give tensors of any shape, or tables of them, and gives its first result, a "
            "function back([dy]) for the gradients of all arguments that hold tensors, and f's other results. A layer "
            "or model among the arguments stands for its trainable weights.",
        .example = R"(
          local y, back = nacre.vjp(function(x) return x * x end, nacre.tensor{1.0, 2.0})
          assert(y:totable()[2] == 4)
          assert(back(nacre.tensor{1.0, 10.0}):totable()[2] == 40)    -- dy · 2 x
        )"}},
      {"stop_gradient",
       bound<stop_gradient>,
       {.usage = "nacre.stop_gradient(x)", .doc = "x, which gradients take for a constant.", .example = R"(
         local function f(x) return x * nacre.stop_gradient(x) end
         assert(nacre.grad(f)(nacre.tensor(3.0)):item() == 3)
       )"}},
      {"check_grad",
       bound<check_grad>,
       {.usage = "nacre.check_grad(f, x, …[, options])",
        .doc = "Compares the gradients of the sum of f's first result with differences of it, for each number in the "
               "floating tensors among the arguments: whether they agree, and the largest difference, as a part of the "
               "slope, or of 1 where the slope is smaller.",
        .example = R"(
          local x = nacre.tensor{0.5, 1.5}
          local agree, difference = nacre.check_grad(function(x) return nacre.ops.sin(x) end, x)
          assert(agree and difference < 0.01)
          assert(not nacre.check_grad(function(x) return x * nacre.stop_gradient(x) end, x, {tolerance = 0.1}))
        )",
        .keys = {fields_of<CheckConfig>}}},
  };
  return functions;
}

void open_autograd(lua_State* lua) {
  State::open_class(lua, class_of<std::shared_ptr<Derivative>>());
  State::set_functions(lua, autograd_functions());
}

}  // namespace nacre::scripting
