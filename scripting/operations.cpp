#include "scripting/operations.h"

#include <algorithm>

#include "layers/operations.h"
#include "scripting/compute.h"

namespace nacre::scripting {

namespace {

// --- arguments ----------------------------------------------------------------------------------------------------

// Operations in which a number has the dtype of the tensor beside it, and may be another one each time.
constexpr std::string_view of_tensor_and_number[] = {
    "add",       "divide",  "equal",   "floor_divide", "greater",  "greater_equal", "less",     "less_equal",
    "logaddexp", "maximum", "minimum", "mod",          "multiply", "not_equal",     "subtract", "true_divide"};

DType dtype_beside(DType tensor, bool integer) {
  if (is_floating(tensor)) return tensor;
  if (!integer) return DType::float32;
  return tensor == DType::boolean ? DType::int32 : tensor;
}

// What a call is given, seen once from its first argument to its last, in the order of Call::tree.
class GivenArguments {
 public:
  explicit GivenArguments(const Call& call, std::string_view operation)
      : call_(call), lua_(call.lua()), key_("op "), operation_(operation) {
    key_ += operation;
    for (int i = 1; i <= call.count(); ++i) meet(i, 0);
    if (call.count() == 2 && objects_.size() == 1 && std::ranges::binary_search(of_tensor_and_number, operation))
      for (const int i : {1, 2})
        if (lua_type(lua_, i) == LUA_TNUMBER) number_ = i;
  }

  const std::vector<Object>& objects() const { return objects_; }
  // Whether they are all arrays or weights, and such that the call can be told from others. While a function is traced,
  // weights are read when it runs.
  bool at_once(bool tracing) const { return plain_ && arrays_ && !(tracing && (weights_ || objects_.empty())); }
  // Beside the types of the operands.
  std::string_view key() const { return key_; }
  // The argument that is a number and stands for an operand; 0: none.
  int number() const { return number_; }

 private:
  void meet(int index, int depth) {
    switch (lua_type(lua_, index)) {
      case LUA_TNIL:
      case LUA_TNONE: key_ += '0'; break;
      case LUA_TBOOLEAN: key_ += lua_toboolean(lua_, index) ? 'y' : 'n'; break;
      case LUA_TNUMBER:
        if (lua_isinteger(lua_, index)) append('i', lua_tointeger(lua_, index));
        else append('d', lua_tonumber(lua_, index));
        break;
      case LUA_TSTRING: {
        std::size_t size = 0;
        const char* text = lua_tolstring(lua_, index, &size);
        append('s', size);
        key_.append(text, size);
        break;
      }
      case LUA_TTABLE: meet_table(lua_absindex(lua_, index), depth); break;
      default:
        if (auto object = call_.object(index)) {
          weights_ = weights_ || object->kind == &class_of<Weight>();
          arrays_ = arrays_ && is_tensor(*object) && object->kind != &class_of<Traced>();
          objects_.push_back(*std::move(object));
          key_ += 'T';
        } else {
          plain_ = plain_ && lua_type(lua_, index) == LUA_TLIGHTUSERDATA;  // nacre.null
          key_ += '0';
        }
    }
  }

  void meet_table(int index, int depth) {
    if (depth > 16 || !lua_checkstack(lua_, 4)) {
      plain_ = false;
      return;
    }
    key_ += '{';
    const auto length = static_cast<lua_Integer>(lua_rawlen(lua_, index));
    for (lua_pushnil(lua_); lua_next(lua_, index); lua_pop(lua_, 1)) {
      if (lua_isinteger(lua_, -2) && lua_tointeger(lua_, -2) >= 1 && lua_tointeger(lua_, -2) <= length) continue;
      plain_ = plain_ && (lua_type(lua_, -2) == LUA_TSTRING || lua_isinteger(lua_, -2));
      if (lua_type(lua_, -2) == LUA_TSTRING || lua_isinteger(lua_, -2)) meet(lua_gettop(lua_) - 1, depth + 1);
      meet(lua_gettop(lua_), depth + 1);
    }
    key_ += ',';
    for (lua_Integer i = 1; i <= length; ++i) {
      lua_rawgeti(lua_, index, i);
      meet(lua_gettop(lua_), depth + 1);
      lua_pop(lua_, 1);
    }
    key_ += '}';
  }

  template <class Number>
  void append(char tag, Number number) {
    key_ += tag;
    key_.append(reinterpret_cast<const char*>(&number), sizeof number);
  }

