// Which kinds of objects may have classes of Lua: for each, what defines them, what all have beside the class's fields,
// and how one is made.
#pragma once

#include "api/train/callback.h"
#include "api/train/losses.h"
#include "api/train/metric.h"
#include "api/train/slot_optimizer.h"
#include "scripting/classes/lua_object.h"

namespace nacre::scripting {

struct NoOptions {
  static void describe(auto&&) {}
};

// What optimizers have beside OptimizerOptions.
struct LuaOptimizerOptions {
  OptimizerOptions common;
  struct Rates {
    LearningRate learning_rate;
    std::optional<double> weight_decay;
    static void describe(auto&& field) {
      field("learning_rate", &Rates::learning_rate, "step size, or a schedule");
      field("weight_decay", &Rates::weight_decay, "share of each weight that goes at each step");
    }
  } rates;
};

// `definer` is the function of nacre that defines classes: nacre.Layer.
template <class Base>
struct Custom;
template <>
struct Custom<Layer> {
  using Options = LayerOptions;
  static constexpr const char* definer = "Layer";
  static constexpr std::string_view module = "nacre.layers", doc = "A layer whose class is one of Lua's.";
  static std::shared_ptr<Layer> make(LuaObject object, Options options);
};
template <>
struct Custom<Loss> {
  using Options = LossOptions;
  static constexpr const char* definer = "Loss";
  static constexpr std::string_view module = "nacre.losses", doc = "A loss whose class or function is one of Lua's.";
  static std::shared_ptr<Loss> make(LuaObject object, Options options);
};
template <>
struct Custom<Metric> {
  using Options = MetricOptions;
  static constexpr const char* definer = "Metric";
  static constexpr std::string_view module = "nacre.metrics",
                                    doc = "A metric whose class is one of Lua's, or the mean of a function.";
  static std::shared_ptr<Metric> make(LuaObject object, Options options);
};
template <>
struct Custom<Optimizer> {
  using Options = LuaOptimizerOptions;
  static constexpr const char* definer = "Optimizer";
  static constexpr std::string_view module = "nacre.optimizers", doc = "An optimizer whose class is one of Lua's.";
  static std::shared_ptr<Optimizer> make(LuaObject object, Options options);
};
template <>
struct Custom<Callback> {
  using Options = NoOptions;
  static constexpr const char* definer = "Callback";
  static constexpr std::string_view module = "nacre.callbacks", doc = "A callback whose class is one of Lua's.";
  static std::shared_ptr<Callback> make(LuaObject object, Options options);
};
template <>
struct Custom<Activation> {
  using Options = NoOptions;
  static constexpr const char* definer = "Activation";
  static constexpr std::string_view module = "nacre.activations",
                                    doc = "An activation whose class or function is one of Lua's.";
  static std::shared_ptr<Activation> make(LuaObject object, Options options);
};
template <>
struct Custom<Initializer> {
  using Options = NoOptions;
  static constexpr const char* definer = "Initializer";
  static constexpr std::string_view module = "nacre.initializers",
                                    doc = "An initializer whose class or function is one of Lua's.";
  static std::shared_ptr<Initializer> make(LuaObject object, Options options);
};
template <>
struct Custom<Regularizer> {
  using Options = NoOptions;
  static constexpr const char* definer = "Regularizer";
  static constexpr std::string_view module = "nacre.regularizers",
                                    doc = "A penalty whose class or function is one of Lua's.";
  static std::shared_ptr<Regularizer> make(LuaObject object, Options options);
};
template <>
struct Custom<WeightConstraint> {
  using Options = NoOptions;
  static constexpr const char* definer = "Constraint";
  static constexpr std::string_view module = "nacre.constraints",
                                    doc = "A constraint whose class or function is one of Lua's.";
  static std::shared_ptr<WeightConstraint> make(LuaObject object, Options options);
};
template <>
struct Custom<LearningRateSchedule> {
  using Options = NoOptions;
  static constexpr const char* definer = "LearningRateSchedule";
  static constexpr std::string_view module = "nacre.schedules",
                                    doc = "A schedule whose class or function is one of Lua's.";
  static std::shared_ptr<LearningRateSchedule> make(LuaObject object, Options options);
};

// Calls visit.operator()<Base>() for each of them.
template <class Visit>
void each_custom_kind(Visit&& visit) {
  visit.template operator()<Layer>();
  visit.template operator()<Loss>();
  visit.template operator()<Metric>();
  visit.template operator()<Optimizer>();
  visit.template operator()<Callback>();
  visit.template operator()<Activation>();
  visit.template operator()<Initializer>();
  visit.template operator()<Regularizer>();
  visit.template operator()<WeightConstraint>();
  visit.template operator()<LearningRateSchedule>();
}

template <class Options>
std::vector<FieldTarget> targets_of(Options& options) {
  return {{&fields_of<Options>(), &options}};
}
inline std::vector<FieldTarget> targets_of(LuaOptimizerOptions& options) {
  return {{&fields_of<OptimizerOptions>(), &options.common},
          {&fields_of<LuaOptimizerOptions::Rates>(), &options.rates}};
}
template <class Base>
std::vector<const FieldTable*> option_tables() {
  typename Custom<Base>::Options options;
  std::vector<const FieldTable*> tables;
  for (const FieldTarget& target : targets_of(options)) tables.push_back(target.fields);
  return tables;
}

// An object of a kind that is no layer, as methods see it.
template <class Base>
class ScriptedAs : public Scripted {
 public:
  using Scripted::Scripted;
  Object self() const override {
    // What runs in a state that ends with the object does not keep it.
    return make_object(lua_.owns_state() ? std::shared_ptr<Base>(std::shared_ptr<void>(), here_) : self_.lock());
  }
  void is(const std::shared_ptr<Base>& self) { self_ = self, here_ = self.get(); }

