#include "layers/augmentation_policy.h"

#include <algorithm>

#include "backend/graph/ops/branch.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/ops/softmax.h"
#include "layers/augmentation_colour.h"
#include "layers/augmentation_draws.h"
#include "layers/augmentation_filter.h"
#include "layers/augmentation_geometry.h"
#include "layers/augmentation_levels.h"
#include "layers/augmentation_mixing.h"

namespace nacre {

namespace {

using Layers = std::vector<std::shared_ptr<Layer>>;

// Each is a part of the graph.
void want_few(std::int64_t count, std::string_view field) {
  constexpr std::int64_t most = 100;
  if (count > most) throw Error("got {}, wanted at most {}", count, most).about(fmt::format("'{}'", field)).usage();
}

Value applied(Layer& layer, Context& context, Value pictures) {
  return layer(context, {.inputs = {pictures}}).outputs[0];
}

// The changes that RandAugment and AugMix choose from, with the strength and the fields of `config`. Each has a stream
// of random numbers of its own.
template <class Config>
Layers changes(const Config& config, bool all) {
  const auto geometry = [&](auto change) {
    change.interpolation = config.interpolation;
    return change;
  };
  const auto colour = [&](auto change) {
    change.value_range = config.value_range;
    return change;
  };
  const auto factor = [&](auto change) {
    change.factor = {config.factor.low, config.factor.high};
    return colour(change);
  };
  const Factor<-1, 1> both(config.factor.low, config.factor.high);
  const double bits = std::max(1.0, std::floor(8 * config.factor.high));
  std::vector<LayerRef> chosen = {
      RandomShear(geometry(RandomShearConfig{.x_factor = both, .y_factor = both})),
      RandomTranslation(geometry(RandomTranslationConfig{.height_factor = both, .width_factor = both})),
      RandomRotation(geometry(RandomRotationConfig{.factor = both})),
      RandomPosterization(colour(RandomPosterizationConfig{.factor = bits})),
      Solarization(colour(SolarizationConfig{.addition_factor = config.factor, .threshold_factor = config.factor})),
      AutoContrast(colour(AutoContrastConfig{})),
      Equalization(colour(EqualizationConfig{}))};
  if (all)
    chosen.insert(chosen.end(),
                  {RandomBrightness(factor(RandomBrightnessConfig{})),
                   RandomColorDegeneration(factor(RandomColorDegenerationConfig{})),
                   RandomContrast(factor(RandomContrastConfig{})), RandomSharpness(factor(RandomSharpnessConfig{}))});
  Layers layers;
  for (const LayerRef& layer : chosen) layers.push_back(layer.share());
  return layers;
}

// The pictures after the change that `choice`, an int32 scalar, is the number of; unchanged by the number after the
// last one. Only that one is computed. `place` tells apart the random numbers of the same change at several places of a
// layer.
Value changed(const Layers& list, Value choice, std::int64_t place, Context& context, Value seed, Value pictures) {
  std::vector<ops::BranchBody> bodies;
  for (const auto& change : list)
    bodies.push_back([&context, &change](Graph& graph, const Values& in) {
      Context inner(graph, context.training(), in[1], in[2]);
      return Values{applied(*change, inner, in[0])};
    });
  bodies.push_back([](Graph&, const Values& in) { return Values{in[0]}; });
  const Value place_seed = seed + pictures.graph().constant(Tensor::scalar(place));
  return ops::branch(choice, {pictures, place_seed, context.step()}, bodies)[0];
}

// The layer's own seed, or that of the experiment.
Value seed_of(Context& context, const std::optional<std::int64_t>& own) {
  return own ? context.graph().constant(Tensor::scalar(*own)) : context.seed();
}

// Cubuk et al., "RandAugment: practical automated data augmentation with a reduced search space" (2019).
class RandAugmentLayer final : public ImageLayer<RandAugmentConfig> {
 public:
  explicit RandAugmentLayer(RandAugmentConfig config = {}, LayerOptions options = {})
      : ImageLayer(std::move(config), std::move(options)), changes_(changes(config_, true)) {
    want_few(config_.num_ops, "num_ops");
  }
  Layers sublayers() const override { return changes_; }

 protected:
  Value transform(Context& context, Value pictures) override {
    const Draws random(context, pictures, path(), config_.seed);
    const Value seed = seed_of(context, config_.seed);
    for (std::int64_t i = 0; i < config_.num_ops; ++i) {
      const Value choice = random.integer(0, static_cast<std::int64_t>(changes_.size()), {});
      pictures = changed(changes_, choice, i, context, seed, pictures);
    }
    return pictures;
  }

