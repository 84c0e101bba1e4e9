// Models: nacre.Sequential, nacre.Model, nacre.load, nacre.from_yaml, and what a model does.
#include <algorithm>
#include <cstdio>

#include "api/dtype_policy.h"
#include "api/experiment/experiment.h"
#include "api/save.h"
#include "scripting/bindings.h"

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
  static void describe(auto&& field) {
    field("compile", &LoadConfig::compile, "as the file says, when it says how");
    field("by_name", &LoadConfig::by_name, "weights go to the layers of the same names");
    field("skip_mismatch", &LoadConfig::skip_mismatch, "layers that the weights do not fit are left as they are");
    field("allow_lua", &LoadConfig::allow_lua, "Lua functions that the file holds are run");
    field("untrusted", &LoadConfig::untrusted, "the file is from somewhere else: it is read in a confined process");
  }
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

Model load_any(const std::string& path, const LoadOptions& options) {
  const ModelFile file = read_model_file(path, options.untrusted);
  return is_architecture(file.kind) ? load_architecture(file, options) : load_model(file, options);
}

// nacre.load("model.keras"[, {compile = false, …}])
Out load(Call& call) {
  const std::string path = call.text(1, "the path of a model");
  return model_object(call, load_any(path, read_options<LoadConfig>(call, 2).options()));
}

