#include "models_zoo/zoo.h"

#include <algorithm>

#include "api/experiment/experiment.h"
#include "api/head.h"
#include "api/save.h"
#include "formats/yaml.h"

namespace nacre {

namespace zoo {

namespace {

constexpr std::string_view no_weights = "none", top_argument = "include_top", classes_argument = "classes",
                           pooling_argument = "pooling";

// The arguments of a model: the variables of its architecture, with those in its entry and those of the user set.
Tree with_arguments(const ZooModel& model, Tree config, const Tree& arguments) {
  Tree* const variables = config.find("variables");
  const Tree none = Tree::mapping();
  std::vector<std::string_view> known;
  for (const Tree::Entry& entry : variables ? variables->entries() : none.entries())
    if (entry.key != "weights") known.push_back(entry.key);
  for (const Tree* given : {&model.arguments, &arguments})
    for (const Tree::Entry& entry : given->entries()) {
      if (std::ranges::find(known, entry.key) == known.end())
        throw Error("unknown argument '{}'", entry.key)
            .about(fmt::format("'zoo:{}'", model.name))
            .hint(suggestion(entry.key, known))
            .usage();
      if (entry.key == pooling_argument && !entry.value.is_null() && entry.value != Tree("avg") &&
          entry.value != Tree("max"))
        throw Error("unknown pooling {}", entry.value.text())
            .about(fmt::format("'zoo:{}'", model.name))
            .hint("wanted avg, max or null")
            .usage();
      variables->set(entry.key, entry.value);
    }
  return config;
}

// The architecture with these arguments.
Tree config_of(const ZooModel& model, const Tree& arguments) {
  const auto [text, file] = model.text();
  Tree config = with_arguments(model, parse_yaml(text, file), arguments);
  config.set("name", model.name);
  return config;
}

const Tree* find(const Variables& values, std::string_view name) {
  const auto found = values.find(name);
  return found == values.end() ? nullptr : &found->second;
}

// The arguments of a model, as a reference has them and as they are by themselves.
class Arguments {
 public:
  Arguments(const Manifest& manifest, const ZooModel& model, Tree given)
      : given_(std::move(given)), any_value_(manifest.any_value()) {
    Tree config = config_of(model, given_), usual = config_of(model, Tree::mapping());
    values_ = resolve_expressions(config), usual_ = resolve_expressions(usual);
  }

  const Tree* value(std::string_view name) const { return find(values_, name); }
  // What an argument must be for these weights to be right; null: anything.
  const Tree* wanted(const Weights& weights, std::string_view name) const {
    if (const Tree* listed = weights.arguments.find(name)) return listed;
    return std::ranges::find(any_value_, name) == any_value_.end() ? find(usual_, name) : nullptr;
  }
  // The arguments with which these weights are not right.
  std::vector<std::string> misfits(const Weights& weights) const {
    std::vector<std::string> names;
    const auto check = [&](const Tree::Entry& entry) {
      const Tree *const wants = wanted(weights, entry.key), *const has = value(entry.key);
      if (wants && !(has && *has == *wants)) names.push_back(entry.key);
    };
    std::ranges::for_each(weights.arguments.entries(), check);
    for (const Tree::Entry& entry : given_.entries())
      if (!weights.arguments.find(entry.key)) check(entry);
    return names;
  }
  bool fit(const Weights& weights) const { return misfits(weights).empty(); }
  const Tree* usual(std::string_view name) const { return find(usual_, name); }
  // Those that the user gave another value than the usual, and the weights leave open.
  std::vector<std::string> left_open(const Weights& weights) const {
    std::vector<std::string> names;
    for (const Tree::Entry& entry : given_.entries())
      if (!wanted(weights, entry.key) && !(*value(entry.key) == *usual(entry.key))) names.push_back(entry.key);
    return names;
  }

