#include "api/layer_names.h"

namespace nacre {

namespace {

void collect(const Layer& outer, const std::string& prefix, bool inside, std::vector<NamedLayer>& all) {
  for (const auto& layer : outer.sublayers()) {
    const std::string name = prefix + layer->own_name();
    const bool is_model = dynamic_cast<const FunctionalLayer*>(layer.get()) != nullptr;
    if (!is_model) all.push_back({name, layer, inside});
    collect(*layer, name + "/", inside || !is_model, all);
  }
}

void collect(Layer& layer, std::vector<Layer*>& all) {
  all.push_back(&layer);
  for (const auto& inner : layer.sublayers()) collect(*inner, all);
}

// Goes back to the last star alone, so time grows with the product of both lengths at most.
bool fits(std::string_view pattern, std::string_view name) {
  constexpr std::size_t none = std::string_view::npos;
  std::size_t at = 0, star = none, after_star = 0;
  for (std::size_t i = 0; i < name.size();) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      after_star = i;
    } else if (at < pattern.size() && (pattern[at] == '?' || pattern[at] == name[i])) {
      ++at, ++i;
    } else if (star != none) {
      at = star + 1;
      i = ++after_star;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', at) == none;
}

}  // namespace

std::vector<NamedLayer> named_layers(const FunctionalLayer& model) {
  std::vector<NamedLayer> all;
  collect(model, "", false, all);
  return all;
}

std::vector<Layer*> all_layers(FunctionalLayer& model) {
  std::vector<Layer*> all;
  collect(model, all);
  return all;
}

bool means(std::string_view pattern, std::string_view name) {
  for (std::size_t slash = name.find('/'); slash != std::string_view::npos; slash = name.find('/', slash + 1))
    if (fits(pattern, name.substr(0, slash))) return true;
  return fits(pattern, name);
}

Error means_nothing(std::string_view pattern, const FunctionalLayer& model) {
  const std::vector<NamedLayer> layers = named_layers(model);
  std::vector<std::string_view> known;
  for (const NamedLayer& layer : layers) known.push_back(layer.name);
  return Error("the model '{}' has no layer '{}'", model.title(), pattern)
      .hint(suggestion(pattern.substr(0, pattern.find_last_not_of('*') + 1), known))
      .usage();
}

}  // namespace nacre
