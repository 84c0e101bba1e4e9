// Layers whose class is one of Lua's: their methods are traced into the graph where the layer is called, and run as
// they stand where a script calls the layer on tensors.
#include <algorithm>
#include <set>

#include "api/shared_layers.h"
#include "backend/graph/ops/elementwise.h"
#include "layers/emit.h"
#include "layers/lambda.h"
#include "scripting/classes/custom.h"

namespace nacre::scripting {

namespace {

// A shape, or a list of them for several inputs.
Out shapes_for(const std::vector<Shape>& shapes) {
  if (shapes.size() == 1) return shapes.front();
  return Out::List(shapes.begin(), shapes.end());
}

bool known(const std::vector<Shape>& shapes) {
  return std::ranges::all_of(shapes, [](const Shape& shape) { return shape.known(); });
}

class LayerOfLua final : public Layer, public Scripted {
 public:
  LayerOfLua(LuaObject object, LayerOptions options) : Layer(std::move(options)), Scripted(std::move(object)) {
    lua_.need_method("call");
    for (const Tree& name :
         lua_.setting("call_arguments").is_null() ? Tree::Sequence() : lua_.setting("call_arguments").items())
      arguments_.push_back(name.as_string());
    computes_shape_ = lua_.has("compute_output_shape");
    computes_mask_ = lua_.has("compute_mask");
    const Tree masking = lua_.setting("supports_masking");
    supports_masking_ = !masking.is_null() && masking.as_bool();
  }

  std::string_view class_name() const override { return lua_class_name; }
  std::string shown_class() const override { return lua_.name(); }
  Tree config_tree(Style style) const override {
    Tree tree = write_config(options_, style), own = lua_.config(style);
    if (style == Style::keras) {
      tree.set("name", own_name());
      check_call(own);
    }
    if (style == Style::yaml) tree = without_defaults(fields_of<LayerOptions>(), std::move(tree));
    for (Tree::Entry& entry : own.entries()) tree.set(entry.key, std::move(entry.value));
    return tree;
  }
  std::vector<std::shared_ptr<Layer>> sublayers() const override { return sublayers_; }
  bool supports_masking() const override { return supports_masking_; }
  std::vector<std::string_view> keyword_names() const override { return {arguments_.begin(), arguments_.end()}; }
  int input_count() const override { return 0; }

  Object self() const override {
    Layer* const here = const_cast<LayerOfLua*>(this);
    // What runs in a state that ends with the layer does not keep it.
    return make_object(LayerObject{.layer = lua_.owns_state() ? std::shared_ptr<Layer>(std::shared_ptr<void>(), here)
                                                              : here->shared_from_this()});
  }

  Values compute_masks(Context& context, const CallArguments& arguments, const Values& outputs) override {
    if (computes_mask_) {
      Values masks;
      EngineState& state = lua_.state();
      traced_in(state, context, [&] {
        const std::vector<Out> given{list_of(arguments.inputs), masks_of(arguments.masks)};
        invoke("compute_mask", given, [&](const Call& call, int first) {
          const int last = lua_gettop(call.lua());
          for (int i = first; i <= last; ++i)
            masks.push_back(has_result(call, i) ? read_value(call, i, method("compute_mask")) : Value());
        });
      });
      masks.resize(outputs.size());
      for (Value& mask : masks)
        if (mask) mask = ops::cast(mask, DType::boolean);
      return masks;
    }
    if (supports_masking_) return Layer::compute_masks(context, arguments, outputs);
    // Those that layers within it gave its results.
    Values masks(outputs.size());
    for (std::size_t i = 0; i < outputs.size(); ++i)
      for (const auto& [value, mask] : masks_)
        if (value == outputs[i]) masks[i] = mask;
    return masks;
  }

  // --- for methods ---

