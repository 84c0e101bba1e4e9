// The layers of a model by name: what `freeze` and `learning_rate_multipliers` choose from.
#pragma once

#include "api/functional.h"

namespace nacre {

struct NamedLayer {
  std::string name;  // "outer/inner" for one of a model inside, or inside another layer
  std::shared_ptr<Layer> layer;
  bool inside = false;  // another layer that is no model: wrapped by it, its cell
};
// In the model's order (FunctionalLayer::layers); models inside are replaced by their layers, and what lies inside other
// layers comes after them.
std::vector<NamedLayer> named_layers(const FunctionalLayer& model);

// The model itself, the layers and the models inside: all that is frozen or not by itself, each before what lies inside it.
std::vector<Layer*> all_layers(FunctionalLayer& model);

// Whether a pattern means the layer: it fits the layer's name, or that of a model or layer that it lies in. In patterns `*`
// stands for any characters and `?` for one.
bool means(std::string_view pattern, std::string_view name);

// For a pattern that means no layer: a usage Error with the nearest name.
Error means_nothing(std::string_view pattern, const FunctionalLayer& model);

}  // namespace nacre
