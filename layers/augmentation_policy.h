// Layers made of other augmentation layers: random ones of a list, mixtures of chains of them, and one after the other.
#pragma once

#include "backend/graph/ops/resample.h"
#include "layers/image_layer.h"

namespace nacre {

struct RandAugmentConfig : ImageConfig {
  static constexpr std::string_view class_name = "RandAugment";
  static constexpr std::string_view doc =
      "In training some of eleven changes of shape, colour and contrast, chosen anew for each batch, one after the "
      "other.";
  ValueRange value_range;
  std::int64_t num_ops = 2;
  Factor<0, 1> factor = 0.5;
  Sampling interpolation = Sampling::bilinear;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("value_range", &RandAugmentConfig::value_range, "black and white");
    field("num_ops", &RandAugmentConfig::num_ops, "number of changes", at_least(1));
    field("factor", &RandAugmentConfig::factor, "strength of each: at most, or from … to");
    field("interpolation", &RandAugmentConfig::interpolation, "how elements between others are computed");
    field("seed", &RandAugmentConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct AugMixConfig : ImageConfig {
  static constexpr std::string_view class_name = "AugMix";
  static constexpr std::string_view doc =
      "In training a mixture of the pictures with several chains of changes of them, chosen anew for each batch.";
  ValueRange value_range;
  std::int64_t num_chains = 3, chain_depth = 3;
  Factor<0, 1> factor = 0.3;
  double alpha = 1;
  bool all_ops = true;
  Sampling interpolation = Sampling::bilinear;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("value_range", &AugMixConfig::value_range, "black and white");
    field("num_chains", &AugMixConfig::num_chains, "number of chains", at_least(1));
    field("chain_depth", &AugMixConfig::chain_depth, "changes in a chain, of which each may be none", at_least(1));
    field("factor", &AugMixConfig::factor, "strength of each change: at most, or from … to");
    field("alpha", &AugMixConfig::alpha, "parameter of the beta and Dirichlet distributions of the weights", above(0));
    field("all_ops", &AugMixConfig::all_ops, "also brightness, contrast, sharpness and fading");
    field("interpolation", &AugMixConfig::interpolation, "how elements between others are computed");
    field("seed", &AugMixConfig::seed, "own seed; null: that of the experiment");
    ImageConfig::describe(field);
  }
};

struct PipelineConfig {
  static constexpr std::string_view class_name = "Pipeline";
  static constexpr std::string_view doc =
      "Layers one after the other. A second input holds labels, for those of them that mix samples.";
  std::vector<Ref<Layer>> layers;
  static void describe(auto&& field) { field("layers", &PipelineConfig::layers, "in their order", required()); }
};

LayerRef RandAugment(RandAugmentConfig config = {}, LayerOptions options = {});
LayerRef AugMix(AugMixConfig config = {}, LayerOptions options = {});
LayerRef Pipeline(PipelineConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> policy_layers();

}  // namespace nacre
