// The reverse walk: gradients as ordinary ops in the same graph.
#pragma once

#include <span>

#include "backend/graph/graph.h"

namespace nacre {

// For each of `wrt`, the gradient of Σᵢ ⟨cotangentᵢ, outputᵢ⟩ with respect to it, or a null Value when no output
// depends on it. Absent cotangents mean ones (so a scalar loss needs none). Contributions are summed; integer and
// boolean values carry no gradient.
// Source: reverse accumulation, Griewank and Walther, "Evaluating Derivatives" (2008), chapter 3.
Values gradients(Graph& graph, std::span<const Value> outputs, std::span<const Value> cotangents, std::span<const Value> wrt);
Values gradients(Value loss, std::span<const Value> wrt);

// The pullback of a piece of graph: the gradients of its inputs for given cotangents of its outputs. It is worked out in
// a graph of its own, so that the walk stops at the inputs even where one depends on another, and emitted where wanted.
class Pullback {
 public:
  // `emit(graph, inputs)` emits the piece and returns its outputs; `present` says which of them have a cotangent.
  template <class Emit>
  Pullback(const Types& inputs, std::string label, const std::vector<bool>& present, Emit&& emit)
      : graph_(std::make_unique<Graph>(std::move(label))) {
    const Values values = open(inputs);
    differentiate(values, emit(*graph_, values), present);
  }

  bool reaches(std::size_t input) const { return reached_[input]; }  // that input has a gradient
  // Emits the gradients into `graph`; `cotangents` are the present ones.
  Gradients operator()(Graph& graph, Values inputs, const Values& cotangents) const;

 private:
  Values open(const Types& inputs);
  void differentiate(const Values& inputs, const Values& outputs, const std::vector<bool>& present);

  std::unique_ptr<Graph> graph_;
  std::vector<bool> reached_;
};

// The gradients of a node's inputs, through its decomposition: the gradient rule of ops that have no better one.
Gradients gradients_of_decomposition(const Node& node, const Cotangents& cotangents);

}  // namespace nacre
