// The list of layers. Each family lists its own, beside their classes.
#include "layers/layers.h"

namespace nacre {

template <>
Registry<Layer>& registry<Layer>() {
  static Registry<Layer> all = [] {
    std::vector<ClassInfo<Layer>> infos;
    for (auto family :
         {core_layers, activation_layers, conv_layers, pool_layers, normalization_layers, regularization_layers,
          reshape_layers, merge_layers, recurrent_layers, wrapper_layers, preprocessing_layers, tabular_layers, hashing_layers,
          lookup_layers, text_layers, resize_layers,
          geometry_layers, colour_layers, level_layers, filter_layers, mixing_layers, policy_layers, box_layers,
          operation_layers})
      for (ClassInfo<Layer>& info : family()) infos.push_back(std::move(info));
    return Registry<Layer>("layer", std::move(infos));
  }();
  return all;
}

}  // namespace nacre
