#include "api/layer_names.h"

namespace nacre {

namespace {

void collect(const FunctionalLayer& model, const std::string& prefix, std::vector<NamedLayer>& all) {
  for (const auto& layer : model.layers()) {
    const std::string name = prefix + layer->name();
    if (const auto* inner = dynamic_cast<const FunctionalLayer*>(layer.get())) collect(*inner, name + "/", all);
    else all.push_back({name, layer});
  }
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
  collect(model, "", all);
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
  return Error("the model '{}' has no layer '{}'", model.title(), pattern).hint(suggestion(pattern, known)).usage();
}

}  // namespace nacre
