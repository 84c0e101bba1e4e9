#include "layers/cell.h"

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/scan.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"

namespace nacre {

Values states_of(const CallArguments& arguments, const std::string& name) {
  if (const auto named = arguments.named.find(name); named != arguments.named.end()) return named->second;
  return {arguments.inputs.begin() + 1, arguments.inputs.end()};
}

Values zero_states(Graph& graph, const Cell& cell, std::int64_t batch, DType dtype) {
  Values states;
  for (std::int64_t size : cell.state_sizes()) states.push_back(emit::zeros(graph, {dtype, {batch, size}}));
  return states;
}

Values Cell::call(Context& context, const CallArguments& arguments) {
  const Value x = arguments.inputs.at(0);
  Values states = states_of(arguments, "states");
  if (states.empty()) states = zero_states(context.graph(), *this, x.shape()[0], x.dtype());
  need(states.size() == state_sizes().size(), "got {} states, wanted {}", states.size(), state_sizes().size());
  const CellConstants fixed = constants(context, x, states);
  CellStep result = step(project(x, fixed), states, fixed);
  result.states.insert(result.states.begin(), result.output);
  return std::move(result.states);
}

void RecurrentLayer::check(const std::vector<Shape>& inputs) const {
  need(!inputs.empty(), "got no inputs, wanted a sequence");
  emit::want_rank(inputs[0], 3);
  if (!built()) return;
  emit::want_size(inputs[0], 2, built_shapes()[0][2]);
  for (const VariableRef& state : carried_)
    need(same(inputs[0][0], state->shape()[0]), "got input {}, wanted the batch size {} of the states", inputs[0],
         state->shape()[0]);
}

void RecurrentLayer::build(const std::vector<Shape>& inputs) {
  emit::known_size(inputs[0], 2);
  cell()->ensure_built({{inputs[0][0], inputs[0][2]}});
  if (!flags().stateful) return;
  if (inputs[0][0] == unknown)
    throw Error("got input {}, wanted a known batch size, as the layer is stateful", inputs[0])
        .hint("give the Input layer a batch_shape");
  for (std::int64_t size : cell()->state_sizes()) carried_.push_back(add_state("state", {inputs[0][0], size}));
}

std::optional<Walked> RecurrentLayer::fused(const CellConstants&, Value, const Values&) const { return {}; }

Walked RecurrentLayer::walk(Context& context, Value x, Value mask, const Values& states,
                            const CellConstants& constants) const {
  // Where a step is masked, states stay as they are, and the result is that of the step before, or 0.
  const bool repeats = mask && !flags().zero_output_for_mask;
  const Shape& shape = x.shape();
  Values carries = states, sequences = {cell()->project(ops::transpose(x, {1, 0, 2}), constants)};
  if (repeats) carries.push_back(emit::zeros(context.graph(), {x.dtype(), {shape[0], cell()->output_size()}}));
  if (mask) sequences.push_back(ops::transpose(mask, {1, 0}));
  CellConstants outside = constants;
  Values fixed;
  outside.visit([&](Value& value) { fixed.push_back(value); });

  const auto step = [&](Graph&, const Values& now, const Values& items, const Values& read) -> ops::ScanStep {
    CellConstants inside = constants;
    auto next = read.begin();
    inside.visit([&](Value& value) { value = *next++; });
    const Values before(now.begin(), now.begin() + static_cast<std::ptrdiff_t>(states.size()));
    CellStep result = cell()->step(items[0], before, inside);
    if (mask) {
      const Value counts = ops::expand_dims(items[1], 1);
      for (std::size_t i = 0; i < before.size(); ++i)
        result.states[i] = ops::select(counts, result.states[i], before[i]);
      result.output = ops::select(counts, result.output, repeats ? now.back() : ops::fill_like(result.output, 0));
    }
    if (repeats) result.states.push_back(result.output);
    return {std::move(result.states), {result.output}};
  };
  ops::Scanned scanned = ops::scan(carries, sequences, fixed, flags().go_backwards, step);
  const Value results = scanned.items[0];
  const Value last =
      flags().go_backwards ? ops::slice_axis(results, 0, 0, 1) : ops::slice_axis(results, 0, -1, whole_axis);
  scanned.carries.resize(states.size());
  return {ops::transpose(results, {1, 0, 2}), ops::squeeze(last, 0), std::move(scanned.carries)};
}

Values RecurrentLayer::call(Context& context, const CallArguments& arguments) {
  Graph& graph = context.graph();
  const Value x = arguments.inputs[0];
  const Value mask = arguments.masks[0];

  Values states = states_of(arguments, "initial_state");
  if (states.empty()) {
    for (const VariableRef& state : carried_) states.push_back(graph.latest(state));
    if (!flags().stateful) states = zero_states(graph, *cell(), x.shape()[0], x.dtype());
  }
  need(states.size() == cell()->state_sizes().size(), "got {} initial states, wanted {}", states.size(),
       cell()->state_sizes().size());

  const Value features = ops::squeeze(ops::slice_axis(x, 1, 0, 1), 1);
  const CellConstants constants = cell()->constants(context, features, states);
  std::optional<Walked> walked;
  if (!mask && constants.state_masks.empty()) walked = fused(constants, x, states);
  if (!walked) walked = walk(context, x, mask, states, constants);

  for (std::size_t i = 0; i < carried_.size(); ++i) graph.update(carried_[i], walked->states[i]);
  Value result = walked->last;
  if (flags().return_sequences) result = flags().go_backwards ? ops::reverse(walked->sequence, {1}) : walked->sequence;
  Values outputs{result};
  if (flags().return_state) outputs.insert(outputs.end(), walked->states.begin(), walked->states.end());
  return outputs;
}

Values RecurrentLayer::compute_masks(Context&, const CallArguments& arguments, const Values& outputs) {
  Values masks(outputs.size());
  if (flags().return_sequences) masks[0] = arguments.masks[0];
  return masks;
}

}  // namespace nacre
