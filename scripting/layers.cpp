// Layers: nacre.layers.NAME{…}, their members and calls.
#include <algorithm>

#include "api/experiment/block.h"
#include "api/experiment/model_builder.h"
#include "api/keras/file.h"
#include "formats/json.h"
#include "layers/arguments.h"
#include "layers/lambda.h"
#include "layers/lookup.h"
#include "scripting/classes/custom.h"

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
Out class_name(Call& call) { return self(call)->layer->shown_class(); }
Out trainable(Call& call) { return self(call)->layer->trainable(); }
Out built(Call& call) { return self(call)->layer->built(); }
Out count_params(Call& call) { return self(call)->layer->count_params(); }
Out get_config(Call& call) { return self(call)->layer->config_tree(Style::full); }

Out get_vocabulary(Call& call) {
  Out::List tokens;
  for (std::string& token : vocabulary_of(*self(call)->layer)) tokens.emplace_back(std::move(token));
  return tokens;
}

void set_trainable(Call& call) { self(call)->layer->set_trainable(call.tree(3).as_bool()); }
void set_trainable_to(Call& call) { self(call)->layer->set_trainable(call.tree(2).as_bool()); }

// In Keras's order; weights without a value get their initial one.
Out get_weights(Call& call) {
  const auto object = self(call);
  object->layer->initialize(EngineState::of(call).seed());
  Out::List values;
  for (const Weight& weight : object->layer->weights()) values.push_back(out(weight.variable->value()));
  return values;
}

