#include "api/experiment/model_builder.h"

#include "api/head.h"
#include "api/save.h"
#include "api/zoo.h"
#include "formats/file.h"
#include "formats/text.h"
#include "formats/yaml.h"
#include "layers/arguments.h"
#include "layers/lambda.h"
#include "layers/lookup.h"
#include "layers/operations.h"

namespace nacre {

namespace {

// What Keras's functions take as arguments stands in the name of a model of the zoo.
void refuse_arguments(const Tree& tree) {
  const Tree* const zoo = tree.is_mapping() ? tree.find("zoo") : nullptr;
  if (!zoo) return;
  const auto plain = [](const Tree& value) { return value.is_string() ? value.as_string() : value.text(); };  // no quotes
  const std::string name = plain(*zoo);
  std::vector<std::string_view> known;
  for (const Field& field : fields_of<ModelConfig>()) known.push_back(field.key);
  for (const Tree::Entry& entry : tree.entries()) {
    const std::string value = entry.value.is_null() ? "none" : plain(entry.value);
    const bool weights = entry.key == "weights" && (value == "none" || value == "imagenet");
    const bool unknown_key = std::ranges::find(known, entry.key) == known.end() && !suggestion(entry.key, known).starts_with("did you mean");
    if (weights || unknown_key)
      throw Error("'{}' is an argument of the model's, not a key", entry.key)
          .at(entry.mark)
          .hint(fmt::format("zoo: \"{}{}{}={}\"", name, name.find('?') == std::string::npos ? '?' : '&', entry.key, value))
          .usage();
  }
}

// The model's own parts, read and checked: exactly one way to say what it is.
ModelConfig read_model(const Tree& tree) {
  if (tree.is_null()) throw Error("the key 'model' is missing").at(tree.mark()).hint("model: {sequential: [...]}").usage();
  refuse_arguments(tree);
  ModelConfig config = read_config<ModelConfig>(tree);
  const int ways = !config.sequential.is_null() + !config.layers.is_null() + config.file.has_value() + config.zoo.has_value();
  if (!config.trainable.is_null() && !config.file && !config.zoo)
    throw Error("'trainable' is for models of 'file' and 'zoo'").at(config.trainable.mark()).hint("say it at the layers").usage();
  for (const auto& [key, value] : {std::pair("freeze", &config.freeze), std::pair("head", &config.head)})
    if (!value->is_null() && !config.file && !config.zoo)
      throw Error("'{}' is for models of 'file' and 'zoo'", key).at(value->mark()).usage();
  if (!config.trainable.is_null() && !config.freeze.is_null())
    throw Error("both 'trainable' and 'freeze' are given").at(config.freeze.mark()).hint("leave one of them out").usage();
  if (ways != 1)
    throw Error("wanted one of 'sequential', 'layers', 'file', 'zoo', got {} of them", ways).at(tree.mark()).about("'model'").usage();
  if (const Tree& lines = config.layers.is_null() ? config.sequential : config.layers; lines.is_sequence() && lines.items().empty())
    throw Error("the list of layers is empty").at(lines.mark()).about("'model'").usage();
  return config;
}

std::vector<std::string> input_names(const ModelConfig& config) {
  std::vector<std::string> names;
  if (!config.inputs.is_null())
    for (const Tree::Entry& entry : config.inputs.entries()) names.push_back(entry.key);
  return names;
}

ExpandedModel expand(const ModelConfig& config, const Variables& variables, std::vector<std::string> given = {}) {
  const Tree& lines = config.layers.is_null() ? config.sequential : config.layers;
  for (std::string& name : input_names(config)) given.push_back(std::move(name));
  return expand_blocks(lines, config.blocks, given, variables);
}

InputConfig input_config(const Tree& tree, const std::string& name) {
  InputConfig config = read_config<InputConfig>(tree);
  if (config.name.empty()) config.name = name;
  return config;
}

// The number behind a name: "lstm:1" is the second output.
std::pair<std::string, std::size_t> split_reference(const std::string& reference, const Mark& mark) {
  const std::size_t colon = reference.rfind(':');
  if (colon == std::string::npos) return {reference, 0};
  const std::string digits = reference.substr(colon + 1);
  if (digits.empty() || digits.size() > 4 || digits.find_first_not_of("0123456789") != std::string::npos)
    throw Error("cannot read '{}'", reference).at(mark).hint("the second output of a layer is written name:1").usage();
  return {reference.substr(0, colon), std::stoul(digits)};
}

// Builds the lines of an expanded model one after the other.
class Builder {
 public:
  // `given`: names of values that are there before the first line.
  Builder(const ModelConfig& config, const Variables& variables, const std::filesystem::path& folder, bool with_weights,
          const std::vector<std::string>& given = {})
      : config_(config), folder_(folder), with_weights_(with_weights), expanded_(expand(config, variables, given)) {
    if (!config.inputs.is_null())
      for (const Tree::Entry& entry : config.inputs.entries())
        add_input(entry.key, substitute(entry.value, variables), entry.mark);
  }

