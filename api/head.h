// A new head on a network that has learned something else.
//
//   Model base = load_model("zoo:mobilenetv2");
//   Model model = with_head(without_top(base), {.classes = 5});
//   freeze(model.graph(), "until head");
#pragma once

#include "api/model.h"

namespace nacre {

enum class HeadPooling : std::uint8_t { avg, max };
template <>
struct EnumNames<HeadPooling> {
  static constexpr std::string_view names[] = {"avg", "max"};
};

struct HeadConfig {
  std::optional<std::int64_t> classes{};  // none: those of the training data, where a configuration names it
  std::vector<std::int64_t> units{};
  double dropout = 0.2;
  Ref<Activation> activation = "softmax";
  HeadPooling pooling = HeadPooling::avg;
  static void describe(auto&& field) {
    field("classes", &HeadConfig::classes, "units of the last layer; auto (null): as many as the training data has classes", at_least(1));
    field("units", &HeadConfig::units, "of hidden layers before it", at_least(1));
    field("dropout", &HeadConfig::dropout, "share of the features that is dropped before each layer", from_below(0, 1));
    field("activation", &HeadConfig::activation, "of the last layer");
    field("pooling", &HeadConfig::pooling, "over the positions of features that are pictures or sequences");
  }
};

// The part of a network below its last layer with weights (with the Dropout before that). Throws a usage Error for models
// with several outputs, and where several inputs come into that layer.
std::shared_ptr<FunctionalLayer> without_top(const std::shared_ptr<FunctionalLayer>& model);
inline Model without_top(const Model& model) { return Model(without_top(std::static_pointer_cast<FunctionalLayer>(model.share()))); }

// The base as it is with a head on its only output: one flat model that shares the base's layers. The base's preprocessing
// (model_card.h) becomes layers in front, so the model takes pictures of 0 to 255; where the weights are from stays on its
// card, the names of classes do not.
using MakeHead = std::function<Symbol(const Symbol& features)>;
std::shared_ptr<FunctionalLayer> with_head(const FunctionalLayer& base, const MakeHead& head, const std::string& name = "");
// Whether a model has such layers in front.
bool begins_with_preprocessing(const FunctionalLayer& model);
// The layers of a head are called head…: "until head" freezes the base.
MakeHead head_of(const HeadConfig& config);  // throws a usage Error without `classes`
inline Model with_head(const Model& base, const HeadConfig& config, const std::string& name = "") {
  return Model(with_head(base.graph(), head_of(config), name));
}

}  // namespace nacre
