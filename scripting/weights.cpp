// Weights: layer.weights, nacre.Variable(value).
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "scripting/bindings.h"
#include "scripting/tensors/operations.h"
#include "scripting/tensors/tensors.h"

namespace nacre::scripting {

namespace {

std::shared_ptr<Weight> self(const Call& call) { return call.self<Weight>(); }

Out name(Call& call) { return self(call)->variable->path(); }
Out trainable(Call& call) { return self(call)->variable->trainable(); }

// As a tensor.
Out value(Call& call) {
  const Object object = *call.object(1);
  auto& state = EngineState::of(call);
  return state.trace() ? state.traced(traced_value(call, object)) : array_object(array_of(call, object));
}

// --- changing -----------------------------------------------------------------------------------------------------

enum class Change : std::uint8_t { set, add, subtract };

// weight:assign(value), weight:assign_add(value), weight:assign_sub(value)
template <Change change>
void assign(Call& call) {
  const std::shared_ptr<Weight> weight = self(call);
  const VariableRef variable = weight->variable;
  want_value(call, *weight);
  Computation work{
      .key = fmt::format("assign {} {}", static_cast<int>(change), static_cast<const void*>(variable.get())),
      .operands = {read_tensor(call, 2, "a tensor or a number")},
      .owner = variable,
      .traced = true};
  work.emit = [&](Context& context, const Values& values, const Values&) -> Computation::Result {
    const Value before = context.graph().latest(variable), given = ops::cast(values[0], variable->type().dtype);
    const Shape &to = variable->shape(), &from = given.shape();
    bool fits = from.rank() <= to.rank();
    for (int axis = 1; fits && axis <= from.rank(); ++axis) fits = from[-axis] == 1 || from[-axis] == to[-axis];
    if (!fits) throw Error("'{}' is {}, got {}", variable->path(), variable->type(), values[0].type()).usage();
    const Value whole = ops::broadcast_to(given, variable->shape());
    context.graph().update(variable, change == Change::set   ? whole
                                     : change == Change::add ? before + whole
                                                             : before - whole);
    return {};
  };
  compute(call, std::move(work));
}

constexpr Member members[] = {
    {.name = "name",
     .get = name,
     .entry = {.usage = "weight.name", .doc = "Its name, after that of its layer: \"dense/kernel\".", .example = R"(
       local dense = nacre.layers.Dense{units = 2, name = "fc"}
       dense(nacre.ones{1, 3})
       assert(dense.weights[1].name == "fc/kernel")
     )"}},
    {.name = "shape",
     .get = shape_of_tensor,
     .entry = {.usage = "weight.shape", .doc = "The sizes of its axes, as a list.", .example = R"(
       local dense = nacre.layers.Dense{units = 2}
       dense(nacre.ones{1, 3})
       local kernel = dense.weights[1]
       assert(#kernel.shape == 2 and kernel.shape[1] == 3 and kernel.shape[2] == 2)
     )"}},
    {.name = "dtype",
     .get = dtype_of_tensor,
     .entry = {.usage = "weight.dtype", .doc = "The dtype of its numbers, such as \"float32\".", .example = R"(
       assert(nacre.Variable(nacre.zeros({2}, "float64")).dtype == "float64")
     )"}},
    {.name = "ndim",
     .get = ndim_of_tensor,
     .entry = {.usage = "weight.ndim", .doc = "How many axes it has.", .example = R"(
       assert(nacre.Variable(nacre.zeros{2, 3}).ndim == 2)
     )"}},
    {.name = "size",
     .get = size_of_tensor,
     .entry = {.usage = "weight.size", .doc = "How many numbers it has.", .example = R"(
       assert(nacre.Variable(nacre.zeros{2, 3}).size == 6)
     )"}},
    {.name = "trainable",
     .get = trainable,
     .entry = {.usage = "weight.trainable",
               .doc =
                   "Whether it is one that training changes, which statistics such as those of BatchNormalization are "
                   "not. Whether its layer is frozen is the layer's `trainable`.",
               .example = R"(
                 local norm = nacre.layers.BatchNormalization()
                 norm(nacre.ones{2, 3})
                 assert(norm.weights[1].trainable)       -- gamma
                 assert(not norm.weights[3].trainable)   -- moving_mean
               )"}},
    {.name = "value",
     .get = value,
     .entry = {.usage = "weight.value",
               .doc = "Its numbers now, as a tensor that stays as it is when the weight changes.",
               .example = R"(
                 local w = nacre.Variable(1.0)
                 local before = w.value
                 w:assign(2)
                 assert(before:item() == 1 and w.value:item() == 2)
               )"}},
    {.name = "item",
     .method = bound<item_of_one>,
     .entry = {.usage = "weight:item()", .doc = "The number of a weight that has one.", .example = R"(
       assert(nacre.Variable(2.5):item() == 2.5)
     )"}},
    {.name = "totable",
     .method = bound<table_of_tensor>,
     .entry = {.usage = "weight:totable()", .doc = "Its numbers as nested tables.", .example = R"(
       local bias = nacre.layers.Dense{units = 2, bias_initializer = "ones"}
       bias(nacre.zeros{1, 3})
       assert(bias.bias:totable()[2] == 1)
     )"}},
    {.name = "assign",
     .method = bound<assign<Change::set>>,
     .entry = {.usage = "weight:assign(value)",
               .doc =
                   "Sets its numbers to those of a tensor, cast to its dtype, or to one number. The shape of a value "
                   "may be one that broadcasts to the weight's.",
               .example = R"(
                 local w = nacre.Variable(nacre.tensor{1.0, 2.0})
                 w:assign(nacre.tensor{3.0, 4.0})
                 assert(w.value:totable()[2] == 4)
                 w:assign(0)
                 assert(w.value:sum():item() == 0)
               )"}},
    {.name = "assign_add",
     .method = bound<assign<Change::add>>,
     .entry = {.usage = "weight:assign_add(value)", .doc = "Adds a tensor or a number to its numbers.", .example = R"(
       local w = nacre.Variable(nacre.tensor{1.0, 2.0})
       w:assign_add(1)
       assert(w.value:totable()[2] == 3)
     )"}},
    {.name = "assign_sub",
     .method = bound<assign<Change::subtract>>,
     .entry = {.usage = "weight:assign_sub(value)",
               .doc = "Takes a tensor or a number from its numbers: a step of gradient descent by hand.",
               .example = R"(
                 local w = nacre.Variable(3.0)
                 local gradient = nacre.grad(function() return w * w end, w)()
                 w:assign_sub(0.1 * gradient)
                 assert(math.abs(w.value:item() - 2.4) < 1e-6)
               )"}},
};

constexpr OtherWord other_words[] = {{"numpy", "weight.value"},
                                     {"data", "weight.value"},
                                     {"tolist", "weight:totable()"},
                                     {"path", "weight.name"},
                                     {"requires_grad", "weight.trainable"},
                                     {"grad", "nacre.grad(f, weight)"}};

struct VariableConfig {
  std::string name = "variable";
  bool trainable = true;
  static void describe(auto&& field) {
    field("name", &VariableConfig::name, "for messages");
    field("trainable", &VariableConfig::trainable, "whether optimizers may change it");
  }
};

// nacre.Variable(tensor[, {name = …, trainable = …}])
Out make_variable(Call& call) {
  const eager::Array initial = array_of(call, read_tensor(call, 1, "a tensor or a number"));
  if (initial.value.dtype() == DType::string) throw call.unwanted(1, "numbers");
  const auto config = about("Variable", [&] { return read_options<VariableConfig>(call, 2); });
  const auto variable = std::make_shared<Variable>(config.name, initial.value.type(), config.trainable);
  variable->assign(initial.value);
  return weight_object({.variable = variable, .initializer = {}, .regularizer = {}, .constraint = {}});
}

}  // namespace

template <>
const Class& class_of<Weight>() {
  static const Class kind{.name = "weight",
                          .members = members,
                          .metamethods = operators(),
                          .text =
                              [](const Object& object) {
                                const Variable& variable = *std::static_pointer_cast<Weight>(object.value)->variable;
                                return fmt::format("weight '{}' {}", variable.path(), variable.type());
                              },
                          .same =
                              [](const void* a, const void* b) {
                                return static_cast<const Weight*>(a)->variable ==
                                       static_cast<const Weight*>(b)->variable;
                              },
                          .other = operation_method,
                          .keeps_methods = true,
                          .other_names = operation_names,
                          .other_words = other_words,
                          .at = item_of_tensor,
                          .set_at = set_item_of_tensor};
  return kind;
}

Object weight_object(Weight weight) { return make_object(std::move(weight)); }

std::vector<Weight> read_weights(const Call& call, int index) {
  constexpr std::string_view wanted = "a layer, a model or a list of weights";
  const auto layer = [&](int at) { return call.find<LayerObject>(at); };
  if (const auto object = layer(index)) return object->layer->trainable_weights();
  if (const auto weight = call.find<Weight>(index)) return {*weight};
  if (!call.is_table(index)) throw call.unwanted(index, wanted);
  std::vector<Weight> weights;
  call.each_item(index, [&](int item) {
    if (const auto object = layer(item)) {
      for (Weight& weight : object->layer->trainable_weights()) weights.push_back(std::move(weight));
    } else {
      weights.push_back(*call.get<Weight>(item, wanted));
    }
  });
  return weights;
}

std::span<const Function> weight_functions() {
  static constexpr Function functions[] = {
      {"Variable",
       bound<make_variable>,
       {.usage = "nacre.Variable(value[, options])",
        .doc =
            "A weight of one's own, with the shape and dtype of the tensor or number that it begins with. It computes "
            "like a tensor, gradients are taken of it, and optimizers change it.",
        .example = R"(
          local w = nacre.Variable(nacre.zeros{2}, {name = "scale"})
          local optimizer = nacre.optimizers.SGD{learning_rate = 0.5}
          for _ = 1, 20 do
            local gradient = nacre.grad(function() return ((w - 1) ^ 2):sum() end, w)()
            optimizer:apply({gradient}, {w})
          end
          assert(w.name == "scale" and math.abs(w.value:sum():item() - 2) < 1e-3)
        )",
        .keys = {fields_of<VariableConfig>}}},
  };
  return functions;
}

void open_weights(lua_State* lua) {
  State::open_class(lua, class_of<Weight>());
  State::set_functions(lua, weight_functions());
}

}  // namespace nacre::scripting
