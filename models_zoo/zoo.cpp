#include "models_zoo/zoo.h"

#include <algorithm>

#include "api/experiment/experiment.h"
#include "api/head.h"
#include "api/save.h"
#include "formats/yaml.h"

namespace nacre {

namespace zoo {

namespace {

constexpr std::string_view no_weights = "none";

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
      variables->set(entry.key, entry.value);
    }
  return config;
}

// Whether a reference may mean these weights, by their name and by the arguments in the configuration.
bool fit(const Weights& weights, const Reference& reference, const Tree& config) {
  if (reference.weights && weights.name != *reference.weights) return false;
  const Tree* const variables = config.find("variables");
  return std::ranges::all_of(weights.arguments.entries(), [&](const Tree::Entry& wanted) {
    const Tree* const given = variables ? variables->find(wanted.key) : nullptr;
    return given && *given == wanted.value;
  });
}

Error no_fit(const ZooModel& model, const Reference& reference) {
  std::string known;
  for (const Weights& weights : model.weights)
    known += fmt::format("{}'{}' {}", known.empty() ? "" : ", ", weights.name, weights.arguments.text());
  return Error("no weights of it fit these arguments{}",
               reference.weights ? fmt::format(" and are called '{}'", *reference.weights) : "")
      .about(fmt::format("'zoo:{}'", model.name))
      .hint(fmt::format("weights=none begins with random ones{}", known.empty() ? "" : "; there are " + known))
      .usage();
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

Choice choose(const Reference& reference) {
  const Manifest manifest = Manifest::load();
  Choice choice;
  choice.model = manifest.model(reference.name);
  const auto [text, file] = choice.model.text();
  choice.config = with_arguments(choice.model, parse_yaml(text, file), reference.arguments);
  choice.config.set("name", choice.model.name);
  if (reference.weights != no_weights) {
    const auto fits = [&](const Weights& weights) { return fit(weights, reference, choice.config); };
    const auto found = std::ranges::find_if(choice.model.weights, fits);
    if (found != choice.model.weights.end()) choice.weights = *found, choice.labels = manifest.labels(found->labels);
    else if (reference.weights && std::filesystem::exists(*reference.weights)) choice.file = *reference.weights;
    else if (reference.weights || !choice.model.weights.empty()) throw no_fit(choice.model, reference);
  }
  // Some networks were trained in another form than Keras builds without weights.
  if (Tree* variables = choice.config.find("variables"); variables && variables->find("weights") && choice.weights)
    variables->set("weights", choice.weights->name);
  return choice;
}

namespace {

constexpr std::string_view top_argument = "include_top";

// The reference to the same model without its top; nothing where the architecture has none to leave out, the user says
// which it is, or there are weights for the whole model alone.
std::optional<Reference> topless(const Choice& whole, Reference reference) {
  const Tree* const variables = whole.config.find("variables");
  if (!variables || !variables->find(top_argument) || reference.arguments.find(top_argument)) return std::nullopt;
  reference.arguments.set(top_argument, false);
  if (whole.file) return std::nullopt;
  if (!whole.weights) return reference;
  const auto [text, file] = whole.model.text();
  const Tree config = with_arguments(whole.model, parse_yaml(text, file), reference.arguments);
  const auto fits = [&](const Weights& weights) {
    return weights.arguments.find(top_argument) && fit(weights, reference, config);
  };
  return std::ranges::any_of(whole.model.weights, fits) ? std::optional(reference) : std::nullopt;
}

std::shared_ptr<FunctionalLayer> open(const Choice& choice, const ZooOptions& options, const FetchProgress& progress) {
  const Experiment experiment({choice.config, choice.model.folder}, choice.model.name);
  const std::shared_ptr<FunctionalLayer> model = experiment.build_model(options.with_weights);
  if (choice.file && options.with_weights) Model(model).load_weights(*choice.file);
  if (!choice.weights) return model;
  const Weights& weights = *choice.weights;
  model->set_card({.labels = choice.labels,
                   .preprocessing = weights.preprocessing,
                   .source = weights.source,
                   .licence = weights.licence});
  if (options.with_weights) Model(model).load_weights(fetch(choice.model, weights, progress));
  return model;
}

}  // namespace

std::shared_ptr<FunctionalLayer> open(std::string_view text, const ZooOptions& options, const FetchProgress& progress) {
  const Reference reference = parse_reference(text);
  const Choice choice = choose(reference);
  if (options.with_top) return open(choice, options, progress);
  if (const auto base = topless(choice, reference)) return open(choose(*base), options, progress);
  const Tree* const variables = choice.config.find("variables");
  const Tree* const top = variables ? variables->find(top_argument) : nullptr;
  const std::shared_ptr<FunctionalLayer> model = open(choice, options, progress);
  return top && *top == Tree(false) ? model : without_top(model);
}

}  // namespace zoo

void enable_zoo(zoo::FetchProgress progress) {
  zoo_opener() = [progress = std::move(progress)](const std::string& name, const ZooOptions& options) {
    return within([&] { return fmt::format("while opening 'zoo:{}'", name); },
                  [&] { return zoo::open(name, options, progress); });
  };
}

}  // namespace nacre
