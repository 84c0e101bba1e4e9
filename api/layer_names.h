// The layers of a model by name: what `freeze` and `learning_rate_multipliers` choose from.
#pragma once

#include "api/functional.h"

namespace nacre {

struct NamedLayer {
  std::string name;  // "outer/inner" for one of a model inside
  std::shared_ptr<Layer> layer;
};
// In the model's order (FunctionalLayer::layers); models inside are replaced by their layers.
std::vector<NamedLayer> named_layers(const FunctionalLayer& model);

// Whether a pattern means the layer: it fits the layer's name, or that of a model that it lies in. In patterns `*` stands
// for any characters and `?` for one.
bool means(std::string_view pattern, std::string_view name);

// For a pattern that means no layer: a usage Error with the nearest name.
Error means_nothing(std::string_view pattern, const FunctionalLayer& model);

}  // namespace nacre
