// A function within a traced function, in a graph of its own: gradients are taken of it there, and it becomes a part of
// the graph around it.
#pragma once

#include "scripting/functions/traced_function.h"

namespace nacre::scripting {

class TracedPart {
 public:
  explicit TracedPart(ComputingState& state);  // within its present trace

  // A new name for an operand, with respect to which gradients may be taken: its place among all of them. Weights are
  // themselves.
  Object open(const Call& call, const Object& operand);
  // Calls the function in this part's graph.
  std::vector<Structure> run(const Call& call, const Out& function, const std::vector<Out>& arguments);
  // The results in the graph around, for their tensors in order. Updates of variables are made there.
  std::vector<Object> close();
  // The gradients of Σ ⟨cotangent, result⟩ with respect to what was opened, zeros where nothing depends on it. The
  // cotangents are for the first results; null: there is none.
  std::vector<Object> gradients(const Call& call, const std::vector<std::optional<Object>>& cotangents) const;

 private:
  // Copies `graph`, whose inputs are this one's and the cotangents, into the graph around.
  Values place(const Graph& graph, const Values& wanted, const Values& cotangents) const;

  ComputingState& state_;
  TraceScope& outer_;
  std::shared_ptr<const bool> outer_running_;
  TracedFunction function_;
  std::unique_ptr<Graph> ready_;  // for gradients
  struct Opened {
    VariableRef weight;
    std::string name{};  // of the input, when it is no weight
    Value outside{};
  };
  std::vector<Opened> opened_;
};

}  // namespace nacre::scripting
