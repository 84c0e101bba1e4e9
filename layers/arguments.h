// What a call brings besides its inputs.
#pragma once

#include "layers/layer.h"

namespace nacre {

// The tensor that the call gives for an argument of layer.argument_names(), by place or by name; null when it gives none.
Value argument(const Layer& layer, const CallArguments& arguments, std::string_view name);
// An argument that is no tensor (use_causal_mask, reverse, …); null counts as not given.
bool flag(const CallArguments& arguments, std::string_view name, bool otherwise = false);
// Throws Error with a suggestion when calls of the layer take no argument of the name.
void check_argument(const Layer& layer, std::string_view name);

}  // namespace nacre
