// Symbols: what layers are called on. Arithmetic and nacre.ops record operations on them.
#include "layers/operations.h"
#include "scripting/bindings.h"
#include "scripting/operations.h"

namespace nacre::scripting {

namespace {

Out shape(Call& call) { return call.self<Symbol>()->shape(); }
Out dtype(Call& call) { return name_of(call.self<Symbol>()->type().dtype); }

Results apply(Call& call, std::string_view operation, const std::vector<Object>& operands, Tree arguments) {
  Symbols inputs;
  for (const Object& operand : operands) inputs.push_back(*std::static_pointer_cast<Symbol>(operand.value));
  return marked(call.place(),
                [&] { return each_of(apply_operation(operation, std::move(inputs), std::move(arguments))); });
}

constexpr Member members[] = {{"shape", nullptr, shape}, {"dtype", nullptr, dtype}};

// nacre.Input{28, 28, 1}, nacre.Input{shape = {28, 28, 1}, dtype = "uint8"}
Out make_input(Call& call) {
  if (!call.is_table(1)) throw call.unwanted(1, "a table: nacre.Input{28, 28, 1}");
  const Mark here = call.place();
  Tree config = Tree::mapping().at(here), sizes = Tree::sequence().at(here);
  call.each_item(1, [&](int item) { sizes.push(call.tree(item)); });
  call.each_named(
      1, [&](const std::string& key, int value) { config.set(key, call.tree(value)); }, true);
  if (!sizes.items().empty()) {
    if (config.find("shape")) throw Error("got the shape twice, as a list and by its name").usage();
    config.set("shape", std::move(sizes));
  }
  return make_object(about("Input", [&] { return Input(read_config<InputConfig>(config)); }));
}

}  // namespace

template <>
const Class& class_of<Symbol>() {
  static const Class kind{
      .name = "symbol",
      .members = members,
      .metamethods = operators(),
      .text =
          [](const Object& object) {
            return fmt::format("symbol {}", std::static_pointer_cast<Symbol>(object.value)->type());
          },
      .same = [](const void* a,
                 const void* b) { return *static_cast<const Symbol*>(a) == *static_cast<const Symbol*>(b); },
      .other = operation_method,
      .other_names = operation_names,
      .apply = apply};
  return kind;
}

Results each_of(const Symbols& symbols) {
  Results results;
  for (const Symbol& symbol : symbols) results.emplace_back(make_object(symbol));
  return results;
}

Out out(const Symbols& symbols) { return Out(each_of(symbols)); }

Symbols read_symbols(const Call& call, int index, std::string_view wanted) {
  if (const auto symbol = call.find<Symbol>(index)) return {*symbol};
  if (!call.is_table(index)) throw call.unwanted(index, wanted);
  Symbols symbols;
  call.each_item(index, [&](int item) { symbols.push_back(*call.get<Symbol>(item, "a symbol")); });
  if (symbols.empty()) throw Error("got a table without symbols, wanted {}", wanted).usage();
  return symbols;
}

std::span<const Function> symbol_functions() {
  static constexpr Function functions[] = {{"Input", bound<make_input>}};
  return functions;
}

void open_symbols(lua_State* lua) {
  State::open_class(lua, class_of<Symbol>());
  push_operations(lua);
  lua_setfield(lua, -2, "ops");
  State::set_functions(lua, symbol_functions());
}

}  // namespace nacre::scripting
