// The classes of the registries that are no layers: nacre.optimizers.NAME{…}, nacre.losses.NAME{…}, …, and what their
// objects do with tensors, at once or in a traced function.
#include <mutex>

#include "api/experiment/kinds.h"
#include "api/train/mean_metrics.h"
#include "backend/graph/ops/elementwise.h"
#include "scripting/bindings.h"

namespace nacre::scripting {

namespace {

template <class Base>
std::shared_ptr<Base> self(const Call& call) {
  return *call.self<std::shared_ptr<Base>>();
}

template <class Base>
std::string text_of_class(const Object& object) {
  const auto& held = *std::static_pointer_cast<std::shared_ptr<Base>>(object.value);
  return fmt::format("{} {}", registry<Base>().kind(), write_object<Base>(*held, Style::yaml).text());
}

template <class Base>
Out config_of_class(Call& call) {
  return self<Base>(call)->config_tree(Style::full);
}

template <class Base>
Out make_class(Call& call) {
  const ClassInfo<Base>& info = registry<Base>().get(call.upvalue());
  return make_object(
      about(std::string(info.class_name), [&] { return info.make(read_config_table(call, info.class_name)); }));
}

template <class Base>
Out index_classes(Call& call) {
  const std::string wanted = call.text(2, fmt::format("the name of a class ({})", registry<Base>().kind()));
  registry<Base>().get(wanted);  // or its error
  return Out::Function{bound<make_class<Base>>, wanted};
}

// --- functions of tensors -----------------------------------------------------------------------------------------

template <class Base>
Computation work_of(const std::shared_ptr<Base>& object, std::string_view what) {
  return {.key = fmt::format("{} {}", what, static_cast<const void*>(object.get())), .operands = {}, .owner = object};
}

Results results_of(std::vector<Object> objects) {
  Results results;
  for (Object& object : objects) results.emplace_back(std::move(object));
  return results;
}

// activation(x), regularizer(weight), constraint(weight), schedule(step).
template <class Base>
Results call_on_one(Call& call) {
  const auto object = self<Base>(call);
  Computation work = work_of(object, registry<Base>().kind());
  work.operands = {read_tensor(call, 2, "a tensor")};
  work.emit = [&](Context&, const Values& values, const Values&) -> Computation::Result {
    const bool whole = std::is_same_v<Base, LearningRateSchedule> && !is_floating(values[0].dtype());
    return {{(*object)(whole ? ops::cast(values[0], DType::float32) : values[0])}};
  };
  return results_of(compute(call, std::move(work)));
}

// initializer({3, 4}[, "float32"])
Out make_initial(Call& call) {
  const auto object = self<Initializer>(call);
  if (EngineState::of(call).trace())
    throw Error("an initializer draws once, but a function that is being traced would have the same numbers each time")
        .hint("draw outside of the function, and hand it the tensor")
        .usage();
  const Type type{read_dtype(call, 3).value_or(DType::float32), read_shape(call, 2)};
  check_size(type);
  const ComputingState::Draws draws = EngineState::of(call).next_draws();
  return out((*object)(
      type.shape, type.dtype,
      RandomKey::of(static_cast<std::uint64_t>(draws.seed), "initializer", 0, static_cast<std::uint32_t>(draws.step))));
}

// loss(y_true, y_pred[, sample_weight])
Results call_loss(Call& call) {
  const auto loss = self<Loss>(call);
  Computation work = work_of(loss, "loss");
  for (int i = 2; i <= call.count() && (i < 4 || call.given(i)); ++i)
    work.operands.push_back(read_tensor(call, i,
                                        i == 2   ? "y_true as a tensor"
                                        : i == 3 ? "y_pred as a tensor"
                                                 : "a tensor"));
  if (work.operands.size() < 2 || work.operands.size() > 3)
    throw Error("a loss takes y_true, y_pred and perhaps sample_weight, got {} tensors", work.operands.size()).usage();
  work.masked = true;
  work.emit = [&](Context&, const Values& values, const Values& masks) -> Computation::Result {
    return {{(*loss)(values[0], values[1], values.size() > 2 ? values[2] : Value(), masks[1])}};
  };
  return results_of(compute(call, std::move(work)));
}

// --- metrics ------------------------------------------------------------------------------------------------------

// metric:update_state(y_true, y_pred[, sample_weight]); Mean and Sum take values alone.
void update_metric(Call& call) {
  const auto metric = self<Metric>(call);
  Computation work = work_of(metric, "metric");
  for (int i = 2; i <= call.count() && call.given(i); ++i) work.operands.push_back(read_tensor(call, i, "a tensor"));
  if (work.operands.empty() || work.operands.size() > 3)
    throw Error("a metric takes y_true, y_pred and perhaps sample_weight, got {} tensors", work.operands.size())
        .usage();
  work.traced = work.masked = true;
  work.emit = [&](Context&, const Values& values, const Values& masks) -> Computation::Result {
    const auto real = [](Value value) { return is_floating(value.dtype()) ? ops::cast(value, DType::float32) : value; };
    auto* const mean = dynamic_cast<MeanMetric*>(metric.get());
    if (values.size() == 1 && mean) mean->add(ops::cast(values[0], DType::float32));
    else if (values.size() == 1) metric->update(values[0], real(values[0]));
    else metric->update(values[0], real(values[1]), values.size() > 2 ? values[2] : Value(), masks[1]);
    return {};
  };
  about(fmt::format("metric '{}'", metric->name()), [&] { compute(call, std::move(work)); });
}

// A number, or a tensor of several.
Out result_of_metric(Call& call) {
  const auto metric = self<Metric>(call);
  if (EngineState::of(call).trace())
    throw Error("a metric has no result while a function is traced").hint("ask for it outside of the function").usage();
  const Tensor result = metric->result();
  return result.size() == 1 ? Out(result.item()) : out(result);
}

void reset_metric(Call& call) { self<Metric>(call)->reset(); }
Out name_of_metric(Call& call) { return self<Metric>(call)->name(); }

// --- optimizers ---------------------------------------------------------------------------------------------------

// optimizer:apply(gradients, weights): weights are a layer's or model's trainable ones, or a list.
void apply_gradients(Call& call) {
  const auto optimizer = self<Optimizer>(call);
  const std::vector<Weight> weights = read_weights(call, 3);
  std::vector<VariableRef> variables;
  for (const Weight& weight : weights) variables.push_back(weight.variable);
  Computation work = work_of(optimizer, "optimizer");
  const auto add = [&](int index) {
    if (work.operands.size() < weights.size())
      work.key += fmt::format(" {}", static_cast<const void*>(weights[work.operands.size()].variable.get()));
    work.operands.push_back(read_tensor(call, index, "gradients as tensors"));
  };
  if (call.is_table(2)) call.each_item(2, add);
  else add(2);
  if (work.operands.size() != weights.size())
    throw Error("got {} gradients for {} weights", work.operands.size(), weights.size()).usage();
  about(fmt::format("optimizer '{}'", optimizer->name()), [&] {
    optimizer->build(variables);
    if (TraceScope* const trace = EngineState::of(call).trace()) trace->note_optimizer(optimizer);
    work.traced = true;
    work.emit = [&](Context& context, const Values& values, const Values&) -> Computation::Result {
      std::vector<Optimizer::Gradient> gradients;
      for (std::size_t i = 0; i < weights.size(); ++i) {
        if (!same(values[i].shape(), variables[i]->shape()))
          throw Error("the gradient of '{}' {} is {}", variables[i]->path(), variables[i]->type(), values[i].type())
              .usage();
        gradients.push_back({variables[i], values[i]});
      }
      Graph& graph = context.graph();
      optimizer->apply(graph, gradients);
      for (const Weight& weight : weights)
        if (weight.constraint) graph.update(weight.variable, (*weight.constraint)(graph.latest(weight.variable)));
      return {};
    };
    compute(call, std::move(work));
  });
}

// What gradients are taken of where the optimizer scales them (loss_scale_factor).
Results scale_loss(Call& call) {
  const auto optimizer = self<Optimizer>(call);
  Computation work = work_of(optimizer, "scale");
  work.operands = {read_tensor(call, 2, "a loss")};
  work.emit = [&](Context&, const Values& values, const Values&) -> Computation::Result {
    return {{optimizer->scale_loss(values[0])}};
  };
  return results_of(compute(call, std::move(work)));
}

Out learning_rate(Call& call) { return self<Optimizer>(call)->learning_rate(); }
void set_learning_rate(Call& call) { self<Optimizer>(call)->set_learning_rate(call.tree(3).as_number()); }
Out iterations(Call& call) { return self<Optimizer>(call)->iterations(); }

// --- the classes --------------------------------------------------------------------------------------------------

template <class Base>
constexpr Member class_members[] = {{"get_config", bound<config_of_class<Base>>}};
template <>
constexpr Member class_members<Metric>[] = {{"get_config", bound<config_of_class<Metric>>},
                                            {"name", nullptr, name_of_metric},
                                            {"update_state", bound<update_metric>},
                                            {"result", bound<result_of_metric>},
                                            {"reset_state", bound<reset_metric>}};
template <>
constexpr Member class_members<Optimizer>[] = {{"get_config", bound<config_of_class<Optimizer>>},
                                               {"apply", bound<apply_gradients>},
                                               {"scale_loss", bound<scale_loss>},
                                               {"learning_rate", nullptr, learning_rate, set_learning_rate},
                                               {"iterations", nullptr, iterations}};

template <class Base>
std::span<const luaL_Reg> class_metamethods() {
  if constexpr (std::is_same_v<Base, Loss>) {
    static constexpr luaL_Reg functions[] = {{"__call", bound<call_loss>}};
    return functions;
  } else if constexpr (std::is_same_v<Base, Initializer>) {
    static constexpr luaL_Reg functions[] = {{"__call", bound<make_initial>}};
    return functions;
  } else if constexpr (requires(const Base& object, Value value) {
                         { object(value) } -> std::same_as<Value>;
                       }) {
    static constexpr luaL_Reg functions[] = {{"__call", bound<call_on_one<Base>>}};
    return functions;
  } else {
    return {};
  }
}

template <class Base>
constexpr const char* namespace_of = nullptr;
template <>
constexpr const char* namespace_of<Activation> = "activations";
template <>
constexpr const char* namespace_of<Initializer> = "initializers";
template <>
constexpr const char* namespace_of<Regularizer> = "regularizers";
template <>
constexpr const char* namespace_of<WeightConstraint> = "constraints";
template <>
constexpr const char* namespace_of<Loss> = "losses";
template <>
constexpr const char* namespace_of<Metric> = "metrics";
template <>
constexpr const char* namespace_of<Optimizer> = "optimizers";
template <>
constexpr const char* namespace_of<LearningRateSchedule> = "schedules";
template <>
constexpr const char* namespace_of<Callback> = "callbacks";

// The object that a tree stands for; see handed_object.
template <class Base>
std::shared_ptr<Base> handed(const Tree& config) {
  const Object& object = Call::current().handed(config["number"].as_integer());
  if constexpr (std::is_same_v<Base, Layer>) {
    if (object.kind == &class_of<LayerObject>()) return std::static_pointer_cast<LayerObject>(object.value)->layer;
  } else if constexpr (namespace_of<Base> != nullptr) {
    if (object.kind == &class_of<std::shared_ptr<Base>>())
      return *std::static_pointer_cast<std::shared_ptr<Base>>(object.value);
  }
  throw Error("got {}, wanted a {}", object.kind->text(object), registry<Base>().kind()).usage();
}

}  // namespace

Tree read_config_table(const Call& call, std::string_view class_name) {
  if (call.object(1))
    throw call.unwanted(1, fmt::format("a table of names: {}{{…}}", class_name))
        .hint(fmt::format("what it makes can be called: {}()(…)", class_name));
  if (call.count() > 1)
    throw Error("got {} values, wanted one table of names: {}{{…}}", call.count(), class_name).usage();
  if (!call.given(1)) return {};
  if (!call.is_table(1)) throw call.unwanted(1, fmt::format("a table of names: {}{{…}}", class_name));
  Tree config = call.tree(1);
  if (config.is_sequence() && !config.items().empty())
    throw call.unwanted(1, fmt::format("names: {}{{name = …}}", class_name));
  return config.is_sequence() ? Tree() : config;
}

template <class Base>
const Class& class_of_kind() {
  static const std::string noun(registry<Base>().kind());
  static const Class kind{.name = noun.c_str(),
                          .members = class_members<Base>,
                          .metamethods = class_metamethods<Base>(),
                          .text = text_of_class<Base>};
  return kind;
}
template <>
const Class& class_of<std::shared_ptr<Activation>>() {
  return class_of_kind<Activation>();
}
template <>
const Class& class_of<std::shared_ptr<Initializer>>() {
  return class_of_kind<Initializer>();
}
template <>
const Class& class_of<std::shared_ptr<Regularizer>>() {
  return class_of_kind<Regularizer>();
}
template <>
const Class& class_of<std::shared_ptr<WeightConstraint>>() {
  return class_of_kind<WeightConstraint>();
}
template <>
const Class& class_of<std::shared_ptr<Loss>>() {
  return class_of_kind<Loss>();
}
template <>
const Class& class_of<std::shared_ptr<Metric>>() {
  return class_of_kind<Metric>();
}
template <>
const Class& class_of<std::shared_ptr<Optimizer>>() {
  return class_of_kind<Optimizer>();
}
template <>
const Class& class_of<std::shared_ptr<LearningRateSchedule>>() {
  return class_of_kind<LearningRateSchedule>();
}
template <>
const Class& class_of<std::shared_ptr<Callback>>() {
  return class_of_kind<Callback>();
}

void register_handed_objects() {
  static std::once_flag once;
  std::call_once(once, [] {
    each_kind([]<class Base>() {
      ClassInfo<Base> info{.class_name = handed_object, .doc = "", .module = "", .fields = {}, .make = handed<Base>};
      registry<Base>().extend(std::move(info));
    });
  });
}

void open_classes(lua_State* lua) {
  each_kind([&]<class Base>() {
    if constexpr (namespace_of<Base> != nullptr) {
      State::open_class(lua, class_of<std::shared_ptr<Base>>());
      push_namespace(lua, bound<index_classes<Base>>);
      lua_setfield(lua, -2, namespace_of<Base>);
    }
  });
}

}  // namespace nacre::scripting