 private:
  Layers changes_;
};

// Hendrycks et al., "AugMix: a simple data processing method to improve robustness and uncertainty" (2019).
class AugMixLayer final : public ImageLayer<AugMixConfig> {
 public:
  explicit AugMixLayer(AugMixConfig config = {}, LayerOptions options = {})
      : ImageLayer(std::move(config), std::move(options)), changes_(changes(config_, config_.all_ops)) {
    want_few(config_.num_chains, "num_chains");
    want_few(config_.chain_depth, "chain_depth");
  }
  Layers sublayers() const override { return changes_; }

 protected:
  Value transform(Context& context, Value pictures) override {
    const Draws random(context, pictures, path(), config_.seed);
    const Value alpha = random.scalar(config_.alpha), seed = seed_of(context, config_.seed);
    const Value weights = ops::softmax(random.log_gamma(alpha, {config_.num_chains}));
    const Value share = random.beta(alpha, {});
    Value mixture;
    for (std::int64_t chain = 0; chain < config_.num_chains; ++chain) {
      Value x = pictures;
      for (std::int64_t i = 0; i < config_.chain_depth; ++i) {
        const Value choice = random.integer(0, static_cast<std::int64_t>(changes_.size()) + 1, {});
        x = changed(changes_, choice, chain * config_.chain_depth + i, context, seed, x);
      }
      const Value part = x * ops::squeeze(ops::slice_axis(weights, 0, chain, chain + 1), 0);
      mixture = mixture ? mixture + part : part;
    }
    const Value mixed = share * pictures + (1.0 - share) * mixture;
    return ops::clip(mixed, config_.value_range.low, config_.value_range.high);
  }

 private:
  Layers changes_;
};

class PipelineLayer final : public ConfiguredLayer<PipelineConfig>, public LabelMixing {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  Layers sublayers() const override {
    Layers layers;
    for (const Ref<Layer>& layer : config_.layers) layers.push_back(layer.share());
    return layers;
  }
  bool mixes_labels() const override {
    return std::any_of(config_.layers.begin(), config_.layers.end(),
                       [](const Ref<Layer>& layer) { return nacre::mixes_labels(*layer); });
  }
  int input_count() const override { return 0; }
  bool casts_inputs() const override { return false; }
  Tree config_tree(Style style) const override {
    Tree tree = ConfiguredLayer::config_tree(style);
    if (style == Style::keras)
      for (const std::string_view key : {"trainable", "dtype"}) tree.erase(key);  // which Keras refuses here
    return tree;
  }

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    need(inputs.size() == 1 || (inputs.size() == 2 && mixes_labels()), "got {} inputs, wanted one{}", inputs.size(),
         mixes_labels() ? ", or pictures and labels" : "");
  }
  Values call(Context& context, const CallArguments& arguments) override {
    Values outputs = arguments.inputs;
    masks_ = arguments.masks;
    for (const Ref<Layer>& layer : config_.layers) {
      // Labels pass by those that do not mix them.
      const auto count = static_cast<std::ptrdiff_t>(nacre::mixes_labels(*layer) ? outputs.size() : 1);
      const Values labels(outputs.begin() + count, outputs.end()), label_masks(masks_.begin() + count, masks_.end());
      outputs.resize(static_cast<std::size_t>(count)), masks_.resize(static_cast<std::size_t>(count));
      CallResult result = (*layer)(context, {std::move(outputs), std::move(masks_), {}, {}});
      outputs = std::move(result.outputs), masks_ = std::move(result.masks);
      outputs.insert(outputs.end(), labels.begin(), labels.end());
      masks_.insert(masks_.end(), label_masks.begin(), label_masks.end());
    }
    return outputs;
  }
  Values compute_masks(Context&, const CallArguments&, const Values&) override { return std::move(masks_); }

 private:
  Values masks_;  // of the results of the call that is being made
};

}  // namespace

LayerRef RandAugment(RandAugmentConfig config, LayerOptions options) {
  return std::make_shared<RandAugmentLayer>(std::move(config), std::move(options));
}
LayerRef AugMix(AugMixConfig config, LayerOptions options) {
  return std::make_shared<AugMixLayer>(std::move(config), std::move(options));
}
LayerRef Pipeline(PipelineConfig config, LayerOptions options) {
  return std::make_shared<PipelineLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> policy_layers() {
  return {layer_info<RandAugmentLayer>(), layer_info<AugMixLayer>(), layer_info<PipelineLayer>()};
}

}  // namespace nacre
