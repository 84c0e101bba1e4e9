#include "scripting/reference.h"

#include <algorithm>
#include <set>

#include "api/inspect/reference.h"
#include "layers/operations.h"
#include "scripting/classes/custom.h"
#include "scripting/operation_examples.h"
#include "scripting/tensors/operations.h"
#include "scripting/tensors/tensors.h"

namespace nacre {

namespace scripting {

namespace {

struct Named {
  std::string name;
  Entry entry;
  lua_CFunction function;  // null: a property, or a table
};

// A chapter of the page. What several classes share is told where it comes first.
struct Section {
  const char* title;
  const char* text;
  std::vector<Named> entries{};
  bool lists_operations = false;

  Section& add(std::string name, const Entry& entry, lua_CFunction function = nullptr) {
    entries.push_back({std::move(name), entry, function});
    return *this;
  }
  Section& functions(const std::string& table, std::span<const Function> functions) {
    for (const Function& function : functions) add(table + "." + function.name, function.entry, function.function);
    return *this;
  }
  Section& members(const std::string& kind, std::span<const Member> members) {
    for (const Member& member : members) add(kind + "." + member.name, member.entry, member.method);
    return *this;
  }
  Section& objects(const Class& kind) {
    functions(kind.name, kind.metamethods);
    return members(kind.name, kind.members);
  }
};

// --- what no binding file has an entry for: tables that registries fill ---------------------------------------------

constexpr Entry ops{
    .usage = "nacre.ops.NAME(x, …)",
    .doc =
        "Every operation of Keras's on tensors, weights and symbols, with Keras's arguments by their places, or by "
        "their names in a table at the end. Axes count from 0, or from the last as -1. Each is a method too: "
        "x:NAME(…).",
    .example = R"(
      local x = nacre.tensor{{1.0, 2.0}, {3.0, 4.0}}
      assert(nacre.ops.sum(x, 1):totable()[2] == 7)
      assert(x:sum{axis = 1, keepdims = true}.shape[2] == 1)
      assert(nacre.ops.concatenate({x, x}, 0).shape[1] == 4)
      assert(nacre.ops.einsum("ij,kj->ik", x, x):totable()[1][2] == 11)
      assert(nacre.ops.relu(nacre.Input{4}).shape[2] == 4)
    )",
};
constexpr Entry layers{
    .usage = "nacre.layers.NAME{key = value, …}",
    .doc =
        "A layer, with the keys of Keras's class: [all layers](layers.md). Values are numbers, texts, lists, or "
        "objects and names of other classes, or functions. nacre.layers.get(value), like `get` of the other tables of "
        "classes, is the object that such a name, table or function means.",
    .example = R"(
      local conv = nacre.layers.Conv2D{filters = 4, kernel_size = {3, 3}, padding = "same", activation = "relu",
                                       kernel_regularizer = nacre.regularizers.L2{l2 = 1e-4}}
      assert(conv(nacre.ones{1, 8, 8, 3}).shape[4] == 4)
    )",
};
constexpr Entry data{
    .usage = "nacre.data.NAME{key = value, …}",
    .doc =
        "A data set of a source that YAML's `data:` knows: [all data sources](data_sources.md). Paths are relative to "
        "the current folder.",
    .example = R"(
      local file = assert(io.open("points.csv", "w"))
      file:write("x,y,label\n", "0.5,1.5,0\n", "2.5,3.5,1\n")
      file:close()
      local points = nacre.data.csv{file = "points.csv", target = "label"}
      assert(#points == 2)
      assert(#nacre.data.digits{count = 10} == 10)
    )",
};
constexpr Entry activations{
    .usage = "nacre.activations.NAME{key = value, …}",
    .doc = "An activation: [all activations](activations.md).",
    .example = R"(
      local leaky = nacre.activations.LeakyReLU{negative_slope = 0.5}
      assert(leaky(nacre.tensor(-2.0)):item() == -1)
      local dense = nacre.layers.Dense{units = 3, activation = leaky}
    )",
};
constexpr Entry initializers{
    .usage = "nacre.initializers.NAME{key = value, …}",
    .doc = "How weights begin: [all initializers](initializers.md).",
    .example = R"(
      local dense = nacre.layers.Dense{units = 2, kernel_initializer = nacre.initializers.Constant{value = 0.5}}
      assert(dense(nacre.ones{1, 4}):totable()[1][1] == 2)
    )",
};
constexpr Entry regularizers{
    .usage = "nacre.regularizers.NAME{key = value, …}",
    .doc = "A penalty on weights: [all regularizers](regularizers.md).",
    .example = R"(
      local penalty = nacre.regularizers.L1L2{l1 = 0.01, l2 = 0.01}
      local dense = nacre.layers.Dense{units = 2, kernel_regularizer = penalty}
      dense(nacre.ones{1, 4})
      assert(#dense.losses == 1)
    )",
};
constexpr Entry constraints{
    .usage = "nacre.constraints.NAME{key = value, …}",
    .doc = "What weights are held to after each update: [all constraints](constraints.md).",
    .example = R"(
      local dense = nacre.layers.Dense{units = 1, kernel_constraint = nacre.constraints.NonNeg()}
      dense(nacre.ones{1, 2})
      local optimizer = nacre.optimizers.SGD{learning_rate = 100}
      optimizer:apply(nacre.grad(function() return dense(nacre.ones{1, 2}):sum() end, dense)(), dense)
      assert(dense.weights[1].value:min():item() == 0)
    )",
};
constexpr Entry losses{
    .usage = "nacre.losses.NAME{key = value, …}",
    .doc = "What training makes small: [all losses](losses.md).",
    .example = R"(
      local loss = nacre.losses.SparseCategoricalCrossentropy{from_logits = true}
      local logits = nacre.tensor{{0.0, 0.0}}
      assert(math.abs(loss(nacre.tensor{1}, logits):item() - math.log(2)) < 1e-5)
    )",
};
constexpr Entry metrics{
    .usage = "nacre.metrics.NAME{key = value, …}",
    .doc = "A measure over many batches: [all metrics](metrics.md).",
    .example = R"(
      local top = nacre.metrics.SparseTopKCategoricalAccuracy{k = 2}
      top:update_state(nacre.tensor{2, 0}, nacre.tensor{{0.1, 0.6, 0.3}, {0.1, 0.6, 0.3}})
      assert(top:result() == 0.5)
    )",
};
constexpr Entry optimizers{
    .usage = "nacre.optimizers.NAME{key = value, …}",
    .doc = "How gradients change weights: [all optimizers](optimizers.md).",
    .example = R"(
      local x, optimizer = nacre.Variable(5.0), nacre.optimizers.Adam{learning_rate = 0.5, clipnorm = 1}
      for _ = 1, 100 do
        local slope = nacre.grad(function() return (x - 2) ^ 2 end, x)()
        optimizer:apply({slope}, {x})
      end
      assert(math.abs(x.value:item() - 2) < 0.1)
    )",
};
constexpr Entry schedules{
    .usage = "nacre.schedules.NAME{key = value, …}",
    .doc = "A learning rate that changes with the steps: [all learning rate schedules](learning_rate_schedules.md).",
    .example = R"(
      local decay = nacre.schedules.CosineDecay{initial_learning_rate = 0.1, decay_steps = 100}
      assert(decay(100):item() == 0)
      local adam = nacre.optimizers.Adam{learning_rate = decay}
    )",
};
constexpr Entry callbacks{
    .usage = "nacre.callbacks.NAME{key = value, …}",
    .doc = "What happens beside model:fit: [all callbacks](callbacks.md).",
    .example = R"(
      local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}}
      model:compile{loss = "mse"}
      model:fit(nacre.ones{8, 2}, nacre.zeros{8, 1}, {epochs = 2, verbose = false, callbacks = {
        nacre.callbacks.CSVLogger{filename = "log.csv"}}})
      assert(io.open("log.csv"))
    )",
};
constexpr Entry random{
    .usage = "nacre.random",
    .doc =
        "Keras's keras.random: the table of functions that draw random tensors. At once each call draws anew, and so "
        "does each run of a compiled function; a seed of its own gives a call the same numbers each time.",
    .example = R"(
      local noisy = nacre.compile(function(x) return x + nacre.random.normal({3}, 0, 0.1) end)
      assert(noisy(nacre.zeros{3}) ~= noisy(nacre.zeros{3}))
      assert(nacre.random.uniform({2}, {seed = 5}) == nacre.random.uniform({2}, {seed = 5}))
    )",
};
constexpr Entry version_of_nacre{
    .usage = "nacre.version",
    .doc = "The library's version.",
    .example = R"(
      assert(nacre.version:match("^%d+%.%d+%.%d+$"))
    )",
};
constexpr Entry newaxis{
    .usage = "nacre.newaxis",
    .doc = "In a key of a tensor, a new axis of size 1. It is nacre.null.",
    .example = R"(
      assert(nacre.zeros{2, 3}[{{}, nacre.newaxis}].shape == {2, 1, 3})
    )",
};
constexpr Entry null{
    .usage = "nacre.null",
    .doc =
        "YAML's and Python's nothing, where nil cannot stand: in a list, and as the value of a key whose default is "
        "something else.",
    .example = R"(
      local words = nacre.Input{shape = {nacre.null, 8}}       -- of any length
      assert(words.shape[2] == -1)
      local dense = nacre.layers.Dense{units = 1, bias_initializer = nacre.null}
      assert(nacre.optimizers.SGD{clipnorm = nacre.null}:get_config().clipnorm == nil)
    )",
};

