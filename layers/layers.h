// All layers, by family.
#pragma once

#include <span>

#include "layers/activation_layers.h"
#include "layers/augmentation.h"
#include "layers/conv.h"
#include "layers/core.h"
#include "layers/hashing.h"
#include "layers/lookup.h"
#include "layers/merge.h"
#include "layers/normalization.h"
#include "layers/operations.h"
#include "layers/pool.h"
#include "layers/preprocessing.h"
#include "layers/recurrent.h"
#include "layers/regularization.h"
#include "layers/reshape.h"
#include "layers/tabular.h"
#include "layers/text.h"
#include "layers/wrappers.h"

namespace nacre {

// Layers of one kind; several entries may have one title.
struct LayerFamily {
  std::string_view title;
  std::vector<ClassInfo<Layer>> (*list)();
};
std::span<const LayerFamily> layer_families();

}  // namespace nacre
