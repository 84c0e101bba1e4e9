// What goes into a file that Keras 3 shall open: a model as it is, or a copy without what Keras would refuse or take for
// something else.
#pragma once

#include "api/train/trainer.h"

namespace nacre {

// A model and how it was compiled, ready to be written.
struct ModelContents {
  ModelContents(const Trainer& trainer);  // NOLINT(google-explicit-constructor): as it is

  std::shared_ptr<FunctionalLayer> model;
  Tree compile_config;  // {optimizer, loss, metrics, …}; null when it was not compiled
  std::string optimizer_name;
  std::vector<VariableRef> optimizer;  // its state
  Tree card;  // see api/model_card.h; null when it says nothing
};

// The same for Keras 3. Names lose their '/', and layers with the hard_sigmoid of Keras 1 and 2 get weights scaled by
// 1.2, which gives the same numbers under that of Keras 3: clip(1.2x/6 + 1/2) = clip(x/5 + 1/2). Where a layer has no
// weights for that, a Rescaling comes before it. Adds a sentence to `warnings` for each thing that Keras cannot open or
// computes in another way.
ModelContents contents_for_keras(const Trainer& trainer, std::vector<std::string>& warnings);

}  // namespace nacre
