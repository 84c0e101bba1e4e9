// Everything that has a registry: what schema and reference walk through.
#pragma once

#include <algorithm>

#include "api/data/source.h"
#include "api/train/callback.h"
#include "api/train/losses.h"
#include "api/train/metric.h"
#include "api/train/optimizer.h"
#include "api/train/schedules.h"
#include "layers/layer.h"

namespace nacre {

// Calls visit.operator()<Base>() for each kind of class.
template <class Visit>
void each_kind(Visit&& visit) {
  visit.template operator()<Layer>();
  visit.template operator()<Activation>();
  visit.template operator()<Initializer>();
  visit.template operator()<Regularizer>();
  visit.template operator()<WeightConstraint>();
  visit.template operator()<Loss>();
  visit.template operator()<Metric>();
  visit.template operator()<Optimizer>();
  visit.template operator()<LearningRateSchedule>();
  visit.template operator()<Callback>();
  visit.template operator()<Source>();
}

// How a class may be named: its spelling in our YAML first, then its snake_case form and its aliases.
template <class Base>
std::vector<std::string> spellings_of(const ClassInfo<Base>& info) {
  std::vector<std::string> names{std::string(info.spelling())};
  const auto add = [&](std::string name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  };
  if (!info.qualified) add(snake_case(info.class_name));
  for (std::string_view alias : info.aliases) add(std::string(alias));
  return names;
}

}  // namespace nacre
