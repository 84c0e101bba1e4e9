#include "models_zoo/zoo.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "api/inspect/summary.h"
#include "backend/core/unicode.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "formats/json.h"
#include "formats/yaml.h"

namespace nacre::cli {

namespace {

// zoo:NAME is a name here, too.
std::string name_of(const std::string& text) { return zoo_name(text).value_or(text); }

// A field where it says something.
void set(Tree& tree, std::string_view key, const std::string& text) {
  if (!text.empty()) tree.set(key, text);
}

Tree tree_of(const zoo::ZooModel& model, const zoo::Weights& weights) {
  Tree tree = write_config(weights, Style::yaml);
  const auto file = zoo::find(model, weights);
  tree.set("here", file.has_value());
  if (file) tree.set("path", file->string());
  return tree;
}

Tree tree_of(const zoo::ZooModel& model) {
  Tree tree, weights = Tree::sequence();
  tree.set("name", model.name);
  set(tree, "description", model.description);
  set(tree, "paper", model.paper);
  for (const zoo::Weights& entry : model.weights) weights.push(tree_of(model, entry));
  tree.set("weights", std::move(weights));
  return tree;
}

// "imagenet 71.3%, cifar10 89.4%": each name once, with the first accuracy that there is for it at the network's usual
// size.
std::string weights_text(const zoo::ZooModel& model) {
  std::vector<std::pair<std::string, std::optional<double>>> named;
  for (const zoo::Weights& weights : model.weights) {
    auto found = std::ranges::find(named, weights.name, &std::pair<std::string, std::optional<double>>::first);
    if (found == named.end()) found = named.insert(named.end(), {weights.name, std::nullopt});
    const bool usual = weights.measured.metric == "accuracy" && !weights.arguments.find("input_shape");
    if (!found->second && usual) found->second = weights.measured.value;
  }
  std::string text;
  for (const auto& [name, accuracy] : named)
    text += (text.empty() ? "" : ", ") + name + (accuracy ? fmt::format(" {:.1f}%", 100 * *accuracy) : "");
  return text;
}

// "MIT, CC0-1.0": each licence of its weights once.
std::string licences_text(const zoo::ZooModel& model) {
  std::vector<std::string> licences;
  std::string text;
  for (const zoo::Weights& weights : model.weights) {
    if (std::ranges::find(licences, weights.licence) != licences.end()) continue;
    licences.push_back(weights.licence);
    text += (text.empty() ? "" : ", ") + weights.licence;
  }
  return text;
}

std::string size_text(std::int64_t bytes) {
  return bytes < 1'000'000 ? fmt::format("{:.0f} kB", static_cast<double>(bytes) / 1e3)
                           : fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

// Text in lines of at most `width` columns, all but the first indented.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
  std::string result;
  std::size_t column = indent;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (column > indent && column + 1 + word.size() > width) {
      result += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      result += " ";
      ++column;
    }
    result += word;
    column += word.size();
  }
  return result;
}

std::string preprocessing_text(const Preprocessing& preprocessing) {
  std::string text;
  const auto add = [&](std::string_view what, const std::string& value) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", what, value);
  };
  if (preprocessing.scale != 1) add("scale", fmt::format("{:.6g}", preprocessing.scale));
  const Tree fields = write_config(preprocessing, Style::yaml);
  if (!preprocessing.mean.empty()) add("mean", fields["mean"].text());
  if (!preprocessing.deviation.empty()) add("deviation", fields["deviation"].text());
  if (preprocessing.channel_order == ChannelOrder::bgr) add("channels in the order", "bgr");
  return text;
}

// What people want to know of weights besides their arguments and accuracy: names, and the texts in that order.
constexpr std::array<std::string_view, 6> term_names{"preprocessing", "trained by", "measured on", "licence", "source", "labels"};
using Terms = std::array<std::string, term_names.size()>;

Terms terms_of(const zoo::Weights& weights) {
  return {preprocessing_text(weights.preprocessing), weights.measured.command, weights.measured.data,
          weights.licence,                           weights.source,           weights.labels};
}

