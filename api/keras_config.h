// Keras configs of models: what older versions wrote, as the present ones would.
#pragma once

#include <optional>

#include "backend/core/shape.h"
#include "formats/tree.h"

namespace nacre {

// The config of an InputLayer: Keras 2 calls its shape batch_input_shape.
Tree modern_input_config(Tree config);

// Keras 2 has no input layer in a Sequential: its first layer holds the shape, with the batch axis. Takes it out.
std::optional<Shape> take_batch_input_shape(Tree& layer);

}  // namespace nacre