// layer:build(input_shape): makes the weights before the first call. Of several inputs a list of shapes.
void build(Call& call) {
  const auto object = self(call);
  if (object->model) return object->model->build(read_shape(call, 2));
  std::vector<Shape> shapes;
  const Tree given = call.given(2) ? call.tree(2) : Tree();
  const bool several = given.is_sequence() && !given.items().empty() && given.items().front().is_sequence();
  if (several)
    for (const Tree& shape : given.items()) FieldKind<Shape>::read(shape, shapes.emplace_back());
  else shapes.push_back(read_shape(call, 2));
  object->layer->ensure_built(shapes);
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

// What its weights take counts for the layer, argument 1, from now on; in a model it counts for that.
void count_weights(const Call& call, const Layer& layer) {
  const auto object = call.object(1);
  if (!object || object->bytes > 0 || std::static_pointer_cast<LayerObject>(object->value)->place) return;
  std::size_t bytes = 0;
  for (const Weight& weight : layer.weights()) bytes += weight.variable->type().bytes();
  call.replace(1, {object->kind, object->value, bytes});
}

// Makes the weights for these inputs.
void build_for(const Call& call, Layer& layer, const LayerArguments& arguments) {
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
  count_weights(call, layer);
}

Results compute_call(const Call& call, const LayerObject& object, const LayerArguments& arguments) {
  auto& state = EngineState::of(call);
  Layer& layer = *object.layer;
  build_for(call, layer, arguments);
  const Tree* const training = arguments.options.find("training");
  const bool surrounding = state.trace() ? state.trace()->context().training() : state.training_at_once();
  const bool wanted = training && !training->is_null() ? training->as_bool() : surrounding;
  if (runs_at_once(call, layer)) {
    Results results;
    for (Object& result : marked(call.place(), [&] {
           return run_at_once(call, layer, {arguments.places, arguments.named, arguments.options, wanted});
         }))
      results.emplace_back(std::move(result));
    return results;
  }
  std::vector<Object> penalties;
  Computation work{.key = "layer ",
                   .operands = arguments.places,
                   .owner = object.layer,
                   .traced = true,
                   .random = true,
                   .masked = true,
                   .training = wanted,
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
  auto& state = EngineState::of(call);
  const auto add = [&](const auto& add_inner, const Layer& layer) -> void {
    for (const Object& loss : state.losses_of(layer)) list.push_back(loss);
    if (dynamic_cast<const Scripted*>(&layer))  // the layers in it are called by themselves
      for (const auto& inner : layer.sublayers()) add_inner(add_inner, *inner);
  };
  add(add, *self(call)->layer);
  return list;
}

constexpr Function layer_metamethods[] = {
    {"__call",
     bound<call_layer_object>,
     {.usage = "layer(x, …[, options])",
      .doc =
          "Calls a layer or model: on tensors it computes at once, or in the graph of the function that is compiled; "
          "on symbols it records the call for nacre.Model. Several inputs stand side by side or in a list, arguments "
          "of the class by their names in a table at the end: training = true, mask, initial_state, …; each output is "
          "a result. The first call makes the weights for the sizes of its inputs.",
      .example = R"(
        local layers = nacre.layers
        local x = nacre.ones{2, 5, 4}
        local output, h, c = layers.LSTM{units = 3, return_state = true}(x)
        assert(output.shape[2] == 3 and c.shape[2] == 3)
        local mixed = layers.MultiHeadAttention{num_heads = 2, key_dim = 2}(x, x, {use_causal_mask = true})
        assert(mixed.shape[3] == 4)
        local drop = layers.Dropout{rate = 0.5}
        assert(drop(x):sum():item() == 40 and drop(x, {training = true}):min():item() == 0)
        assert(layers.Add(){x, x}:max():item() == 2)
        assert(layers.Dense{units = 2}(nacre.Input{4}).shape[1] == -1)      -- a symbol of a symbol
      )"}},
};

// To zeros: of recurrent layers that are stateful, and the like.
void reset_states(Call& call) { self(call)->layer->reset_states(); }

constexpr Member layer_members[] = {
    {.name = "name",
     .get = name,
     .entry = {.usage = "layer.name",
               .doc = "Its name: the one that it was given, else that of its class, with a number where a model or the "
                      "script has several.",
               .example = R"(
                 assert(nacre.layers.Dense{units = 1, name = "head"}.name == "head")
                 local stack = nacre.Sequential{nacre.layers.Dense{units = 1}, nacre.layers.Dense{units = 1}}
                 assert(stack.layers[1].name == "dense" and stack.layers[2].name == "dense_1")
               )"}},
    {.name = "class_name",
     .get = class_name,
     .entry = {.usage = "layer.class_name", .doc = "The name of its class, as in nacre.layers.", .example = R"(
       assert(nacre.layers.Conv2D{filters = 1, kernel_size = 3}.class_name == "Conv2D")
     )"}},
    {.name = "trainable",
     .get = trainable,
     .set = set_trainable,
     .entry = {.usage = "layer.trainable",
               .doc =
                   "Whether training changes its weights. Set it to false and it is frozen with the layers in it, and "
                   "its BatchNormalization keeps to its statistics; a compiled model is to be compiled again then, a "
                   "compiled function follows by itself.",
               .example = R"(
                 local dense = nacre.layers.Dense{units = 2}
                 dense(nacre.ones{1, 3})
                 dense.trainable = false
                 assert(#dense.trainable_weights == 0 and #dense.weights == 2)
               )"}},
    {.name = "built",
     .get = built,
     .entry = {.usage = "layer.built",
               .doc = "Whether it has its weights, which are made when the sizes of its inputs are known.",
               .example = R"(
                 local dense = nacre.layers.Dense{units = 2}
                 assert(not dense.built)
                 dense(nacre.ones{1, 3})
                 assert(dense.built)
               )"}},
    {.name = "input",
     .get = symbol_of_call<false>,
     .entry = {.usage = "layer.input",
               .doc =
                   "The symbol that it is called on in the model that it was taken from; of a model its first input. "
                   "Of a layer that is called several times, inputs(number) tells them apart.",
               .example = R"(
                 local model = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 2, name = "head"}}
                 assert(model:layer("head").input == model.inputs[1])
               )"}},
    {.name = "output",
     .get = symbol_of_call<true>,
     .entry =
         {.usage = "layer.output",
          .doc = "The symbol that its call gives in the model that it was taken from, where another model may end; of "
                 "a model its first output.",
          .example = R"(
            local layers = nacre.layers
            local model = nacre.Sequential{nacre.Input{4}, layers.Dense{units = 3, name = "features"},
                                           layers.Dense{units = 1}}
            local inner = nacre.Model{inputs = model.inputs, outputs = model:layer("features").output}
            assert(inner:predict(nacre.ones{2, 4}).shape[2] == 3)
          )"}},
    {.name = "inputs",
     .get = several_symbols<false>,
     .entry =
         {.usage = "layer:inputs([number])",
          .doc = "The symbols that it is called on in the model that it was taken from, as a list. The number says in "
                 "which of several calls, counted from 0 as in messages. Of a model it is the list itself: "
                 "model.inputs.",
          .example = R"(
            local x, y = nacre.Input{4}, nacre.Input{4}
            local model = nacre.Model{inputs = {x, y}, outputs = nacre.layers.Add{name = "sum"}{x, y}}
            assert(#model.inputs == 2)
            assert(model:layer("sum"):inputs()[2] == y)
          )"}},
    {.name = "outputs",
     .get = several_symbols<true>,
     .entry =
         {.usage = "layer:outputs([number])",
          .doc =
              "The symbols that its call gives in the model that it was taken from, as a list; the number is that of "
              "the call, counted from 0. Of a model it is the list itself: model.outputs.",
          .example = R"(
            local x, shared = nacre.Input{4}, nacre.layers.Dense{units = 4, name = "shared"}
            local model = nacre.Model{inputs = x, outputs = shared(shared(x))}
            assert(model:layer("shared"):outputs(1)[1] == model.outputs[1])
          )"}},
    {.name = "weights",
     .get = weights<&Layer::weights>,
     .entry = {.usage = "layer.weights",
               .doc = "All its weights in Keras's order, with those of the layers in it, as a list. Its own are also "
                      "members by their names: dense.kernel.",
               .example = R"(
                 local norm = nacre.layers.BatchNormalization()
                 norm(nacre.ones{2, 3})
                 assert(#norm.weights == 4 and norm.weights[1].shape[1] == 3)
                 assert(norm.gamma == norm.weights[1])
               )"}},
    {.name = "trainable_weights",
     .get = weights<&Layer::trainable_weights>,
     .entry = {.usage = "layer.trainable_weights",
               .doc = "The weights that training changes; none of a frozen layer.",
               .example = R"(
                 local norm = nacre.layers.BatchNormalization()
                 norm(nacre.ones{2, 3})
                 assert(#norm.trainable_weights == 2)     -- gamma, beta
               )"}},
    {.name = "non_trainable_weights",
     .get = weights<&Layer::non_trainable_weights>,
     .entry = {.usage = "layer.non_trainable_weights",
               .doc = "The weights that training leaves alone: statistics, and all of a frozen layer.",
               .example = R"(
                 local norm = nacre.layers.BatchNormalization()
                 norm(nacre.ones{2, 3})
                 assert(#norm.non_trainable_weights == 2)     -- moving_mean, moving_variance
               )"}},
    {.name = "losses",
     .get = losses,
     .entry = {.usage = "layer.losses",
               .doc =
                   "What its last call on tensors adds to the loss, by regularizers and the like: a list of tensors of "
                   "one number, for custom training loops. fit adds them by itself.",
               .example = R"(
                 local dense = nacre.layers.Dense{units = 1, kernel_initializer = "ones",
                                                  kernel_regularizer = nacre.regularizers.L2{l2 = 0.5}}
                 dense(nacre.ones{1, 4})
                 assert(dense.losses[1]:item() == 2)
               )"}},
    {.name = "reset_states",
     .method = bound<reset_states>,
     .entry = {.usage = "layer:reset_states()",
               .doc = "Sets the states of recurrent layers that are stateful to zeros: a new sequence begins.",
               .example = R"(
                 local rnn, x = nacre.layers.GRU{units = 2, stateful = true}, nacre.ones{1, 3, 2}
                 local first = rnn(x)
                 assert(nacre.ops.any(nacre.ops.not_equal(rnn(x), first)):item())
                 rnn:reset_states()
                 assert(nacre.ops.all(nacre.ops.equal(rnn(x), first)):item())
               )"}},
    {.name = "build",
     .method = bound<build>,
     .entry = {.usage = "layer:build(shape)",
               .doc = "Makes the weights before the first call, for inputs of that shape, the batch axis first: "
                      "nacre.null or -1 where a size is open. Of several inputs a list of shapes.",
               .example = R"(
                 local model = nacre.Sequential{nacre.layers.Dense{units = 2}}
                 model:build{nacre.null, 4}
                 assert(model:count_params() == 10)
                 local dense = nacre.layers.Dense{units = 2}
                 dense:build{-1, 4}
                 assert(#dense.weights == 2)
               )"}},
    {.name = "set_trainable",
     .method = bound<set_trainable_to>,
     .entry = {.usage = "layer:set_trainable(trainable)", .doc = "Sets layer.trainable.", .example = R"(
       local dense = nacre.layers.Dense{units = 2}
       dense:set_trainable(false)
       assert(not dense.trainable)
     )"}},
    {.name = "count_params",
     .method = bound<count_params>,
     .entry = {.usage = "layer:count_params()", .doc = "How many numbers its weights have.", .example = R"(
       local model = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 2}}
       assert(model:count_params() == 4 * 2 + 2)
     )"}},
    {.name = "get_config",
     .method = bound<get_config>,
     .entry = {.usage = "layer:get_config()",
               .doc =
                   "The values of its keys, as a table, layers in it included: what Keras's get_config gives, and what "
                   "its class takes.",
               .example = R"(
                 local config = nacre.layers.Dense{units = 3, activation = "relu"}:get_config()
                 assert(config.units == 3 and config.use_bias)
                 assert(nacre.layers.Dense(config):get_config().units == 3)
               )"}},
    {.name = "get_vocabulary",
     .method = bound<get_vocabulary>,
     .entry = {.usage = "layer:get_vocabulary()",
               .doc = "Of a StringLookup, IntegerLookup or TextVectorization: its tokens as a list, the token of number n at "
                      "n + 1; the special ones first.",
               .example = R"(
                 local letters = nacre.layers.TextVectorization{split = "character", vocabulary = {"a", "b"}}
                 assert(letters:get_vocabulary()[3] == "a" and #letters:get_vocabulary() == 4)
               )"}},
    {.name = "get_weights",
     .method = bound<get_weights>,
     .entry = {.usage = "layer:get_weights()",
               .doc = "Copies of the numbers of all its weights, in the order of layer.weights, as a list of tensors.",
               .example = R"(
                 local model = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 2}}
                 local kernel, bias = table.unpack(model:get_weights())
                 assert(kernel.shape[1] == 4 and bias:sum():item() == 0)
               )"}},
    {.name = "set_weights",
     .method = bound<set_weights>,
     .entry = {.usage = "layer:set_weights(tensors)",
               .doc = "Sets all its weights, in the order of layer.weights, to a list of tensors of their shapes.",
               .example = R"(
                 local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}}
                 model:set_weights{nacre.tensor{{2.0}, {3.0}}, nacre.tensor{1.0}}
                 assert(model:predict(nacre.ones{1, 2}):item() == 6)
               )"}},
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
  if (info.class_name == LambdaConfig::class_name)
    if (auto layer = about("Lambda", [&] { return lambda_of_function(call); }))
      return layer_object(call, std::move(layer));
  const Tree config = read_config_table(call, info.class_name, info.fields);
  const Tree* given = config.find("name");
  const std::string own = given && given->is_string() ? given->as_string() : snake_case(info.class_name);
  return about(fmt::format("layer '{}' ({})", own, info.class_name), [&] {
    std::shared_ptr<Layer> layer = info.make(config);
    if (call.has_handed()) refuse_objects(layer->config_tree(Style::full));
    return layer_object(call, std::move(layer));
  });
}

// nacre.deserialize{class_name = "Dense", config = {units = 3}}: a layer as Keras's JSON spells it, as a table or a
// text.
Out deserialize(Call& call) {
  Tree spelling = call.tree(1);
  if (spelling.is_string()) spelling = marked(call.place(), [&] { return parse_json(spelling.as_string()); });
  return about("deserialize", [&] { return layer_object(call, read_object<Layer>(spelling)); });
}

// nacre.layers.get({Dense = {units = 3}}): the layer that a field means: a name, a table, a layer.
Out get_layer(Call& call) {
  if (!call.given(1)) return {};
  return layer_object(call, about("get", [&] { return read_object<Layer>(call.tree(1)); }));
}

Out index_layers(Call& call) {
  const std::string wanted = call.text(2, "the name of a layer");
  if (wanted == "get") return Out::Function{bound<get_layer>};
  registry<Layer>().get(wanted);
  return Out::Function{bound<make_layer>, wanted};
}

// Of nacre's own layers: dense.kernel, norm.gamma.
std::string_view last_name(const Weight& weight) {
  const std::string_view path = weight.variable->path();
  return path.substr(path.rfind('/') + 1);
}
std::optional<Out> weight_member(Call& call, std::string_view key) {
  for (const Weight& weight : self(call)->layer->own_weights())
    if (last_name(weight) == key) return weight_object(weight);
  return std::nullopt;
}

std::optional<Out> other_member(Call& call, std::string_view key) {
  if (auto found = model_member(call, key)) return found;
  if (auto found = training_member(call, key)) return found;
  if (auto found = custom_member(call, key)) return found;
  if (auto found = weight_member(call, key)) return found;
  if (EngineState::of(call).sandboxed() && dynamic_cast<const FunctionalLayer*>(self(call)->layer.get()) &&
      std::ranges::find(model_members(), key, &Member::name) != model_members().end())
    throw Error("{} has no '{}' in the sandbox", call.described(1), key)
        .hint("models are layers there: they are called, but not compiled, trained or saved")
        .usage();
  return std::nullopt;
}
bool set_other_member(Call& call, std::string_view key) {
  return set_training_member(call, key) || set_custom_member(call, key);
}
void other_names(const Object& object, std::vector<std::string_view>& names) {
  model_member_names(object, names);
  custom_member_names(object, names);
  for (const Weight& weight : std::static_pointer_cast<LayerObject>(object.value)->layer->own_weights())
    names.push_back(last_name(weight));
}

constexpr OtherWord other_words[] = {
    {"get_layer", "model:layer(name)"},
    {"parameters", "layer.trainable_weights"},
    {"variables", "layer.weights"},
    {"trainable_variables", "layer.trainable_weights"},
    {"state_dict", "layer:get_weights()"},
    {"load_state_dict", "layer:set_weights(tensors)"},
    {"forward", "layer(x)"},
    {"call", "layer(x)"},
    {"apply", "layer(x)"},
    {"train", "layer(x, {training = true})"},
    {"eval", "layer(x, {training = false})"},
    {"freeze", "layer.trainable = false"},
    {"requires_grad_", "layer.trainable = false"},
    {"to", "model:set_device(name)"},
    {"input_shape", "model.inputs[1].shape"},
    {"output_shape", "model.outputs[1].shape"},
    {"export", "model:save(path)"},
    {"to_yaml", "model:get_config()"},
    {"to_json", "model:get_config()"},
};

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
                          .other = other_member,
                          .set_other = set_other_member,
                          .other_names = other_names,
                          .other_words = other_words};
  return kind;
}

Object layer_object(const Call& call, std::shared_ptr<Layer> layer, std::shared_ptr<FunctionalLayer> place,
                    std::string name) {
  LayerObject object{
      .layer = std::move(layer), .place = std::move(place), .name = std::move(name), .mark = call.place()};
  const auto graph = std::dynamic_pointer_cast<FunctionalLayer>(object.layer);
  if (graph && !EngineState::of(call).sandboxed()) object.model = EngineState::of(call).model_of(graph);
  std::size_t bytes = 0;  // of a model's weights; what was taken from a model counts there
  if (object.model && !object.place)
    for (const Weight& weight : object.layer->weights()) bytes += weight.variable->type().bytes();
  return make_object(std::move(object), bytes);
}

std::span<const Function> layer_functions() {
  static constexpr Function functions[] = {
      {"deserialize",
       bound<deserialize>,
       {.usage = "nacre.deserialize(spelling)",
        .doc = "A layer or model as Keras's files spell it: a table with class_name and config, or its JSON as a text. "
               "Weights get their initial numbers.",
        .example = R"(
          local dense = nacre.deserialize{class_name = "Dense", config = {units = 3, activation = "relu"}}
          assert(dense(nacre.ones{1, 2}).shape[2] == 3)
          local same = nacre.deserialize('{"class_name": "Dense", "config": {"units": 3}}')
          assert(same:get_config().units == 3)
        )"}},
  };
  return functions;
}

const Namespace& layers_namespace() {
  static constexpr Namespace space{.name = "layers",
                                   .index = bound<index_layers>,
                                   .make = bound<make_layer>,
                                   .add_names = add_class_names<Layer>,
                                   .find = find_class<Layer>};
  return space;
}

void open_layers(lua_State* lua) {
  State::open_class(lua, class_of<LayerObject>());
  State::set_functions(lua, layer_functions());
  push_namespace(lua, layers_namespace());
  lua_setfield(lua, -2, "layers");
}

}  // namespace nacre::scripting
