#include "api/freeze.h"

#include <algorithm>
#include <cctype>

#include "api/layer_names.h"

namespace nacre {

namespace {

constexpr std::string_view until_word = "until ";

bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

bool begins_with(std::string_view name, std::string_view beginning) {
  if (!name.starts_with(beginning)) return false;
  return name.size() == beginning.size() || !is_digit(beginning.back()) || !is_digit(name[beginning.size()]);
}

bool is_class(std::string_view name) {
  const auto* const known = registry<Layer>().find(name);
  return known && known->class_name == name;
}

// Whether each of the layers is frozen.
struct Choice {
  const FunctionalLayer& model;
  const std::vector<NamedLayer> layers;

  std::vector<bool> operator()(bool all) const { return std::vector<bool>(layers.size(), all); }

  std::vector<bool> operator()(const Freeze::Until& until) const {
    const auto found = std::ranges::find_if(layers, [&](const NamedLayer& layer) { return begins_with(layer.name, until.name); });
    if (found == layers.end()) throw means_nothing(until.name, model);
    std::vector<bool> frozen(layers.size(), false);
    const auto holds_it = [&](const NamedLayer& layer) { return found->name.starts_with(layer.name + "/"); };
    for (auto layer = layers.begin(); layer != found; ++layer) frozen[static_cast<std::size_t>(layer - layers.begin())] = !holds_it(*layer);
    return frozen;
  }

  std::vector<bool> operator()(std::int64_t count) const {
    const auto has_weights = [](const NamedLayer& layer) { return !layer.inside && !layer.layer->weights().empty(); };
    const std::int64_t all = std::ranges::count_if(layers, has_weights);
    if (std::abs(count) > all)
      throw Error("cannot freeze {} layers: the model '{}' has {} with weights", std::abs(count), model.title(), all).usage();
    std::int64_t left = count >= 0 ? count : all + count;
    std::vector<bool> frozen;
    for (const NamedLayer& layer : layers) {
      frozen.push_back(left > 0 && !layer.inside);  // those inside are frozen with the others
      if (has_weights(layer)) --left;
    }
    return frozen;
  }

  std::vector<bool> operator()(const std::vector<std::string>& patterns) const {
    std::vector<bool> frozen(layers.size(), false);
    for (const std::string& pattern : patterns) {
      bool any = false;
      std::vector<bool> below;
      if (const Freeze one(pattern); const auto* until = std::get_if<Freeze::Until>(&one.layers)) below = (*this)(*until), any = true;
      for (std::size_t i = 0; i < layers.size(); ++i)
        if (below.empty() ? means(pattern, layers[i].name) || layers[i].layer->class_name() == pattern : below[i]) any = frozen[i] = true;
      if (!any && !is_class(pattern)) throw means_nothing(pattern, model);
    }
    return frozen;
  }
};

}  // namespace

Freeze::Freeze(const std::string& text) {
  const std::size_t name = text.find_first_not_of(' ', until_word.size());
  if (!text.starts_with(until_word)) layers = std::vector<std::string>{text};
  else if (name == std::string::npos) throw Error("'until' wants the name of a layer").usage();
  else layers = Until{text.substr(name)};
}

void FieldKind<Freeze>::read(const Tree& tree, Freeze& value) {
  if (tree.is_bool()) value = tree.as_bool();
  else if (tree.is_number()) value = tree.as_integer();
  else if (tree.is_string()) value = Freeze(tree.as_string());
  else if (tree.is_sequence()) {
    std::vector<std::string> names;
    for (const Tree& item : tree.items()) names.push_back(item.as_string());
    value = std::move(names);
  } else {
    throw Error("wanted true, false, 'until NAME', a number of layers or names of layers, got {}", tree.text()).at(tree.mark()).usage();
  }
}

Tree FieldKind<Freeze>::write(const Freeze& value, Style) {
  struct Write {
    Tree operator()(bool all) const { return all; }
    Tree operator()(const Freeze::Until& until) const { return std::string(until_word) + until.name; }
    Tree operator()(std::int64_t count) const { return count; }
    Tree operator()(const std::vector<std::string>& names) const {
      Tree list = Tree::sequence();
      for (const std::string& name : names) list.push(name);
      return list;
    }
  };
  return std::visit(Write{}, value.layers);
}

Tree FieldKind<Freeze>::schema() {
  Tree list = schema_type("array"), schema;
  list.set("items", schema_type("string"));
  schema.set("anyOf", Tree::Sequence{schema_type("boolean"), schema_type("integer"), schema_type("string"), std::move(list)});
  return schema;
}

void check_freeze(const FunctionalLayer& model, const Freeze& frozen) { std::visit(Choice{model, named_layers(model)}, frozen.layers); }

void freeze(FunctionalLayer& model, const Freeze& frozen) {
  const std::vector<NamedLayer> layers = named_layers(model);
  const std::vector<bool> chosen = std::visit(Choice{model, layers}, frozen.layers);
  model.set_trainable(true);
  for (std::size_t i = 0; i < layers.size(); ++i)
    if (chosen[i]) layers[i].layer->set_trainable(false);
}

}  // namespace nacre
