// The classes of the registries that are no layers: nacre.optimizers.NAME{…}, nacre.losses.NAME{…}, …, and what their
// objects do with tensors, at once or in a traced function.
#include "api/experiment/kinds.h"

#include <mutex>

#include "api/train/mean_metrics.h"
#include "backend/graph/ops/elementwise.h"
#include "scripting/classes/custom.h"

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
  return make_object(about(std::string(info.class_name),
                           [&] { return info.make(read_config_table(call, info.class_name, info.fields)); }));
}

// nacre.activations.get("relu"): the object that a field of that kind means: a name, a table, a function, an object.
template <class Base>
Out get_object(Call& call) {
  if (!call.given(1)) return {};
  return make_object(about("get", [&] { return read_object<Base>(call.tree(1)); }));
}

template <class Base>
Out index_classes(Call& call) {
  const std::string wanted = call.text(2, fmt::format("the name of a class ({})", registry<Base>().kind()));
  if (wanted == "get") return Out::Function{bound<get_object<Base>>};
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
  for (const std::int64_t size : type.shape)
    if (size < 0) throw Error("got the shape {}, wanted sizes of at least 0", type.shape).usage();
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
template <class Base>
Out name_of_object(Call& call) {
  return self<Base>(call)->name();
}

// --- optimizers ---------------------------------------------------------------------------------------------------

// optimizer:apply(gradients, weights): weights are a layer's or model's trainable ones, or a list.
void apply_gradients(Call& call) {
  const auto optimizer = self<Optimizer>(call);
  const std::vector<Weight> weights = read_weights(call, 3);
  std::vector<VariableRef> variables;
  for (const Weight& weight : weights) {
    want_value(call, weight);
    variables.push_back(weight.variable);
  }
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
  optimizer->build(variables);
  about(fmt::format("optimizer '{}'", optimizer->name()), [&] {
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
constexpr Member get_config{
    .name = "get_config",
    .method = bound<config_of_class<Base>>,
    .entry = {.usage = "object:get_config()",
              .doc = "The values of its keys, as a table: the table that makes the same object.",
              .example = R"(
                local adam = nacre.optimizers.Adam{learning_rate = 0.5}
                local config = adam:get_config()
                assert(config.learning_rate == 0.5 and config.beta_1 == 0.9)
                local again = nacre.optimizers.Adam(config)
                assert(again.learning_rate == 0.5)
              )"}};

template <class Base>
constexpr Member class_members[] = {get_config<Base>};
template <>
constexpr Member class_members<Metric>[] = {
    get_config<Metric>,
    {.name = "name",
     .get = name_of_object<Metric>,
     .entry = {.usage = "metric.name", .doc = "What its numbers are called in logs.", .example = R"(
       assert(nacre.metrics.MeanSquaredError().name == "mean_squared_error")
       assert(nacre.metrics.Mean{name = "loss"}.name == "loss")
     )"}},
    {.name = "update_state",
     .method = bound<update_metric>,
     .entry = {.usage = "metric:update_state(y_true, y_pred[, sample_weight])",
               .doc = "Counts a batch of targets and predictions, both with the batch axis first, also from within a "
                      "compiled function. Mean and Sum take values alone.",
               .example = R"(
                 local accuracy = nacre.metrics.SparseCategoricalAccuracy()
                 accuracy:update_state(nacre.tensor{0, 1}, nacre.tensor{{0.9, 0.1}, {0.8, 0.2}})
                 assert(accuracy:result() == 0.5)
                 local mean = nacre.metrics.Mean()
                 mean:update_state(nacre.tensor{1.0, 3.0})
                 mean:update_state(5)
                 assert(mean:result() == 3)
               )"}},
    {.name = "result",
     .method = bound<result_of_metric>,
     .entry =
         {.usage = "metric:result()",
          .doc = "What it measures of all that was counted since the last reset: a number, or a tensor where there are "
                 "several.",
          .example = R"(
            local mse = nacre.metrics.MeanSquaredError()
            mse:update_state(nacre.tensor{{1.0}}, nacre.tensor{{3.0}})
            mse:update_state(nacre.tensor{{1.0}}, nacre.tensor{{1.0}})
            assert(mse:result() == 2)
          )"}},
    {.name = "reset_state",
     .method = bound<reset_metric>,
     .entry = {.usage = "metric:reset_state()",
               .doc = "Forgets what was counted: at the beginning of an epoch.",
               .example = R"(
                 local sum = nacre.metrics.Sum()
                 sum:update_state(3)
                 sum:reset_state()
                 sum:update_state(4)
                 assert(sum:result() == 4)
               )"}},
};
template <>
constexpr Member class_members<Optimizer>[] = {
    get_config<Optimizer>,
    {.name = "name",
     .get = name_of_object<Optimizer>,
     .entry = {.usage = "optimizer.name", .doc = "What it is called in files.", .example = R"(
       assert(nacre.optimizers.Adam().name == "adam")
     )"}},
    {.name = "apply",
     .method = bound<apply_gradients>,
     .entry = {.usage = "optimizer:apply(gradients, weights)",
               .doc = "One step: changes weights by their gradients, in the order of both, and counts an iteration. "
                      "Weights are a list, or a layer or model for its trainable ones, as nacre.grad gives their "
                      "gradients; their constraints are applied. An optimizer keeps to the weights of its first step.",
               .example = R"(
                 local w = nacre.Variable(nacre.tensor{1.0, 2.0})
                 local optimizer = nacre.optimizers.SGD{learning_rate = 0.1}
                 local gradient = nacre.grad(function() return (w * w):sum() end, w)()
                 optimizer:apply({gradient}, {w})
                 assert(math.abs(w.value:totable()[2] - 1.6) < 1e-6)
               )"}},
    {.name = "scale_loss",
     .method = bound<scale_loss>,
     .entry = {.usage = "optimizer:scale_loss(loss)",
               .doc = "The loss, multiplied by what the optimizer divides gradients by (loss_scale_factor, "
                      "LossScaleOptimizer): take gradients of it where numbers are float16. Of others it is the loss.",
               .example = R"(
                 local optimizer = nacre.optimizers.SGD{learning_rate = 1, loss_scale_factor = 8}
                 local w = nacre.Variable(1.0)
                 assert(optimizer:scale_loss(nacre.tensor(2.0)):item() == 16)
                 local gradient = nacre.grad(function() return optimizer:scale_loss(w * 0.25) end, w)()
                 optimizer:apply({gradient}, {w})
                 assert(w.value:item() == 0.75)
               )"}},
    {.name = "learning_rate",
     .get = learning_rate,
     .set = set_learning_rate,
     .entry = {.usage = "optimizer.learning_rate",
               .doc =
                   "The learning rate of the next step: of a schedule what it says for that step. It may be set, also "
                   "between the steps of a compiled function.",
               .example = R"(
                 local optimizer = nacre.optimizers.SGD{learning_rate = 0.5}
                 optimizer.learning_rate = optimizer.learning_rate / 2
                 assert(optimizer.learning_rate == 0.25)
               )"}},
    {.name = "iterations",
     .get = iterations,
     .entry = {.usage = "optimizer.iterations", .doc = "How many steps it has made.", .example = R"(
       local optimizer, w = nacre.optimizers.Adam(), nacre.Variable(1.0)
       optimizer:apply({nacre.tensor(0.5)}, {w})
       assert(optimizer.iterations == 1)
     )"}},
};

template <class Base>
constexpr std::span<const OtherWord> other_words{};
constexpr OtherWord words_of_metrics[] = {{"update", "metric:update_state(y_true, y_pred)"},
                                          {"compute", "metric:result()"},
                                          {"reset", "metric:reset_state()"},
                                          {"reset_states", "metric:reset_state()"}};
template <>
constexpr std::span<const OtherWord> other_words<Metric>{words_of_metrics};
constexpr OtherWord words_of_optimizers[] = {{"lr", "optimizer.learning_rate"},
                                             {"apply_gradients", "optimizer:apply(gradients, weights)"},
                                             {"step", "optimizer:apply(gradients, weights)"},
                                             {"minimize", "optimizer:apply(gradients, weights)"},
                                             {"zero_grad", "nothing: nacre.grad gives new gradients each time"}};
template <>
constexpr std::span<const OtherWord> other_words<Optimizer>{words_of_optimizers};

// object(x), of the kinds that compute one value of another.
template <class Base>
constexpr Entry call_entry{};
template <>
constexpr Entry call_entry<Activation>{
    .usage = "activation(x)",
    .doc = "The activation of a tensor, of the same shape.",
    .example = R"(
      local relu = nacre.activations.relu()
      assert(relu(nacre.tensor{-1.0, 2.0}):sum():item() == 2)
    )",
};
template <>
constexpr Entry call_entry<Regularizer>{
    .usage = "regularizer(weight)",
    .doc =
        "The penalty on a weight or tensor, as a tensor of one number: what it adds to the loss. Layers that have "
        "regularizers list theirs in `losses`.",
    .example = R"(
      local l2 = nacre.regularizers.L2{l2 = 0.1}
      assert(math.abs(l2(nacre.tensor{1.0, 3.0}):item() - 1) < 1e-6)
    )",
};
template <>
constexpr Entry call_entry<WeightConstraint>{
    .usage = "constraint(weight)",
    .doc = "What the constraint makes of a weight's numbers, of the same shape.",
    .example = R"(
      local positive = nacre.constraints.NonNeg()
      assert(positive(nacre.tensor{-1.0, 2.0}):totable()[1] == 0)
    )",
};
template <>
constexpr Entry call_entry<LearningRateSchedule>{
    .usage = "schedule(step)",
    .doc = "The learning rate of a step, counted from 0, as a tensor of one number.",
    .example = R"(
      local decay = nacre.schedules.ExponentialDecay{initial_learning_rate = 1, decay_steps = 10, decay_rate = 0.5}
      assert(decay(20):item() == 0.25)
      local optimizer = nacre.optimizers.SGD{learning_rate = decay}
      assert(optimizer.learning_rate == 1)
    )",
};

template <class Base>
std::span<const Function> class_metamethods() {
  if constexpr (std::is_same_v<Base, Loss>) {
    static constexpr Function functions[] = {
        {"__call",
         bound<call_loss>,
         {.usage = "loss(y_true, y_pred[, sample_weight])",
          .doc = "The loss of a batch, as a tensor of one number unless `reduction` is \"none\". Samples lie along the "
                 "first axis; sample_weight has a number for each.",
          .example = R"(
            local mse = nacre.losses.MeanSquaredError()
            local y_true, y_pred = nacre.tensor{{1.0}, {0.0}}, nacre.tensor{{0.5}, {0.5}}
            assert(mse(y_true, y_pred):item() == 0.25)
            assert(mse(y_true, y_pred, nacre.tensor{1.0, 0.0}):item() == 0.125)
          )"}}};
    return functions;
  } else if constexpr (std::is_same_v<Base, Initializer>) {
    static constexpr Function functions[] = {
        {"__call",
         bound<make_initial>,
         {.usage = "initializer(shape[, dtype])",
          .doc =
              "A tensor of that shape with initial numbers, float32 unless another dtype is named; each call draws new "
              "ones.",
          .example = R"(
            local normal = nacre.initializers.RandomNormal{stddev = 0.1}
            local kernel = normal{64, 64}
            assert(kernel.shape[2] == 64 and math.abs(kernel:std():item() - 0.1) < 0.01)
            assert(nacre.initializers.Ones()({2, 3}, "float64"):sum():item() == 6)
          )"}}};
    return functions;
  } else if constexpr (requires(const Base& object, Value value) {
                         { object(value) } -> std::same_as<Value>;
                       }) {
    static constexpr Function functions[] = {{"__call", bound<call_on_one<Base>>, call_entry<Base>}};
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

template <class Base>
constexpr Namespace class_space{.name = namespace_of<Base>,
                                .index = bound<index_classes<Base>>,
                                .make = bound<make_class<Base>>,
                                .add_names = add_class_names<Base>,
                                .find = find_class<Base>};

// The object that a tree stands for; see handed_object.
template <class Base>
std::shared_ptr<Base> handed(const Tree& config) {
  if (!Call::under_way()) throw Error("unknown {} '{}'", registry<Base>().kind(), handed_object).usage();
  const Object& object = Call::current().handed(config["number"].as_integer());
  if constexpr (std::is_same_v<Base, Layer>) {
    if (object.kind == &class_of<LayerObject>()) return std::static_pointer_cast<LayerObject>(object.value)->layer;
  } else if constexpr (namespace_of<Base> != nullptr) {
    if (object.kind == &class_of<std::shared_ptr<Base>>())
      return *std::static_pointer_cast<std::shared_ptr<Base>>(object.value);
    if (object.kind == &class_of<KeptRef>())
      return object_of_function<Base>(Call::current(), *std::static_pointer_cast<KeptRef>(object.value));
  }
  throw Error("got {}, wanted {}", object.kind->text(object), with_article(registry<Base>().kind())).usage();
}

}  // namespace

std::string names_hint(const Call& call, int index, std::string_view name, const FieldTable& fields) {
  if (fields.empty()) return {};
  lua_State* const lua = call.lua();
  const SameStack same(call);
  if (call.is_table(index)) lua_rawgeti(lua, index, 1);  // the first of a list
  else lua_pushvalue(lua, index);
  const int type = lua_type(lua, -1);
  const std::string value = type == LUA_TNUMBER || type == LUA_TSTRING ? call.tree(-1).text() : "…";
  return fmt::format("write {}{{{} = {}}}", name, fields.front().key, value);
}

Tree read_config_table(const Call& call, std::string_view class_name, std::span<const FieldTable* const> fields) {
  const FieldTable none;
  const FieldTable& own = fields.empty() ? none : *fields.back();
  const auto unwanted = [&] {
    return call.unwanted(1, fmt::format("a table of names: {}{{…}}", class_name))
        .hint(names_hint(call, 1, class_name, own));
  };
  if (call.object(1))
    throw call.unwanted(1, fmt::format("a table of names: {}{{…}}", class_name))
        .hint(fmt::format("what it makes can be called: {}()(…)", class_name));
  if (!call.given(1)) return {};
  if (call.count() > 1)
    throw Error("got {} values, wanted one table of names: {}{{…}}", call.count(), class_name)
        .hint(names_hint(call, 1, class_name, own))
        .usage();
  if (!call.is_table(1) || lua_rawlen(call.lua(), 1) > 0) throw unwanted();
  Tree config = call.tree(1);
  if (config.is_sequence()) return {};
  return EngineState::of(call).sandboxed() ? config : with_files(std::move(config), class_name, "");
}

template <class Base>
const Class& class_of_kind() {
  static const std::string noun(registry<Base>().kind());
  static const Class kind{.name = noun.c_str(),
                          .members = class_members<Base>,
                          .metamethods = class_metamethods<Base>(),
                          .text = text_of_class<Base>,
                          .other = custom_member,
                          .set_other = set_custom_member,
                          .other_names = custom_member_names,
                          .other_words = other_words<Base>};
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

std::vector<const Namespace*> class_namespaces() {
  std::vector<const Namespace*> spaces;
  each_kind([&]<class Base>() {
    if constexpr (namespace_of<Base> != nullptr) spaces.push_back(&class_space<Base>);
  });
  return spaces;
}

void open_classes(lua_State* lua) {
  each_kind([&]<class Base>() {
    if constexpr (namespace_of<Base> != nullptr) {
      State::open_class(lua, class_of<std::shared_ptr<Base>>());
      push_namespace(lua, class_space<Base>);
      lua_setfield(lua, -2, namespace_of<Base>);
    }
  });
}

}  // namespace nacre::scripting
