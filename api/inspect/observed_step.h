// A training step of a model without its update, with what its layers compute as outputs of the graph: what parity.h
// compares.
#pragma once

#include "api/train/steps.h"

namespace nacre {

// A step as every device computes it.
struct ObservedStep {
  FunctionalLayer& model;
  Objective* objective;  // null: the sum of the model's outputs, each element with a random factor, and penalties
  RandomState random;
  Feed feed;
  HostPartRef host;
  std::vector<Tensor> hosted;  // the results of the host part
  Numerics numerics;
};

// A call of a layer while the step is emitted.
struct ObservedCall {
  const Layer* layer;
  int number;                            // of the calls of that layer, from 1
  Types results{};                       // of the floating ones that no call before gave
  std::vector<VariableRef> variables{};  // weights and states that no call before had

  ObservedCall(const Layer* layer_, int number_) : layer(layer_), number(number_) {}
};

// What a run of the step gave, by name: "loss"; of variables "value/CALL/VARIABLE", which the step would give those
// that it updates by itself, and "gradient/CALL/VARIABLE" of those that learn; and if the calls are kept apart
// "result/CALL/RESULT" and "slope/CALL/RESULT", the gradient with respect to that.
using ObservedValues = std::map<std::string, Tensor>;
std::string observed_name(std::string_view kind, std::size_t call, std::size_t item);

// Runs it; `calls` become those of the step, the same on every device. The model is left as it is.
ObservedValues observe(const ObservedStep& step, const Backend& backend, bool apart, std::vector<ObservedCall>& calls);

}  // namespace nacre