  std::shared_ptr<FunctionalLayer> stack(LayerOptions options) {
    auto model = std::make_shared<SequentialLayer>(std::move(options));
    for (const LayerLine& line : expanded_.lines) {
      located(line, [&] {
        if (is_input(line)) model->set_input(Input(input_config(line.config, line.name)));
        else model->add(layer_of(line));
      });
    }
    return model;
  }

  // The lines of a head: they begin at these features, and their names with "head".
  Symbol head(const Symbol& features) {
    values_[std::string(features_name)] = {features};
    call_lines("head");
    const Symbols result = outputs();
    if (result.size() != 1) throw Error("a head has one output").at(config_.layers.mark()).usage();
    return result.front();
  }
  static constexpr std::string_view features_name = "features";

  std::shared_ptr<FunctionalLayer> graph(LayerOptions options) {
    call_lines();
    if (inputs_.empty()) throw Error("the model has no input").at(config_.layers.mark()).hint("inputs: {image: {shape: [28, 28, 1]}}").usage();
    return std::make_shared<FunctionalLayer>(inputs_, outputs(), std::move(options));
  }

  bool branches() const { return expanded_.branches || inputs_.size() > 1; }

 private:
  // Layers have the names of their lines, which begin with `beginning`.
  void call_lines(std::string_view beginning = "") {
    if (expanded_.lines.size() > deepest_model)
      throw Error("the model has {} layers, wanted at most {}", expanded_.lines.size(), deepest_model)
          .at(config_.layers.mark())
          .usage();
    for (const LayerLine& line : expanded_.lines) {
      located(line, [&] {
        if (is_input(line)) return add_input(line.name, line.config, line.mark);
        if (line.from.empty()) throw Error("nothing comes before this layer").hint("begin with an Input, or say `from`").usage();
        std::map<std::string, Symbols> named;
        for (const auto& [argument, names] : line.named_inputs) named[argument] = symbols(names, line.mark);
        const std::shared_ptr<Layer> layer = line.shares.empty() ? layer_of(line) : layers_.at(line.shares);
        if (line.shares.empty() && !layer->name().starts_with(beginning)) layer->rename(fmt::format("{}_{}", beginning, layer->name()));
        check_arguments(*layer, line);
        layers_[line.name] = layer;
        values_[line.name] = call_layer(layer, symbols(line.from, line.mark), std::move(named), line.options);
      });
    }
  }

  static bool is_input(const LayerLine& line) { return line.class_name == "Input" || line.class_name == "InputLayer"; }

  static void check_arguments(const Layer& layer, const LayerLine& line) {
    if (dynamic_cast<const OperationLayer*>(&layer)) return;  // its line has told them from fields already
    for (const auto& [name, values] : line.named_inputs) check_argument(layer, name);
    if (!line.options.is_null())
      for (const Tree::Entry& entry : line.options.entries()) check_argument(layer, entry.key);
  }

  template <class Work>
  static void located(const LayerLine& line, Work&& work) {
    try {
      work();
    } catch (Error& error) {
      error.at(line.mark).usage();
      throw;
    }
  }