 private:
  std::weak_ptr<Base> self_;
  Base* here_ = nullptr;
};

// Makes one; its constructor takes the LuaObject first.
template <class Class, class Base, class... Arguments>
std::shared_ptr<Base> scripted(LuaObject object, Arguments&&... arguments) {
  auto made = std::make_shared<Class>(std::move(object), std::forward<Arguments>(arguments)...);
  made->is(made);
  return made;
}

// What a function or a class gives for values of a graph: one value, of the same graph.
Value call_on_values(const Scripted& object, Graph& graph, std::string_view method, const Values& values);

// A function of the script that calls, as an object of the kind.
template <class Base>
std::shared_ptr<Base> object_of_function(const Call& call, KeptRef function) {
  return Custom<Base>::make(LuaObject(call, registry<Base>().kind(), std::move(function)), {});
}
// A table with hooks, as a callback.
std::shared_ptr<Callback> callback_of_table(const Call& call, int index);
// nacre.layers.Lambda{function(x) … end}; null: it holds no function.
std::shared_ptr<Layer> lambda_of_function(const Call& call);

// What such objects have besides, for Class::other and Class::set_other: attributes and methods of their class.
Scripted* scripted_of(const Object& object);  // null: it is none
std::optional<Out> custom_member(Call& call, std::string_view key);
bool set_custom_member(Call& call, std::string_view key);
void custom_member_names(const Object& object, std::vector<std::string_view>& names);

// Of layers: what their methods have too, and calls of those at home on tensors, which run as they stand.
std::span<const Member> custom_layer_members();
bool runs_at_once(const Call& call, const Layer& layer);
struct CallAtOnce {
  std::vector<Object> inputs;
  std::vector<std::pair<std::string, std::vector<Object>>> named;
  Tree options;
  bool training = false;
};
std::vector<Object> run_at_once(const Call& call, Layer& layer, const CallAtOnce& given);
std::span<const Member> custom_metric_members();
std::span<const Member> custom_optimizer_members();

// Makes Lua a class of each registry. Called once, before several threads use them.
void register_lua_classes();

}  // namespace nacre::scripting
