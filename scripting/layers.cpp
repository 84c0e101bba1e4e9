// Layers, and the other classes of the registries: nacre.layers.NAME{…}, nacre.optimizers.NAME{…}, …
#include <algorithm>
#include <mutex>

#include "api/experiment/block.h"
#include "api/experiment/kinds.h"
#include "api/experiment/model_builder.h"
#include "api/keras/file.h"
#include "layers/arguments.h"
#include "scripting/bindings.h"

namespace nacre::scripting {

namespace {

std::shared_ptr<LayerObject> self(const Call& call) {
  if (auto object = call.find<LayerObject>(1)) return object;
  throw call.unwanted(1, "a layer or a model").hint("methods are called with a colon: object:method()");
}

std::string text_of(const Object& object) {
  const LayerObject& layer = *std::static_pointer_cast<LayerObject>(object.value);
  if (!layer.model) return layer.layer->label();
  return fmt::format("model '{}' ({})", layer.model->graph().title(), layer.layer->class_name());
}

// --- members ------------------------------------------------------------------------------------------------------

Out name(Call& call) { return self(call)->layer->own_name(); }
Out class_name(Call& call) { return self(call)->layer->class_name(); }
Out trainable(Call& call) { return self(call)->layer->trainable(); }
Out built(Call& call) { return self(call)->layer->built(); }
Out count_params(Call& call) { return self(call)->layer->count_params(); }
Out get_config(Call& call) { return self(call)->layer->config_tree(Style::full); }

void set_trainable(Call& call) { self(call)->layer->set_trainable(call.tree(3).as_bool()); }
void set_trainable_to(Call& call) { self(call)->layer->set_trainable(call.tree(2).as_bool()); }

// In Keras's order; weights without a value get their initial one.
Out get_weights(Call& call) {
  const auto object = self(call);
  object->layer->initialize(0);
  Out::List values;
  for (const Weight& weight : object->layer->weights()) values.push_back(out(weight.variable->value()));
  return values;
}

void set_weights(Call& call) {
  const auto object = self(call);
  std::vector<VariableRef> variables;
  for (const Weight& weight : object->layer->weights()) variables.push_back(weight.variable);
  restore_variables(variables, read_tensors(call, 2, "a list of tensors"), object->layer->label());
}

// --- where a layer stands -----------------------------------------------------------------------------------------

FunctionalLayer& place_of(const LayerObject& object) {
  if (object.place) return *object.place;
  throw Error("{} was not taken from a model, so it has no input or output of its own", object.layer->label())
      .hint("model:layer(name).output is the result of its call in the model")
      .usage();
}

// The call's number, counted from 0 as in messages; none: the only one.
std::optional<std::size_t> call_number(const Call& call, int index) {
  if (!call.given(index)) return std::nullopt;
  const std::int64_t number = call.tree(index).as_integer();
  if (number < 0) throw call.unwanted(index, "the number of a call, counted from 0");
  return static_cast<std::size_t>(number);
}

// Models have several; of a layer, what its call takes and gives.
Symbols symbols_of(const LayerObject& object, std::optional<std::size_t> number, bool outputs) {
  FunctionalLayer& place = place_of(object);
  return outputs ? place.outputs_of(object.name, number) : place.inputs_of(object.name, number);
}

template <bool outputs>
Out symbol_of_call(Call& call) {
  const auto object = self(call);
  if (!object->place && object->model)
    return make_object((outputs ? object->model->outputs() : object->model->inputs()).front());
  return make_object(symbols_of(*object, {}, outputs).front());
}

template <bool outputs>
Out symbols_of_call(Call& call) {
  return out(symbols_of(*self(call), call_number(call, 2), outputs));
}

// layer.outputs is a method, model.outputs a list.
template <bool outputs>
Out several_symbols(Call& call) {
  const auto object = self(call);
  if (object->model) return out(outputs ? object->model->outputs() : object->model->inputs());
  return Out::Function{bound<symbols_of_call<outputs>>};
}

// --- calling ------------------------------------------------------------------------------------------------------

// layer(x), layer{a, b}, layer(query, value, {use_causal_mask = true}): symbols by place, other arguments by name at
// the end. A result for each output.
Results call_layer_object(Call& call) {
  const auto object = self(call);
  Symbols inputs;
  std::map<std::string, Symbols> named;
  Tree options;
  for (int i = 2; i <= call.count(); ++i) {
    if (i == 2 || !call.is_named(i)) {
      for (Symbol& symbol : read_symbols(call, i, "a symbol or a list of symbols")) inputs.push_back(std::move(symbol));
      continue;
    }
    if (i != call.count()) throw Error("arguments by name stand at the end").usage();
    call.each_named(i, [&](const std::string& key, int value) {
      check_argument(*object->layer, key);
      if (call.is_table(value) || call.find<Symbol>(value))
        named[key] = read_symbols(call, value, "a symbol or a list of symbols");
      else options.set(key, call.tree(value));
    });
  }
  if (inputs.empty()) throw Error("{} was called without a symbol", object->layer->label()).usage();
  return marked(call.place(), [&] {
    return each_of(call_layer(object->layer, std::move(inputs), std::move(named), std::move(options)));
  });
}

constexpr luaL_Reg layer_metamethods[] = {{"__call", bound<call_layer_object>}};

constexpr Member layer_members[] = {
    {"name", nullptr, name},
    {"class_name", nullptr, class_name},
    {"trainable", nullptr, trainable, set_trainable},
    {"built", nullptr, built},
    {"input", nullptr, symbol_of_call<false>},
    {"output", nullptr, symbol_of_call<true>},
    {"inputs", nullptr, several_symbols<false>},
    {"outputs", nullptr, several_symbols<true>},
    {"set_trainable", bound<set_trainable_to>},
    {"count_params", bound<count_params>},
    {"get_config", bound<get_config>},
    {"get_weights", bound<get_weights>},
    {"set_weights", bound<set_weights>},
};

// --- objects of the other kinds -----------------------------------------------------------------------------------

// A table of names, or nothing, as a config.
Tree read_config_table(const Call& call, std::string_view class_name) {
  if (call.count() > 1) throw Error("{} takes one table, got {} values", class_name, call.count()).usage();
  if (!call.given(1)) return {};
  if (!call.is_table(1)) throw call.unwanted(1, fmt::format("a table of names: {}{{…}}", class_name));
  Tree config = call.tree(1);
  if (config.is_sequence() && !config.items().empty())
    throw call.unwanted(1, fmt::format("names: {}{{name = …}}", class_name));
  return config.is_sequence() ? Tree() : config;
}

template <class Base>
std::string text_of_class(const Object& object) {
  const auto& held = *std::static_pointer_cast<std::shared_ptr<Base>>(object.value);
  return fmt::format("{} {}", registry<Base>().kind(), write_object<Base>(*held, Style::yaml).text());
}

template <class Base>
Out config_of_class(Call& call) {
  return (*call.self<std::shared_ptr<Base>>())->config_tree(Style::full);
}

template <class Base>
constexpr Member class_members[] = {{"get_config", bound<config_of_class<Base>>}};

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

// --- nacre.layers -------------------------------------------------------------------------------------------------

// An object in a field that is kept as it is written, like Lambda's arguments, would be a number without a meaning.
void refuse_objects(const Tree& tree) {
  if (tree.is_mapping()) {
    if (const Tree* name = tree.find("class_name"); name && *name == Tree(handed_object))
      throw Error("got an object, wanted numbers, texts or tables").usage();
    for (const Tree::Entry& entry : tree.entries()) refuse_objects(entry.value);
  } else if (tree.is_sequence()) {
    for (const Tree& item : tree.items()) refuse_objects(item);
  }
}

Out make_layer(Call& call) {
  const ClassInfo<Layer>& info = registry<Layer>().get(call.upvalue());
  const Mark here = call.place();
  Tree config = with_vocabulary(read_config_table(call, info.class_name), info.class_name, "");
  const Tree* given = config.find("name");
  const std::string own = given && given->is_string() ? given->as_string() : snake_case(info.class_name);
  return about(fmt::format("layer '{}' ({})", own, info.class_name), [&] {
    std::shared_ptr<Layer> layer = info.make(config);
    if (call.has_handed()) refuse_objects(layer->config_tree(Style::full));
    return layer_object(call, std::move(layer));
  });
}

Out index_layers(Call& call) {
  const std::string wanted = call.text(2, "the name of a layer");
  registry<Layer>().get(wanted);
  return Out::Function{bound<make_layer>, wanted};
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

// Activations, optimizers and so on: what has a namespace and no binding of its own.
template <class Base>
const Class& class_of_kind() {
  static const std::string noun(registry<Base>().kind());
  static const Class kind{
      .name = noun.c_str(), .members = class_members<Base>, .metamethods = {}, .text = text_of_class<Base>};
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

template <>
const Class& class_of<LayerObject>() {
  static const Class kind{.name = "layer",
                          .members = layer_members,
                          .metamethods = layer_metamethods,
                          .text = text_of,
                          .same =
                              [](const void* a, const void* b) {
                                return static_cast<const LayerObject*>(a)->layer ==
                                       static_cast<const LayerObject*>(b)->layer;
                              },
                          .other = model_member,
                          .other_names = model_member_names};
  return kind;
}

Object layer_object(const Call& call, std::shared_ptr<Layer> layer, std::shared_ptr<FunctionalLayer> place,
                    std::string name) {
  LayerObject object{
      .layer = std::move(layer), .place = std::move(place), .name = std::move(name), .mark = call.place()};
  if (const auto graph = std::dynamic_pointer_cast<FunctionalLayer>(object.layer))
    object.model = EngineState::of(call).model_of(graph);
  std::size_t bytes = 0;  // of a model's weights; what was taken from a model counts there
  if (object.model && !object.place)
    for (const Weight& weight : object.layer->weights()) bytes += weight.variable->type().bytes();
  return make_object(std::move(object), bytes);
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

void open_layers(lua_State* lua) {
  State::open_class(lua, class_of<LayerObject>());
  push_namespace(lua, bound<index_layers>);
  lua_setfield(lua, -2, "layers");
  each_kind([&]<class Base>() {
    if constexpr (namespace_of<Base> != nullptr) {
      State::open_class(lua, class_of<std::shared_ptr<Base>>());
      push_namespace(lua, bound<index_classes<Base>>);
      lua_setfield(lua, -2, namespace_of<Base>);
    }
  });
}

}  // namespace nacre::scripting