  const Call& call_;
  lua_State* lua_;
  std::string key_;
  std::string_view operation_;
  std::vector<Object> objects_;
  bool plain_ = true, arrays_ = true, weights_ = false;
  int number_ = 0;
};

// Keras's arguments from those of the call: by place those of the operation, then its config's fields; by name from a
// table at the end. The argument `number` is an operand too.
Tree keras_arguments(const Call& call, std::string_view name, const Call::ObjectReader& operand, int number = 0) {
  const std::string alias = fmt::format("ops.{}", name);
  const ClassInfo<Layer>& info = registry<Layer>().get(alias);
  const OperationArguments& signature = *operation_arguments(alias);
  std::vector<std::string> places;
  for (const OperationArgument& argument : signature)
    if (argument.kind != OperationArgument::Kind::keywords) places.push_back(argument.name);
  const bool spread = !signature.empty() && signature.front().kind == OperationArgument::Kind::spread;
  for (const Field& field : *info.fields.back()) places.emplace_back(field.key);

  Tree given = Tree::mapping(), all = Tree::sequence();
  for (int i = 1; i <= call.count(); ++i) {
    Tree argument = i == number ? operand({}) : call.tree(i, operand);
    if (argument.is_mapping() && !referred_tensor(argument)) {
      if (i != call.count()) throw Error("arguments by name stand at the end").usage();
      for (Tree::Entry& entry : argument.entries()) given.set(entry.key, std::move(entry.value));
    } else if (spread) {
      all.push(std::move(argument));
    } else {
      if (i > static_cast<int>(places.size()))
        throw Error("{} takes {} arguments, got {}", name, places.size(), call.count()).usage();
      given.set(places[static_cast<std::size_t>(i) - 1], std::move(argument));
    }
  }
  if (spread) given.set(places.front(), std::move(all));
  return given;
}

// --- applying -----------------------------------------------------------------------------------------------------

Results compute_at_once(const Call& call, std::string_view name, const GivenArguments& given) {
  const int number = given.number();
  std::vector<Object> operands = given.objects();
  if (number) {
    lua_State* lua = call.lua();
    const bool integer = lua_isinteger(lua, number);
    const DType dtype = dtype_beside(type_of_tensor(operands.front()).dtype, integer);
    Tensor value = Tensor::uninitialised({dtype, {}});
    visit(dtype, [&]<class T>(T*) {
      value.writable<T>()[0] = integer ? convert<T>(static_cast<std::int64_t>(lua_tointeger(lua, number)))
                                       : convert<T>(static_cast<double>(lua_tonumber(lua, number)));
    });
    operands.insert(number == 1 ? operands.begin() : operands.end(), array_object({std::move(value)}));
  }
  Computation work{.key = std::string(given.key().substr(0, number ? 3 + name.size() : given.key().size())),
                   .operands = std::move(operands)};
  work.emit = [&](Context& context, const Values& values, const Values&) -> Computation::Result {
    std::size_t next = 0;
    Tree arguments = keras_arguments(
        call, name, [&](const Object&) { return tensor_reference(next++); }, number);
    return {apply_operation(context, name, values, std::move(arguments))};
  };
  Results results;
  for (Object& object : compute(call, std::move(work))) results.emplace_back(std::move(object));
  return results;
}

Results operate(Call& call, std::string_view name) {
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
  if (kind == &class_of<Traced>() && !state.trace()) throw Error("got a tensor of a trace that has ended").usage();
  return kind->apply(call, name, operands, std::move(arguments));
}

Results call_named(Call& call) { return operate(call, call.upvalue()); }

// --- operators ----------------------------------------------------------------------------------------------------

template <const char* const* name>
Results binary(Call& call) {
  return operate(call, *name);
}
constexpr const char *add = "add", *subtract = "subtract", *multiply = "multiply", *divide = "true_divide",
                     *whole = "floor_divide", *rest = "mod", *power = "power";

// Lua hands a unary operator its operand twice.
Results negated(Call& call) { return operate(call, "negative"); }
int negate(lua_State* lua) {
  lua_settop(lua, 1);
  return bound<negated>(lua);
}

void refuse_comparison(Call&) {
  throw Error("Lua's comparisons give true or false alone")
      .hint("use nacre.ops.greater, nacre.ops.less, nacre.ops.equal, …")
      .usage();
}

constexpr luaL_Reg metamethods[] = {
    {"__add", bound<binary<&add>>},      {"__sub", bound<binary<&subtract>>},
    {"__mul", bound<binary<&multiply>>}, {"__div", bound<binary<&divide>>},
    {"__idiv", bound<binary<&whole>>},   {"__mod", bound<binary<&rest>>},
    {"__pow", bound<binary<&power>>},    {"__unm", negate},
    {"__lt", bound<refuse_comparison>},  {"__le", bound<refuse_comparison>},
};

Out index_operations(Call& call) {
  const std::string name = call.text(2, "the name of an operation");
  if (auto function = operation_method(call, name)) return *std::move(function);
  if (auto refusal = refused_operation(name, "", "")) throw *std::move(refusal);
  std::vector<std::string_view> known;
  operation_names({}, known);
  throw Error("there is no operation '{}'", name).hint(suggestion(name, known)).usage();
}

}  // namespace

std::span<const luaL_Reg> operators() { return metamethods; }

std::optional<Out> operation_method(Call&, std::string_view key) {
  if (!operation_arguments(fmt::format("ops.{}", key))) return std::nullopt;
  return Out(Out::Function{bound<call_named>, std::string(key)});
}

void operation_names(const Object&, std::vector<std::string_view>& names) {
  for (const ClassInfo<Layer>& info : registry<Layer>().classes())
    if (info.qualified && !info.aliases.empty() && info.aliases.back().starts_with("ops."))
      names.push_back(info.aliases.back().substr(4));
}

void push_operations(lua_State* lua) {
  lua_newtable(lua);
  lua_newtable(lua);
  lua_pushcfunction(lua, bound<index_operations>);
  lua_setfield(lua, -2, "__index");
  lua_setmetatable(lua, -2);
}

}  // namespace nacre::scripting