// --- the page -----------------------------------------------------------------------------------------------------

constexpr const char* introduction = R"(# Lua

`nacre lua SCRIPT` runs a script of Lua 5.4. It sees all of Lua's libraries, and the table `nacre`, of which this page
tells. It is generated from the program with `nacre reference tutorials/reference`; each example is a whole script, and
the tests run them.

- Classes take one table with Keras's keys: `nacre.layers.Dense{units = 3}`. Functions and methods take arguments by
  place, then others by name in a table at the end: `model:fit(x, y, {epochs = 3})`.
- Objects have properties, `layer.weights`, and methods, which are called with a colon: `layer:count_params()`. Objects
  are shown by `print`.
- What stands in brackets begins at 1, as everywhere in Lua, and at -1 from the end: `tensor.shape[1]`, `tensor[1]`,
  `tensor[{{1, 3}, -1}]`, also where a tensor is the index. What operations take and give begins at 0, as in Keras: axes,
  classes, steps, the places of `argmax`, `argsort`, `take`: `x[x:argmax(0) + 1]`.
- A mistake raises an error that begins with the script's line; `pcall` catches it.
- A name that does not exist is an error with the nearest one that does, not nil.
)";

std::vector<Section> sections() {
  std::vector<Section> all;
  const auto section = [&](const char* title, const char* text) -> Section& { return all.emplace_back(title, text); };

  section(
      "Tensors",
      "A tensor is a block of numbers, booleans or texts with a shape and a dtype. Arithmetic computes at once; beside "
      "a tensor a number of Lua has its dtype. Its memory lies outside of Lua's and is given back with it.")
      .functions("nacre", tensor_functions())
      .functions("nacre", creation_functions())
      .objects(class_of<eager::Array>())
      .add("tensor.__index", item_entry)
      .add("tensor.__newindex", set_item_entry)
      .add("nacre.newaxis", newaxis)
      .functions("nacre", file_functions());
  section("Random tensors", "")
      .functions("nacre", seed_functions())
      .add("nacre.random", random)
      .functions("nacre.random", random_functions());
  section("Operations", "").add("nacre.ops", ops).lists_operations = true;
  section("Gradients",
          "Gradients are taken of functions of Lua: while one runs, what it does with tensors is recorded.")
      .functions("nacre", autograd_functions())
      .objects(pullback_class())
      .functions("nacre", jacobian_functions())
      .functions("nacre", custom_gradient_functions());
  section("Compiled functions", "").functions("nacre", compile_functions());
  section(
      "Decisions and loops",
      "Lua's own decide while a function runs, also where gradients are taken. In a function that is compiled these "
      "decide by numbers, which are not known before; elsewhere they do the same.")
      .functions("nacre", control_flow_functions())
      .functions("nacre", walk_functions());
  section("Weights", "Layers keep what they learn in weights. They compute like tensors.")
      .functions("nacre", weight_functions())
      .objects(class_of<Weight>());
  section("Layers", "Layers compute on tensors by themselves, and models are made of them. A model is a layer too.")
      .add("nacre.layers", layers)
      .functions("nacre", layer_functions())
      .objects(class_of<LayerObject>());
  section("Models", "A model is a layer that is made of layers, with all that layers have, and that trains.")
      .functions("nacre", model_functions())
      .members("model", model_members())
      .functions("nacre", symbol_functions())
      .objects(class_of<Symbol>());
  section("Activations, initializers, regularizers, constraints",
          "What layers are given under keys such as `activation`: by name, \"relu\", as a table of YAML's, {L2 = {l2 = "
          "0.1}}, or as an object, which can also be called.")
      .add("nacre.activations", activations)
      .objects(class_of<std::shared_ptr<Activation>>())
      .add("nacre.initializers", initializers)
      .objects(class_of<std::shared_ptr<Initializer>>())
      .add("nacre.regularizers", regularizers)
      .objects(class_of<std::shared_ptr<Regularizer>>())
      .add("nacre.constraints", constraints)
      .objects(class_of<std::shared_ptr<WeightConstraint>>());
  section("Losses, metrics, optimizers, callbacks",
          "What model:compile and model:fit are given, by name, as a table of YAML's or as an object. In a training "
          "loop of "
          "one's own the objects are called.")
      .add("nacre.losses", losses)
      .objects(class_of<std::shared_ptr<Loss>>())
      .add("nacre.metrics", metrics)
      .objects(class_of<std::shared_ptr<Metric>>())
      .add("nacre.optimizers", optimizers)
      .objects(class_of<std::shared_ptr<Optimizer>>())
      .add("nacre.schedules", schedules)
      .objects(class_of<std::shared_ptr<LearningRateSchedule>>())
      .add("nacre.callbacks", callbacks)
      .objects(class_of<std::shared_ptr<Callback>>());
  section(
      "Classes of one's own",
      "Layers, losses and the like are defined in Lua: in the script, or in a file of their own, which scripts take "
      "with nacre.import and YAML names: `Lua: {file: my_layers.lua, class: Gate, units: 8}`. A class is a table "
      "that takes methods; called with its fields it makes objects. What methods do with tensors is traced into "
      "the graph of a model, as nacre.compile does it; a layer that is called on tensors by the script runs as it "
      "stands. Models are saved with the text of the classes, and of what those use that a text can hold; where "
      "that runs, in a sandbox, there are no files and no processes, and only if the user allows it "
      "(`--allow-lua`, `allow_lua`). Functions alone can stand where an activation, an initializer, a penalty, a "
      "constraint, a schedule, a loss or a metric is wanted, and in nacre.layers.Lambda{function(x) … end}.")
      .functions("nacre", custom_functions())
      .members("layer", custom_layer_members())
      .members("metric", custom_metric_members())
      .members("optimizer", custom_optimizer_members());
  section("Data", "A data set gives samples by their numbers: inputs, and perhaps targets and sample weights.")
      .add("nacre.data", data)
      .functions("nacre", data_functions())
      .objects(class_of<DatasetRef>())
      .objects(batches_class());
  section("The rest", "")
      .add("nacre.null", null)
      .add("nacre.version", version_of_nacre)
      .functions("nacre", engine_functions());

  std::set<std::string> told;
  for (Section& one : all)
    std::erase_if(one.entries,
                  [&](const Named& named) { return *named.entry.usage && !told.insert(named.entry.usage).second; });
  return all;
}

