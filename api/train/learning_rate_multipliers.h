// Discriminative learning rates: layers that learn more slowly, or faster, than others.
//
//   model.compile({.optimizer = "adam", .loss = …, .learning_rate_multipliers = {{"*", 0.1}, {"head*", 1}}});
#pragma once

#include <map>

#include "api/functional.h"

namespace nacre {

// {pattern: factor} of names of layers (api/layer_names.h), of which the last that means a layer counts; or one number: each
// layer that learns learns that many times as fast as the next one after it, the last one at the optimizer's own rate.
// A weight is updated as by an optimizer of its own whose learning rate is that many times as large.
struct LearningRateMultipliers {
  std::vector<std::pair<std::string, double>> rules{};
  std::optional<double> decay{};
  LearningRateMultipliers() = default;
  LearningRateMultipliers(double each) : decay(each) {}
  LearningRateMultipliers(std::initializer_list<std::pair<std::string, double>> list) : rules(list) {}
  bool operator==(const LearningRateMultipliers&) const = default;

  // Of the trainable weights of a model; those whose factor is 1 may be missing. Throws a usage Error for patterns that mean
  // no layer.
  std::map<const Variable*, double> of(const FunctionalLayer& model) const;
  // Those that mean a layer of this model.
  LearningRateMultipliers within(const FunctionalLayer& model) const;
};
template <> struct FieldKind<LearningRateMultipliers> {
  static void read(const Tree& tree, LearningRateMultipliers& value);
  static Tree write(const LearningRateMultipliers& value, Style style);
  static Tree schema();
};

}  // namespace nacre
