#include "scripting/tensors/operations.h"

#include <algorithm>
#include <utility>

#include "layers/operations.h"
#include "scripting/tensors/given_arguments.h"
#include "scripting/tensors/tensors.h"

namespace nacre::scripting {

namespace {

// --- Keras's functions --------------------------------------------------------------------------------------------

// Those whose name is not that of the operation's class.
struct FunctionName {
  std::string_view function, operation;
};
constexpr FunctionName function_names[] = {
    {"allclose", "all_close"},
    {"batch_normalization", "batch_norm"},
    {"cdist", "c_dist"},
    {"hard_swish", "hard_silu"},
    {"isin", "is_in"},
    {"layer_normalization", "layer_norm"},
    {"rms_normalization", "rms_norm"},
    {"searchsorted", "search_sorted"},
    {"swish", "silu"},
};

// Those whose arguments stand in another order than the operation's arguments and then its config's fields: the first
// ones.
struct FunctionPlaces {
  std::string_view operation;
  std::array<std::string_view, 7> places;
};
constexpr FunctionPlaces function_places[] = {
    {"average", {"x", "axis", "weights"}},
    {"batch_norm", {"x", "mean", "variance", "axis", "offset", "scale"}},
    {"einsum", {"subscripts", "operands"}},
    {"full", {"shape", "fill_value"}},
    {"istft", {"x", "sequence_length", "sequence_stride", "fft_length", "length", "window", "center"}},
    {"pad", {"x", "pad_width", "mode", "constant_values"}},
};

// --- arguments ----------------------------------------------------------------------------------------------------

// Operations in which a number has the dtype of the tensor beside it, and may be another one each time.
constexpr std::string_view of_tensor_and_number[] = {
    "add",       "divide",  "equal",   "floor_divide", "greater",  "greater_equal", "less",     "less_equal",
    "logaddexp", "maximum", "minimum", "mod",          "multiply", "not_equal",     "subtract", "true_divide"};

DType dtype_beside(DType tensor, const Call& call, int number) {
  if (tensor == DType::string) refuse_texts();
  if (is_floating(tensor)) return tensor;
  if (!lua_isinteger(call.lua(), number)) return DType::float32;
  if (tensor != DType::boolean) return tensor;
  return std::in_range<std::int32_t>(lua_tointeger(call.lua(), number)) ? DType::int32 : DType::int64;
}

// The argument that is a number and stands for an operand; 0: none.
int number_beside_tensor(const Call& call, const GivenArguments& given, std::string_view operation) {
  if (call.count() != 2 || given.objects().size() != 1 || !std::ranges::binary_search(of_tensor_and_number, operation))
    return 0;
  for (const int i : {1, 2})
    if (lua_type(call.lua(), i) == LUA_TNUMBER) return i;
  return 0;
}

// Keras's arguments from those of the call: by place, then by name from a table at the end. The argument `number` is an
// operand too.
Tree keras_arguments(const Call& call, std::string_view name, const Call::ObjectReader& operand, int number = 0) {
  const OperationArguments* const found = operation_arguments(fmt::format("ops.{}", name));
  if (!found)
    throw Error("there is no such operation").hint("operations are found by their names: nacre.ops.add").usage();
  const OperationArguments& signature = *found;
  const std::vector<std::string> places = operation_places(name);
  std::size_t spread = places.size();  // the place of all further arguments
  for (const OperationArgument& argument : signature)
    if (argument.kind == OperationArgument::Kind::spread)
      spread = static_cast<std::size_t>(std::ranges::find(places, argument.name) - places.begin());

  std::string takes = fmt::format("{} takes", name);
  for (const std::string& place : places) takes += fmt::format("{} {}", &place == &places.front() ? "" : ",", place);

  Tree given = Tree::mapping(), all = Tree::sequence();
  const auto set = [&](const std::string& key, Tree value) {
    if (given.find(key)) throw Error("got '{}' twice", key).hint(takes).usage();
    if (referred_tensor(value) && std::ranges::find(signature, key, &OperationArgument::name) == signature.end())
      throw Error("got a tensor as '{}'", key).hint(takes).usage();
    given.set(key, std::move(value));
  };
  for (int i = 1; i <= call.count(); ++i) {
    Tree argument = i == number ? operand({}) : call.tree(i, operand);
    const std::size_t place = static_cast<std::size_t>(i) - 1;
    if (argument.is_mapping() && !referred_tensor(argument)) {
      if (i != call.count()) throw Error("arguments by name stand at the end").usage();
      for (Tree::Entry& entry : argument.entries()) set(entry.key, std::move(entry.value));
    } else if (place >= spread && spread < places.size()) {
      all.push(std::move(argument));
    } else {
      if (place >= places.size()) {
        std::string list;  // t:reshape(2, 6)
        for (int at = static_cast<int>(places.size()); at <= call.count() && lua_isinteger(call.lua(), at); ++at)
          list += fmt::format("{}{}", list.empty() ? "" : ", ", lua_tointeger(call.lua(), at));
        throw Error("wanted {} arguments, got {}", places.size(), call.count())
            .hint(list.empty() ? takes : fmt::format("{}; a list is one table: {{{}}}", takes, list))
            .usage();
      }
      set(places[place], std::move(argument));
    }
  }
  if (spread < places.size() && !given.find(places[spread])) given.set(places[spread], std::move(all));
  return given;
}

// --- applying -----------------------------------------------------------------------------------------------------

Results compute_at_once(const Call& call, std::string_view name, const GivenArguments& given) {
  const int number = number_beside_tensor(call, given, name);
  std::vector<Object> operands = given.objects();
  if (number) {
    const DType dtype = dtype_beside(type_of_tensor(operands.front()).dtype, call, number);
    operands.insert(number == 1 ? operands.begin() : operands.end(), array_object({scalar_of(call, number, dtype)}));
  }
  Computation work{.key = std::string(given.key().substr(0, number ? 3 + name.size() : given.key().size())),
                   .operands = std::move(operands)};
  work.emit = [&](Context& context, const Values& values, const Values&) -> Computation::Result {
    std::size_t next = 0;
    Tree arguments = keras_arguments(
        call, name, [&](const Object&) { return tensor_reference(next++); }, number);
    return {apply_operation(context, name, values, std::move(arguments))};
  };
  std::vector<Object> objects = compute(call, std::move(work));
  Results results;
  results.reserve(objects.size());
  for (Object& object : objects) results.emplace_back(std::move(object));
  return results;
}

Results apply_named(Call& call, std::string_view name) {
  auto& state = ComputingState::of(call);
  const GivenArguments given(call, name);
  if (state.eager() && given.at_once(state.trace() != nullptr)) return compute_at_once(call, name, given);

  std::vector<Object> operands;
  const Class* kind = nullptr;
  const Call::ObjectReader operand = [&](const Object& object) {
    if (!object.kind->apply && !is_tensor(object))
      throw Error("got {} among the arguments of {}, which takes none such", object.kind->text(object), name).usage();
    const bool tensors = is_tensor(object) && (operands.empty() || is_tensor(operands.back()));
    if (kind && kind != object.kind && !tensors)
      throw Error("got {} and {} as operands of {}", operands.back().kind->text(operands.back()),
                  object.kind->text(object), name)
          .usage();
    kind = tensors ? &class_of<Traced>() : object.kind;
    operands.push_back(object);
    return tensor_reference(operands.size() - 1);
  };
  Tree arguments = keras_arguments(call, name, operand);
  if (!kind) kind = &class_of<Traced>();
  if (kind == &class_of<Traced>() && !state.trace()) throw ended_trace();
  return kind->apply(call, name, operands, std::move(arguments));
}

// What an operation says of its arguments, with its own name instead of that of a layer.
Error renamed(const Error& error, std::string_view name) {
  const std::string& subject = error.subject();
  const bool of_layer = subject.empty() || subject.starts_with("layer '");
  Error renamed(of_layer ? error.message() : fmt::format("{}: {}", subject, error.message()));
  renamed.at(error.mark()).about(std::string(name)).hint(error.hint_text()).usage();
  for (const std::string& scope : error.scopes()) renamed.within(scope);
  return renamed;
}

Results call_named(Call& call) { return operate(call, call.upvalue()); }

// x:NAME(…): x.NAME(0) would take the axis for the tensor.
Results call_method(Call& call) {
  const std::string name = call.upvalue();
  const auto object = call.object(1);
  if (!object || (!object->kind->apply && !is_tensor(*object)))
    throw call.unwanted(1, "a tensor")
        .about(name)
        .hint(fmt::format("methods are called with a colon: tensor:{}(…)", name));
  return operate(call, name);
}

// --- operators ----------------------------------------------------------------------------------------------------

struct Operator {
  const char *name, *sign;
};
template <const Operator& of>
Results binary(Call& call) {
  for (const int side : {1, 2})
    if (!call.given(side))
      throw Error("got nil to the {} of '{}'", side == 1 ? "left" : "right", of.sign)
          .hint("is a name misspelt, or without a value yet?")
          .usage();
  return operate(call, of.name);
}
constexpr Operator add{"add", "+"}, subtract{"subtract", "-"}, multiply{"multiply", "*"}, divide{"true_divide", "/"},
    whole{"floor_divide", "//"}, rest{"mod", "%"}, power{"power", "^"};

// Lua hands a unary operator its operand twice.
Results negated(Call& call) { return operate(call, "negative"); }
int negate(lua_State* lua) {
  lua_settop(lua, 1);
  return bound<negated>(lua);
}

constexpr Function metamethods[] = {
    {"__add",
     bound<binary<add>>,
     {.usage = "a + b",
      .doc = "The sum, as nacre.ops.add. One of the two may be a number, which has the other's dtype, or float32 when "
             "it is no whole number beside whole ones; shapes broadcast.",
      .example = R"(
        local sum = nacre.tensor{{1, 2}, {3, 4}} + nacre.tensor{10, 20}
        assert(sum:totable()[2][1] == 13 and sum.dtype == "int32")
        assert((sum + 0.5).dtype == "float32")
      )"}},
    {"__sub",
     bound<binary<subtract>>,
     {.usage = "a - b", .doc = "The difference, as nacre.ops.subtract.", .example = R"(
       local x = nacre.tensor{1.0, 3.0}
       assert((x - x:mean()):totable()[1] == -1)
     )"}},
    {"__mul",
     bound<binary<multiply>>,
     {.usage = "a * b",
      .doc = "The product element by element, as nacre.ops.multiply; a:matmul(b) is that of matrices.",
      .example = R"(
        local a, b = nacre.tensor{{1, 2}, {3, 4}}, nacre.tensor{{0, 1}, {1, 0}}
        assert((a * b):totable()[1][1] == 0)
        assert(a:matmul(b):totable()[1][1] == 2)
      )"}},
    {"__div",
     bound<binary<divide>>,
     {.usage = "a / b",
      .doc = "The quotient, as nacre.ops.true_divide: floating also where both are whole.",
      .example = R"(
        local x = nacre.tensor{1, 2} / 4
        assert(x:totable()[2] == 0.5 and x.dtype == "float32")
      )"}},
    {"__idiv",
     bound<binary<whole>>,
     {.usage = "a // b", .doc = "The quotient rounded down, as nacre.ops.floor_divide.", .example = R"(
       assert((nacre.tensor{-7, 7} // 2):totable()[1] == -4)
     )"}},
    {"__mod",
     bound<binary<rest>>,
     {.usage = "a % b", .doc = "What is left of a // b, with the sign of b, as nacre.ops.mod.", .example = R"(
       assert((nacre.tensor{-7, 7} % 3):totable()[1] == 2)
     )"}},
    {"__pow", bound<binary<power>>, {.usage = "a ^ b", .doc = "The power, as nacre.ops.power.", .example = R"(
      assert((nacre.tensor{1.0, 2.0, 3.0} ^ 2):sum():item() == 14)
    )"}},
    {"__unm", negate, {.usage = "-a", .doc = "The negative, as nacre.ops.negative.", .example = R"(
      assert((-nacre.tensor{1, -2}):totable()[2] == 2)
    )"}},
    {"__lt",
     bound<refuse_comparison>,
     {.usage = "a < b",
      .doc =
          "Refused, as a > b is, for Lua makes true or false of it: nacre.ops.less, greater, equal, not_equal and the "
          "like compare element by element.",
      .example = R"(
        local a, b = nacre.tensor{1, 5}, nacre.tensor{3, 3}
        assert(not pcall(function() return a < b end))
        assert(nacre.ops.less(a, b):totable()[1] and not nacre.ops.less(a, b):totable()[2])
      )"}},
    {"__le",
     bound<refuse_comparison>,
     {.usage = "a <= b",
      .doc = "Refused, as a >= b is: nacre.ops.less_equal and greater_equal compare element by element.",
      .example = R"(
        local a, b = nacre.tensor{1, 3}, nacre.tensor{3, 3}
        assert(not pcall(function() return a <= b end))
        assert(nacre.ops.all(nacre.ops.less_equal(a, b)):item())
      )"}},
};

// Keras's operations that are functions of nacre itself.
constexpr std::pair<std::string_view, std::string_view> of_functions[] = {{"associative_scan", "scan"},
                                                                          {"cond", "cond"},
                                                                          {"custom_gradient", "custom_gradient"},
                                                                          {"fori_loop", "fori_loop"},
                                                                          {"jvp", "jvp"},
                                                                          {"map", "map"},
                                                                          {"scan", "scan"},
                                                                          {"switch", "switch"},
                                                                          {"vectorized_map", "map"},
                                                                          {"while_loop", "while_loop"}};

// The operation that has the name; "": none.
std::string_view operation_named(std::string_view name) {
  const auto function = std::ranges::find(function_names, name, &FunctionName::function);
  if (function != std::end(function_names)) name = function->operation;
  return operation_arguments(fmt::format("ops.{}", name)) ? name : "";
}

Out index_operations(Call& call) {
  const std::string name = call.text(2, "the name of an operation");
  if (const std::string_view operation = operation_named(name); !operation.empty())
    return Out::Function{bound<call_named>, std::string(operation)};
  for (const auto& [keras, function] : of_functions)
    if (name == keras)
      throw Error("there is no operation '{}'", name)
          .hint(fmt::format("it takes functions: nacre.{}", function))
          .usage();
  if (auto refusal = refused_operation(name, "", "")) throw *std::move(refusal);
  std::vector<std::string_view> known;
  operation_names({}, known);
  throw Error("there is no operation '{}'", name).hint(suggestion(name, known)).usage();
}

std::optional<NamedEntry> find_operation(std::string_view name) {
  name = operation_named(name);
  if (name.empty()) return std::nullopt;
  const ClassInfo<Layer>& info = registry<Layer>().get(fmt::format("ops.{}", name));
  return NamedEntry{.name = info.aliases.back().substr(4),
                    .doc = info.doc,
                    .fields = {info.fields.back()},
                    .places = operation_places(name)};
}

}  // namespace

void refuse_comparison(Call& call) {
  throw Error("Lua's comparisons give true or false alone")
      .hint(
          ComputingState::of(call).trace() && ComputingState::of(call).eager()
              ? "nacre.ops.less, nacre.ops.greater, … compare elements; nacre.cond and nacre.while_loop decide by them"
              : "use nacre.ops.greater, nacre.ops.less, nacre.ops.equal, …")
      .usage();
}

Results operate(Call& call, std::string_view name) {
  try {
    return apply_named(call, name);
  } catch (const Error& error) {
    throw renamed(error, name);
  }
}

std::span<const Function> operators() { return metamethods; }

std::optional<Out> operation_method(Call&, std::string_view key) {
  const std::string_view operation = operation_named(key);
  if (operation.empty()) return std::nullopt;
  return Out(Out::Function{bound<call_method>, std::string(operation)});
}

std::optional<std::string> operation_of(const Call& call, int index) {
  lua_State* const lua = call.lua();
  const lua_CFunction function = lua_tocfunction(lua, index);
  if ((function != bound<call_named> && function != bound<call_method>) || !lua_getupvalue(lua, index, 1))
    return std::nullopt;
  std::string name = call.text(-1, "the name of an operation");
  lua_pop(lua, 1);
  return name;
}

void operation_names(const Object&, std::vector<std::string_view>& names) {
  for (const ClassInfo<Layer>& info : registry<Layer>().classes())
    if (info.qualified && !info.aliases.empty() && info.aliases.back().starts_with("ops."))
      names.push_back(info.aliases.back().substr(4));
  for (const FunctionName& function : function_names) names.push_back(function.function);
}

std::string_view operation_alias(std::string_view operation) {
  const auto found = std::ranges::find(function_names, operation, &FunctionName::operation);
  return found == std::end(function_names) ? "" : found->function;
}

std::vector<std::string> operation_places(std::string_view operation) {
  const std::string alias = fmt::format("ops.{}", operation);
  std::vector<std::string> places;
  const auto add = [&](std::string_view place) {
    if (!place.empty() && std::ranges::find(places, place) == places.end()) places.emplace_back(place);
  };
  const auto keras = std::ranges::find(function_places, operation, &FunctionPlaces::operation);
  if (keras != std::end(function_places)) std::ranges::for_each(keras->places, add);
  for (const OperationArgument& argument : *operation_arguments(alias))
    if (argument.kind != OperationArgument::Kind::keywords) add(argument.name);
  for (const Field& field : *registry<Layer>().get(alias).fields.back())
    if (field.key != "name") add(field.key);
  return places;
}

const Namespace& operations_namespace() {
  static constexpr Namespace space{
      .name = "ops",
      .index = bound<index_operations>,
      .make = bound<call_named>,
      .method = bound<call_method>,
      .add_names = [](std::vector<std::string_view>& names) { operation_names({}, names); },
      .find = find_operation};
  return space;
}

}  // namespace nacre::scripting