  Weight make_weight(std::string name, Shape shape, Ref<Initializer> initializer, WeightOptions options) {
    if (!building_) throw Error("weights are made in 'build'").usage();
    if (name.empty() || name.find('/') != std::string::npos)
      throw Error("a weight cannot be called {}", Tree(name).text()).usage();
    for (const Weight& weight : own_weights())
      if (weight.variable->path().ends_with("/" + name)) throw Error("two weights are called '{}'", name).usage();
    add_weight(std::move(name), std::move(shape), std::move(initializer), std::move(options));
    return own_weights().back();
  }
  void add_penalty(const Call& call, const Object& loss) {
    auto& state = EngineState::of(call);
    if (penalties_ && !state.trace()) {
      penalties_->push_back(loss);
      return;
    }
    if (!context_) throw Error("a loss is added in 'call'").usage();
    const Value value = traced_value(call, loss);
    if (&value.graph() != &context_->graph()) throw Error("a loss is added outside of functions within 'call'").usage();
    if (value.shape().rank() != 0) throw Error("the loss {} is no single number", value.type()).usage();
    context_->add_loss(value);
  }
  void attribute_set(const Call& call, int value) override {
    const auto object = call.object(value);
    if (call.is_table(value) || (object && object->kind == &class_of<LayerObject>())) collect_sublayers(call);
    if (built()) check_variables(call);
    if (calls_ == 0 && !building_) tables_changed();  // graphs that hold what it was are stale
  }

  // Layers among the attributes; those without a name are called after their attribute. One that leads back here is
  // known to this layer, but is no part of it.
  void collect_sublayers(const Call& call) {
    std::vector<std::shared_ptr<Layer>> found;
    std::set<std::string> names;
    lua_.each_object(call, [&](const Object& object, const std::string& name) {
      if (object.kind != &class_of<LayerObject>()) return;
      const auto& layer = std::static_pointer_cast<LayerObject>(object.value)->layer;
      if (std::ranges::find(found, layer) != found.end() || reaches(*layer, *this)) return;
      if (layer->name().empty()) layer->rename(name);
      while (!names.insert(layer->name()).second) layer->rename(layer->name() + "_" + name);
      layer->set_parent(path());
      found.push_back(layer);
    });
    sublayers_ = std::move(found);
  }

  // A variable among the attributes that is no weight would be neither trained nor saved.
  void check_variables(const Call& call) const {
    const std::vector<Weight> own = weights();
    lua_.each_object(call, [&](const Object& object, const std::string& name) {
      if (object.kind != &class_of<Weight>()) return;
      const auto& variable = std::static_pointer_cast<Weight>(object.value)->variable;
      if (std::ranges::find(own, variable, &Weight::variable) == own.end())
        throw Error("the attribute '{}' is a variable, but no weight of the layer", name)
            .hint("self:add_weight in 'build' makes one, which is trained and saved with the layer")
            .usage();
    });
  }

  std::vector<Object> run_at_once(const Call& call, const CallAtOnce& given);

 protected:
  void build(const std::vector<Shape>& inputs) override {
    lua_.enter([&](const Call& call) {
      Definitions& definitions = lua_.state().definitions();
      const UnderWay building(building_);
      ++definitions.builds;
      struct Built {
        int& builds;
        ~Built() { --builds; }
      } const built{definitions.builds};
      if (lua_.has("build")) invoke("build", {shapes_for(inputs)});
      const Tree masking = lua_.setting("supports_masking");
      supports_masking_ = !masking.is_null() && masking.as_bool();
      collect_sublayers(call);
      check_variables(call);
    });
  }

  Values call(Context& context, const CallArguments& arguments) override {
    std::vector<Shape> shapes;
    last_call_ = {};
    for (const Value& input : arguments.inputs) {
      shapes.push_back(input.shape());
      last_call_.inputs.push_back(input.type());
    }
    for (const auto& [name, values] : arguments.named)
      for (const Value& value : values) last_call_.named[name].push_back(value.type());
    last_call_.options = arguments.options;
    try {
      return shaped_call(context, arguments, shapes);
    } catch (Error& error) {
      if (!error.subject().empty()) error.within(fmt::format("in {}", label()));  // it is about something within
      throw;
    }
  }

