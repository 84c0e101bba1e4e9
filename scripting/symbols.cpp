// Symbols: what layers are called on. Arithmetic and nacre.ops record operations on them.
#include "layers/operations.h"
#include "scripting/bindings.h"
#include "scripting/tensors/operations.h"
#include "scripting/tensors/tensors.h"

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

constexpr Member members[] = {
    {.name = "shape",
     .get = shape,
     .entry = {.usage = "symbol.shape",
               .doc = "The sizes of its axes, as a list, the batch first; -1 where a size is open.",
               .example = R"(
                 local x = nacre.Input{28, 28, 1}
                 local y = nacre.layers.Conv2D{filters = 4, kernel_size = 3}(x)
                 assert(y.shape[1] == -1 and y.shape[2] == 26 and y.shape[4] == 4)
               )"}},
    {.name = "dtype",
     .get = dtype,
     .entry = {.usage = "symbol.dtype", .doc = "The dtype of what will be there, such as \"float32\".", .example = R"(
       local tokens = nacre.Input{shape = {16}, dtype = "int32"}
       assert(tokens.dtype == "int32")
       assert(nacre.layers.Embedding{input_dim = 9, output_dim = 2}(tokens).dtype == "float32")
     )"}},
};

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
      .at = item_of_tensor,
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
  static constexpr Function functions[] = {
      {"Input",
       bound<make_input>,
       {.usage = "nacre.Input{size, …}",
        .doc =
            "A symbol that stands for a model's input: the sizes of one sample, without the batch axis, as a list or "
            "as `shape`, with nacre.null where a size is open. Layers, operations and arithmetic on symbols give "
            "symbols, and nacre.Model makes a model of them.",
        .example = R"(
          local x = nacre.Input{4}
          local y = nacre.layers.Dense{units = 4, activation = "relu"}(x) + x
          local model = nacre.Model{inputs = x, outputs = y}
          assert(model:predict(nacre.ones{2, 4}).shape[2] == 4)
          local words = nacre.Input{shape = {nacre.null}, dtype = "int32"}    -- of any length
          assert(words.shape[2] == -1)
        )",
        .keys = {fields_of<InputConfig>}}},
  };
  return functions;
}

void open_symbols(lua_State* lua) {
  State::open_class(lua, class_of<Symbol>());
  push_namespace(lua, operations_namespace());
  lua_setfield(lua, -2, "ops");
  State::set_functions(lua, symbol_functions());
}

}  // namespace nacre::scripting
