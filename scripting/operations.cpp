#include "scripting/operations.h"

#include "layers/operations.h"

namespace nacre::scripting {

namespace {

// Keras's arguments from those of the call: by place those of the operation, then its config's fields; by name from a
// table at the end. The operands' class applies it.
Results operate(Call& call, const std::string& name) {
  const std::string alias = fmt::format("ops.{}", name);
  const ClassInfo<Layer>& info = registry<Layer>().get(alias);
  const OperationArguments& signature = *operation_arguments(alias);
  std::vector<std::string> places;
  for (const OperationArgument& argument : signature)
    if (argument.kind != OperationArgument::Kind::keywords) places.push_back(argument.name);
  const bool spread = !signature.empty() && signature.front().kind == OperationArgument::Kind::spread;
  for (const Field& field : *info.fields.back()) places.emplace_back(field.key);

  std::vector<Object> operands;
  const Class* kind = nullptr;
  const Call::ObjectReader operand = [&](const Object& object) {
    if (!object.kind->apply)
      throw Error("got {} among the arguments of {}, which takes none such", object.kind->text(object), name).usage();
    if (kind && kind != object.kind)
      throw Error("got {} and {} as operands of {}", kind->name, object.kind->name, name).usage();
    kind = object.kind;
    operands.push_back(object);
    return tensor_reference(operands.size() - 1);
  };
  Tree given = Tree::mapping(), all = Tree::sequence();
  for (int i = 1; i <= call.count(); ++i) {
    Tree argument = call.tree(i, operand);
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
  if (!kind) throw Error("{} has no operand: all of its arguments are constants", name).usage();
  return kind->apply(call, name, operands, std::move(given));
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