// Without the lines around it and what all its lines are indented by.
std::string script_of(std::string_view source) {
  std::vector<std::string_view> lines;
  for (std::size_t begin = 0; begin <= source.size();) {
    const std::size_t end = std::min(source.find('\n', begin), source.size());
    lines.push_back(source.substr(begin, end - begin));
    begin = end + 1;
  }
  const auto blank = [](std::string_view line) { return line.find_first_not_of(' ') == line.npos; };
  while (!lines.empty() && blank(lines.front())) lines.erase(lines.begin());
  while (!lines.empty() && blank(lines.back())) lines.pop_back();
  std::size_t indent = source.size();
  for (const std::string_view line : lines)
    if (!blank(line)) indent = std::min(indent, line.find_first_not_of(' '));
  std::string script;
  for (const std::string_view line : lines) {
    if (!blank(line)) script += line.substr(indent);
    script += '\n';
  }
  return script;
}

// "sum(x, axis = null, keepdims = false)"
std::string call_of(std::string_view operation) {
  const std::string alias = fmt::format("ops.{}", operation);
  const FieldTable& fields = *registry<Layer>().get(alias).fields.back();
  std::string places;
  for (const std::string& place : operation_places(operation)) {
    places += (places.empty() ? "" : ", ") + place;
    const auto field = std::ranges::find(fields, place, &Field::key);
    if (field != fields.end() && !field->constraint.required) places += " = " + field->default_value.text();
    for (const OperationArgument& argument : *operation_arguments(alias))
      if (argument.name == place && argument.kind == OperationArgument::Kind::spread) places += ", …";
  }
  return fmt::format("{}({})", operation, places);
}

