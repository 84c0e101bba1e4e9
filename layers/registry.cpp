// The list of layers. Each family lists its own, beside their classes.
#include "layers/layers.h"

namespace nacre {

namespace {

constexpr LayerFamily families[] = {
    {"Core", core_layers},
    {"Core", lambda_layers},
    {"Activation layers", activation_layers},
    {"Core", einsum_dense_layers},
    {"Core", reversible_embedding_layers},
    {"Attention", attention_layers},
    {"Attention", multi_head_attention_layers},
    {"Transformers", position_layers},
    {"Transformers", transformer_layers},
    {"Regularisation", residual_layers},
    {"Convolution", conv_layers},
    {"Convolution", locally_connected_layers},
    {"Keras 1", keras1_layers},
    {"Pooling", pool_layers},
    {"Normalisation", normalization_layers},
    {"Regularisation", regularization_layers},
    {"Reshaping", reshape_layers},
    {"Merging", merge_layers},
    {"Recurrent", recurrent_layers},
    {"Recurrent", conv_lstm_layers},
    {"Wrappers", wrapper_layers},
    {"Preprocessing", preprocessing_layers},
    {"Preprocessing", tabular_layers},
    {"Preprocessing", hashing_layers},
    {"Preprocessing", lookup_layers},
    {"Preprocessing", text_layers},
    {"Preprocessing", spectrogram_layers},
    {"Preprocessing", resize_layers},
    {"Augmentation", geometry_layers},
    {"Augmentation", colour_layers},
    {"Augmentation", level_layers},
    {"Augmentation", filter_layers},
    {"Augmentation", mixing_layers},
    {"Augmentation", policy_layers},
    {"Preprocessing", box_layers},
    {"Operations", operation_layers},
};

}  // namespace

std::span<const LayerFamily> layer_families() { return families; }

template <>
Registry<Layer>& registry<Layer>() {
  static Registry<Layer> all = [] {
    std::vector<ClassInfo<Layer>> infos;
    for (const LayerFamily& family : families)
      for (ClassInfo<Layer>& info : family.list()) infos.push_back(std::move(info));
    return Registry<Layer>("layer", std::move(infos));
  }();
  return all;
}

}  // namespace nacre
