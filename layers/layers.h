// All layers, by family.
#pragma once

#include <span>

#include "layers/activation_layers.h"
#include "layers/attention.h"
#include "layers/augmentation.h"
#include "layers/conv.h"
#include "layers/conv_lstm.h"
#include "layers/core.h"
#include "layers/einsum_dense.h"
#include "layers/hashing.h"
#include "layers/keras1_layers.h"
#include "layers/lambda.h"
#include "layers/locally_connected.h"
#include "layers/lookup.h"
#include "layers/merge.h"
#include "layers/multi_head_attention.h"
#include "layers/normalization.h"
#include "layers/operations.h"
#include "layers/pool.h"
#include "layers/position.h"
#include "layers/preprocessing.h"
#include "layers/recurrent.h"
#include "layers/regularization.h"
#include "layers/reshape.h"
#include "layers/residual.h"
#include "layers/reversible_embedding.h"
#include "layers/spectrogram.h"
#include "layers/symbolic_ops.h"
#include "layers/tabular.h"
#include "layers/text.h"
#include "layers/transformer.h"
#include "layers/wrappers.h"

namespace nacre {

// Layers of one kind; several entries may have one title.
struct LayerFamily {
  std::string_view title;
  std::vector<ClassInfo<Layer>> (*list)();
};
std::span<const LayerFamily> layer_families();

}  // namespace nacre
