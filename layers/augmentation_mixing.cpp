#include "layers/augmentation_mixing.h"

#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/shape.h"
#include "layers/augmentation_draws.h"

namespace nacre {

void FieldKind<FillColour>::read(const Tree& tree, FillColour& value) {
  if (!tree.is_sequence()) value.values = {tree.as_number()};
  else FieldKind<std::vector<double>>::read(tree, value.values);
  if (value.values.size() != 1 && value.values.size() != 3)
    throw Error("wanted a number or three, got {}", tree.text()).at(tree.mark()).usage();
}

Tree FieldKind<FillColour>::write(const FillColour& value, Style style) {
  if (value.values.size() == 1) return value.values.front();
  return FieldKind<std::vector<double>>::write(value.values, style);
}

Tree FieldKind<FillColour>::schema() {
  Tree schema;
  schema.set("anyOf", Tree::Sequence{schema_type("number"), FieldKind<std::vector<double>>::schema()});
  return schema;
}

namespace {

// Zhong et al., "Random erasing data augmentation" (2017).
class RandomErasingLayer final : public ImageLayer<RandomErasingConfig> {
 public:
  using ImageLayer::ImageLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    const Draws random(context, pictures, path(), config_.seed);
    const Value width = ops::sqrt(random.uniform(config_.scale)), height = ops::sqrt(random.uniform(config_.scale));
    const Value inside = random_boxes(random, pictures, height, width).inside;
    const Value applies = random.chance(config_.factor);
    const Value fill = ops::clip(filling(random, pictures), config_.value_range.low, config_.value_range.high);
    return ops::select(ops::logical_and(applies, inside), fill, pictures);
  }

 private:
  Value filling(const Draws& random, Value pictures) const {
    if (!config_.fill_value) return random.normal(pictures.shape()) * config_.value_range.high;
    const std::vector<double>& colour = config_.fill_value->values;
    if (colour.size() == 3) image::want_colours(pictures, false);
    return pictures.graph().constant(
        Tensor::of<double>({static_cast<std::int64_t>(colour.size())}, colour).cast(pictures.dtype()));
  }
};

// A mixture of each sample of a batch with another one.
struct Mixture {
  Value order;    // the other ones, (batch) int32
  Value weights;  // of the first ones' labels, (batch, 1, 1, 1)
  Value pictures;
};

// Pictures, or pictures and labels.
template <class Config>
class MixingLayer : public PictureLayer<Config>, public LabelMixing {
 public:
  using PictureLayer<Config>::PictureLayer;
  int input_count() const override { return 0; }

 protected:
  virtual Mixture mixed(const Draws& random, Value pictures) const = 0;

  void check(const std::vector<Shape>& inputs) const override {
    need(inputs.size() == 1 || inputs.size() == 2, "got {} inputs, wanted pictures, or pictures and labels",
         inputs.size());
    PictureLayer<Config>::check(inputs);
    if (inputs.size() == 1) return;
    need(inputs[0].rank() == 4, "got one picture {}, wanted a batch of them with their labels", inputs[0]);
    if (inputs[1].rank() != 2 || !same(inputs[0][0], inputs[1][0]))
      throw Error("got labels {} for pictures {}, wanted (batch, classes)", inputs[1], inputs[0])
          .hint("mixed labels are shares of classes: turn class numbers into one-hot vectors first");
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const DType result = this->dtype().compute();
    if (!context.training()) {
      Values unchanged;
      for (const Value x : arguments.inputs) unchanged.push_back(ops::cast(x, result));
      return unchanged;
    }
    const Value x = arguments.inputs[0], pictures = this->prepared(x, DType::float32);
    const Mixture mixture = mixed(Draws(context, pictures, this->path(), this->config_.seed), pictures);
    Values results = {this->finished(mixture.pictures, x, result)};
    if (arguments.inputs.size() == 2) {
      const Value labels = ops::cast(arguments.inputs[1], DType::float32);
      results.push_back(ops::cast(blend(labels, mixture.order, ops::reshape(mixture.weights, {-1, 1})), result));
    }
    return results;
  }

  static Value blend(Value x, Value order, Value weights) {
    return weights * x + (1.0 - weights) * ops::gather(x, order);
  }
};

// Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable features" (2019).
class CutMixLayer final : public MixingLayer<CutMixConfig> {
 public:
  using MixingLayer::MixingLayer;

 protected:
  Mixture mixed(const Draws& random, Value pictures) const override {
    const Value parameter = random.uniform(config_.factor.low, config_.factor.high, {}) + 1e-6;
    const Value share = ops::sqrt(1.0 - random.beta(parameter, random.each()));
    const Boxes boxes = random_boxes(random, pictures, share, share);
    const Value order = random.order();
    return {order, 1.0 - boxes.share, ops::select(boxes.inside, ops::gather(pictures, order), pictures)};
  }
};

// Zhang et al., "mixup: beyond empirical risk minimization" (2017).
class MixUpLayer final : public MixingLayer<MixUpConfig> {
 public:
  using MixingLayer::MixingLayer;

 protected:
  Mixture mixed(const Draws& random, Value pictures) const override {
    const Value order = random.order(), weights = random.beta(random.scalar(config_.alpha), random.each());
    return {order, weights, blend(pictures, order, weights)};
  }
};

}  // namespace

LayerRef RandomErasing(RandomErasingConfig config, LayerOptions options) {
  return std::make_shared<RandomErasingLayer>(std::move(config), std::move(options));
}
LayerRef CutMix(CutMixConfig config, LayerOptions options) {
  return std::make_shared<CutMixLayer>(std::move(config), std::move(options));
}
LayerRef MixUp(MixUpConfig config, LayerOptions options) {
  return std::make_shared<MixUpLayer>(std::move(config), std::move(options));
}

bool mixes_labels(const Layer& layer) {
  const auto* mixing = dynamic_cast<const LabelMixing*>(&layer);
  return mixing && mixing->mixes_labels();
}

std::vector<ClassInfo<Layer>> mixing_layers() {
  return {layer_info<RandomErasingLayer>(), layer_info<CutMixLayer>(), layer_info<MixUpLayer>()};
}

}  // namespace nacre