  void add_input(const std::string& name, const Tree& fields, const Mark& mark) {
    try {
      const Symbol symbol = Input(input_config(fields, name));
      inputs_.push_back(symbol);
      values_[name] = {symbol};
    } catch (Error& error) {
      error.at(mark).about(fmt::format("input '{}'", name)).usage();
      throw;
    }
  }

  std::shared_ptr<Layer> layer_of(const LayerLine& line) const {
    if (line.class_name == "model") return build_model(line.config, line.variables, folder_, line.name, with_weights_);
    const ClassInfo<Layer>* info = registry<Layer>().find(line.class_name);
    if (!info) throw unknown_layer(line.class_name);
    Tree config = with_files(line.config, info->class_name, folder_);
    config.set("name", line.name);
    try {
      return info->make(config);
    } catch (const Error& error) {
      // The field is named in the message; the layer is what the message is about.
      const std::string field = error.subject().empty() ? "" : error.subject() + ": ";
      throw Error(field + error.message())
          .at(error.mark())
          .about(fmt::format("layer '{}' ({})", line.name, info->class_name))
          .hint(error.hint_text())
          .usage();
    }
  }

  Error unknown_layer(const std::string& name) const {
    if (name.starts_with("ops."))
      if (auto refusal = refused_operation(name.substr(4), "", "")) return std::move(*refusal);
    std::vector<std::string_view> known;
    std::vector<std::string> blocks;
    if (!config_.blocks.is_null())
      for (const Tree::Entry& entry : config_.blocks.entries()) blocks.push_back(parse_signature(entry.key, entry.mark).name);
    known.insert(known.end(), blocks.begin(), blocks.end());
    for (const auto& info : registry<Layer>().classes()) known.push_back(info.spelling());
    return Error("unknown layer '{}'", name).hint(suggestion(name, known)).usage();
  }

  Symbol symbol(const std::string& reference, const Mark& mark) const {
    const auto [name, output] = split_reference(reference, mark);
    const auto found = values_.find(name);
    if (found == values_.end()) {
      if (const auto alias = expanded_.aliases.find(name); alias != expanded_.aliases.end() && alias->second != name)
        return symbol(alias->second + reference.substr(name.size()), mark);
      std::vector<std::string_view> known;
      for (const auto& [candidate, value] : values_) known.push_back(candidate);
      throw Error("there is no layer '{}'", name).at(mark).hint(suggestion(name, known)).usage();
    }
    if (output >= found->second.size())
      throw Error("layer '{}' has {} output(s), got '{}'", name, found->second.size(), reference).at(mark).usage();
    return found->second[output];
  }

  Symbols symbols(const std::vector<std::string>& names, const Mark& mark) const {
    Symbols result;
    for (const std::string& name : names) result.push_back(symbol(name, mark));
    return result;
  }

  Symbols outputs() const {
    if (config_.outputs.is_null()) return {symbol(expanded_.last, config_.layers.mark())};
    if (config_.outputs.is_string()) return {symbol(config_.outputs.as_string(), config_.outputs.mark())};
    Symbols result;
    for (const Tree& name : config_.outputs.items()) result.push_back(symbol(name.as_string(), name.mark()));
    return result;
  }

