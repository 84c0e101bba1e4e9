// What the graphs of training and tests have in common: a batch's tensors as inputs, the model, its losses.
#pragma once

#include "api/train/steps.h"

namespace nacre {

Types types_of(const std::vector<Tensor>& tensors);

// Inputs of the graph for those of the model: "input/NAME".
Values feed_inputs(Graph& graph, const FunctionalLayer& model, const Types& types);

struct Emitted {
  Value loss;
  CallResult result;  // of the model
};

// Forward and losses, with the batch's tensors as inputs of the graph: after those of the model "target/NUMBER/NAME"
// for each output in use, and "weight/NUMBER/NAME" where the feed has weights.
Emitted emit_loss(Graph& graph, FunctionalLayer& model, Objective& objective, const RandomState& random,
                  const Feed& feed, const HostTypes& hosted, bool training);

}  // namespace nacre
