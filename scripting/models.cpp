// Models: nacre.Sequential, nacre.Model, nacre.load, nacre.from_yaml, and what a model does.
#include <algorithm>
#include <cstdio>

#include "api/inspect/evaluation_report.h"
#include "api/inspect/parity.h"
#include "api/dtype_policy.h"
#include "api/experiment/evaluation_data.h"
#include "api/experiment/experiment.h"
#include "api/freeze.h"
#include "api/save.h"
#include "api/zoo.h"
#include "scripting/bindings.h"
#include "scripting/interruption.h"

namespace nacre::scripting {

namespace {

std::shared_ptr<LayerObject> self(const Call& call) {
  auto object = call.find<LayerObject>(1);
  if (!object) throw call.unwanted(1, "a model").hint("methods are called with a colon: model:fit(…)");
  if (!object->model) throw call.unwanted(1, "a model");
  return object;
}

Model& model_of(const Call& call) { return *self(call)->model; }

// --- making -------------------------------------------------------------------------------------------------------

// Puts an Input or a layer on top of a stack. What does not fit is said with the line that made the layer.
void add_to(const Call& call, SequentialLayer& stack, int index) {
  if (const auto symbol = call.find<Symbol>(index)) {
    if (!dynamic_cast<const InputLayer*>(symbol->call().layer.get()))
      throw call.unwanted(index, "a layer, or what nacre.Input gives");
    return stack.set_input(*symbol);
  }
  refuse_class(call, index);
  const auto object = call.get<LayerObject>(index, "a layer");
  marked(object->mark, [&] { stack.add(object->layer); });
}

// nacre.Sequential{nacre.Input{…}, layers …, name = …}
Out make_sequential(Call& call) {
  Tree options = Tree::mapping().at(call.place());
  if (call.given(1)) {
    if (!call.is_table(1)) throw call.unwanted(1, "a table of layers");
    call.each_named(
        1, [&](const std::string& key, int value) { options.set(key, call.tree(value)); }, true);
  }
  const auto stack =
      std::make_shared<SequentialLayer>(about("Sequential", [&] { return read_config<LayerOptions>(options); }));
  within([&] { return fmt::format("while building model '{}'", stack->title()); },
         [&] {
           if (call.given(1)) call.each_item(1, [&](int item) { add_to(call, *stack, item); });
         });
  return layer_object(call, stack);
}

// nacre.Model{inputs = …, outputs = …, name = …}
Out make_model(Call& call) {
  if (!call.is_named(1)) throw call.unwanted(1, "a table: nacre.Model{inputs = …, outputs = …}");
  Symbols inputs, outputs;
  Tree options = Tree::mapping().at(call.place());
  call.each_named(1, [&](const std::string& key, int value) {
    if (key == "inputs") inputs = read_symbols(call, value, "a symbol or a list of symbols as inputs");
    else if (key == "outputs") outputs = read_symbols(call, value, "a symbol or a list of symbols as outputs");
    else options.set(key, call.tree(value));
  });
  std::vector<std::string_view> known{"inputs", "outputs"};
  for (const Field& field : fields_of<LayerOptions>()) known.push_back(field.key);
  for (const Tree::Entry& entry : options.entries())
    if (std::find(known.begin(), known.end(), entry.key) == known.end())
      throw Error("unknown key '{}'", entry.key).about("Model").hint(suggestion(entry.key, known)).usage();
  for (const auto& [what, symbols] : {std::pair("inputs", &inputs), std::pair("outputs", &outputs)})
    if (symbols->empty()) throw Error("the key '{}' is missing", what).about("Model").usage();
  LayerOptions read = about("Model", [&] { return read_config<LayerOptions>(options); });
  return layer_object(call, std::make_shared<FunctionalLayer>(inputs, outputs, std::move(read)));
}

// The keys of LoadOptions.
struct LoadConfig {
  bool compile = true, by_name = false, skip_mismatch = false, allow_lua = false, untrusted = false;
  Tree outputs, freeze, head;
  static void describe(auto&& field) {
    field("compile", &LoadConfig::compile, "as the file says, when it says how");
    field("by_name", &LoadConfig::by_name, "weights go to the layers of the same names");
    field("skip_mismatch", &LoadConfig::skip_mismatch, "layers that the weights do not fit are left as they are");
    field("allow_lua", &LoadConfig::allow_lua, "Lua functions that the file holds are run");
    field("untrusted", &LoadConfig::untrusted, "the file is from somewhere else: it is read in a confined process");
    field("outputs", &LoadConfig::outputs, "names of layers that the model ends at; this word and the next as in YAML's `model:`");
    field("freeze", &LoadConfig::freeze, "which layers do not learn: true, \"until NAME\", a number, names");
    field("head", &LoadConfig::head, "a new one: {classes = 3}, or a list of layers as in YAML; the model is not compiled then");
  }
  // A model that is not as the file has it.
  bool changes() const { return !outputs.is_null() || !freeze.is_null() || !head.is_null(); }
  LoadOptions options() const {
    return {.compile = compile,
            .by_name = by_name,
            .skip_mismatch = skip_mismatch,
            .allow_lua = allow_lua,
            .untrusted = untrusted};
  }
};

// The keys of LoadOptions that weights alone have.
struct LoadWeightsConfig {
  bool by_name = false, skip_mismatch = false, untrusted = false;
  static void describe(auto&& field) {
    field("by_name", &LoadWeightsConfig::by_name, "weights go to the layers of the same names");
    field("skip_mismatch", &LoadWeightsConfig::skip_mismatch,
          "layers that the weights do not fit are left as they are");
    field("untrusted", &LoadWeightsConfig::untrusted,
          "the file is from somewhere else: it is read in a confined process");
  }
};


// nacre.load("model.keras"[, {compile = false, …}])
Out load(Call& call) {
  const std::string path = call.text(1, "the path of a model");
  const auto config = read_options<LoadConfig>(call, 2);
  if (!config.changes()) return model_object(call, load_any_model(path, config.options()));
  if (config.by_name || config.skip_mismatch || config.untrusted)
    throw Error("'outputs', 'freeze' and 'head' do not go with 'by_name', 'skip_mismatch' and 'untrusted'").about("load").usage();
  Tree model = Tree::mapping().at(call.place());
  if (const auto zoo = zoo_name(path)) model.set("zoo", *zoo);
  else model.set("file", path);
  for (const auto& [key, value] : {std::pair("outputs", &config.outputs), std::pair("freeze", &config.freeze), std::pair("head", &config.head)})
    if (!value->is_null()) model.set(key, *value);
  return model_object(call, Model(build_model(model, {}, "")));
}

// nacre.from_yaml("mnist.yaml"): the model of a configuration, compiled when it names a loss; or Keras's architecture.
Out from_yaml(Call& call) {
  const std::string path = call.text(1, "the path of a YAML file");
  if (!is_experiment(path)) return model_object(call, load_any_model(path, {}));
  return model_object(call, configured_model(Experiment::load(path)));
}

// --- looking ------------------------------------------------------------------------------------------------------

Out layers(Call& call) {
  const auto object = self(call);
  const auto graph = std::static_pointer_cast<FunctionalLayer>(object->layer);
  Out::List list;
  for (const auto& layer : graph->layers()) list.emplace_back(layer_object(call, layer, graph, layer->name()));
  return list;
}

Out layer(Call& call) {
  const auto object = self(call);
  const std::string name = call.text(2, "the name of a layer");
  const auto graph = std::static_pointer_cast<FunctionalLayer>(object->layer);
  return layer_object(call, graph->layer(name), graph, name);
}

void summary(Call& call) { std::fputs(model_of(call).summary().c_str(), stdout); }

// --- changing -----------------------------------------------------------------------------------------------------

SequentialLayer& stack_of(const Call& call) {
  const auto object = self(call);
  if (auto* stack = dynamic_cast<SequentialLayer*>(object->layer.get())) return *stack;
  throw Error("{} is no Sequential", call.described(1)).usage();
}

void add(Call& call) {
  SequentialLayer& stack = stack_of(call);
  within([&] { return fmt::format("while building model '{}'", stack.title()); }, [&] { add_to(call, stack, 2); });
}

Out pop(Call& call) { return layer_object(call, stack_of(call).pop()); }

void initialize(Call& call) {
  const std::uint64_t seed = EngineState::of(call).seed();
  model_of(call).initialize(call.given(2) ? static_cast<std::uint64_t>(call.tree(2).as_integer()) : seed);
}

void set_device(Call& call) { model_of(call).set_device(call.text(2, "cpu, gpu or reference")); }

// model:with_dtype("mixed_bfloat16"): the same model under that policy.
Out with_dtype(Call& call) {
  const Model& model = model_of(call);
  Tree policy = call.tree(2);
  DTypePolicy wanted;
  about("with_dtype", [&] { FieldKind<DTypePolicy>::read(policy, wanted); });
  return model_object(call, nacre::with_dtype(model, wanted));
}

// model:freeze("until block_13")
void freeze(Call& call) {
  Freeze frozen;
  about("freeze", [&] { FieldKind<Freeze>::read(call.tree(2), frozen); });
  nacre::freeze(model_of(call).graph(), frozen);
}

void compile(Call& call) {
  Model& model = model_of(call);
  CompileOptions options = about("compile", [&] { return read_options<CompileOptions>(call, 2); });
  if (options.loss.empty())
    throw Error("the key 'loss' is missing").about("compile").hint("model:compile{loss = \"mse\"}").usage();
  model.compile(std::move(options));
}

// --- files --------------------------------------------------------------------------------------------------------

// The model with its weights: initial ones are of the seed of nacre.set_seed.
Model& initialized(const Call& call) {
  Model& model = model_of(call);
  model.initialize(EngineState::of(call).seed());
  return model;
}

void save(Call& call) { initialized(call).save(call.text(2, "the path of a file")); }
void save_weights(Call& call) { initialized(call).save_weights(call.text(2, "the path of a file")); }
void load_weights(Call& call) {
  Model& model = model_of(call);
  const std::string path = call.text(2, "the path of a file");
  const auto config = about("load_weights", [&] { return read_options<LoadWeightsConfig>(call, 3); });
  model.load_weights(path,
                     {.by_name = config.by_name, .skip_mismatch = config.skip_mismatch, .untrusted = config.untrusted});
}

// --- running ------------------------------------------------------------------------------------------------------

// Arguments by place, each with its name, and others by name in a table at the end.
void each_argument(const Call& call, std::initializer_list<std::string_view> places,
                   const std::function<void(const std::string& name, int value)>& visit) {
  for (int i = 2; i <= call.count(); ++i) {
    if (i == call.count() && call.is_named(i)) {
      call.each_named(i, visit);
    } else {
      const auto place = static_cast<std::size_t>(i) - 2;
      if (place >= places.size())
        throw Error("got {} arguments by place, wanted at most {}", place + 1, places.size())
            .hint("others stand in a table at the end: {epochs = 3}")
            .usage();
      if (call.given(i)) visit(std::string(places.begin()[place]), i);
    }
  }
}

// What fit, evaluate and predict take as data, and the rest of their arguments.
struct Arguments {
  GivenData x, data, validation;
  Columns y, weights;
  Tree config;

