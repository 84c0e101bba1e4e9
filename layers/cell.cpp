#include "layers/cell.h"

#include <numeric>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/scan.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"
#include "layers/regularization.h"

namespace nacre {

Values states_of(const CallArguments& arguments, const std::string& name) {
  if (const auto named = arguments.named.find(name); named != arguments.named.end()) return named->second;
  return {arguments.inputs.begin() + 1, arguments.inputs.end()};
}

Values zero_states(Graph& graph, const Cell& cell, std::int64_t batch, DType dtype) {
  Values states;
  for (const Shape& shape : cell.state_shapes()) states.push_back(emit::zeros(graph, {dtype, Shape{batch} + shape}));
  return states;
}

Values dropout_masks(Context& context, Value like, double rate, std::int64_t count, const std::string& path,
                     std::optional<std::int64_t> seed) {
  Values masks;
  if (!context.training() || rate <= 0) return masks;
  for (std::int64_t i = 0; i < count; ++i)
    masks.push_back(dropped(context, ops::fill_like(like, 1), like, rate, path, seed));
  return masks;
}

CellStep long_short_term_step(Value z, Value memory, const Ref<Activation>& activation, const Ref<Activation>& gate) {
  const std::int64_t units = z.shape()[-1] / 4;
  const auto part = [&](std::int64_t index) { return ops::slice_axis(z, -1, index * units, (index + 1) * units); };
  const Value i = activated(part(0), gate), f = activated(part(1), gate);
  const Value c = f * memory + i * activated(part(2), activation);
  const Value h = activated(part(3), gate) * activated(c, activation);
  return {h, {h, c}};
}

namespace {

class UnitForgetBias final : public Initializer {
 public:
  explicit UnitForgetBias(Ref<Initializer> others) : others_(std::move(others)) {}
  std::string_view class_name() const override { return others_->class_name(); }
  Tree config_tree(Style style) const override { return others_->config_tree(style); }
  Tensor operator()(const Shape& shape, DType dtype, RandomKey key) const override {
    Tensor bias = (*others_)(shape, dtype, key);
    visit(dtype, [&]<class T>(T*) {
      const std::span<T> values = bias.writable<T>();
      for (std::size_t i = values.size() / 4; i < values.size() / 2; ++i) values[i] = convert<T>(1.0);
    });
    return bias;
  }

 private:
  Ref<Initializer> others_;
};

// Batch and time, the first two axes, exchanged.
Value time_first(Value x) {
  std::vector<std::int64_t> axes(static_cast<std::size_t>(x.shape().rank()));
  std::iota(axes.begin(), axes.end(), 0);
  std::swap(axes[0], axes[1]);
  return ops::transpose(x, std::move(axes));
}

// (batch) as (batch, 1, …), beside a value of that rank.
Value beside(Value mask, int rank) {
  while (mask.shape().rank() < rank) mask = ops::expand_dims(mask, mask.shape().rank());
  return mask;
}

}  // namespace

Ref<Initializer> with_unit_forget_bias(Ref<Initializer> others) {
  return std::make_shared<UnitForgetBias>(std::move(others));
}

Values Cell::call(Context& context, const CallArguments& arguments) {
  const Value x = arguments.inputs.at(0);
  Values states = states_of(arguments, "states");
  if (states.empty()) states = zero_states(context.graph(), *this, x.shape()[0], x.dtype());
  need(states.size() == state_shapes().size(), "got {} states, wanted {}", states.size(), state_shapes().size());
  const CellConstants fixed = constants(context, x, states);
  CellStep result = step(project(x, fixed), states, fixed);
  result.states.insert(result.states.begin(), result.output);
  return std::move(result.states);
}

void RecurrentLayer::check(const std::vector<Shape>& inputs) const {
  need(!inputs.empty(), "got no inputs, wanted a sequence");
  emit::want_rank(inputs[0], input_rank());
  if (!built()) return;
  for (int axis = 2; axis < input_rank(); ++axis) emit::want_size(inputs[0], axis, built_shapes()[0][axis]);
  for (const VariableRef& state : carried_)
    need(same(inputs[0][0], state->shape()[0]), "got input {}, wanted the batch size {} of the states", inputs[0],
         state->shape()[0]);
}

void RecurrentLayer::build(const std::vector<Shape>& inputs) {
  for (int axis = 2; axis < input_rank(); ++axis) emit::known_size(inputs[0], axis);
  cell()->ensure_built({Shape{inputs[0][0]} + inputs[0].from(2)});
  if (!flags().stateful) return;
  if (inputs[0][0] == unknown)
    throw Error("got input {}, wanted a known batch size, as the layer is stateful", inputs[0])
        .hint("give the Input layer a batch_shape");
  for (const Shape& shape : cell()->state_shapes()) carried_.push_back(add_state("state", Shape{inputs[0][0]} + shape));
}

std::optional<Walked> RecurrentLayer::fused(const CellConstants&, Value, const Values&) const { return {}; }

Walked RecurrentLayer::walk(Context& context, Value x, Value mask, const Values& states,
                            const CellConstants& constants) const {
  // Where a step is masked, states stay as they are, and the result is that of the step before, or 0.
  const bool repeats = mask && !flags().zero_output_for_mask;
  Values carries = states, sequences = {cell()->project(time_first(x), constants)};
  if (repeats)
    carries.push_back(emit::zeros(context.graph(), {x.dtype(), Shape{x.shape()[0]} + cell()->output_shape()}));
  if (mask) sequences.push_back(time_first(mask));
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
      const auto choose = [&](Value value, Value otherwise) {
        return ops::select(beside(items[1], value.shape().rank()), value, otherwise);
      };
      for (std::size_t i = 0; i < before.size(); ++i) result.states[i] = choose(result.states[i], before[i]);
      result.output = choose(result.output, repeats ? now.back() : ops::fill_like(result.output, 0));
    }
    if (repeats) result.states.push_back(result.output);
    return {std::move(result.states), {result.output}};
  };
  ops::Scanned scanned = ops::scan(carries, sequences, fixed, flags().go_backwards, step);
  const Value results = scanned.items[0];
  const Value last =
      flags().go_backwards ? ops::slice_axis(results, 0, 0, 1) : ops::slice_axis(results, 0, -1, whole_axis);
  scanned.carries.resize(states.size());
  return {time_first(results), ops::squeeze(last, 0), std::move(scanned.carries)};
}

Values RecurrentLayer::call(Context& context, const CallArguments& arguments) {
  Graph& graph = context.graph();
  const Value x = arguments.inputs[0];
  const Value mask = arguments.masks[0];

  Values states = states_of(arguments, "initial_state");
  if (states.empty()) {
    // No gradient flows from batch to batch, nor from call to call.
    for (const VariableRef& state : carried_) states.push_back(ops::stop_gradient(graph.latest(state)));
    if (!flags().stateful) states = zero_states(graph, *cell(), x.shape()[0], x.dtype());
  }
  need(states.size() == cell()->state_shapes().size(), "got {} initial states, wanted {}", states.size(),
       cell()->state_shapes().size());

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