 private:
  Tree given_;
  std::vector<std::string> any_value_;
  Variables values_, usual_;
};

// Whether the user may mean these: any that are not called otherwise.
bool may_be_meant(const Weights& weights, const Reference& reference) {
  return !reference.weights || weights.name == *reference.weights;
}

// "a or b or c", each once.
class Alternatives {
 public:
  void add(std::string word) {
    if (std::ranges::find(words_, word) != words_.end()) return;
    text_ += (words_.empty() ? "" : " or ") + word;
    words_.push_back(std::move(word));
  }
  const std::string& text() const { return text_; }

 private:
  std::vector<std::string> words_;
  std::string text_;
};

// `misfits`: the arguments that do not fit, where that shows in the shapes of the weights alone.
Error no_fit(const ZooModel& model, const Reference& reference, const Arguments& arguments,
             const std::optional<std::vector<std::string>>& misfits = std::nullopt) {
  std::optional<std::vector<std::string>> fewest = misfits;
  Alternatives names;
  for (const Weights& weights : model.weights) {
    names.add(weights.name);
    if (misfits || !may_be_meant(weights, reference)) continue;
    if (auto found = arguments.misfits(weights); !fewest || found.size() < fewest->size()) fewest = std::move(found);
  }
  const std::string subject = fmt::format("'zoo:{}'", model.name), random = "weights=none begins with random ones";
  if (!fewest)
    return Error("there are no weights '{}', and no such file", *reference.weights)
        .about(subject)
        .hint(names.text().empty() ? random : fmt::format("weights={}; {}", names.text(), random))
        .usage();
  std::string what, instead;
  for (const std::string& name : *fewest) {
    const Tree* const value = arguments.value(name);
    what += fmt::format("{}{}={}", what.empty() ? "" : ", ", name, value ? value->text() : "null");
    Alternatives known;  // values that there are weights for
    for (const Weights& weights : model.weights)
      if (const Tree* wanted = may_be_meant(weights, reference) ? arguments.wanted(weights, name) : nullptr)
        known.add(wanted->text());
    if (known.text().empty()) known.add(arguments.usual(name)->text());
    instead += fmt::format("{}{}={}", instead.empty() ? "there are some for " : " and ", name, known.text());
  }
  return Error("no weights of it fit {}", what).about(subject).hint(instead + "; " + random).usage();
}

}  // namespace

Reference parse_reference(std::string_view text) {
  Reference reference;
  const std::size_t question = text.find('?');
  reference.name = text.substr(0, question);
  std::string_view rest = question == std::string_view::npos ? std::string_view() : text.substr(question + 1);
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view item = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos || equals == 0)
      throw Error("'zoo:{}': wanted NAME=VALUE, got '{}'", text, item)
          .hint("zoo:mobilenetv2?alpha=0.35&input_shape=96,96,3")
          .usage();
    const std::string key(item.substr(0, equals)), value(item.substr(equals + 1));
    if (key == "weights") {
      reference.weights = value;
      continue;
    }
    // 96,96,3 is a list without its brackets.
    const bool bare_list = value.find(',') != std::string::npos && value.front() != '[' && value.front() != '{';
    if (reference.arguments.find(key)) throw Error("'zoo:{}': '{}' is given twice", text, key).usage();
    reference.arguments.set(key, parse_yaml(bare_list ? "[" + value + "]" : value, fmt::format("zoo:{}", text)));
  }
  return reference;
}

namespace {

void take(Choice& choice, const Manifest& manifest, const Weights& weights) {
  choice.weights = weights;
  choice.card = {.labels = manifest.labels(weights.labels),
                 .preprocessing = weights.preprocessing,
                 .source = weights.source,
                 .licence = weights.licence};
  choice.card.preprocessing.size = choice.model.size;
  // Some networks were trained in another form than Keras builds without weights.
  if (Tree* variables = choice.config.find("variables"); variables && variables->find("weights"))
    variables->set("weights", weights.name);
}

ModelCard card_for_file(const Choice& choice, const Manifest& manifest, const Arguments& arguments) {
  ModelCard card{.labels = {},
                 .preprocessing = {},
                 .source = std::filesystem::path(*choice.file).filename().string(),
                 .licence = {}};
  for (const Weights& weights : choice.model.weights) {
    const std::vector<std::string> misfits = arguments.misfits(weights);
    if (std::ranges::any_of(misfits, [](const std::string& name) { return name != classes_argument; })) continue;
    card.preprocessing = weights.preprocessing;
    if (misfits.empty()) card.labels = manifest.labels(weights.labels);
    break;
  }
  card.preprocessing.size = choice.model.size;
  return card;
}

}  // namespace