// The weights that the arguments do not rule out, a line each; what holds for all of them once.
void print_weights(const zoo::ZooModel& model, const Tree& arguments) {
  std::vector<const zoo::Weights*> shown;
  std::vector<Terms> terms;
  for (const zoo::Weights& weights : model.weights) {
    const auto agrees = [&](const Tree::Entry& given) {
      const Tree* const listed = weights.arguments.find(given.key);
      return !listed || *listed == given.value;
    };
    if (!std::ranges::all_of(arguments.entries(), agrees)) continue;
    shown.push_back(&weights);
    terms.push_back(terms_of(weights));
  }
  if (shown.empty()) return;
  Terms common = terms.front();  // "": it is not the same for all that have it
  for (std::size_t term = 0; term < common.size(); ++term)
    if (!std::ranges::all_of(terms, [&](const Terms& of) { return of[term].empty() || of[term] == common[term]; }))
      common[term].clear();
  const auto print_term = [](std::string_view indent, std::size_t term, const std::string& text) {
    if (!text.empty()) say(stdout, fmt::format("{}{}: {}", indent, term_names[term], text));
  };
  say(stdout, "weights:");
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const zoo::Weights& weights = *shown[i];
    std::string line = fmt::format("  {}", weights.name);
    std::string given;  // all of them: they tell weights of one name apart
    for (const Tree::Entry& argument : weights.arguments.entries())
      given += fmt::format("{}{}: {}", given.empty() ? "" : ", ", argument.key, argument.value.text());
    if (!given.empty()) line += fmt::format(" {{{}}}", given);
    if (weights.size) line += ", " + size_text(*weights.size);
    if (const zoo::Measured& measured = weights.measured; measured.value)
      line += fmt::format(", {} {:.4g}{}", measured.metric, *measured.value,
                          measured.top_5 ? fmt::format(" (first five {:.4g})", *measured.top_5) : "");
    line += zoo::find(model, weights) ? ", here" : ", to be fetched";
    say(stdout, line);
    for (std::size_t term = 0; term < common.size(); ++term)
      if (common[term].empty()) print_term("    ", term, terms[i][term]);
  }
  for (std::size_t term = 0; term < common.size(); ++term) print_term("  ", term, common[term]);
}

}  // namespace

int zoo_list(bool json) {
  const zoo::Manifest manifest = zoo::Manifest::load();
  if (json) {
    Tree list = Tree::sequence();
    for (const zoo::ZooModel& model : manifest.models()) list.push(tree_of(model));
    std::puts(write_json(list, 2).c_str());
    return 0;
  }
  const auto width = static_cast<std::size_t>(std::min(terminal_width(STDOUT_FILENO), 120));
  std::size_t name = 4, weights = 7, licence = 7;
  for (const zoo::ZooModel& model : manifest.models()) {
    name = std::max(name, model.name.size());
    weights = std::max(weights, weights_text(model).size());
    licence = std::max(licence, licences_text(model).size());
  }
  say(stdout, fmt::format("{:<{}}  {:<{}}  {:<{}}  what it is", "name", name, "weights", weights, "licence", licence));
  const std::size_t indent = name + weights + licence + 6;
  for (const zoo::ZooModel& model : manifest.models()) {
    std::fputs(fmt::format("{:<{}}  {:<{}}  {:<{}}  {}\n", escaped(model.name), name, escaped(weights_text(model)),
                           weights, escaped(licences_text(model)), licence,
                           wrapped(escaped(model.description), indent, std::max(width, indent + 24)))
                   .c_str(),
               stdout);
  }
  return 0;
}