  Arguments(const Call& call, std::initializer_list<std::string_view> places)
      : config(Tree::mapping().at(call.place())) {
    std::vector<std::string> seen;
    each_argument(call, places, [&](const std::string& name, int value) {
      if (std::find(seen.begin(), seen.end(), name) != seen.end())
        throw Error("got '{}' twice, by place and by name", name).usage();
      seen.push_back(name);
      about(fmt::format("'{}'", name), [&] {
        if (name == "x") x = read_data(call, value);
        else if (name == "data") data = read_data(call, value);
        else if (name == "validation_data") validation = read_validation(call, value);
        else if (name == "y") y = read_columns(call, value);
        else if (name == "sample_weight") weights = read_columns(call, value);
        else config.set(name, name == "callbacks" ? read_callbacks(call, value) : call.tree(value));
      });
    });
    if (x.given() == data.given())
      throw Error("wanted one of 'x' and 'data', got {}", x.given() ? "both" : "none")
          .hint("x is tensors, data a data set or {digits = {count = 1000}}")
          .usage();
    if ((data.given() || x.dataset) && !(y.tensors.empty() && weights.tensors.empty()))
      throw Error("'y' and 'sample_weight' go with tensors, but a data set has its own").usage();
    if (!x.table.is_null())
      throw Error("'x' is no tensor")
          .hint("nacre.tensor(table) makes one; tables that name data are for 'data'")
          .usage();
  }

