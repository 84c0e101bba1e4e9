// Layers: nacre.layers.NAME{…}, their members and calls.
#include <algorithm>

#include "api/experiment/block.h"
#include "api/experiment/model_builder.h"
#include "api/keras/file.h"
#include "formats/json.h"
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

// What a call gives: symbols, or tensors. Those by place, others by their names in a table at the end.
struct LayerArguments {
  std::vector<Object> places;
  std::vector<std::pair<std::string, std::vector<Object>>> named;
  Tree options;
  bool symbols = false, tensors = false;

  LayerArguments(const Call& call, const Layer& layer) {
    for (int i = 2; i <= call.count(); ++i) {
      if (i > 2 && !call.given(i)) continue;
      if (i == 2 || !call.is_named(i)) {
        for (Object& object : read(call, i)) places.push_back(std::move(object));
        continue;
      }
      if (i != call.count()) throw Error("arguments by name stand at the end").usage();
      call.each_named(i, [&](const std::string& key, int value) {
        check_argument(layer, key);
        if (call.is_table(value) || is_operand(call, value)) named.emplace_back(key, read(call, value));
        else options.set(key, call.tree(value));
      });
    }
    if (places.empty()) throw Error("{} was called without a symbol or tensor", layer.label()).usage();
    if (symbols && tensors) throw Error("{} was called on symbols and tensors at once", layer.label()).usage();
  }

 private:
  static bool is_operand(const Call& call, int index) {
    const auto object = call.object(index);
    return object && (object->kind == &class_of<Symbol>() || is_tensor(*object));
  }
  // One, or a list of them.
  std::vector<Object> read(const Call& call, int index) {
    constexpr std::string_view wanted = "a symbol or tensor, or a list of them";
    std::vector<Object> objects;
    const auto add = [&](int item) {
      if (!is_operand(call, item)) throw call.unwanted(item, wanted);
      objects.push_back(*call.object(item));
      (is_tensor(objects.back()) ? tensors : symbols) = true;
    };
    if (!call.is_table(index)) add(index);
    else call.each_item(index, add);
    if (objects.empty()) throw Error("got a table without symbols or tensors").usage();
    return objects;
  }
};

Results record_call(const Call& call, const LayerObject& object, const LayerArguments& arguments) {
  const auto symbols_among = [](const std::vector<Object>& objects) {
    Symbols symbols;
    for (const Object& one : objects) symbols.push_back(*std::static_pointer_cast<Symbol>(one.value));
    return symbols;
  };
  std::map<std::string, Symbols> named;
  for (const auto& [name, objects] : arguments.named) named[name] = symbols_among(objects);
  return marked(call.place(), [&] {
    return each_of(call_layer(object.layer, symbols_among(arguments.places), std::move(named), arguments.options));
  });
}

// Makes the weights for these inputs.
void build(const Call& call, Layer& layer, const LayerArguments& arguments) {
  if (!layer.built()) {
    // Names tell the random numbers of layers apart; a model gives its layers theirs.
    if (layer.name().empty()) layer.rename(EngineState::of(call).unique_name(snake_case(layer.class_name())));
    std::vector<Shape> shapes;
    for (const Object& object : arguments.places) {
      shapes.push_back(type_of_tensor(object).shape);
      // A model is for batches of any size.
      if (shapes.back().rank() > 0 && dynamic_cast<const FunctionalLayer*>(&layer)) shapes.back().set(0, unknown);
    }
    layer.ensure_built(shapes);
  }
}

