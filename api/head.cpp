#include "api/head.h"

#include <algorithm>
#include <set>

#include "layers/layers.h"

namespace nacre {

namespace {

constexpr std::string_view preprocessing_layer = "preprocessing";

// What the base's preprocessing makes of pictures, as layers: (x · scale - mean) / deviation, the channels in its order.
Symbol preprocessed(Symbol pictures, const Preprocessing& preprocessing) {
  if (preprocessing.channel_order == ChannelOrder::bgr) {
    Tree channels;
    channels.set("axis", -1);
    pictures = apply_operation("Flip", {pictures}, std::move(channels)).front();
  }
  if (preprocessing.scale == 1 && preprocessing.mean.empty() && preprocessing.deviation.empty()) return pictures;
  const std::size_t channels = std::max({preprocessing.mean.size(), preprocessing.deviation.size(), std::size_t{1}});
  ChannelScaling scaling = channel_scaling(preprocessing, channels);
  return Rescaling({.scale = std::move(scaling.factors), .offset = std::move(scaling.offsets)},
                   {.name = std::string(preprocessing_layer)})(pictures);
}

LayerRef pooling_layer(int rank, HeadPooling pooling, LayerOptions options) {
  const bool max = pooling == HeadPooling::max;
  if (rank == 3) return max ? GlobalMaxPooling1D({}, options) : GlobalAveragePooling1D({}, options);
  if (rank == 4) return max ? GlobalMaxPooling2D({}, options) : GlobalAveragePooling2D({}, options);
  return max ? GlobalMaxPooling3D({}, options) : GlobalAveragePooling3D({}, options);
}

// Names of layers that are not among those before the symbol: the base may have had such a head too.
class FreshNames {
 public:
  explicit FreshNames(const Symbol& symbol) { visit(symbol.call()); }
  std::string operator()(std::string_view wanted) {
    std::string name(wanted);
    for (int number = 1; !taken_.insert(name).second; ++number) name = fmt::format("{}_{}", wanted, number);
    return name;
  }

 private:
  void visit(const LayerCall& call) {
    if (!visited_.insert(&call).second) return;
    taken_.insert(call.layer->name());
    for (const Symbol& operand : call.inputs) visit(operand.call());
    for (const auto& [key, operands] : call.named)
      for (const Symbol& operand : operands) visit(operand.call());
  }
  std::set<const LayerCall*> visited_;
  std::set<std::string> taken_;
};

}  // namespace

std::shared_ptr<FunctionalLayer> without_top(const std::shared_ptr<FunctionalLayer>& model) {
  if (model->outputs().size() != 1)
    throw Error("the model '{}' has {} outputs, so it is not clear where its head begins", model->title(), model->outputs().size())
        .hint("`outputs` names the layer that the new head stands on")
        .usage();
  Symbol symbol = model->outputs().front();
  const auto below = [&] {
    const LayerCall& call = symbol.call();
    if (call.inputs.size() != 1 || !call.named.empty())
      throw Error("{} takes several values, so it is not clear where the head of '{}' begins", call.layer->label(), model->title())
          .hint("`outputs` names the layer that the new head stands on")
          .usage();
    symbol = call.inputs.front();
  };
  while (symbol.call().layer->weights().empty()) below();
  below();
  while (symbol.call().layer->class_name() == "Dropout") below();
  auto base = std::make_shared<FunctionalLayer>(model->inputs(), Symbols{symbol}, LayerOptions{.name = model->name()});
  base->set_card(model->card());
  return base;
}

std::shared_ptr<FunctionalLayer> with_head(const FunctionalLayer& base, const MakeHead& head, const std::string& name) {
  if (base.outputs().size() != 1)
    throw Error("a head stands on one output, the model '{}' has {}", base.title(), base.outputs().size())
        .hint("`outputs` chooses one")
        .usage();
  Symbols inputs = base.inputs(), outputs = base.outputs();
  ModelCard card = base.card();
  if (!card.preprocessing.is_identity()) {
    if (inputs.size() != 1)
      throw Error("the model '{}' has {} inputs, but its preprocessing is for one", base.title(), inputs.size()).usage();
    const Symbol picture = Input(InputConfig{.batch_shape = inputs[0].shape(), .dtype = inputs[0].type().dtype, .name = inputs[0].call().layer->name()});
    outputs = base.outputs_on({preprocessed(picture, card.preprocessing)});
    inputs = {picture};
  }
  auto model = std::make_shared<FunctionalLayer>(inputs, Symbols{head(outputs.front())},
                                                 LayerOptions{.name = name.empty() ? base.name() : name});
  const Preprocessing& given = base.card().preprocessing;
  card.preprocessing = {.size = given.size, .fit = given.fit, .antialias = given.antialias};
  card.labels.clear();
  model->set_card(std::move(card));
  return model;
}

bool begins_with_preprocessing(const FunctionalLayer& model) {
  return model.connected() && std::ranges::any_of(model.layers(), [](const auto& layer) {
           return layer->name() == preprocessing_layer && layer->class_name() == RescalingConfig::class_name;
         });
}

MakeHead head_of(const HeadConfig& config) {
  if (!config.classes)
    throw Error("'classes' is missing: only the configuration of an experiment with training data counts them").about("'head'").usage();
  return [config](const Symbol& features) {
    FreshNames fresh(features);
    Symbol x = features;
    if (const int rank = x.shape().rank(); rank > 2 && rank < 6) x = pooling_layer(rank, config.pooling, {.name = fresh("head_pool")})(x);
    const auto drop = [&] {
      if (config.dropout > 0) x = Dropout({.rate = config.dropout}, {.name = fresh("head_dropout")})(x);
    };
    for (const std::int64_t units : config.units) {
      drop();
      x = Dense({.units = units, .activation = "relu"}, {.name = fresh("head_dense")})(x);
    }
    drop();
    return Dense({.units = *config.classes, .activation = config.activation}, {.name = fresh("head")})(x);
  };
}

}  // namespace nacre