  // Data comes to the model in the form that the model's file says; tensors are given in that form.
  OpenedData open(const Model& model, OpenOptions options) const {
    options.form = input_form(model.graph());
    if (data.given()) return open_data(data, options);
    if (x.dataset) return open_data(x, options);
    return {array_dataset_of(x.columns, y, weights), nullptr, nullptr};
  }
  OpenedData open_validation(const Model& model) const {
    return open_data(validation, {.augmenting = false, .form = input_form(model.graph())});
  }
  DatasetRef open_prediction(const Model& model) const {
    return open(model, {.augmenting = false, .resizing = true}).measured();
  }
  // What is measured, the classes in the model's order.
  DatasetRef open_evaluation(const Model& model) const {
    const DatasetRef set = open_prediction(model);
    return data.given() || x.dataset ? data_for(model, set) : set;
  }

 private:
  // {x, y}, {x, y, sample_weight}, or data.
  static GivenData read_validation(const Call& call, int index) {
    if (!call.is_table(index) || call.is_named(index)) return read_data(call, index);
    std::vector<Columns> parts;
    call.each_item(index, [&](int item) { parts.push_back(read_columns(call, item)); });
    if (parts.size() < 2 || parts.size() > 3)
      throw Error("got {} parts, wanted {{x, y}} or {{x, y, sample_weight}}", parts.size()).usage();
    parts.resize(3);
    return {.dataset = array_dataset_of(std::move(parts[0]), std::move(parts[1]), std::move(parts[2])),
            .columns = {},
            .table = {}};
  }
};

// The names that Arguments takes out, for hints.
struct DataKeys {
  Tree x, y, sample_weight, data, validation_data;
  static void describe(auto&& field) {
    field("x", &DataKeys::x, "inputs: a tensor, a list of tensors or tensors by name");
    field("y", &DataKeys::y, "targets, likewise");
    field("sample_weight", &DataKeys::sample_weight, "how much each sample counts");
    field("data", &DataKeys::data,
          "inputs and targets: a data set, or a table that names a source; both come to the model in the form that its "
          "file says, "
          "while tensors, and what a data set's :map makes of floating numbers, stay as they are");
    field("validation_data", &DataKeys::validation_data, "what is measured after each epoch: {x, y}, or data");
  }
};

// What fit takes besides the words of YAML's `train:`.
struct FitExtras {
  std::optional<std::int64_t> seed;
  bool verbose = true, resume = false;
  std::string checkpoint;
  static void describe(auto&& field) {
    field("seed", &FitExtras::seed, "of everything random; null: that of nacre.set_seed", at_least(0));
    field("verbose", &FitExtras::verbose, "a line for each epoch; also Keras's 0, 1 and 2");
    field("checkpoint", &FitExtras::checkpoint, "file that is written after each epoch");
    field("resume", &FitExtras::resume, "goes on from the checkpoint, if there is one");
  }
};

// Keras's verbose = 0, 1, 2 or "auto".
void read_keras_verbosity(Tree& config) {
  Tree* verbose = config.find("verbose");
  if (!verbose || verbose->is_bool()) return;
  if (*verbose == Tree("auto")) *verbose = Tree(true).at(verbose->mark());
  else if (verbose->is_integer() && verbose->as_integer() >= 0 && verbose->as_integer() <= 2)
    *verbose = Tree(verbose->as_integer() > 0).at(verbose->mark());
}

// {[0] = 1.0, 2.0} is a mapping; {1.0, 2.0} looks like a list, but is of the classes 1 and 2.
void number_classes(Tree& config) {
  Tree* weights = config.find("class_weight");
  if (!weights || !weights->is_sequence()) return;
  Tree numbered = Tree::mapping().at(weights->mark());
  for (const Tree& weight : weights->items()) numbered.set(std::to_string(numbered.entries().size() + 1), weight);
  *weights = std::move(numbered);
}

// The numbers of each epoch by their names, and why training ended early.
Results fit(Call& call) {
  Model& model = model_of(call);
  Arguments arguments(call, {"x", "y"});
  number_classes(arguments.config);
  read_keras_verbosity(arguments.config);
  FitConfig config;
  FitExtras extras;
  DataKeys keys;
  about("fit", [&] {
    const FieldTarget targets[] = {
        {&fields_of<FitConfig>(), &config}, {&fields_of<FitExtras>(), &extras}, {&fields_of<DataKeys>(), &keys}};
    read_fields(targets, arguments.config);
  });
  const std::uint64_t seed = extras.seed ? static_cast<std::uint64_t>(*extras.seed) : EngineState::of(call).seed();
  if (arguments.validation.given()) config.validation_split.reset();  // as Keras does
  const OpenedData data = arguments.open(model, {.validation_split = config.validation_split, .seed = seed});
  if (!data.train) throw Error("the data has no part 'train'").about("fit").usage();
  FitOptions options = fit_options(config);
  options.processes = EngineState::of(call).processes();
  options.seed = seed;
  options.verbose = extras.verbose;
  options.checkpoint = extras.checkpoint;
  options.resume = extras.resume;
  const Interruption interruption(call.state());
  options.stop = interruption.flag();
  options.validation = data.validation;
  options.unaugmented = data.unaugmented;
  if (arguments.validation.given()) {
    const OpenedData others = arguments.open_validation(model);
    options.validation = others.validation ? others.validation : others.train;
  }
  if (arguments.data.table.is_null()) options.validation_split = config.validation_split.value_or(0);
  const History history = model.fit(data.train, options);
  interruption.check();
  Out::Named series;
  std::vector<std::string> names;
  for (const History::Epoch& epoch : history.epochs)
    for (const auto& [name, value] : epoch.logs)
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  for (const std::string& name : names) {
    Out::List values;
    for (const double value : history.series(name)) values.emplace_back(value);
    series.push_back({name, std::move(values)});
  }
  return {Out(std::move(series)), history.stopped.empty() ? Out() : Out(history.stopped)};
}

Out logs_of(const Logs& logs) {
  Out::Named numbers;
  for (const auto& [name, value] : logs) numbers.push_back({name, value});
  return numbers;
}

struct EvaluateConfig {
  std::int64_t batch_size = 32;
  std::optional<std::int64_t> steps;
  static void describe(auto&& field) {
    field("batch_size", &EvaluateConfig::batch_size, "samples a step", at_least(1));
    field("steps", &EvaluateConfig::steps, "batches; default: all", at_least(1));
  }
};

// Loss and metrics by their names.
Out evaluate(Call& call) {
  Model& model = initialized(call);
  const Arguments arguments(call, {"x", "y"});
  const EvaluateConfig config = about("evaluate", [&] { return read_config<EvaluateConfig>(arguments.config); });
  const DatasetRef set = about("evaluate", [&] { return arguments.open_evaluation(model); });
  const Interruption interruption(call.state());
  const Logs logs = model.evaluate(
      set, {.batch_size = config.batch_size, .steps = config.steps.value_or(0), .stop = interruption.flag()});
  interruption.check();
  return logs_of(logs);
}

// What evaluate measures and what stands behind it, as tables, and as a text for people.
Out report_evaluation(Call& call) {
  Model& model = initialized(call);
  const Arguments arguments(call, {"x", "y"});
  EvaluationOptions options = about("evaluation_report", [&] { return read_config<EvaluationOptions>(arguments.config); });
  const DatasetRef set = about("evaluation_report", [&] { return arguments.open_evaluation(model); });
  const Interruption interruption(call.state());
  options.stop = interruption.flag();
  const EvaluationReport report = evaluation_report(model, set, options);
  interruption.check();
  Tree tree = report.tree();
  tree.set("text", report.details());
  return tree;
}

struct ParityConfig {
  std::vector<std::string> devices{"reference", "cpu"};
  std::int64_t batch_size = 4;
  std::optional<std::int64_t> seed;
  std::optional<double> tolerance;
  static void describe(auto&& field) {
    field("devices", &ParityConfig::devices, "the one that is trusted, and the one that is compared with it");
    field("batch_size", &ParityConfig::batch_size, "samples of the step", at_least(1));
    field("seed", &ParityConfig::seed, "of random layers and of data that is made up; default: that of nacre.set_seed", at_least(0));
    field("tolerance", &ParityConfig::tolerance, "how far apart values may be, as a part of the largest one; default: by the dtype", at_least(0));
  }
};

// How far apart two devices are, as tables, and as a text for people.
Out report_parity(Call& call) {
  Model& model = initialized(call);
  bool has_data = false;
  each_argument(call, {"x", "y"}, [&](const std::string& name, int) { has_data = has_data || name == "x" || name == "data"; });
  return about("parity", [&] {
    std::optional<Arguments> arguments;
    if (has_data) arguments.emplace(call, std::initializer_list<std::string_view>{"x", "y"});
    const ParityConfig config = arguments ? read_config<ParityConfig>(arguments->config) : read_options<ParityConfig>(call, 2);
    if (config.devices.size() != 2)
      throw Error("'devices' has {} names, wanted two", config.devices.size()).hint("devices = {\"reference\", \"cpu\"}").usage();
    const ParityOptions options{.trusted = &backend_for(config.devices[0]),
                                .checked = &backend_for(config.devices[1]),
                                .batch_size = config.batch_size,
                                .seed = static_cast<std::uint64_t>(config.seed.value_or(static_cast<std::int64_t>(EngineState::of(call).seed()))),
                                .tolerance = config.tolerance};
    const ParityReport report = parity(model, arguments ? arguments->open_evaluation(model) : nullptr, options);
    Tree tree = report.tree();
    tree.set("text", report.text());
    return Out(tree);
  });
}

struct PredictConfig {
  std::int64_t batch_size = 32;
  static void describe(auto&& field) { field("batch_size", &PredictConfig::batch_size, "samples a step", at_least(1)); }
};

// A tensor for each output.
Results predict(Call& call) {
  Model& model = initialized(call);
  const Arguments arguments(call, {"x"});
  const PredictConfig config = about("predict", [&] { return read_config<PredictConfig>(arguments.config); });
  const DatasetRef set = about("predict", [&] { return arguments.open_prediction(model); });
  const Interruption interruption(call.state());
  Results results;
  for (Tensor& output : model.predict(set, {.batch_size = config.batch_size, .stop = interruption.flag()}))
    results.push_back(out(std::move(output)));
  return results;
}

// --- single batches -----------------------------------------------------------------------------------------------

struct BatchKeys {
  Tree x, y, sample_weight;
  static void describe(auto&& field) {
    field("x", &BatchKeys::x, "inputs: a tensor, a list of tensors or tensors by name");
    field("y", &BatchKeys::y, "targets, likewise");
    field("sample_weight", &BatchKeys::sample_weight, "how much each sample counts");
  }
};

// {x, y, sample_weight} by place or by name as one batch.
Batch read_batch(const Call& call, Arguments& arguments) {
  read_config<BatchKeys>(arguments.config);  // of which arguments has taken its own: others are refused
  if (!arguments.x.columns.tensors.empty()) {
    Batch batch;
    batch.inputs = std::move(arguments.x.columns.tensors);
    batch.targets = std::move(arguments.y.tensors);
    batch.weights = std::move(arguments.weights.tensors);
    batch.size = batch.inputs.front().shape().rank() == 0 ? 1 : batch.inputs.front().shape()[0];
    return batch;
  }
  throw call.unwanted(2, "a batch as tensors");
}

// model:train_on_batch(x, y[, sample_weight]): one step; loss and metrics by their names, which gather until
// reset_metrics().
Out train_on_batch(Call& call) {
  Arguments arguments(call, {"x", "y", "sample_weight"});
  return logs_of(model_of(call).train_on_batch(read_batch(call, arguments)));
}

Out test_on_batch(Call& call) {
  Arguments arguments(call, {"x", "y", "sample_weight"});
  return logs_of(model_of(call).test_on_batch(read_batch(call, arguments)));
}

Results predict_on_batch(Call& call) {
  Arguments arguments(call, {"x"});
  Results results;
  for (Tensor& output : model_of(call).predict_on_batch(read_batch(call, arguments)))
    results.push_back(out(std::move(output)));
  return results;
}

void reset_metrics(Call& call) { model_of(call).trainer().reset_metrics(); }

// Of a compiled model; nil: it is not.
Out optimizer(Call& call) {
  const auto& options = model_of(call).trainer().options();
  return options ? Out(make_object(options->optimizer.share())) : Out();
}

constexpr Member members[] = {
    {.name = "layers",
     .get = layers,
     .entry = {.usage = "model.layers",
               .doc = "Its layers in order, as a list; a Sequential's without its input.",
               .example = R"(
                 local model = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 2}, nacre.layers.Softmax()}
                 local names = {}
                 for i, layer in ipairs(model.layers) do names[i] = layer.name end
                 assert(table.concat(names, " ") == "dense softmax")
               )"}},
    {.name = "optimizer",
     .get = optimizer,
     .entry = {.usage = "model.optimizer",
               .doc = "The optimizer that it was compiled with; nil when it was not compiled.",
               .example = R"(
                 local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}}
                 assert(model.optimizer == nil)
                 model:compile{optimizer = {Adam = {learning_rate = 0.5}}, loss = "mse"}
                 model.optimizer.learning_rate = 0.25
                 assert(model.optimizer.learning_rate == 0.25)
               )"}},
    {.name = "stop_training",
     .get = stop_training,
     .entry = {.usage = "model.stop_training",
               .doc = "Set to true in a callback, it ends the training after the present batch or epoch.",
               .example = R"(
                 local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}}
                 model:compile{loss = "mse"}
                 local once = {on_epoch_end = function(self) self.model.stop_training = true end}
                 local history, reason = model:fit(nacre.ones{4, 2}, nacre.ones{4, 1},
                                                   {epochs = 9, verbose = false, callbacks = {once}})
                 assert(#history.loss == 1 and reason)
               )"}},
    {.name = "layer",
     .method = bound<layer>,
     .entry = {.usage = "model:layer(name)",
               .doc =
                   "The layer of that name, which knows where it stands: its `input` and `output` are symbols of the "
                   "model. \"outer/inner\" is a layer of a model within the model.",
               .example = R"(
                 local base = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 3, name = "features"}}
                 local head = nacre.layers.Dense{units = 1}(base:layer("features").output)
                 base.trainable = false
                 local model = nacre.Model{inputs = base.inputs, outputs = head}
                 assert(#model.trainable_weights == 2 and #model.weights == 4)
               )"}},
    {.name = "summary",
     .method = bound<summary>,
     .entry = {.usage = "model:summary()",
               .doc = "Prints its layers with their shapes and numbers of parameters, and the memory of its weights.",
               .example = R"(
                 nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 2}}:summary()
               )"}},
    {.name = "add",
     .method = bound<add>,
     .entry = {.usage = "model:add(layer)",
               .doc = "Puts a layer on top of a Sequential, or gives it its nacre.Input.",
               .example = R"(
                 local model = nacre.Sequential()
                 model:add(nacre.Input{4})
                 for _ = 1, 3 do model:add(nacre.layers.Dense{units = 4, activation = "relu"}) end
                 assert(#model.layers == 3)
               )"}},
    {.name = "pop",
     .method = bound<pop>,
     .entry = {.usage = "model:pop()", .doc = "Takes the last layer off a Sequential and gives it.", .example = R"(
       local model = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 3}, nacre.layers.Softmax()}
       assert(model:pop().class_name == "Softmax" and #model.layers == 1)
     )"}},
    {.name = "initialize",
     .method = bound<initialize>,
     .entry =
         {.usage = "model:initialize([seed])",
          .doc = "Gives its weights initial numbers, those of the seed (default 0) for each of them, unless they have "
                 "numbers already: fit, predict and the like do so, this chooses the seed.",
          .example = R"(
            local function first(seed)
              local model = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 2}}
              model:initialize(seed)
              return model:get_weights()[1]:sum():item()
            end
            assert(first(1) == first(1) and first(1) ~= first(2))
          )"}},
    {.name = "set_device",
     .method = bound<set_device>,
     .entry =
         {.usage = "model:set_device(name)",
          .doc =
              "Where fit, evaluate and predict compute: \"cpu\" (the default), \"gpu\", or \"reference\", plain loops "
              "that also know float64.",
          .example = R"(
            local model = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 2}}:with_dtype("float64")
            model:set_device("reference")
            assert(model:predict(nacre.ones{1, 4}).dtype == "float64")
          )"}},
    {.name = "with_dtype",
     .method = bound<with_dtype>,
     .entry = {.usage = "model:with_dtype(policy)",
               .doc =
                   "The same model with other numbers: its layers under a dtype policy of Keras's, such as "
                   "\"mixed_bfloat16\", which computes in bfloat16 and keeps weights in float32. It has copies of the "
                   "weights, and is not compiled.",
               .example = R"(
                 local model = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 2}}
                 local half = model:with_dtype("mixed_bfloat16")
                 assert(half:predict(nacre.ones{1, 4}).dtype == "bfloat16")
                 assert(half.weights[1].dtype == "float32")
               )"}},
    {.name = "freeze",
     .method = bound<freeze>,
     .entry = {.usage = "model:freeze(layers)",
               .doc =
                   "Which layers do not learn, all others do: true, false, \"until NAME\" (those before the first layer whose "
                   "name begins so), a number of layers with weights (-3: all but the last 3), or names, with `*` for any "
                   "characters. As in Keras it counts from the next compile on; while fit runs the callback FreezeScheduler "
                   "changes it.",
               .example = R"(
                 local layers = nacre.layers
                 local model = nacre.Sequential{nacre.Input{4}, layers.Dense{units = 3, name = "low"},
                                                layers.Dense{units = 2, name = "head"}}
                 model:freeze("until head")
                 assert(#model.trainable_weights == 2 and not model:layer("low").trainable)
               )"}},
    {.name = "compile",
     .method = bound<compile>,
     .entry = {.usage = "model:compile{loss = …, …}",
               .doc =
                   "Says how it learns, and what is measured: names, tables of YAML's or objects, a list or names by "
                   "output where there are several outputs.",
               .example = R"(
                 local model = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 3, activation = "softmax"}}
                 model:compile{optimizer = nacre.optimizers.Adam{learning_rate = 0.01},
                               loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
                 local logs = model:evaluate(nacre.ones{2, 4}, nacre.tensor{0, 1})
                 assert(logs.loss > 0 and logs.accuracy <= 1)
               )",
               .keys = {fields_of<CompileOptions>}}},
    {.name = "fit",
     .method = bound<fit>,
     .entry = {.usage = "model:fit(x[, y][, options])",
               .doc =
                   "Trains a compiled model on tensors x and y or on `data`, and gives for each of its numbers a list "
                   "with a value for every epoch, {loss = {…}, accuracy = {…}, val_loss = {…}}, and why training ended "
                   "early, if it did. Everything may also stand by its name: model:fit{data = …, epochs = 3}. Processes that "
                   "mpirun or torchrun has started with the same script train together: each takes its part of every "
                   "batch, and batch_size is that of each.",
               .example = R"(
                 local model = nacre.Sequential{nacre.Input{28, 28, 1}, nacre.layers.Flatten(),
                                                nacre.layers.Dense{units = 10, activation = "softmax"}}
                 model:compile{optimizer = "adam", loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
                 local data = {digits = {count = 200}}
                 local history = model:fit{data = data, epochs = 2, validation_split = 0.1, verbose = false}
                 assert(#history.loss == 2 and history.val_accuracy)

                 local stop = nacre.callbacks.EarlyStopping{monitor = "loss", mode = "max", patience = 1}
                 local line = nacre.Sequential{nacre.Input{1}, nacre.layers.Dense{units = 1}}
                 line:compile{loss = "mse"}
                 local x = nacre.tensor{{0.0}, {1.0}, {2.0}}
                 local _, reason = line:fit(x, 2 * x, {epochs = 9, callbacks = {stop}, verbose = false})
                 assert(reason)
               )",
               .keys = {fields_of<DataKeys>, fields_of<FitConfig>, fields_of<FitExtras>}}},
    {.name = "evaluate",
     .method = bound<evaluate>,
     .entry =
         {.usage = "model:evaluate(x[, y][, options])",
          .doc =
              "The loss and the metrics of a compiled model, by their names. It takes tensors or `data` as fit does.",
          .example = R"(
            local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}}
            model:compile{loss = "mse", metrics = {"mae"}}
            local logs = model:evaluate(nacre.zeros{4, 2}, nacre.ones{4, 1}, {batch_size = 2})
            assert(logs.loss == 1 and logs.mae == 1)
          )",
          .keys = {fields_of<EvaluateConfig>}}},
    {.name = "evaluation_report",
     .method = bound<report_evaluation>,
     .entry =
         {.usage = "model:evaluation_report(x[, y][, options])",
          .doc = "What evaluate gives, and for each output what stands behind it: of a classifier precision, recall and F1 by class, "
                 "confused classes, calibration and the worst mistakes; of a regression its errors and the largest ones. `text` "
                 "is the same for people. It takes tensors or `data` as fit does; samples count from 0.",
          .example = R"(
            local x = nacre.Input{2}
            local model = nacre.Model{inputs = x, outputs = nacre.layers.Softmax()(x)}
            model:compile{loss = "sparse_categorical_crossentropy"}
            local scores = nacre.tensor{{2.0, 0.0}, {0.0, 1.0}, {3.0, 0.0}}
            local report = model:evaluation_report(scores, nacre.tensor{0, 1, 1}, {worst = 5})
            local classes = report.outputs[1]
            assert(classes.classes[1].recall == 1 and classes.classes[2].recall == 0.5)
            assert(classes.worst[1].index == 2 and classes.worst[1].truth == "1")
            print(report.text)
          )",
          .keys = {fields_of<EvaluationOptions>}}},
    {.name = "parity",
     .method = bound<report_parity>,
     .entry =
         {.usage = "model:parity([x[, y]][, options])",
          .doc = "Whether two devices compute the same: a training step without its update on both, with the same weights and random "
                 "numbers. For each layer the differences of its outputs, of the gradients of these and of its weights, and where "
                 "the tolerance is exceeded first. `text` is the same for people. It takes tensors or `data` as fit does, the first "
                 "`batch_size` samples of them; without, data is made up.",
          .example = R"(
            local model = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 2, name = "answer"}}
            local report = model:parity{batch_size = 2}
            assert(report.agrees and report.layers[1].name == "answer")
            model:compile{loss = "mse"}
            assert(model:parity(nacre.ones{3, 4}, nacre.zeros{3, 2}, {devices = {"cpu", "reference"}}).batch_size == 3)
            print(report.text)
          )",
          .keys = {fields_of<ParityConfig>}}},
    {.name = "predict",
     .method = bound<predict>,
     .entry =
         {.usage = "model:predict(x[, options])",
          .doc = "What it makes of tensors, of a data set or of `data`, in batches: a tensor for each output, with the "
                 "samples along the first axis.",
          .example = R"(
            local x = nacre.Input{2}
            local model = nacre.Model{inputs = x, outputs = {2 * x, x:sum(-1)}}
            local doubled, sum = model:predict(nacre.tensor{{1.0, 2.0}, {3.0, 4.0}})
            assert(doubled:totable()[2][1] == 6 and sum:totable()[2] == 7)
          )",
          .keys = {fields_of<PredictConfig>}}},
    {.name = "train_on_batch",
     .method = bound<train_on_batch>,
     .entry =
         {.usage = "model:train_on_batch(x[, y[, sample_weight]])",
          .doc = "One step of training on a batch as it is, and the loss and the metrics by their names, each over all "
                 "batches since the last reset_metrics.",
          .example = R"(
            local model = nacre.Sequential{nacre.Input{1}, nacre.layers.Dense{units = 1}}
            model:compile{optimizer = "sgd", loss = "mse"}
            local x, losses = nacre.tensor{{0.0}, {1.0}, {2.0}}, {}
            for step = 1, 50 do
              model:reset_metrics()
              losses[step] = model:train_on_batch(x, 2 * x).loss
            end
            assert(losses[50] < losses[1] and model.optimizer.iterations == 50)
          )",
          .keys = {fields_of<BatchKeys>}}},
    {.name = "test_on_batch",
     .method = bound<test_on_batch>,
     .entry = {.usage = "model:test_on_batch(x[, y[, sample_weight]])",
               .doc = "The loss and the metrics by their names, over this batch and the others since the last "
                      "reset_metrics.",
               .example = R"(
                 local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}}
                 model:compile{loss = "mse"}
                 assert(model:test_on_batch(nacre.zeros{4, 2}, nacre.ones{4, 1}).loss == 1)
                 assert(model:test_on_batch(nacre.zeros{4, 2}, nacre.zeros{4, 1}).loss == 0.5)
               )",
               .keys = {fields_of<BatchKeys>}}},
    {.name = "predict_on_batch",
     .method = bound<predict_on_batch>,
     .entry = {.usage = "model:predict_on_batch(x)",
               .doc = "What it makes of a batch as it is, a tensor for each output.",
               .example = R"(
                 local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1, kernel_initializer = "ones"}}
                 assert(model:predict_on_batch(nacre.ones{3, 2}):sum():item() == 6)
               )",
               .keys = {fields_of<BatchKeys>}}},
    {.name = "reset_metrics",
     .method = bound<reset_metrics>,
     .entry =
         {.usage = "model:reset_metrics()",
          .doc = "Lets the loss and the metrics of train_on_batch and test_on_batch begin anew: at the beginning of an "
                 "epoch.",
          .example = R"(
            local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}}
            model:compile{loss = "mse"}
            model:test_on_batch(nacre.zeros{4, 2}, nacre.ones{4, 1})
            model:reset_metrics()
            assert(model:test_on_batch(nacre.zeros{4, 2}, nacre.zeros{4, 1}).loss == 0)
          )"}},
    {.name = "save",
     .method = bound<save>,
     .entry =
         {.usage = "model:save(path)",
          .doc = "Writes the whole model, with the optimizer's state when it is compiled, as a file that Keras opens: "
                 "\".keras\" or \".h5\".",
          .example = R"(
            local model = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 2}}
            model:save("model.keras")
            local x, again = nacre.ones{1, 4}, nacre.load("model.keras")
            assert(nacre.ops.all(nacre.ops.equal(again:predict(x), model:predict(x))):item())
          )"}},
    {.name = "save_weights",
     .method = bound<save_weights>,
     .entry = {.usage = "model:save_weights(path)",
               .doc = "Writes the weights alone, as Keras does: \".weights.h5\".",
               .example = R"(
                 local model = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 2}}
                 model:save_weights("best.weights.h5")
                 model:load_weights("best.weights.h5")
               )"}},
    {.name = "load_weights",
     .method = bound<load_weights>,
     .entry = {.usage = "model:load_weights(path[, options])",
               .doc = "Reads weights of a file of weights or of a whole model into a model of the same layers.",
               .example = R"(
                 local function network()
                   return nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 2, name = "head"}}
                 end
                 local trained, fresh = network(), network()
                 trained:initialize(7)
                 trained:save("trained.h5")
                 fresh:load_weights("trained.h5", {by_name = true})
                 local x = nacre.ones{1, 4}
                 assert(nacre.ops.all(nacre.ops.equal(fresh:predict(x), trained:predict(x))):item())
               )",
               .keys = {fields_of<LoadWeightsConfig>}}},
};

}  // namespace