Results compute_call(const Call& call, const LayerObject& object, const LayerArguments& arguments) {
  auto& state = EngineState::of(call);
  Layer& layer = *object.layer;
  build(call, layer, arguments);
  const Tree* const training = arguments.options.find("training");
  const bool surrounding = state.trace() && state.trace()->context().training();
  std::vector<Object> penalties;
  Computation work{.key = "layer ",
                   .operands = arguments.places,
                   .owner = object.layer,
                   .traced = true,
                   .random = true,
                   .masked = true,
                   .training = training && !training->is_null() ? training->as_bool() : surrounding,
                   .penalties = &penalties};
  append_state(work.key, layer);
  work.key += arguments.options.text();
  for (const auto& [name, objects] : arguments.named) {
    work.key += fmt::format(" {} {}", name, objects.size());
    work.operands.insert(work.operands.end(), objects.begin(), objects.end());
  }
  work.emit = [&](Context& context, const Values& values, const Values& masks) -> Computation::Result {
    const auto count = static_cast<std::ptrdiff_t>(arguments.places.size());
    CallArguments given{.inputs = Values(values.begin(), values.begin() + count),
                        .masks = Values(masks.begin(), masks.begin() + count),
                        .named = {},
                        .options = arguments.options};
    auto next = values.begin() + count;
    for (const auto& [name, objects] : arguments.named) {
      const auto end = next + static_cast<std::ptrdiff_t>(objects.size());
      given.named[name] = Values(next, end);
      next = end;
    }
    CallResult result = layer(context, std::move(given));
    layer.initialize(state.seed());
    if (state.trace()) state.trace()->note_layer(object.layer);
    return {std::move(result.outputs), std::move(result.masks)};
  };
  Results results;
  for (Object& result : marked(call.place(), [&] { return compute(call, std::move(work)); }))
    results.emplace_back(std::move(result));
  state.set_losses(object.layer, std::move(penalties));
  return results;
}

// layer(x), layer{a, b}, layer(query, value, {use_causal_mask = true}). A result for each output: symbols of symbols,
// which records the call for a model, tensors of tensors.
Results call_layer_object(Call& call) {
  const auto object = self(call);
  const LayerArguments arguments(call, *object->layer);
  return arguments.symbols ? record_call(call, *object, arguments) : compute_call(call, *object, arguments);
}

template <std::vector<Weight> (Layer::*weights_of)() const>
Out weights(Call& call) {
  const auto object = self(call);
  Out::List list;
  for (Weight& weight : (object->layer.get()->*weights_of)()) list.push_back(weight_object(std::move(weight)));
  return list;
}

// Penalties of the last call on tensors.
Out losses(Call& call) {
  Out::List list;
  for (const Object& loss : EngineState::of(call).losses_of(*self(call)->layer)) list.push_back(loss);
  return list;
}

constexpr luaL_Reg layer_metamethods[] = {{"__call", bound<call_layer_object>}};

// To zeros: of recurrent layers that are stateful, and the like.
void reset_states(Call& call) { self(call)->layer->reset_states(); }

constexpr Member layer_members[] = {
    {"name", nullptr, name},
    {"class_name", nullptr, class_name},
    {"trainable", nullptr, trainable, set_trainable},
    {"built", nullptr, built},
    {"input", nullptr, symbol_of_call<false>},
    {"output", nullptr, symbol_of_call<true>},
    {"inputs", nullptr, several_symbols<false>},
    {"outputs", nullptr, several_symbols<true>},
    {"weights", nullptr, weights<&Layer::weights>},
    {"trainable_weights", nullptr, weights<&Layer::trainable_weights>},
    {"non_trainable_weights", nullptr, weights<&Layer::non_trainable_weights>},
    {"losses", nullptr, losses},
    {"reset_states", bound<reset_states>},
    {"set_trainable", bound<set_trainable_to>},
    {"count_params", bound<count_params>},
    {"get_config", bound<get_config>},
    {"get_weights", bound<get_weights>},
    {"set_weights", bound<set_weights>},
};

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

// nacre.deserialize{class_name = "Dense", config = {units = 3}}: a layer as Keras's JSON spells it, as a table or a text.
Out deserialize(Call& call) {
  Tree spelling = call.tree(1);
  if (spelling.is_string()) spelling = marked(call.place(), [&] { return parse_json(spelling.as_string()); });
  return about("deserialize", [&] { return layer_object(call, read_object<Layer>(spelling)); });
}

Out index_layers(Call& call) {
  const std::string wanted = call.text(2, "the name of a layer");
  registry<Layer>().get(wanted);
  return Out::Function{bound<make_layer>, wanted};
}

}  // namespace

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

std::span<const Function> layer_functions() {
  static constexpr Function functions[] = {{"deserialize", bound<deserialize>}};
  return functions;
}

void open_layers(lua_State* lua) {
  State::open_class(lua, class_of<LayerObject>());
  State::set_functions(lua, layer_functions());
  push_namespace(lua, bound<index_layers>);
  lua_setfield(lua, -2, "layers");
}

}  // namespace nacre::scripting