 private:
  Values shaped_call(Context& context, const CallArguments& arguments, const std::vector<Shape>& shapes) {
    if (!computes_shape_) return traced_call(context, arguments);
    Values outputs;
    const std::vector<Shape> wanted = output_shapes(shapes);
    if (!known(shapes)) {
      // The call is for the weights of the layers within it; with sizes that are open it may fail.
      try {
        outputs = traced_call(context, arguments);
      } catch (const Error&) {
        outputs.clear();
      }
      Values placeholders;
      for (std::size_t i = 0; i < wanted.size(); ++i)
        placeholders.push_back(emit::zeros(
            context.graph(), {i < outputs.size() ? outputs[i].dtype() : options_.dtype.compute(), wanted[i]}));
      return placeholders;
    }
    outputs = traced_call(context, arguments);
    for (std::size_t i = 0; i < std::max(outputs.size(), wanted.size()); ++i)
      if (i >= outputs.size() || i >= wanted.size() || !same(outputs[i].shape(), wanted[i]))
        throw Error("'call' gives {}, 'compute_output_shape' says {}",
                    i < outputs.size() ? outputs[i].shape().text() : "nothing",
                    i < wanted.size() ? wanted[i].text() : "nothing")
            .usage();
    return outputs;
  }

  std::string method(std::string_view name) const { return fmt::format("'{}' of '{}'", name, lua_.name()); }

  Out list_of(const Values& values) const {
    const EngineState& state = lua_.state();
    if (values.size() == 1) return state.traced(values.front());
    Out::List list;
    for (const Value& value : values) list.emplace_back(state.traced(value));
    return list;
  }
  // Nil where there is none; of several inputs a list, with false where there is none.
  Out masks_of(const Values& masks) const {
    const EngineState& state = lua_.state();
    if (std::ranges::none_of(masks, [](const Value& mask) { return bool(mask); })) return {};
    if (masks.size() == 1) return state.traced(masks.front());
    Out::List list;
    for (const Value& mask : masks) list.push_back(mask ? Out(state.traced(mask)) : Out(false));
    return list;
  }

  Values traced_call(Context& context, const CallArguments& arguments) {
    EngineState& state = lua_.state();
    Values outputs;
    masks_.clear();
    struct Calling {
      int& calls;
      Context*& present;
      Context* before;
      Calling(int& count, Context*& place, Context* context) : calls(count), present(place), before(place) {
        ++calls, present = context;
      }
      ~Calling() { --calls, present = before; }
    } const calling(calls_, context_, &context);
    const ComputingState::Autocast autocast(state, options_.dtype.compute());
    traced_in(state, context, [&] {
      Out::List inputs;
      for (std::size_t i = 0; i < arguments.inputs.size(); ++i)
        inputs.emplace_back(state.traced(arguments.inputs[i], arguments.masks[i]));
      Out::Named options{{"training", context.training()}};
      if (Out masks = masks_of(arguments.masks); !std::holds_alternative<std::monostate>(masks.value()))
        options.push_back({"mask", std::move(masks)});
      for (const auto& [name, values] : arguments.named) options.push_back({name, list_of(values)});
      if (arguments.options.is_mapping())
        for (const Tree::Entry& entry : arguments.options.entries())
          if (entry.key != "training") options.push_back({entry.key, entry.value});
      const Out in = inputs.size() == 1 ? inputs.front() : Out(std::move(inputs));
      invoke("call", {in, Out(std::move(options))}, [&](const Call& call, int first) {
        outputs = read_values(call, first, method("call"));
        note_masks(call, first, outputs);
      });
    });
    return outputs;
  }