std::span<const Member> model_members() { return members; }

std::optional<Out> model_member(Call& call, std::string_view key) {
  const auto object = call.find<LayerObject>(1);
  if (!object || !object->model) return std::nullopt;
  for (const Member& member : members)
    if (member.name == key) return member.get ? member.get(call) : Out(Out::Function{member.method});
  return std::nullopt;
}

void model_member_names(const Object& object, std::vector<std::string_view>& names) {
  if (!std::static_pointer_cast<LayerObject>(object.value)->model) return;
  for (const Member& member : members) names.emplace_back(member.name);
}

// --- the engine's handles -----------------------------------------------------------------------------------------

std::shared_ptr<Model> EngineState::remember(Model model) {
  const Layer* const layer = &model.graph();
  auto handle = std::make_shared<Model>(std::move(model));
  std::erase_if(models_, [](const auto& entry) { return entry.second.expired(); });
  models_[layer] = handle;
  return handle;
}

std::string EngineState::unique_name(const std::string& name) {
  const int count = names_[name]++;
  return count == 0 ? name : fmt::format("{}_{}", name, count);
}

std::vector<Object> EngineState::losses_of(const Layer& layer) const {
  const auto found = losses_.find(&layer);
  return found == losses_.end() || found->second.layer.expired() ? std::vector<Object>() : found->second.values;
}

