// Losses and metrics whose class, or function, is one of Lua's.
#include "api/train/mean_metrics.h"
#include "backend/graph/ops/elementwise.h"
#include "layers/lambda.h"
#include "scripting/classes/custom.h"

namespace nacre::scripting {

namespace {

class LossOfLua final : public Loss, public ScriptedAs<Loss> {
 public:
  LossOfLua(LuaObject object, LossOptions options) : Loss(std::move(options)), ScriptedAs(std::move(object)) {
    lua_.need_method("call");
    if (options_.name.empty()) options_.name = snake_case(lua_.name());
  }
  std::string_view class_name() const override { return lua_class_name; }
  Tree config_tree(Style style) const override {
    Tree tree = write_config(options_, style), own = lua_.config(style);
    if (style == Style::yaml) {
      if (options_.name == snake_case(lua_.name())) tree.erase("name");
      tree = without_defaults(fields_of<LossOptions>(), std::move(tree));
    }
    for (Tree::Entry& entry : own.entries()) tree.set(entry.key, std::move(entry.value));
    return tree;
  }

 protected:
  SampleLosses emit(Value y_true, Value y_pred) const override {
    return call_on_values(*this, y_pred.graph(), "call", {y_true, y_pred});
  }
};

// --- metrics ------------------------------------------------------------------------------------------------------

MetricOptions completed(MetricOptions options, const LuaObject& object) {
  if (options.name.empty()) options.name = snake_case(object.name());
  if (!options.dtype) options.dtype = DType::float32;
  return options;
}

Tree config_of_metric(MetricOptions options, const LuaObject& object, Style style) {
  if (style == Style::yaml && options.name == snake_case(object.name())) options.name.clear();
  if (style == Style::yaml && options.dtype == DType::float32) options.dtype.reset();
  Tree tree = write_config(options, style), own = object.config(style);
  if (style == Style::yaml) tree = without_defaults(fields_of<MetricOptions>(), std::move(tree));
  for (Tree::Entry& entry : own.entries()) tree.set(entry.key, std::move(entry.value));
  return tree;
}

Direction direction_of(const LuaObject& object) {
  const Tree word = object.setting("direction");
  if (word.is_null() || word == Tree("up")) return Direction::up;
  if (word == Tree("down")) return Direction::down;
  throw Error("'{}' has the direction {}, wanted \"up\" or \"down\"", object.name(), word.text()).usage();
}

// The mean of a function over the samples.
class MeanOfLua final : public MeanMetric, public ScriptedAs<Metric> {
 public:
  MeanOfLua(LuaObject object, MetricOptions options)
      : MeanMetric(completed(std::move(options), object)), ScriptedAs(std::move(object)) {}
  std::string_view class_name() const override { return lua_class_name; }
  Tree config_tree(Style style) const override { return config_of_metric(options_, lua_, style); }

 protected:
  Value values(Value y_true, Value y_pred) const override {
    losses::match_ranks(y_true, y_pred);
    return ops::cast(call_on_values(*this, y_pred.graph(), "call", {y_true, y_pred}), DType::float32);
  }
};

class MetricOfLua final : public Metric, public ScriptedAs<Metric> {
 public:
  MetricOfLua(LuaObject object, MetricOptions options)
      : Metric(completed(std::move(options), object)), ScriptedAs(std::move(object)), direction_(direction_of(lua_)) {
    lua_.need_method("update_state");
    lua_.need_method("result");
  }
  std::string_view class_name() const override { return lua_class_name; }
  Tree config_tree(Style style) const override { return config_of_metric(options_, lua_, style); }
  std::optional<Direction> direction() const override { return direction_; }

  // What `result` computes is one small graph.
  Tensor result() const override {
    return within([&] { return fmt::format("in metric '{}'", name()); },
                  [&] {
                    if (variables().empty()) throw Error("it has not measured anything yet").usage();
                    EngineState& state = lua_.state();
                    if (!result_) {
                      auto graph = std::make_unique<Graph>();
                      graph->output("result", call_on_values(*this, *graph, "result", {}));
                      result_ = state.eager()->make(std::move(graph));
                    }
                    return state.eager()->run(result_, {}).front().value;
                  });
  }