  void note_masks(const Call& call, int first, const Values& outputs) {
    std::size_t next = 0;
    each_result(call, first, [&](int index) {
      const auto object = call.object(index);
      if (const Value mask = object ? traced_mask(call, *object) : Value()) masks_.emplace_back(outputs[next], mask);
      ++next;
    });
  }

  std::vector<Shape> output_shapes(const std::vector<Shape>& inputs) const {
    std::vector<Shape> shapes;
    invoke("compute_output_shape", {shapes_for(inputs)}, [&](const Call& call, int first) {
      const auto read = [&](int index) {
        Shape& shape = shapes.emplace_back();
        for (const Tree& size : call.tree(index).items())
          shape.append(std::max<std::int64_t>(size.as_integer(), unknown));
      };
      const int last = lua_gettop(call.lua());
      for (int i = first; i <= last; ++i) {
        if (!call.is_table(i))
          throw Error("'compute_output_shape' gives {}, wanted a shape", call.described(i)).usage();
        lua_rawgeti(call.lua(), i, 1);
        const bool list = call.is_table(-1);
        lua_pop(call.lua(), 1);
        if (list) call.each_item(i, read);
        else read(i);
      }
    });
    if (shapes.empty()) throw Error("'compute_output_shape' gives nothing, wanted a shape").usage();
    return shapes;
  }

  // Before it is written: the source gives the same layer without this script.
  void check_call(const Tree& config) const {
    if (!built() || lua_.owns_state() || checked_ == config["source"]) return;
    try {
      Graph graph;
      const Type whole{DType::int64, {}};
      Context context(graph, false, graph.input("seed", whole), graph.input("step", whole));
      const auto feed = [&](const Types& types) {
        Values values;
        for (const Type& type : types) values.push_back(graph.input(fmt::format("x{}", graph.inputs().size()), type));
        return values;
      };
      CallArguments arguments{
          .inputs = feed(last_call_.inputs), .masks = {}, .named = {}, .options = last_call_.options};
      for (const auto& [name, types] : last_call_.named) arguments.named[name] = feed(types);
      const std::shared_ptr<Layer> copy = registry<Layer>().get(lua_class_name).make(config);
      copy->ensure_built(built_shapes());
      if (!arguments.inputs.empty()) (*copy)(context, std::move(arguments));
    } catch (const Error& error) {
      throw Error("'{}' cannot be saved: its source does not stand by itself: {}", lua_.name(), error.line())
          .hint("put the class into a file of its own, which the script takes with nacre.import")
          .usage();
    }
    checked_ = config["source"];
  }