  const ModelConfig& config_;
  const std::filesystem::path& folder_;
  bool with_weights_;
  ExpandedModel expanded_;
  Symbols inputs_;
  std::map<std::string, Symbols> values_;  // by line name
  std::map<std::string, std::shared_ptr<Layer>> layers_;
};

std::shared_ptr<FunctionalLayer> open_saved(const ModelConfig& config, const std::filesystem::path& folder, const Variables& variables,
                                            const Tree& model, bool with_weights) {
  try {
    if (const auto file = saved_model_file(model, variables, folder)) {
      const auto saved = std::static_pointer_cast<FunctionalLayer>(load_any_model(*file, {.compile = false}).share());
      return config.head.is_null() || !config.outputs.is_null() ? saved : without_top(saved);
    }
    const std::string name = substitute(*config.zoo, variables).as_string();
    const bool builds_on = !config.head.is_null() || !config.outputs.is_null() || !config.freeze.is_null() || !config.trainable.is_null();
    return open_zoo_model(zoo_name(name).value_or(name),
                          {.with_weights = with_weights,
                           .with_top = config.head.is_null() || !config.outputs.is_null(),
                           .random = builds_on && !config.weights ? RandomWeights::told : RandomWeights::accepted});
  } catch (Error& error) {
    if (const std::string place = model.mark().text(); !place.empty()) error.within(fmt::format("while opening the model of {}", place));
    throw;
  }
}

// A config of the kind {classes: auto, …}.
HeadConfig read_head(Tree tree) {
  if (Tree* const classes = tree.find("classes"); classes && *classes == Tree("auto")) *classes = Tree();
  try {
    return read_config<HeadConfig>(tree);
  } catch (Error& error) {
    error.at(tree.mark());
    throw;
  }
}

template <class Work>
auto marked(const Mark& mark, Work&& work) {
  try {
    return work();
  } catch (Error& error) {
    error.at(mark).usage();
    throw;
  }
}

// A saved model as far as the layers in `outputs`, frozen as `trainable` says.
std::shared_ptr<FunctionalLayer> chosen_part(const ModelConfig& config, const Variables& variables,
                                             std::shared_ptr<FunctionalLayer> model, const std::string& name) {
  const auto names = [&](const Tree& tree) {
    const Tree written = substitute(tree, variables);
    return written.is_sequence() ? written.items() : Tree::Sequence{written};
  };
  if (!config.outputs.is_null()) {
    Symbols outputs;
    for (const Tree& reference : names(config.outputs)) {
      const auto [layer, index] = split_reference(reference.as_string(), reference.mark());
      const Symbols all = marked(reference.mark(), [&] { return model->outputs_of(layer); });
      if (index >= all.size())
        throw Error("layer '{}' has {} output(s), got '{}'", layer, all.size(), reference.as_string()).at(reference.mark()).usage();
      outputs.push_back(all[index]);
    }
    ModelCard card = model->card();
    model = std::make_shared<FunctionalLayer>(model->inputs(), outputs, LayerOptions{.name = name, .trainable = true, .dtype = {}});
    card.labels.clear();
    model->set_card(std::move(card));
  }
  if (config.trainable.is_null()) return model;
  const Tree trainable = substitute(config.trainable, variables);
  if (trainable.is_bool()) {
    model->set_trainable(trainable.as_bool());
    return model;
  }
  for (const auto& layer : model->layers()) layer->set_trainable(false);
  for (const Tree& layer : names(config.trainable))
    marked(layer.mark(), [&] { return model->layer(layer.as_string())->set_trainable(true); });
  return model;
}

std::shared_ptr<FunctionalLayer> headed(const ModelConfig& config, const Variables& variables, const std::filesystem::path& folder,
                                        const FunctionalLayer& base, const std::string& name, bool with_weights) {
  if (config.head.is_sequence()) {
    ModelConfig lines;
    lines.layers = config.head;
    lines.blocks = config.blocks;
    Builder builder(lines, variables, folder, with_weights, {std::string(Builder::features_name)});
    return with_head(base, [&](const Symbol& features) { return builder.head(features); }, name);
  }
  return with_head(base, head_of(read_head(substitute(config.head, variables))), name);
}

// The line that a name stands for once blocks are expanded.
std::string line_name(const ExpandedModel& expanded, const std::string& name) {
  const auto alias = expanded.aliases.find(name);
  return alias == expanded.aliases.end() || alias->second == name ? name : line_name(expanded, alias->second);
}

// {Class: {every field}} of a line, with what stands beside the fields.
Tree render_line(const LayerLine& line, const std::filesystem::path& folder) {
  Tree fields;
  std::string_view head = line.class_name;
  const ClassInfo<Layer>* info = registry<Layer>().find(line.class_name);
  if (line.class_name == "model") {
    fields = render_model(line.config, line.variables, folder);
    fields.set("name", line.name);
  } else if (!line.shares.empty()) {
    head = "share";
    fields.set("layer", line.shares);
    fields.set("name", line.name);
  } else if (line.class_name == "Input" || line.class_name == "InputLayer") {
    fields = write_config(input_config(line.config, line.name), Style::full);
  } else {
    if (!info) return spell_object("", line.class_name, line.config, Style::yaml, false);
    Tree config = line.config;
    config.set("name", line.name);
    Tree* const vocabulary = config.find("vocabulary");
    const Tree file = vocabulary && vocabulary->is_string() ? std::exchange(*vocabulary, Tree()) : Tree();
    fields = info->make(with_files(config, info->class_name, folder))->config_tree(Style::full);
    if (!file.is_null()) fields.set("vocabulary", file);
    head = info->spelling();
  }
  if (!line.from.empty()) {
    Tree from = Tree::sequence();
    for (const std::string& name : line.from) from.push(name);
    fields.set("from", line.from.size() == 1 ? Tree(line.from.front()) : from);
  }
  for (const auto& [argument, names] : line.named_inputs) {
    Tree list = Tree::sequence();
    for (const std::string& name : names) list.push(name);
    fields.set(argument, names.size() == 1 ? Tree(names.front()) : list);
  }
  if (!line.options.is_null())
    for (const Tree::Entry& entry : line.options.entries()) fields.set(entry.key, entry.value);
  Tree tree;
  tree.set(head, std::move(fields));
  return tree;
}

}  // namespace

namespace {

void add_source(Tree& fields, const std::filesystem::path& folder) {
  const Tree* const file = fields.find("file");
  if (!file || !file->is_string() || fields.find("source")) return;
  const std::filesystem::path path = folder / file->as_string();
  within([&] { return fmt::format("named at {}", file->mark().text()); },
         [&] { fields.set("source", Tree(read_file(path)).at({path.string()})); });
}

}  // namespace

Tree with_sources(Tree tree, const std::filesystem::path& folder) {
  if (tree.is_sequence())
    for (Tree& item : tree.items()) item = with_sources(std::move(item), folder);
  if (!tree.is_mapping()) return tree;
  const Tree* const name = tree.find("class_name");
  const bool spelled = name && *name == Tree(lua_class_name);
  for (Tree::Entry& entry : tree.entries()) {
    entry.value = with_sources(std::move(entry.value), folder);
    if (entry.key == lua_class_name || (spelled && entry.key == "config")) add_source(entry.value, folder);
  }
  return tree;
}

Tree with_files(Tree config, std::string_view class_name, const std::filesystem::path& folder) {
  config = with_sources(std::move(config), folder);
  if (class_name == lua_class_name) add_source(config, folder);
  Tree* vocabulary = config.find("vocabulary");
  if (!vocabulary || !vocabulary->is_string()) return config;
  const std::string file = (folder / vocabulary->as_string()).string();
  Tree tokens = Tree::sequence();
  for (std::string& token : read_lines(file))
    tokens.push(class_name == IntegerLookupConfig::class_name ? parse_yaml(token, file) : Tree(std::move(token)));
  *vocabulary = std::move(tokens).at(vocabulary->mark());
  return config;
}

bool counts_classes(const Tree& model) {
  const Tree* const head = model.find("head");
  if (!head || !head->is_mapping()) return false;
  const Tree* const classes = head->find("classes");
  return !classes || classes->is_null() || *classes == Tree("auto");
}

std::optional<std::filesystem::path> saved_model_file(const Tree& model, const Variables& variables, const std::filesystem::path& folder) {
  const ModelConfig config = read_model(model);
  if (!config.file) return std::nullopt;
  return folder / substitute(*config.file, variables).as_string();
}

std::shared_ptr<FunctionalLayer> build_model(const Tree& tree, const Variables& variables,
                                             const std::filesystem::path& folder, const std::string& default_name,
                                             bool with_weights) {
  const ModelConfig config = read_model(tree);
  const std::string name = config.name.empty() ? default_name : config.name;
  const auto described = [&] {
    Builder builder(config, variables, folder, with_weights);
    LayerOptions options{.name = name, .trainable = true, .dtype = {}};
    const bool stack = !config.sequential.is_null() && !builder.branches() && config.outputs.is_null();
    return stack ? builder.stack(std::move(options)) : builder.graph(std::move(options));
  };
  const std::shared_ptr<FunctionalLayer> model =
      config.file || config.zoo
          ? open_saved(config, folder, variables, tree, with_weights)
          : within([&] { return fmt::format("while building model '{}'", name.empty() ? "model" : name); }, described);
  if (config.weights && with_weights) Model(model).load_weights(folder / substitute(*config.weights, variables).as_string());
  if (!config.file && !config.zoo) return model;
  const std::shared_ptr<FunctionalLayer> part = chosen_part(config, variables, model, name);
  Freeze frozen;
  const auto froze = [&](const std::shared_ptr<FunctionalLayer>& whole) {
    if (!config.freeze.is_null()) marked(config.freeze.mark(), [&] { freeze(*whole, frozen); });
    return whole;
  };
  if (!config.freeze.is_null()) marked(config.freeze.mark(), [&] { FieldKind<Freeze>::read(substitute(config.freeze, variables), frozen); });
  if (config.head.is_null()) return froze(part);
  const bool all = std::holds_alternative<bool>(frozen.layers);  // means all below the head
  if (all) froze(part);
  const std::shared_ptr<FunctionalLayer> whole =
      within([&] { return fmt::format("while putting a head on model '{}'", part->title()); },
             [&] { return headed(config, variables, folder, *part, name, with_weights); });
  return all ? whole : froze(whole);
}

Tree render_model(const Tree& tree, const Variables& variables, const std::filesystem::path& folder) {
  const ModelConfig config = read_model(tree);
  Tree rendered;
  if (!config.name.empty()) rendered.set("name", config.name);
  if (config.file) rendered.set("file", *config.file);
  if (config.zoo) rendered.set("zoo", *config.zoo);
  if (config.weights) rendered.set("weights", *config.weights);
  if (!config.trainable.is_null()) rendered.set("trainable", config.trainable);
  if (!config.freeze.is_null()) rendered.set("freeze", config.freeze);
  if ((config.file || config.zoo) && !config.outputs.is_null()) rendered.set("outputs", config.outputs);
  if (config.head.is_mapping()) rendered.set("head", write_config(read_head(substitute(config.head, variables)), Style::full));
  else if (!config.head.is_null()) rendered.set("head", config.head);
  if (!config.head.is_null() && !config.blocks.is_null()) rendered.set("blocks", config.blocks);
  if (config.file || config.zoo) return rendered;
  const ExpandedModel expanded = expand(config, variables);
  const bool stack = !config.sequential.is_null() && !expanded.branches && config.outputs.is_null();
  if (!config.inputs.is_null()) {
    Tree inputs;
    for (const Tree::Entry& entry : config.inputs.entries())
      inputs.set(entry.key, write_config(input_config(substitute(entry.value, variables), entry.key), Style::full));
    rendered.set("inputs", std::move(inputs));
  }
  Tree lines = Tree::sequence();
  for (const LayerLine& line : expanded.lines) {
    Tree written = render_line(line, folder);
    if (stack && written.is_mapping()) written.entries().front().value.erase("from");
    lines.push(std::move(written));
  }
  rendered.set(stack ? "sequential" : "layers", std::move(lines));
  if (stack) return rendered;
  Tree outputs = Tree::sequence();
  if (config.outputs.is_null()) outputs.push(expanded.last);
  else if (config.outputs.is_string()) outputs.push(line_name(expanded, config.outputs.as_string()));
  else
    for (const Tree& name : config.outputs.items()) outputs.push(line_name(expanded, name.as_string()));
  rendered.set("outputs", std::move(outputs));
  return rendered;
}

}  // namespace nacre
