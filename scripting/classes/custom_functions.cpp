// What is one function of values, in Lua: activations, penalties, constraints, schedules, initializers; and functions
// of scripts as Lambda layers.
#include "backend/graph/ops/elementwise.h"
#include "layers/lambda.h"
#include "scripting/classes/custom.h"

namespace nacre::scripting {

Value call_on_values(const Scripted& object, Graph& graph, std::string_view method, const Values& values) {
  EngineState& state = object.lua().state();
  Context context(graph, false);
  Values results;
  traced_in(state, context, [&] {
    std::vector<Out> given;
    for (const Value& value : values) given.emplace_back(value ? Out(state.traced(value)) : Out());
    object.lua().invoke(method, object.self(), given, [&](const Call& call, int first) {
      results = read_values(call, first, fmt::format("'{}' of '{}'", method, object.lua().name()));
    });
  });
  if (results.size() != 1)
    throw Error("'{}' of '{}' gives {} tensors, wanted one", method, object.lua().name(), results.size()).usage();
  return results.front();
}

namespace {

template <class Base>
class FunctionOfLua final : public Base, public ScriptedAs<Base> {
 public:
  explicit FunctionOfLua(LuaObject object) : ScriptedAs<Base>(std::move(object)) { this->lua_.need_method("call"); }
  std::string_view class_name() const override { return lua_class_name; }
  Tree config_tree(Style style) const override { return this->lua_.config(style); }

  Value operator()(Value x) const override {
    const Value result = call_on_values(*this, x.graph(), "call", {x});
    const auto wanted = [&](bool is, const auto& what) {
      if (!is) throw Error("'call' of '{}' gives {}, wanted {}", this->lua_.name(), result.type(), what).usage();
    };
    if constexpr (std::is_same_v<Base, Regularizer>) {
      wanted(result.shape().rank() == 0, "one number");
    } else if constexpr (std::is_same_v<Base, WeightConstraint>) {
      wanted(result.type() == x.type(), x.type());
    } else if constexpr (std::is_same_v<Base, LearningRateSchedule>) {
      wanted(result.shape().rank() == 0, "one number");
      return ops::cast(result, x.dtype());
    }
    return result;
  }
};

class InitializerOfLua final : public Initializer, public ScriptedAs<Initializer> {
 public:
  explicit InitializerOfLua(LuaObject object) : ScriptedAs(std::move(object)) { lua_.need_method("call"); }
  std::string_view class_name() const override { return lua_class_name; }
  Tree config_tree(Style style) const override { return lua_.config(style); }

  Tensor operator()(const Shape& shape, DType dtype, RandomKey key) const override {
    EngineState& state = lua_.state();
    if (state.trace())
      throw Error("weights are given their values outside of traced functions")
          .hint("call the layer once before")
          .usage();
    // What it draws depends on the weight alone.
    const auto before = state.exchange_draws({.seed = static_cast<std::int64_t>(key.seed ^ key.stream), .step = 0});
    struct Restored {
      EngineState& state;
      ComputingState::Draws draws;
      ~Restored() { state.exchange_draws(draws); }
    } const restored{state, before};
    std::optional<Tensor> value;
    invoke("call", {Out(shape), Out(name_of(dtype))}, [&](const Call& call, int first) {
      value = array_of(call, read_tensor(call, first, fmt::format("a tensor from 'call' of '{}'", lua_.name()))).value;
    });
    if (value->shape() != shape)
      throw Error("'call' of '{}' gives {}, wanted the shape {}", lua_.name(), value->type(), shape).usage();
    return value->cast(dtype);
  }
};

// --- Lambda -------------------------------------------------------------------------------------------------------

class FunctionOfScript final : public ScriptFunction, public Scripted {
 public:
  // `of_c`: such functions, nacre.ops.relu, take no empty table of arguments.
  FunctionOfScript(LuaObject object, bool of_c) : Scripted(std::move(object)), of_c_(of_c) {}
  Object self() const override { return {}; }  // it is no method

  Values operator()(Context& context, const Values& inputs, const Tree& arguments) const override {
    EngineState& state = lua_.state();
    Values results;
    traced_in(state, context, [&] {
      Out::List given;
      for (const Value& input : inputs) given.emplace_back(state.traced(input));
      const Out in = given.size() == 1 ? given.front() : Out(std::move(given));
      std::vector<Out> parameters{in};
      if (!of_c_ || arguments != Tree::mapping()) parameters.emplace_back(arguments);
      invoke("call", parameters,
             [&](const Call& call, int first) { results = read_values(call, first, "the function"); });
    });
    return results;
  }
  std::string source() const override {
    const Tree config = lua_.config(Style::keras);
    // A chunk as an expression, which is what Lambda holds.
    return fmt::format("(function() {} end)()", config["source"].as_string());
  }

 private:
  bool of_c_;
};

}  // namespace

std::shared_ptr<Activation> Custom<Activation>::make(LuaObject object, Options) {
  return scripted<FunctionOfLua<Activation>, Activation>(std::move(object));
}
std::shared_ptr<Regularizer> Custom<Regularizer>::make(LuaObject object, Options) {
  return scripted<FunctionOfLua<Regularizer>, Regularizer>(std::move(object));
}
std::shared_ptr<WeightConstraint> Custom<WeightConstraint>::make(LuaObject object, Options) {
  return scripted<FunctionOfLua<WeightConstraint>, WeightConstraint>(std::move(object));
}
std::shared_ptr<LearningRateSchedule> Custom<LearningRateSchedule>::make(LuaObject object, Options) {
  return scripted<FunctionOfLua<LearningRateSchedule>, LearningRateSchedule>(std::move(object));
}
std::shared_ptr<Initializer> Custom<Initializer>::make(LuaObject object, Options) {
  return scripted<InitializerOfLua, Initializer>(std::move(object));
}

std::shared_ptr<Layer> lambda_of_function(const Call& call) {
  if (call.count() != 1 || !call.is_table(1)) return nullptr;
  KeptRef function;
  bool of_c = false;
  Tree config = Tree::mapping().at(call.place());
  const auto take = [&](int value) {
    if (function || !lua_isfunction(call.lua(), value)) return false;
    function = call.keep(value);
    of_c = lua_iscfunction(call.lua(), value);
    return true;
  };
  bool other_items = false;
  call.each_item(1, [&](int value) { other_items = !take(value) || other_items; });
  call.each_named(
      1,
      [&](const std::string& key, int value) {
        if (key != "function" || !take(value)) config.set(key, call.tree(value));
      },
      true);
  if (!function) return nullptr;
  if (other_items) throw Error("wanted a function and names: Lambda{{function(x) … end, name = …}}").usage();
  config.set("function", "function() end");
  auto [described, options] = read_layer_config<LambdaConfig>(config);
  described.function = {
      .text = "", .script = std::make_shared<FunctionOfScript>(LuaObject(call, "layer", std::move(function)), of_c)};
  return Lambda(std::move(described), std::move(options)).share();
}

}  // namespace nacre::scripting