int zoo_show(const std::string& text, bool json) {
  const std::string name = name_of(text);
  const zoo::Reference reference = zoo::parse_reference(name);
  const zoo::Manifest manifest = zoo::Manifest::load();
  const zoo::ZooModel& model = manifest.model(reference.name);
  zoo::Reference form = reference;
  form.weights = "none";
  const zoo::Choice choice = zoo::choose(form);
  const ModelSummary summary =
      summarize(Model(zoo::open(name + (name.find('?') == std::string::npos ? "?" : "&") + "weights=none",
                                {.with_weights = false})),
                {.measure_memory = false});
  const Tree* const arguments = choice.config.find("variables");
  Tree shown = Tree::mapping();
  if (arguments)
    for (const Tree::Entry& entry : arguments->entries())
      if (entry.key != "weights") shown.set(entry.key, entry.value);
  if (json) {
    Tree tree = tree_of(model);
    tree.set("arguments", shown);
    tree.set("summary", summary.tree());
    std::puts(write_json(tree, 2).c_str());
    return 0;
  }
  say(stdout, model.name + (model.description.empty() ? "" : ": " + model.description));
  if (!model.paper.empty()) say(stdout, "paper: " + model.paper);
  if (model.size) say(stdout, fmt::format("trained on pictures of {}×{}", (*model.size)[0], (*model.size)[1]));
  say(stdout, fmt::format("{} parameters, of which {} are trained", summary.trainable + summary.non_trainable,
                          summary.trainable));
  if (!shown.entries().empty()) {
    say(stdout, "arguments:");
    for (const Tree::Entry& entry : shown.entries())
      say(stdout, fmt::format("  {} = {}", entry.key, entry.value.text()));
  }
  print_weights(model, reference.arguments);
  return 0;
}

int zoo_get(const std::vector<std::string>& names, const std::string& mirror, bool json) {
  const Interrupt interrupt;
  FetchDisplay display(STDERR_FILENO);
  Tree list = Tree::sequence();
  int missing = 0;
  for (const std::string& name : names) {
    const zoo::Choice choice = zoo::choose(zoo::parse_reference(name_of(name)));
    Tree entry;
    entry.set("name", name);
    if (choice.weights) {
      const std::filesystem::path file = zoo::fetch(
          choice.model, *choice.weights,
          [&](const std::string& fetched, const DownloadState& state) {
            display.show(fetched, state);
            return !interrupt.flag()->load();
          },
          mirror, true);
      display.clear();
      if (!json) say(stdout, file.string());
      entry.set("path", file.string());
    } else {
      ++missing;
      if (!json) say(stdout, fmt::format("{}: there are no weights to fetch", name));
      entry.set("path", Tree());
    }
    list.push(std::move(entry));
  }
  if (json) std::puts(write_json(list, 2).c_str());
  return missing ? 1 : 0;
}

int zoo_verify(const std::vector<std::string>& names, bool json) {
  const zoo::Manifest manifest = zoo::Manifest::load();
  std::vector<std::pair<zoo::ZooModel, zoo::Weights>> asked;
  const auto ask = [&](const zoo::ZooModel& model) {
    for (const zoo::Weights& weights : model.weights) asked.emplace_back(model, weights);
  };
  for (const std::string& name : names) {
    const zoo::Reference reference = zoo::parse_reference(name_of(name));
    if (reference.arguments.entries().empty() && !reference.weights) {
      ask(manifest.model(reference.name));
      continue;
    }
    const zoo::Choice choice = zoo::choose(reference);
    if (choice.weights) asked.emplace_back(choice.model, *choice.weights);
  }
  if (names.empty())
    for (const zoo::ZooModel& model : manifest.models()) ask(model);
  Tree list = Tree::sequence();
  int wrong = 0;
  for (const auto& [model, weights] : asked) {
    const auto file = zoo::find(model, weights);
    if (!file) continue;
    Tree entry;
    entry.set("name", model.name);
    entry.set("weights", weights.name);
    entry.set("path", file->string());
    try {
      const bool compared = zoo::verify(*file, weights) == zoo::Known::by_checksum;
      entry.set("state", compared ? "good" : "opens");
      if (!json)
        say(stdout, fmt::format("{}  {} {}  {}{}", compared ? "good " : "opens", model.name, weights.name, file->string(),
                                compared ? "" : ": no checksum is published"));
    } catch (const Error& error) {
      ++wrong;
      entry.set("state", "wrong");
      entry.set("error", error.line());
      if (!json) say(stdout, fmt::format("WRONG  {} {}  {}", model.name, weights.name, error.line()));
    }
    list.push(std::move(entry));
  }
  if (json) {
    std::puts(write_json(list, 2).c_str());
  } else {
    if (list.items().empty()) say(stdout, "none of these weights are here");
    if (wrong) say(stdout, "nacre zoo get fetches again what is wrong");
  }
  return wrong ? 1 : 0;
}

}  // namespace nacre::cli
