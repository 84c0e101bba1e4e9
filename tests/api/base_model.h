// A functional model with named layers, which other models take apart or build upon.
#pragma once

#include "api/model.h"
#include "layers/layers.h"

namespace nacre::test {

inline Model base_model() {
  const Symbol input = Input({6}, "in");
  const Symbol hidden = Dense({.units = 4, .activation = "relu"}, {.name = "hidden"})(input);
  Model model({input}, {Dense({.units = 2}, {.name = "head"})(hidden)}, {.name = "base"});
  model.initialize(3);
  return model;
}

}  // namespace nacre::test