namespace {

Choice choose(const Manifest& manifest, const Reference& reference, bool must_fit) {
  Choice choice;
  choice.model = manifest.model(reference.name);
  choice.config = config_of(choice.model, reference.arguments);
  if (reference.weights == no_weights) return choice;
  const Arguments arguments(manifest, choice.model, reference.arguments);
  for (const Weights& weights : choice.model.weights)
    if (may_be_meant(weights, reference) && arguments.fit(weights)) {
      take(choice, manifest, weights);
      return choice;
    }
  std::error_code ignored;
  if (reference.weights && std::filesystem::is_regular_file(*reference.weights, ignored)) {
    choice.file = *reference.weights;
    choice.card = card_for_file(choice, manifest, arguments);
  } else if (reference.weights || (must_fit && !choice.model.weights.empty())) {
    throw no_fit(choice.model, reference, arguments);
  }
  return choice;
}

}  // namespace

Choice choose(const Reference& reference, bool must_fit) { return choose(Manifest::load(), reference, must_fit); }

namespace {

// The reference to the same model without its top; nothing where the architecture has none to leave out, the user says
// which it is, or there are weights for the whole model alone.
std::optional<Reference> topless(const Manifest& manifest, const Choice& whole, Reference reference) {
  const Tree* const variables = whole.config.find("variables");
  if (!variables || !variables->find(top_argument) || reference.arguments.find(top_argument)) return std::nullopt;
  reference.arguments.set(top_argument, false);
  if (whole.file) return std::nullopt;
  if (!whole.weights) return reference;
  const Arguments arguments(manifest, whole.model, reference.arguments);
  const auto fits = [&](const Weights& weights) {
    return weights.arguments.find(top_argument) && may_be_meant(weights, reference) && arguments.fit(weights);
  };
  return std::ranges::any_of(whole.model.weights, fits) ? std::optional(reference) : std::nullopt;
}

std::shared_ptr<FunctionalLayer> build(const Choice& choice, bool with_weights) {
  const Experiment experiment({choice.config, choice.model.folder}, choice.model.name);
  const std::shared_ptr<FunctionalLayer> model = experiment.build_model(with_weights);
  model->set_card(choice.card);
  return model;
}

std::shared_ptr<FunctionalLayer> open(const Choice& choice, const ZooOptions& options, const FetchProgress& progress) {
  const std::shared_ptr<FunctionalLayer> model = build(choice, options.with_weights);
  if (!options.with_weights || (!choice.weights && !choice.file)) return model;
  const std::filesystem::path file =
      choice.file ? std::filesystem::path(*choice.file) : fetch(choice.model, *choice.weights, progress);
  within(
      [&] {
        return choice.file ? fmt::format("while loading weights into 'zoo:{}'", choice.model.name)
                           : fmt::format("while loading the weights '{}' of 'zoo:{}', which are for {}",
                                         choice.weights->name, choice.model.name, choice.weights->arguments.text());
      },
      [&] {
        try {
          Model(model).load_weights(file);
        } catch (const Error& error) {
          if (choice.file || !choice.weights->address) throw;
          throw with_hint(error,
                          fmt::format("nacre zoo get '{}' fetches it again where it is wrong", choice.model.name));
        }
      });
  return model;
}

// The shapes of the weights of a form.
std::vector<Shape> shapes_of(const ZooModel& model, const Tree& config) {
  std::vector<Shape> shapes;
  for (const Weight& weight : Experiment({config, model.folder}, model.name).build_model(false)->weights())
    shapes.push_back(weight.variable->shape());
  return shapes;
}

// Throws before anything is fetched where an argument of any value makes weights of another shape.
void check_shapes(const Manifest& manifest, const Choice& choice, const Reference& reference) {
  if (!choice.weights) return;
  const Arguments arguments(manifest, choice.model, reference.arguments);
  const auto open = arguments.left_open(*choice.weights);
  const auto fitting = [&] { return config_of(choice.model, choice.weights->arguments); };
  if (!open.empty() && shapes_of(choice.model, choice.config) != shapes_of(choice.model, fitting()))
    throw no_fit(choice.model, reference, arguments, open);
}

// The part of a model without its top, with the weights of the whole model, which are here.
std::shared_ptr<FunctionalLayer> open_part(const Manifest& manifest, const Choice& part, const Choice& whole) {
  Choice source = whole;
  source.config = config_of(whole.model, whole.weights->arguments);  // the form that they are sure to fit
  take(source, manifest, *whole.weights);
  const std::shared_ptr<FunctionalLayer> from = open(source, {}, {}), model = build(part, true);
  for (const auto& layer : model->layers()) {
    const std::vector<Weight> weights = layer->weights();
    if (weights.empty()) continue;
    const std::vector<Weight> same = from->layer(layer->name())->weights();
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i].variable->assign(same.at(i).variable->value());
  }
  return model;
}