// nacre.from_yaml("mnist.yaml"): the model of a configuration, compiled when it names a loss; or Keras's architecture.
Out from_yaml(Call& call) {
  const std::string path = call.text(1, "the path of a YAML file");
  if (!is_experiment(path)) return model_object(call, load_any(path, {}));
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

void build(Call& call) { model_of(call).build(read_shape(call, 2)); }

void initialize(Call& call) {
  const std::int64_t seed = call.given(2) ? call.tree(2).as_integer() : 0;
  model_of(call).initialize(static_cast<std::uint64_t>(seed));
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

void compile(Call& call) {
  Model& model = model_of(call);
  CompileOptions options = about("compile", [&] { return read_options<CompileOptions>(call, 2); });
  if (options.loss.empty())
    throw Error("the key 'loss' is missing").about("compile").hint("model:compile{loss = \"mse\"}").usage();
  model.compile(std::move(options));
}

// --- files --------------------------------------------------------------------------------------------------------

void save(Call& call) { model_of(call).save(call.text(2, "the path of a file")); }
void save_weights(Call& call) { model_of(call).save_weights(call.text(2, "the path of a file")); }
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
        else config.set(name, call.tree(value));
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

  OpenedData open(std::optional<double> validation_split = {}, std::uint64_t seed = 0) const {
    if (data.given()) return open_data(data, validation_split, seed);
    if (x.dataset) return {x.dataset, nullptr, nullptr};
    return {array_dataset_of(x.columns, y, weights), nullptr, nullptr};
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
    field("data", &DataKeys::data, "inputs and targets: a data set, or a table that names a source");
    field("validation_data", &DataKeys::validation_data, "what is measured after each epoch: {x, y}, or data");
  }
};

// What fit takes besides the words of YAML's `train:`.
struct FitExtras {
  std::int64_t seed = 0;
  bool verbose = true, resume = false;
  std::string checkpoint;
  static void describe(auto&& field) {
    field("seed", &FitExtras::seed, "of everything random", at_least(0));
    field("verbose", &FitExtras::verbose, "a line for each epoch");
    field("checkpoint", &FitExtras::checkpoint, "file that is written after each epoch");
    field("resume", &FitExtras::resume, "goes on from the checkpoint, if there is one");
  }
};

// {[0] = 1.0, 2.0} is a mapping; {1.0, 2.0} looks like a list, but is of the classes 1 and 2.
void number_classes(Tree& config) {
  Tree* weights = config.find("class_weight");
  if (!weights || !weights->is_sequence()) return;
  Tree numbered = Tree::mapping().at(weights->mark());
  for (const Tree& weight : weights->items()) numbered.set(std::to_string(numbered.entries().size() + 1), weight);
  *weights = std::move(numbered);
}

void refuse_interrupted(const Call& call) {
  if (call.state().interrupted()) throw Error("interrupted");
}

// The numbers of each epoch by their names, and why training ended early.
Results fit(Call& call) {
  Model& model = model_of(call);
  Arguments arguments(call, {"x", "y"});
  number_classes(arguments.config);
  FitConfig config;
  FitExtras extras;
  DataKeys keys;
  about("fit", [&] {
    const FieldTarget targets[] = {
        {&fields_of<FitConfig>(), &config}, {&fields_of<FitExtras>(), &extras}, {&fields_of<DataKeys>(), &keys}};
    read_fields(targets, arguments.config);
  });
  const auto seed = static_cast<std::uint64_t>(extras.seed);
  if (arguments.validation.given()) config.validation_split.reset();  // as Keras does
  const OpenedData data = arguments.open(config.validation_split, seed);
  if (!data.train) throw Error("the data has no part 'train'").about("fit").usage();
  FitOptions options = fit_options(config);
  options.seed = seed;
  options.verbose = extras.verbose;
  options.checkpoint = extras.checkpoint;
  options.resume = extras.resume;
  options.stop = call.state().limits().stop;
  options.validation = data.validation;
  if (arguments.validation.given()) {
    const OpenedData others = open_data(arguments.validation);
    options.validation = others.validation ? others.validation : others.train;
  }
  if (arguments.data.table.is_null()) options.validation_split = config.validation_split.value_or(0);
  const History history = model.fit(data.train, options);
  refuse_interrupted(call);
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
  Model& model = model_of(call);
  const Arguments arguments(call, {"x", "y"});
  const EvaluateConfig config = about("evaluate", [&] { return read_config<EvaluateConfig>(arguments.config); });
  const OpenedData data = arguments.open();
  const DatasetRef set = data.test ? data.test : data.validation ? data.validation : data.train;
  if (!set) throw Error("the data names no set").about("evaluate").usage();
  const Logs logs = model.evaluate(
      set, {.batch_size = config.batch_size, .steps = config.steps.value_or(0), .stop = call.state().limits().stop});
  refuse_interrupted(call);
  return logs_of(logs);
}

struct PredictConfig {
  std::int64_t batch_size = 32;
  static void describe(auto&& field) { field("batch_size", &PredictConfig::batch_size, "samples a step", at_least(1)); }
};

// A tensor for each output.
Results predict(Call& call) {
  Model& model = model_of(call);
  const Arguments arguments(call, {"x"});
  const PredictConfig config = about("predict", [&] { return read_config<PredictConfig>(arguments.config); });
  const OpenedData data = arguments.open();
  const DatasetRef set = data.test ? data.test : data.validation ? data.validation : data.train;
  if (!set) throw Error("the data names no set").about("predict").usage();
  Results results;
  for (Tensor& output : model.predict(set, {.batch_size = config.batch_size, .stop = call.state().limits().stop}))
    results.push_back(out(std::move(output)));
  return results;
}

// --- single batches -----------------------------------------------------------------------------------------------

// {x, y, sample_weight} by place or by name as one batch.
Batch read_batch(const Call& call, Arguments& arguments) {
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
    {"layers", nullptr, layers},
    {"optimizer", nullptr, optimizer},
    {"train_on_batch", bound<train_on_batch>},
    {"test_on_batch", bound<test_on_batch>},
    {"predict_on_batch", bound<predict_on_batch>},
    {"reset_metrics", bound<reset_metrics>},
    {"layer", bound<layer>},
    {"summary", bound<summary>},
    {"add", bound<add>},
    {"pop", bound<pop>},
    {"build", bound<build>},
    {"initialize", bound<initialize>},
    {"set_device", bound<set_device>},
    {"with_dtype", bound<with_dtype>},
    {"compile", bound<compile>},
    {"fit", bound<fit>},
    {"evaluate", bound<evaluate>},
    {"predict", bound<predict>},
    {"save", bound<save>},
    {"save_weights", bound<save_weights>},
    {"load_weights", bound<load_weights>},
};

}  // namespace

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
      {"Sequential", bound<make_sequential>},
      {"Model", bound<make_model>},
      {"load", bound<load>},
      {"from_yaml", bound<from_yaml>},
  };
  return functions;
}

void open_models(lua_State* lua) { State::set_functions(lua, model_functions()); }

}  // namespace nacre::scripting
