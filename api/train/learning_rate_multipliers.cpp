#include "api/train/learning_rate_multipliers.h"

#include <algorithm>
#include <cmath>

#include "api/layer_names.h"

namespace nacre {

namespace {

double checked(const Tree& tree) {
  const double factor = tree.as_number();
  if (!(factor >= 0) || !std::isfinite(factor)) throw Error("wanted a factor of at least 0, got {}", tree.text()).at(tree.mark()).usage();
  return factor;
}

bool means_any(std::string_view pattern, const std::vector<NamedLayer>& layers) {
  return std::ranges::any_of(layers, [&](const NamedLayer& layer) { return means(pattern, layer.name); });
}

}  // namespace

LearningRateMultipliers LearningRateMultipliers::within(const FunctionalLayer& model) const {
  LearningRateMultipliers own = *this;
  const std::vector<NamedLayer> layers = named_layers(model);
  std::erase_if(own.rules, [&](const auto& rule) { return !means_any(rule.first, layers); });
  return own;
}

std::map<const Variable*, double> LearningRateMultipliers::of(const FunctionalLayer& model) const {
  std::map<const Variable*, double> factors;
  if (rules.empty() && !decay) return factors;
  const std::vector<NamedLayer> layers = named_layers(model);
  for (const auto& [pattern, factor] : rules)
    if (!means_any(pattern, layers)) throw means_nothing(pattern, model).about("'learning_rate_multipliers'");
  double below = 1;
  for (auto layer = layers.rbegin(); decay && layer != layers.rend(); ++layer) {
    const std::vector<Weight> weights = layer->layer->trainable_weights();
    if (weights.empty() || layer->inside) continue;
    for (const Weight& weight : weights) factors[weight.variable.get()] = below;
    below *= *decay;
  }
  for (const NamedLayer& layer : layers)  // those inside others come after them
    for (const auto& [pattern, factor] : rules) {
      if (!means(pattern, layer.name)) continue;
      for (const Weight& weight : layer.layer->trainable_weights()) factors[weight.variable.get()] = factor;
    }
  return factors;
}

void FieldKind<LearningRateMultipliers>::read(const Tree& tree, LearningRateMultipliers& value) {
  value = {};
  if (tree.is_null()) return;
  if (tree.is_number()) {
    value.decay = checked(tree);
    return;
  }
  for (const Tree::Entry& entry : tree.entries()) value.rules.emplace_back(entry.key, checked(entry.value));
}

Tree FieldKind<LearningRateMultipliers>::write(const LearningRateMultipliers& value, Style) {
  if (value.decay) return *value.decay;
  Tree tree;
  for (const auto& [pattern, factor] : value.rules) tree.set(pattern, factor);
  return tree;
}

Tree FieldKind<LearningRateMultipliers>::schema() {
  Tree rules = schema_type("object"), schema;
  rules.set("additionalProperties", schema_type("number"));
  schema.set("anyOf", Tree::Sequence{schema_type("number"), std::move(rules), schema_type("null")});
  return schema;
}

}  // namespace nacre
