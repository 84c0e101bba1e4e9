// A function within a traced function, run once into a graph of its own.
#pragma once

#include "scripting/functions/structure.h"

namespace nacre::scripting {

class TracedFunction {
 public:
  explicit TracedFunction(ComputingState& state);  // within its present trace

  ComputingState& state() const { return state_; }
  TraceScope& outer() const { return outer_; }  // the trace around it
  const TraceScope& scope() const { return scope_; }
  const Graph& graph() const { return graph_; }

  // A further input. `mask`: of a graph around, for layers within; null: none.
  Object open(const Type& type, Value mask = {});
  // Calls the function in this graph and reads its results, whose tensors become outputs, "y0"… in order. With
  // `numbers`, numbers and booleans among them become tensors. What is given back tells types, and is not for scripts.
  // The Lua stack is left as it was.
  std::vector<Structure> run(const Call& call, const Out& function, const std::vector<Out>& arguments,
                             bool numbers = false);
  // After the run: the masks that there are become outputs too, "mask 3" that of the result 3.
  void output_masks();
  // Throws a usage Error unless the graph can be held by an op.
  void check_held() const;

  // After the run. Names of inputs, in the order in which they were opened.
  const std::vector<std::string>& opened() const { return opened_; }
  // By names of the other inputs that something reads: values of the graph around.
  const std::vector<std::pair<std::string, Value>>& taken() const { return taken_; }
  // What it reads, as the graph around has it.
  const std::vector<std::pair<VariableRef, Value>>& variables() const { return variables_; }
  // Masks of results, as many; null: it has none.
  const Values& masks() const { return masks_; }
  // Whether it draws random numbers.
  bool random() const;

 private:
  ComputingState& state_;
  TraceScope& outer_;
  Graph graph_;
  Context context_;
  TraceScope scope_;
  std::shared_ptr<bool> running_ = std::make_shared<bool>(true);
  std::vector<std::string> opened_;
  std::vector<std::pair<std::string, Value>> taken_;
  std::vector<std::pair<VariableRef, Value>> variables_;
  Values masks_;
};

// Traced functions as graphs that one op holds: what they take from the graph around them becomes operands, and so do
// the variables that they change.
class HeldFunctions {
 public:
  // After its run. Throws a usage Error for what an op cannot hold.
  void add(const TracedFunction& function);

  // In the graph around: what is only read, and the values of what is changed.
  Values fixed() const;
  Values changed() const;
  const std::vector<VariableRef>& changed_variables() const { return changed_; }
  bool random() const { return random_; }

  // What they take, in the graph of the op.
  struct Operands {
    Values fixed, changed;
    Value iteration{};  // int64, of a loop: tells its steps' random numbers apart
  };
  struct Emitted {
    Values results, masks;  // as many; null: none
    Values changed;         // the new values
  };
  // Emits one of them; `opened` are its inputs.
  Emitted emit(const TracedFunction& function, Graph& graph, const Values& opened, const Operands& operands) const;

 private:
  bool is_changed(const VariableRef& variable) const;

  Graph* around_ = nullptr;
  Values values_;
  std::vector<VariableRef> read_, changed_;
  bool random_ = false;
};

}  // namespace nacre::scripting
