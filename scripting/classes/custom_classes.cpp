// nacre.Layer, nacre.Loss and the others that define classes, nacre.import, and the class Lua of the registries.
#include <algorithm>
#include <mutex>

#include "formats/file.h"
#include "layers/lambda.h"
#include "scripting/classes/custom.h"

namespace nacre::scripting {

namespace {

// --- making objects -----------------------------------------------------------------------------------------------

template <class Base>
typename Custom<Base>::Options options_of(const LuaObject& object, Tree given) {
  typename Custom<Base>::Options options;
  read_fields(targets_of(options), object.with_defaults(std::move(given)));
  return options;
}

// Gate{units = 4}
template <class Base>
Out make_custom(Call& call) {
  const LuaClassRef kind = *call.get<LuaClassRef>(lua_upvalueindex(1), "a class");
  if (!call.is_table(1)) throw call.unwanted(1, "a class");
  return about(fmt::format("{} '{}'", kind->kind, kind->name), [&]() -> Out {
    if (call.count() > 2) throw Error("wanted one table, got {} values", call.count() - 1).usage();
    if (call.given(2) && (!call.is_table(2) || lua_rawlen(call.lua(), 2) > 0))
      throw call.unwanted(2, fmt::format("a table of names: {}{{…}}", kind->name));
    Tree given = call.given(2) ? call.tree(2) : Tree();
    if (!given.is_mapping()) given = Tree::mapping().at(call.place());
    const std::vector<const FieldTable*> tables = option_tables<Base>();
    LuaConfig config = read_fields_of_script(given, tables);
    LuaObject object(call, kind, call.keep(1), config.fields, tables);
    auto options = options_of<Base>(object, std::move(config.options));
    if constexpr (std::is_same_v<Base, Layer>) {
      auto& state = EngineState::of(call);
      if (options.name.empty() && state.definitions().builds == 0)
        options.name = state.unique_name(snake_case(kind->name));
      return layer_object(call, Custom<Base>::make(std::move(object), std::move(options)));
    } else {
      return make_object(Custom<Base>::make(std::move(object), std::move(options)));
    }
  });
}

// {Lua: {file: …, class: Gate, units: 4}}
template <class Base>
std::shared_ptr<Base> read_custom(const Tree& tree) {
  const std::vector<const FieldTable*> tables = option_tables<Base>();
  LuaConfig config = read_lua_config(tree, tables);
  LuaObject object(registry<Base>().kind(), config, tables);
  auto options = options_of<Base>(object, std::move(config.options));
  return Custom<Base>::make(std::move(object), std::move(options));
}

// --- defining classes ---------------------------------------------------------------------------------------------

// What fields cannot be called: keys of configurations, and members that objects have.
template <class Base>
std::vector<std::string_view> reserved_names() {
  std::vector<std::string_view> names;
  for (const Field& field : fields_of<LuaKeys>()) names.push_back(field.key);
  const auto add = [&](const Class& kind, std::span<const Member> more) {
    for (const std::span<const Member> members : {kind.members, more})
      for (const Member& member : members) names.emplace_back(member.name);
  };
  if constexpr (std::is_same_v<Base, Layer>) {
    add(class_of<LayerObject>(), custom_layer_members());
    for (const char* word : {"from", "when", "repeat"}) names.emplace_back(word);  // of YAML's lines
  } else if constexpr (std::is_same_v<Base, Metric>) {
    add(class_of<std::shared_ptr<Base>>(), custom_metric_members());
  } else if constexpr (std::is_same_v<Base, Optimizer>) {
    add(class_of<std::shared_ptr<Base>>(), custom_optimizer_members());
  } else {
    add(class_of<std::shared_ptr<Base>>(), {});
  }
  return names;
}

template <class Base>
Out describe_custom(Call& call) {
  std::vector<std::string_view> options;
  for (const FieldTable* table : option_tables<Base>())
    for (const Field& field : *table) options.push_back(field.key);
  return about(fmt::format("nacre.{}", Custom<Base>::definer), [&] {
    return make_object<LuaClassRef>(std::make_shared<const LuaClass>(
        describe_class(call, registry<Base>().kind(), options, reserved_names<Base>())));
  });
}

template <class Base>
int define(lua_State* lua) {
  return define_class(lua, bound<describe_custom<Base>>, bound<make_custom<Base>>);
}

// --- files --------------------------------------------------------------------------------------------------------

// nacre.import("my_layers.lua"): what the file gives. Its path is relative to the script's.
Results import_file(Call& call) {
  const std::filesystem::path given = call.text(1, "the path of a file of Lua");
  const std::filesystem::path path = std::filesystem::path(call.place().file).parent_path() / given;
  Definitions& definitions = EngineState::of(call).definitions();
  const auto source = std::make_shared<const LuaSource>(
      LuaSource{within([&] { return std::string("in nacre.import"); }, [&] { return script_text(read_file(path)); }),
                path.string()});
  definitions.chunks.emplace("@" + source->file, source->text);
  struct Importing {
    Definitions& definitions;
    ~Importing() { definitions.imports.pop_back(); }
  };
  call.load(source->text, "@" + source->file);
  const int chunk = lua_gettop(call.lua());
  definitions.imports.push_back(source);
  const Importing importing{definitions};
  Results results;
  for (int i = call.invoke(Out::At{chunk}, {}); i <= lua_gettop(call.lua()); ++i) results.emplace_back(Out::At{i});
  return results;
}

// --- the functions ------------------------------------------------------------------------------------------------

constexpr Function functions[] = {
    {"Layer",
     define<Layer>,
     {"nacre.Layer(name[, fields])",
      "A class of layers: a table that takes the methods build(self, input_shape) and call(self, x, options), and "
      "makes layers. Fields have a default; names without one must be given. Weights come from self:add_weight, "
      "layers that are attributes are part of it. Perhaps compute_output_shape(self, input_shape), "
      "compute_mask(self, x, mask), supports_masking = true, call_arguments = {names}.",
      R"(local Scale = nacre.Layer("Scale", {start = 2})
function Scale:build(input_shape)
  self.factor = self:add_weight{name = "factor", shape = {}, initializer = {Constant = {value = self.start}}}
end
function Scale:call(x, options) return x * self.factor end
assert(Scale{start = 3}(nacre.ones{2}):totable()[1] == 3))"}},
    {"Loss",
     define<Loss>,
     {"nacre.Loss(name[, fields])",
      "A class of losses: call(self, y_true, y_pred) gives the loss of each sample, or one for all. A function alone "
      "is a loss too.",
      R"(local Power = nacre.Loss("Power", {exponent = 4})
function Power:call(y_true, y_pred) return nacre.ops.mean((y_true - y_pred) ^ self.exponent, -1) end
assert(Power{exponent = 2}(nacre.zeros{1, 2}, nacre.tensor{{1.0, 3.0}}):item() == 5))"}},
    {"Metric",
     define<Metric>,
     {"nacre.Metric(name[, fields])",
      "A class of metrics: build(self, y_true_shape, y_pred_shape) makes the state with self:add_variable, "
      "update_state(self, y_true, y_pred, sample_weight) changes it, result(self) gives the number. direction = "
      "\"down\" says that less is better. The mean of a function is a metric too.",
      R"(local Largest = nacre.Metric("Largest")
function Largest:build() self.largest = self:add_variable{name = "largest", initial = -1e30} end
function Largest:update_state(y_true, y_pred)
  self.largest:assign(nacre.ops.maximum(self.largest, nacre.ops.max(y_pred)))
end
function Largest:result() return self.largest end
local metric = Largest()
metric:update_state(nacre.zeros{2}, nacre.tensor{1.0, 7.0})
assert(metric:result() == 7))"}},
    {"Optimizer",
     define<Optimizer>,
     {"nacre.Optimizer(name[, fields])",
      "A class of optimizers: build(self, variables) makes the state with self:add_variable_from(variable, name), "
      "update_step(self, gradient, variable, learning_rate, step) changes the variable, or gives its new value; "
      "self:slot(variable, name) is the state. Clipping, weight decay and the like are there for all.",
      R"(local Momentum = nacre.Optimizer("Momentum", {learning_rate = 0.1, momentum = 0.9})
function Momentum:build(variables)
  for _, variable in ipairs(variables) do self:add_variable_from(variable, "velocity") end
end
function Momentum:update_step(gradient, variable, learning_rate)
  local velocity = self:slot(variable, "velocity")
  velocity:assign(velocity * self.momentum - gradient * learning_rate)
  variable:assign_add(velocity)
end
local weight = nacre.Variable(nacre.ones{2})
Momentum{}:apply({nacre.ones{2}}, {weight})
assert(math.abs(weight.value:totable()[1] - 0.9) < 1e-6))"}},
    {"Callback",
     define<Callback>,
     {"nacre.Callback(name[, fields])",
      "A class of callbacks, with Keras's hooks: on_train_begin(self), on_epoch_end(self, epoch, logs), "
      "on_train_batch_end(self, batch, logs), …. Epochs and batches count from 0. self.model is the model; "
      "self.model.stop_training = true, or returning \"stop\", ends training. A table with hooks is a callback too.",
      R"(local Stop = nacre.Callback("Stop", {after = 2})
function Stop:on_epoch_end(epoch, logs) if epoch + 1 == self.after then self.model.stop_training = true end end
local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}}
model:compile{loss = "mse"}
local history = model:fit(nacre.ones{4, 2}, nacre.ones{4, 1}, {epochs = 9, verbose = false, callbacks = {Stop{}}})
assert(#history.loss == 2))"}},
    {"Activation",
     define<Activation>,
     {"nacre.Activation(name[, fields])",
      "A class of activations: call(self, x). A function alone is an activation too.",
      R"(local Clipped = nacre.Activation("Clipped", {most = 1})
function Clipped:call(x) return nacre.ops.clip(x, 0, self.most) end
assert(Clipped{most = 2}(nacre.tensor{-1.0, 5.0}):totable()[2] == 2))"}},
    {"Initializer",
     define<Initializer>,
     {"nacre.Initializer(name[, fields])",
      "A class of initializers: call(self, shape, dtype) gives the tensor. A function alone is an initializer too.",
      R"(local Fill = nacre.Initializer("Fill", {value = 3})
function Fill:call(shape, dtype) return nacre.ones(shape, dtype) * self.value end
assert(Fill{}({2}):totable()[1] == 3))"}},
    {"Regularizer",
     define<Regularizer>,
     {"nacre.Regularizer(name[, fields])",
      "A class of penalties on weights and activations: call(self, x) gives one number. A function alone is one too.",
      R"(local Sparse = nacre.Regularizer("Sparse", {strength = 0.5})
function Sparse:call(x) return self.strength * nacre.ops.sum(nacre.ops.abs(x)) end
assert(Sparse{}(nacre.tensor{-1.0, 3.0}):item() == 2))"}},
    {"Constraint",
     define<WeightConstraint>,
     {"nacre.Constraint(name[, fields])",
      "A class of constraints, applied to a weight after each update: call(self, weight). A function alone is one too.",
      R"(local AtMost = nacre.Constraint("AtMost", {most = 1})
function AtMost:call(weight) return nacre.ops.minimum(weight, self.most) end
assert(AtMost{}(nacre.tensor{3.0}):item() == 1))"}},
    {"LearningRateSchedule",
     define<LearningRateSchedule>,
     {"nacre.LearningRateSchedule(name[, fields])",
      "A class of learning rates that change with the step: call(self, step). A function alone is one too.",
      R"(local Inverse = nacre.LearningRateSchedule("Inverse", {start = 0.5})
function Inverse:call(step) return self.start / (step + 1) end
assert(Inverse{}(1):item() == 0.25))"}},
    {"import",
     bound<import_file>,
     {"nacre.import(path)",
      "Runs a file of Lua, whose path is relative to the script's, and gives what it gives: a table of classes. Models "
      "that use them are saved with the text of the file.",
      R"(local file = io.open("doubled.lua", "w")
file:write([[
local Doubled = nacre.Layer("Doubled")
function Doubled:call(x) return x * 2 end
return {Doubled = Doubled}]])
file:close()
local mine = nacre.import("doubled.lua")
assert(mine.Doubled()(nacre.ones{1}):item() == 2))"}},
};

}  // namespace

std::string_view definer_of(std::string_view kind) {
  std::string_view definer;
  each_custom_kind([&]<class Base>() {
    if (registry<Base>().kind() == kind) definer = Custom<Base>::definer;
  });
  return definer;
}

// --- members ------------------------------------------------------------------------------------------------------

namespace {

std::span<const Member> members_of(const Object& object) {
  if (object.kind == &class_of<LayerObject>()) return custom_layer_members();
  if (object.kind == &class_of<std::shared_ptr<Metric>>()) return custom_metric_members();
  if (object.kind == &class_of<std::shared_ptr<Optimizer>>()) return custom_optimizer_members();
  return {};
}

}  // namespace

Scripted* scripted_of(const Object& object) {
  if (object.kind == &class_of<LayerObject>())
    return dynamic_cast<Scripted*>(std::static_pointer_cast<LayerObject>(object.value)->layer.get());
  Scripted* found = nullptr;
  each_custom_kind([&]<class Base>() {
    if constexpr (!std::is_same_v<Base, Layer>)
      if (object.kind == &class_of<std::shared_ptr<Base>>())
        found = dynamic_cast<Scripted*>(std::static_pointer_cast<std::shared_ptr<Base>>(object.value)->get());
  });
  return found;
}

std::optional<Out> custom_member(Call& call, std::string_view key) {
  const auto object = call.object(1);
  const Scripted* const scripted = object ? scripted_of(*object) : nullptr;
  if (!scripted) return std::nullopt;
  for (const Member& member : members_of(*object))
    if (member.name == key) return member.get ? member.get(call) : Out(Out::Function{member.method});
  if (auto found = scripted->lua().attribute(call, key)) return found;
  // In a method what is not there yet is nil, as in a table.
  if (scripted->lua().at_home(call)) return Out();
  if (const Tree* field = scripted->lua().fields().values().find(key); field && !field->is_mapping())
    return Out(*field);
  return std::nullopt;
}

bool set_custom_member(Call& call, std::string_view key) {
  const auto object = call.object(1);
  Scripted* const scripted = object ? scripted_of(*object) : nullptr;
  if (!scripted) return false;
  for (const Member& member : members_of(*object))
    if (member.name == key) throw Error("{}: '{}' cannot be set", call.described(1), key).usage();
  scripted->lua().set_attribute(call, key, Out::At{3});
  scripted->attribute_set(call, 3);
  return true;
}

void custom_member_names(const Object& object, std::vector<std::string_view>& names) {
  const Scripted* const scripted = scripted_of(object);
  if (!scripted) return;
  for (const Member& member : members_of(object)) names.emplace_back(member.name);
  for (const Tree::Entry& entry : scripted->lua().fields().values().entries()) names.emplace_back(entry.key);
}

// --- opening ------------------------------------------------------------------------------------------------------

void register_lua_classes() {
  static std::once_flag once;
  std::call_once(once, [] {
    each_custom_kind([]<class Base>() {
      std::vector<const FieldTable*> tables{&fields_of<LuaKeys>()};  // at most two: options, and the class's own
      if (const FieldTable* options = option_tables<Base>().front(); !options->empty())
        tables.insert(tables.begin(), options);
      registry<Base>().extend({.class_name = lua_class_name,
                               .doc = Custom<Base>::doc,
                               .module = Custom<Base>::module,
                               .fields = std::move(tables),
                               .make = read_custom<Base>});
    });
  });
}

std::span<const Function> custom_functions() { return functions; }

void open_custom(lua_State* lua) {
  State::open_class(lua, class_of<LuaClassRef>());
  State::set_functions(lua, functions);
}

}  // namespace nacre::scripting
