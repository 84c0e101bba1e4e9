#include "api/train/class_weight.h"

#include <algorithm>
#include <charconv>

namespace nacre {

std::map<std::int64_t, double> ClassWeight::of(const Dataset& data) const {
  if (balanced) return within([] { return std::string("while balancing classes for 'class_weight'"); }, [&] { return balanced_class_weight(data); });
  std::map<std::int64_t, double> weights = numbers;
  if (names.empty()) return weights;
  const std::vector<std::string> none;
  const std::vector<std::string>& labels = data.targets().size() == 1 ? data.targets().front().labels : none;
  for (const auto& [name, weight] : names) {
    const auto found = std::ranges::find(labels, name);
    if (found == labels.end())
      throw Error("the data has no class '{}'", name)
          .about("'class_weight'")
          .hint(labels.empty() ? "its classes have no names: number them from 0" : suggestion(name, {labels.begin(), labels.end()}))
          .usage();
    weights[found - labels.begin()] = weight;
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
    if (failure != std::errc() || stop != end) value.names[entry.key] = weight;
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