  std::vector<std::string> arguments_;
  bool computes_shape_ = false, computes_mask_ = false, supports_masking_ = false;
  std::vector<std::shared_ptr<Layer>> sublayers_;
  bool building_ = false;
  int calls_ = 0;                                 // under way
  Context* context_ = nullptr;                    // of the innermost
  std::vector<Object>* penalties_ = nullptr;      // of the innermost on tensors
  std::vector<std::pair<Value, Value>> masks_{};  // of results of the last call
  struct LastCall {
    Types inputs;
    std::map<std::string, Types> named;
    Tree options;
  } last_call_;
  mutable Tree checked_;  // the source that is known to stand by itself
};

// Numbers and weights too.
eager::Array array_at(const Call& call, int index, const std::string& method) {
  const auto object = call.object(index);
  if (lua_type(call.lua(), index) != LUA_TNUMBER && !(object && is_tensor(*object)))
    throw Error("{} gives {}, wanted a tensor", method, call.described(index)).usage();
  return array_of(call, read_tensor(call, index, "a tensor"));
}

Out one_or_list(std::vector<Object> objects) {
  if (objects.size() == 1) return objects.front();
  return Out::List(objects.begin(), objects.end());
}

std::vector<Object> LayerOfLua::run_at_once(const Call& call, const CallAtOnce& given) {
  auto& state = EngineState::of(call);
  initialize(state.seed());
  const DType dtype = options_.dtype.compute();
  const auto prepared = [&](const Object& object) {
    const Type type = type_of_tensor(object);
    return is_floating(type.dtype) && type.dtype != dtype ? cast(call, object, dtype) : object;
  };
  std::vector<eager::Array> inputs;
  for (const Object& input : given.inputs) inputs.push_back(array_of(call, prepared(input)));
  Out::Named options{{"training", given.training}};
  for (const auto& [name, objects] : given.named) {
    if (name == "mask") {
      for (std::size_t i = 0; i < objects.size() && i < inputs.size(); ++i)
        inputs[i].mask = std::make_shared<const eager::Array>(array_of(call, cast(call, objects[i], DType::boolean)));
      continue;
    }
    std::vector<Object> casts;
    for (const Object& object : objects) casts.push_back(prepared(object));
    options.push_back({name, one_or_list(std::move(casts))});
  }
  if (given.options.is_mapping())
    for (const Tree::Entry& entry : given.options.entries())
      if (entry.key != "training") options.push_back({entry.key, entry.value});
  std::vector<Object> objects;
  Out::List masks;
  bool masked = false;
  for (const eager::Array& input : inputs) {
    objects.push_back(array_object(input));
    masks.push_back(input.mask ? Out(array_object(*input.mask)) : Out(false));
    masked = masked || input.mask;
  }
  const Out in = one_or_list(std::move(objects)), all_masks = !masked             ? Out()
                                                              : masks.size() == 1 ? masks.front()
                                                                                  : Out(masks);
  if (masked) options.push_back({"mask", all_masks});

  std::vector<Object> penalties;
  std::vector<eager::Array> results;
  {
    struct Calling {
      int& calls;
      std::vector<Object>*& present;
      std::vector<Object>* before;
      Calling(int& count, std::vector<Object>*& place, std::vector<Object>* now)
          : calls(count), present(place), before(place) {
        ++calls, present = now;
      }
      ~Calling() { --calls, present = before; }
    } const calling(calls_, penalties_, &penalties);
    const ComputingState::Autocast autocast(state, dtype);
    const EngineState::AtOnce training(state, given.training);
    invoke("call", {in, Out(std::move(options))}, [&](const Call& inner, int first) {
      each_result(inner, first, [&](int index) { results.push_back(array_at(inner, index, method("call"))); });
    });
  }
  if (results.empty())
    throw Error("{} gives nothing, wanted a tensor", method("call")).hint("does it return its result?").usage();
  if (computes_mask_)
    invoke("compute_mask", {in, all_masks}, [&](const Call& inner, int first) {
      for (std::size_t i = 0; i < results.size(); ++i) {
        const int index = first + static_cast<int>(i);
        results[i].mask = has_result(inner, index)
                              ? std::make_shared<const eager::Array>(array_at(inner, index, method("compute_mask")))
                              : nullptr;
      }
    });
  else if (supports_masking_)
    for (eager::Array& result : results) result.mask = inputs.empty() ? nullptr : inputs.front().mask;
  for (const Weight& weight : trainable_weights()) {
    const bool own =
        std::ranges::any_of(own_weights(), [&](const Weight& each) { return each.variable == weight.variable; });
    if (!own || !weight.regularizer) continue;
    Computation work{.key = fmt::format("penalty {}", static_cast<const void*>(&*weight.regularizer)),
                     .operands = {weight_object(weight)},
                     .owner = weight.regularizer.share()};
    work.emit = [&](Context&, const Values& values, const Values&) -> Computation::Result {
      return {{(*weight.regularizer)(values[0])}};
    };
    penalties.push_back(compute(call, std::move(work)).front());
  }
  state.set_losses(shared_from_this(), std::move(penalties));
  std::vector<Object> outputs;
  for (eager::Array& result : results) outputs.push_back(array_object(std::move(result)));
  return outputs;
}

// --- members of layers --------------------------------------------------------------------------------------------

// `otherwise`: what layers of nacre's own classes do instead, for messages.
LayerOfLua& self(const Call& call, std::string_view otherwise) {
  Layer& layer = *call.self<LayerObject>()->layer;
  if (auto* const own = dynamic_cast<LayerOfLua*>(&layer)) return *own;
  throw Error("{} {}", layer.label(), otherwise).usage();
}

struct WeightConfig {
  std::string name = "variable";
  Shape shape;
  Ref<Initializer> initializer = "glorot_uniform";
  Ref<Regularizer> regularizer;
  Ref<WeightConstraint> constraint;
  bool trainable = true;
  std::optional<DType> dtype;
  static void describe(auto&& field) {
    field("name", &WeightConfig::name, "unique within the layer");
    field("shape", &WeightConfig::shape, "none: one number");
    field("initializer", &WeightConfig::initializer, "of its values at the start");
    field("regularizer", &WeightConfig::regularizer, "penalty, added to the loss");
    field("constraint", &WeightConfig::constraint, "applied after each update");
    field("trainable", &WeightConfig::trainable, "false: no optimizer changes it");
    field("dtype", &WeightConfig::dtype, "default: that of the layer's policy");
  }
};

// self:add_weight{name = "kernel", shape = {3, 4}, initializer = "glorot_uniform", …}
Out add_weight(Call& call) {
  const auto config = about("add_weight", [&] { return read_options<WeightConfig>(call, 2); });
  if (!config.initializer) throw Error("a weight needs an initializer").usage();
  return weight_object(self(call, "makes its own weights")
                           .make_weight(config.name, config.shape, config.initializer,
                                        {.trainable = config.trainable,
                                         .regularizer = config.regularizer,
                                         .constraint = config.constraint,
                                         .dtype = config.dtype}));
}

void add_loss(Call& call) { self(call, "adds its own losses").add_penalty(call, read_tensor(call, 2, "a loss")); }

constexpr Member members[] = {
    {"add_weight",
     bound<add_weight>,
     nullptr,
     nullptr,
     {"layer:add_weight{name = …, shape = …, initializer = …}",
      "In 'build' of a layer's class: a weight. Also regularizer, constraint, trainable and dtype.",
      R"(local Bias = nacre.Layer("Bias")
function Bias:build(input_shape)
  self.bias = self:add_weight{name = "bias", shape = {input_shape[#input_shape]}, initializer = "ones"}
end
function Bias:call(x) return x + self.bias end
local bias = Bias()
assert(bias(nacre.zeros{1, 3}):totable()[1][3] == 1 and #bias.weights == 1))"}},
    {"add_loss",
     bound<add_loss>,
     nullptr,
     nullptr,
     {"layer:add_loss(loss)", "In 'call' of a layer's class: a number that is added to the loss of the training.",
      R"(local Quiet = nacre.Layer("Quiet", {strength = 0.5})
function Quiet:call(x)
  self:add_loss(self.strength * nacre.ops.sum(x ^ 2))
  return x
end
local quiet = Quiet()
quiet(nacre.ones{1, 2})
assert(quiet.losses[1]:item() == 1))"}}};

}  // namespace

std::span<const Member> custom_layer_members() { return members; }

bool runs_at_once(const Call& call, const Layer& layer) {
  const auto* const own = dynamic_cast<const LayerOfLua*>(&layer);
  return own && own->lua().at_home(call) && !EngineState::of(call).trace();
}

std::vector<Object> run_at_once(const Call& call, Layer& layer, const CallAtOnce& given) {
  return within([&] { return fmt::format("in {}", layer.label()); },
                [&] { return dynamic_cast<LayerOfLua&>(layer).run_at_once(call, given); });
}

std::shared_ptr<Layer> Custom<Layer>::make(LuaObject object, Options options) {
  auto layer = std::make_shared<LayerOfLua>(std::move(object), std::move(options));
  layer->lua().enter([&](const Call& call) { layer->collect_sublayers(call); });
  return layer;
}

}  // namespace nacre::scripting