void EngineState::set_losses(const std::shared_ptr<Layer>& layer, std::vector<Object> losses) {
  if (losses.empty()) {
    losses_.erase(layer.get());
    return;
  }
  std::erase_if(losses_, [](const auto& entry) { return entry.second.layer.expired(); });
  losses_[layer.get()] = {layer, std::move(losses)};
}

std::shared_ptr<Model> EngineState::model_of(const std::shared_ptr<FunctionalLayer>& layer) {
  const auto found = models_.find(layer.get());
  if (found != models_.end())
    if (auto handle = found->second.lock()) return handle;
  return remember(Model(layer));
}

Object model_object(const Call& call, Model model) {
  std::size_t bytes = 0;
  for (const Weight& weight : model.weights()) bytes += weight.variable->type().bytes();
  LayerObject object{.layer = model.share(),
                     .model = EngineState::of(call).remember(std::move(model)),
                     .place = {},
                     .name = {},
                     .mark = call.place()};
  return make_object(std::move(object), bytes);
}

std::span<const Function> model_functions() {
  static constexpr Function functions[] = {
      {"Sequential",
       bound<make_sequential>,
       {.usage = "nacre.Sequential{layer, …}",
        .doc = "A model of layers one after the other. nacre.Input at the beginning gives the sizes of a sample, else "
               "they are those of the first data; keys of all layers, such as `name`, stand among them.",
        .example = R"(
          local layers = nacre.layers
          local model = nacre.Sequential{
            nacre.Input{28, 28, 1},
            layers.Conv2D{filters = 8, kernel_size = 3, activation = "relu"}, layers.MaxPooling2D(),
            layers.Flatten(), layers.Dense{units = 10, activation = "softmax"},
            name = "digits",
          }
          assert(model.name == "digits" and model.output.shape[2] == 10)
        )",
        .keys = {fields_of<LayerOptions>}}},
      {"Model",
       bound<make_model>,
       {.usage = "nacre.Model{inputs = …, outputs = …}",
        .doc =
            "A model of all that lies between inputs and outputs, which are symbols or lists of them: layers called on "
            "what nacre.Input gives, or inner inputs and outputs of another model, whose weights it shares.",
        .example = R"(
          local layers = nacre.layers
          local picture, age = nacre.Input{8, 8, 1, name = "picture"}, nacre.Input{1, name = "age"}
          local features = layers.Concatenate(){layers.Flatten()(picture), age}
          local model = nacre.Model{inputs = {picture, age}, outputs = layers.Dense{units = 2}(features)}
          local y = model:predict{x = {picture = nacre.ones{3, 8, 8, 1}, age = nacre.ones{3, 1}}}
          assert(y.shape[1] == 3 and y.shape[2] == 2)
        )",
        .keys = {fields_of<LayerOptions>}}},
      {"load",
       bound<load>,
       {.usage = "nacre.load(path[, options])",
        .doc = "A model of a file of nacre's or Keras's: \".keras\", \".h5\", or an architecture in \".json\" or "
               "\".yaml\"; or of the zoo, \"zoo:NAME\". It is compiled when the file says how. `freeze` and `head` make of "
               "it a model that learns something else.",
        .example = R"(
          local model = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 2}}
          model:compile{loss = "mse"}
          model:save("model.h5")
          assert(nacre.load("model.h5"):evaluate(nacre.ones{1, 4}, nacre.ones{1, 2}).loss > 0)
          local base = nacre.load("model.h5", {compile = false})
          assert(base.output.shape[2] == 2)
          local new = nacre.load("model.h5", {freeze = true, head = {classes = 3, units = {5}}})
          assert(new.output.shape[2] == 3 and #new.trainable_weights == 4)
        )",
        .keys = {fields_of<LoadConfig>}}},
      {"from_yaml",
       bound<from_yaml>,
       {.usage = "nacre.from_yaml(path)",
        .doc = "The model of a configuration, as `nacre train` takes it, or of an architecture that Keras wrote. It is "
               "compiled when the configuration names a loss.",
        .example = R"(
          local file = assert(io.open("net.yaml", "w"))
          file:write("name: net\n",
                     "model: {sequential: [Input: {shape: [3]}, Dense: {units: 2}]}\n",
                     "train: {loss: mse}\n")
          file:close()
          local model = nacre.from_yaml("net.yaml")
          assert(model.name == "net")
          assert(model:evaluate(nacre.zeros{1, 3}, nacre.ones{1, 2}).loss == 1)
        )"}},
  };
  return functions;
}

void open_models(lua_State* lua) { State::set_functions(lua, model_functions()); }

}  // namespace nacre::scripting
