// A piece of graph that is run on tensors at once: what an operation, a layer or a compiled function is in eager mode.
// Its gradients are two more such pieces, so they have gradients again.
#pragma once

#include <map>

#include "backend/executable.h"

namespace nacre::eager {

// Not synchronised. Programs that share a workspace run one at a time.
class Program {
 public:
  // All sizes are known, but those that functions of the host (graph/ops/host.h) find in data. Compiled at the first
  // run.
  Program(std::unique_ptr<Graph> graph, const Backend& backend, std::shared_ptr<Workspace> workspace,
          Numerics numerics = {});

  const Graph& graph() const { return *graph_; }
  std::size_t input_count() const { return graph_->inputs().size(); }
  // What it reads that gradients may be taken with respect to, beside its inputs.
  const std::vector<VariableRef>& variables() const { return variables_; }

  // Inputs and outputs in the order of the graph's.
  std::vector<Tensor> run(std::span<const Tensor> inputs);

  // A run that keeps what the gradients need, and the gradients.
  struct Derivative;
  // `wanted`: which of the inputs, then of the variables, gradients are wanted of. `keep`: whether values in between
  // are kept for them; else they are computed again from the inputs, as is needed where the gradients have gradients in
  // turn. Made once for each choice.
  std::shared_ptr<const Derivative> derivative(const std::vector<char>& wanted, bool keep);

 private:
  std::shared_ptr<const Derivative> differentiate(const std::vector<char>& wanted, bool keep) const;

  std::unique_ptr<Graph> graph_;
  const Backend& backend_;
  std::shared_ptr<Workspace> workspace_;
  Numerics numerics_;
  std::vector<VariableRef> variables_;
  bool on_host_ = false;
  std::int64_t work_ = 0;
  std::unique_ptr<Executable> executable_;
  std::map<std::pair<std::vector<char>, bool>, std::shared_ptr<const Derivative>> derivatives_;
};

struct Program::Derivative {
  std::shared_ptr<Program> forward;   // gives the outputs, then what `backward` needs of the values in between
  std::shared_ptr<Program> backward;  // (cotangents of the floating outputs, operands) → gradients
  struct Operand {
    bool output = false;  // of forward; else an input of it
    std::size_t index = 0;
  };
  std::vector<Operand> operands;        // what backward is given after the cotangents
  std::vector<std::size_t> cotangents;  // which outputs have one
  std::vector<std::size_t> results;     // of what the gradients are: an input, or a variable, counted after the inputs
};

}  // namespace nacre::eager