  Weight make_variable(const std::string& name, const Shape& shape, std::optional<DType> dtype, double initial) {
    if (!building_) throw Error("variables are made in 'build'").usage();
    for (const VariableRef& known : variables())
      if (known->path().ends_with("/" + name)) throw Error("two variables are called '{}'", name).usage();
    return {
        .variable = add_variable(name, shape, dtype, initial), .initializer = {}, .regularizer = {}, .constraint = {}};
  }

 protected:
  void build(const Type& y_true, const Type& y_pred) override {
    if (lua_.has("build")) {
      const UnderWay building(building_);
      invoke("build", {Out(y_true.shape), Out(y_pred.shape)});
    }
    if (variables().empty())
      throw Error("'{}' has no state", lua_.name())
          .hint("'build' makes it: self:add_variable{name = \"total\"}")
          .usage();
  }

  void emit(Value y_true, Value y_pred, Value sample_weight) override {
    losses::match_ranks(y_true, y_pred);
    EngineState& state = lua_.state();
    Context context(y_pred.graph(), false);
    traced_in(state, context, [&] {
      std::vector<Out> given{state.traced(y_true), state.traced(y_pred)};
      if (sample_weight) given.emplace_back(state.traced(sample_weight));
      invoke("update_state", given);
    });
  }

 private:
  Direction direction_;
  bool building_ = false;
  mutable std::shared_ptr<eager::Program> result_;
};

// --- members of metrics -------------------------------------------------------------------------------------------

struct VariableConfig {
  std::string name = "variable";
  Shape shape;
  std::optional<DType> dtype;
  double initial = 0;
  static void describe(auto&& field) {
    field("name", &VariableConfig::name, "unique within the metric");
    field("shape", &VariableConfig::shape, "none: one number");
    field("dtype", &VariableConfig::dtype, "the metric's when none is given");
    field("initial", &VariableConfig::initial, "what all its elements are when nothing was measured");
  }
};

// self:add_variable{name = "total", shape = {}, initial = 0}
Out add_variable(Call& call) {
  const auto metric = *call.self<std::shared_ptr<Metric>>();
  auto* const own = dynamic_cast<MetricOfLua*>(metric.get());
  if (!own) throw Error("metric '{}' has its own state", metric->name()).usage();
  const auto config = about("add_variable", [&] { return read_options<VariableConfig>(call, 2); });
  check_size({config.dtype.value_or(DType::float32), config.shape});
  return weight_object(own->make_variable(config.name, config.shape, config.dtype, config.initial));
}

constexpr Member members[] = {
    {"add_variable",
     bound<add_variable>,
     nullptr,
     nullptr,
     {"metric:add_variable{name = …, shape = {}, initial = 0}",
      "In 'build' of a metric's class: a part of its state, which reset_state sets back to `initial`.",
      R"(local Count = nacre.Metric("Count")
function Count:build() self.count = self:add_variable{name = "count"} end
function Count:update_state(y_true, y_pred) self.count:assign_add(1) end
function Count:result() return self.count end
local count = Count()
count:update_state(nacre.zeros{1}, nacre.zeros{1})
assert(count:result() == 1)
count:reset_state()
assert(count:result() == 0))"}}};

}  // namespace

std::span<const Member> custom_metric_members() { return members; }

std::shared_ptr<Loss> Custom<Loss>::make(LuaObject object, Options options) {
  return scripted<LossOfLua, Loss>(std::move(object), std::move(options));
}

std::shared_ptr<Metric> Custom<Metric>::make(LuaObject object, Options options) {
  if (object.is_function()) return scripted<MeanOfLua, Metric>(std::move(object), std::move(options));
  return scripted<MetricOfLua, Metric>(std::move(object), std::move(options));
}

}  // namespace nacre::scripting
