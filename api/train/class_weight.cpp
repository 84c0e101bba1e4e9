#include "api/train/class_weight.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace nacre {

namespace {

constexpr std::string_view subject = "'class_weight'";

bool is_weight(double weight) { return weight >= 0 && std::isfinite(weight); }

const std::vector<std::string>& labels_of(const Dataset& data) {
  static const std::vector<std::string> none;
  return data.targets().size() == 1 ? data.targets().front().labels : none;
}

// How many classes there are: no end of them where targets are numbers of any kind.
std::int64_t classes_of(const Dataset& data, std::int64_t classes) {
  if (const auto& labels = labels_of(data); !labels.empty()) return static_cast<std::int64_t>(labels.size());
  if (classes > 0) return classes;
  constexpr std::int64_t endless = std::numeric_limits<std::int64_t>::max();
  if (data.targets().size() != 1) return endless;
  if (const Type& type = data.targets().front().type; type.dtype == DType::string || is_floating(type.dtype)) return endless;
  const auto counts = class_counts(data);
  return counts.empty() ? 0 : counts.rbegin()->first + 1;
}

}  // namespace

std::map<std::int64_t, double> ClassWeight::of(const Dataset& data, std::int64_t classes) const {
  if (balanced) return within([] { return std::string("while balancing classes for 'class_weight'"); }, [&] { return balanced_class_weight(data); });
  if (numbers.empty() && names.empty()) return {};
  const std::vector<std::string>& labels = labels_of(data);
  std::map<std::int64_t, double> weights;
  const auto set = [&](std::int64_t label, const std::string& key, double weight) {
    if (!is_weight(weight)) throw Error("class '{}' has the weight {}, wanted a number of at least 0", key, weight).about(std::string(subject)).usage();
    if (weights.emplace(label, weight).second) return;
    throw Error("'{}' is a class that another key means too", key)
        .about(std::string(subject))
        .hint("some keys are names of classes here, others their numbers: use names alone")
        .usage();
  };
  const auto named = [&](const std::string& name) -> std::optional<std::int64_t> {
    const auto found = std::ranges::find(labels, name);
    return found == labels.end() ? std::nullopt : std::optional<std::int64_t>(found - labels.begin());
  };
  const std::int64_t count = numbers.empty() ? 0 : classes_of(data, classes);
  for (const auto& [number, weight] : numbers) {
    const std::string key = std::to_string(number);
    if (const auto label = named(key)) {
      set(*label, key, weight);
      continue;
    }
    if (number < 0 || number >= count)
      throw Error("there is no class {}", number)
          .about(std::string(subject))
          .hint(labels.empty() ? fmt::format("there are {}, numbered from 0", count) : suggestion(key, {labels.begin(), labels.end()}))
          .usage();
    set(number, key, weight);
  }
  for (const auto& [name, weight] : names) {
    const auto label = named(name);
    if (!label)
      throw Error("the data has no class '{}'", name)
          .about(std::string(subject))
          .hint(labels.empty() ? "its classes have no names: number them from 0" : suggestion(name, {labels.begin(), labels.end()}))
          .usage();
    set(*label, name, weight);
  }
  return weights;
}

void FieldKind<ClassWeight>::read(const Tree& tree, ClassWeight& value) {
  value = {};
  if (tree.is_null()) return;
  if (tree.is_string()) {
    if (tree.as_string() != "balanced")
      throw Error("got '{}', wanted balanced or {{class: weight}}", tree.as_string()).at(tree.mark()).usage();
    value.balanced = true;
    return;
  }
  for (const Tree::Entry& entry : tree.entries()) {
    std::int64_t label = 0;
    const char* const end = entry.key.data() + entry.key.size();
    const auto [stop, failure] = std::from_chars(entry.key.data(), end, label);
    const double weight = entry.value.as_number();
    if (!is_weight(weight)) throw Error("wanted a weight of at least 0, got {}", entry.value.text()).at(entry.value.mark()).usage();
    if (failure != std::errc() || stop != end || entry.key != std::to_string(label)) value.names[entry.key] = weight;  // also "007"
    else if (label >= 0) value.numbers[label] = weight;
    else throw Error("wanted {{class: weight}}, got the class '{}'", entry.key).at(entry.mark).hint("classes are numbers from 0, or names").usage();
  }
}

Tree FieldKind<ClassWeight>::write(const ClassWeight& value, Style) {
  if (value.balanced) return "balanced";
  Tree tree;
  for (const auto& [label, weight] : value.numbers) tree.set(std::to_string(label), weight);
  for (const auto& [name, weight] : value.names) tree.set(name, weight);
  return tree;
}

Tree FieldKind<ClassWeight>::schema() {
  Tree weights = schema_type("object"), word, schema;
  weights.set("additionalProperties", schema_type("number"));
  word.set("enum", Tree::Sequence{Tree("balanced")});
  schema.set("anyOf", Tree::Sequence{std::move(weights), std::move(word), schema_type("null")});
  return schema;
}

}  // namespace nacre
