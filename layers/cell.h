// What recurrent layers are made of: a cell, which is one step, and the layer that walks a sequence with it.
#pragma once

#include "layers/layer.h"

namespace nacre {

// The values that every step of one call reads: weights and dropout masks, emitted once outside the loop.
struct CellConstants {
  Value kernel, recurrent_kernel, bias;  // null where there is none
  Values input_masks, state_masks;       // of dropout: none, one for all gates, or one per gate
  std::vector<CellConstants> cells;      // of stacked cells

  // Calls visitor(Value&) for each value that there is, always in the same order.
  template <class Visitor>
  void visit(Visitor&& visitor) {
    for (Value* value : {&kernel, &recurrent_kernel, &bias})
      if (*value) visitor(*value);
    for (Value& mask : input_masks) visitor(mask);
    for (Value& mask : state_masks) visitor(mask);
    for (CellConstants& cell : cells) cell.visit(visitor);
  }
};

struct CellStep {
  Value output;
  Values states;
};

class Cell : public Layer {
 public:
  using Layer::Layer;
  // Of one sample, without the batch; known once the cell is built.
  virtual std::vector<Shape> state_shapes() const = 0;
  virtual Shape output_shape() const { return state_shapes().front(); }
  // features: a value of the shape of one step's input, (batch, features…); states as they come into the first step.
  virtual CellConstants constants(Context& context, Value features, const Values& states) = 0;
  // What depends on the input alone, for any number of leading axes: all steps may be done at once.
  virtual Value project(Value x, const CellConstants& constants) const = 0;
  // One step on a projected input, also inside the body of a loop.
  virtual CellStep step(Value projected, const Values& states, const CellConstants& constants) const = 0;
  std::vector<std::string_view> keyword_names() const override { return {"states"}; }
  int input_count() const override { return 0; }

 protected:
  // (x, states…) → (output, states…); states may also come as the named argument "states".
  Values call(Context& context, const CallArguments& arguments) override;
};

// The states that a call brings, under this name or as inputs after the first; none when it brings none.
Values states_of(const CallArguments& arguments, const std::string& name);
Values zero_states(Graph& graph, const Cell& cell, std::int64_t batch, DType dtype);

// What dropout multiplies in training, a share `rate` of it 0: that many masks, drawn one after the other; none for
// rate 0.
Values dropout_masks(Context& context, Value like, double rate, std::int64_t count, const std::string& path,
                     std::optional<std::int64_t> seed);

// The step of long short-term memory: z (batch, …, 4·units) are the gates i f c o before their activations.
CellStep long_short_term_step(Value z, Value memory, const Ref<Activation>& activation, const Ref<Activation>& gate);
// An initializer of the bias of those gates, under which that of the forget gate is 1.
Ref<Initializer> with_unit_forget_bias(Ref<Initializer> others);

// Results at the steps that they belong to, whichever way the sequence was walked.
struct Walked {
  Value sequence;  // (batch, time, units…)
  Value last;      // (batch, units…), of the step that was walked last
  Values states;
};

// Walks a sequence with a cell.
class RecurrentLayer : public Layer {
 public:
  struct Flags {
    bool return_sequences, return_state, go_backwards, stateful, zero_output_for_mask;
  };
  using Layer::Layer;
  virtual Flags flags() const = 0;
  virtual const std::shared_ptr<Cell>& cell() const = 0;
  std::vector<std::shared_ptr<Layer>> sublayers() const override { return {cell()}; }
  bool supports_masking() const override { return true; }
  std::vector<std::string_view> keyword_names() const override { return {"initial_state"}; }
  int input_count() const override { return 0; }

 protected:
  virtual int input_rank() const { return 3; }  // (batch, time, features…)
  void check(const std::vector<Shape>& inputs) const override;
  void build(const std::vector<Shape>& inputs) override;
  Values call(Context& context, const CallArguments& arguments) override;
  Values compute_masks(Context& context, const CallArguments& arguments, const Values& outputs) override;
  // The whole walk as one op; nothing when there is no op for it.
  virtual std::optional<Walked> fused(const CellConstants& constants, Value x, const Values& states) const;

 private:
  Walked walk(Context& context, Value x, Value mask, const Values& states, const CellConstants& constants) const;

  std::vector<VariableRef> carried_;  // from batch to batch, when stateful
};

}  // namespace nacre