std::string operations_table() {
  std::string text =
      "\nIn the examples, `ops` is nacre.ops and `tensor` nacre.tensor; results are written as tables.\n\n"
      "| nacre.ops. | what it gives | example |\n|---|---|---|\n";
  const auto code = [](std::string_view call) { return table_cell(fmt::format("`{}`", call)); };
  for (const ClassInfo<Layer>& info : operation_layers()) {
    const std::string_view name = info.aliases.back().substr(4), other = operation_alias(name);
    text += fmt::format("| {}{} | {} |", code(call_of(name)), other.empty() ? "" : ", " + code(other),
                        table_cell(std::string(info.doc)));
    const auto example = std::ranges::find(operation_examples(), name, &OperationExample::operation);
    if (example != operation_examples().end())
      text += fmt::format(" {}: {} |", code(example->call), code(example->result));
    text += '\n';
  }
  return text;
}

// As Markdown's readers make it of a heading.
std::string anchor_of(std::string_view heading) {
  std::string anchor;
  for (const char letter : heading)
    if (letter != ',')
      anchor += letter == ' ' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return anchor;
}

std::string text_of(const Named& named) {
  const Entry& entry = named.entry;
  std::string text = fmt::format("\n### `{}`\n\n{}\n", entry.usage, entry.doc);
  FieldTable keys;
  for (const Entry::Keys fields : entry.keys)
    if (fields) keys.insert(keys.end(), fields().begin(), fields().end());
  if (!keys.empty()) text += "\n" + field_table(keys);
  return text + fmt::format("\n```lua\n{}```\n", script_of(entry.example));
}

}  // namespace
}  // namespace scripting

std::string lua_reference() {
  register_models();
  std::string contents, text;
  for (const scripting::Section& section : scripting::sections()) {
    contents +=
        fmt::format("{}[{}](#{})", contents.empty() ? "\n" : " · ", section.title, scripting::anchor_of(section.title));
    text += fmt::format("\n## {}\n", section.title);
    if (*section.text) text += fmt::format("\n{}\n", section.text);
    for (const scripting::Named& named : section.entries) text += scripting::text_of(named);
    if (section.lists_operations) text += scripting::operations_table();
  }
  return scripting::introduction + contents + "\n" + text;
}

std::vector<LuaEntry> lua_entries() {
  std::vector<LuaEntry> all;
  for (const scripting::Section& section : scripting::sections())
    for (const auto& [name, entry, function] : section.entries) {
      all.push_back({name, entry.usage, entry.doc, scripting::script_of(entry.example), {}, function});
      for (const scripting::Entry::Keys fields : entry.keys)
        if (fields) all.back().keys.push_back(&fields());
    }
  return all;
}

}  // namespace nacre