// No weights are known, and the user did not say that there are to be none.
void begins_at_random(const Choice& choice, const Reference& reference, RandomWeights random, const Note& note) {
  if (random == RandomWeights::accepted || choice.weights || choice.file || reference.weights) return;
  if (random == RandomWeights::refused)
    throw Error("there are no weights for it: what it computes would be random")
        .about(fmt::format("'zoo:{}'", choice.model.name))
        .hint(fmt::format("zoo:{}?weights=FILE takes those of a file, weights=none begins with random ones",
                          choice.model.name))
        .usage();
  if (note)
    note(fmt::format(
        "there are no weights for 'zoo:{}': all its layers begin at random (weights=none says that they may)",
        choice.model.name));
}

}  // namespace

std::shared_ptr<FunctionalLayer> open(std::string_view text, const ZooOptions& options, const FetchProgress& progress,
                                      const Note& note) {
  const Reference reference = parse_reference(text);
  const Manifest manifest = Manifest::load();
  const Choice choice = choose(manifest, reference, options.with_weights);
  if (options.with_weights) begins_at_random(choice, reference, options.random, note);
  const auto whole = [&] {
    if (options.with_weights) check_shapes(manifest, choice, reference);
    return open(choice, options, progress);
  };
  if (options.with_top) return whole();
  if (const auto base = topless(manifest, choice, reference)) {
    const Choice part = choose(manifest, *base, options.with_weights);
    const bool only_whole_is_here = part.weights && choice.weights && !zoo::find(part.model, *part.weights) &&
                                    zoo::find(choice.model, *choice.weights);
    return options.with_weights && only_whole_is_here ? open_part(manifest, part, choice) : open(part, options, progress);
  }
  const Tree* const variables = choice.config.find("variables");
  const Tree* const top = variables ? variables->find(top_argument) : nullptr;
  const std::shared_ptr<FunctionalLayer> model = whole();
  return top && *top == Tree(false) ? model : without_top(model);
}

}  // namespace zoo

void enable_zoo(zoo::FetchProgress progress, zoo::Note note) {
  zoo_opener() = [progress = std::move(progress), note = std::move(note)](const std::string& name,
                                                                          const ZooOptions& options) {
    return within([&] { return fmt::format("while opening 'zoo:{}'", name); },
                  [&] { return zoo::open(name, options, progress, note); });
  };
}

}  // namespace nacre
