#include "api/train/slot_optimizer.h"

#include <algorithm>

#include "backend/graph/ops/ops.h"

namespace nacre {

namespace {

Tensor filled(const Type& type, double value) {
  Tensor tensor(type);
  visit(type.dtype, [&]<class T>(T*) { std::ranges::fill(tensor.writable<T>(), convert<T>(value)); });
  return tensor;
}

// Gradients longer than `limit` get that length. Source: Keras 3 (TensorFlow's clip_by_norm).
Value clip_to_norm(Value gradient, Value norm, double limit) {
  return gradient * limit / ops::maximum(norm, ops::scalar_like(norm, limit));
}

}  // namespace

Value UpdateStep::slot(std::size_t index) const { return graph_.variable(slots_.at(index)); }

Value UpdateStep::set_slot(std::size_t index, Value value) {
  writes_.emplace_back(slots_.at(index), value);
  return value;
}

Value UpdateStep::shared() const { return graph_.variable(shared_); }
void UpdateStep::set_shared(Value value) { writes_.emplace_back(shared_, value); }

SlotOptimizer::SlotOptimizer(OptimizerOptions options, LearningRate learning_rate, std::optional<double> weight_decay)
    : options_(std::move(options)), learning_rate_(std::move(learning_rate)), weight_decay_(weight_decay) {
  if (options_.clipnorm.has_value() + options_.global_clipnorm.has_value() + options_.clipvalue.has_value() > 1)
    throw Error("only one of 'clipnorm', 'global_clipnorm' and 'clipvalue' can be set").usage();
  iteration_ = add_variable("iteration", {DType::int64, {}}, Tensor::scalar<std::int64_t>(0));
  if (!scheduled())
    rate_ =
        add_variable("learning_rate", {DType::float32, {}}, Tensor::scalar(static_cast<float>(learning_rate_.rate)));
}

VariableRef SlotOptimizer::add_variable(std::string path, Type type, Tensor value) {
  auto variable = std::make_shared<Variable>(fmt::format("{}/{}", name(), path), std::move(type), false);
  variable->assign(std::move(value));
  return variables_.emplace_back(std::move(variable));
}

void SlotOptimizer::build(const std::vector<VariableRef>& variables) {
  if (built_) {
    if (!std::ranges::equal(variables, states_, {}, {}, &State::weight))
      throw Error("optimizer '{}' was built for other variables", name())
          .hint("compile the model again after changing what is trainable");
    return;
  }
  rebuild(variables);
}

// Also the order of variables is Keras's, whenever each of them joined.
void SlotOptimizer::rebuild(const std::vector<VariableRef>& variables) {
  const std::vector<State> before = std::exchange(states_, {});
  std::vector<bool> is_new;
  for (const VariableRef& weight : variables) {
    const auto found = std::ranges::find(before, weight, &State::weight);
    is_new.push_back(found == before.end());
    states_.push_back(is_new.back() ? State{weight, {}, {}, {}, built_ ? updates() : 0} : *found);
  }
  variables_.resize(scheduled() ? 1 : 2);  // what the constructor made
  const auto add = [this](const Variable& weight, std::string_view slot, Type type, Tensor value) {
    std::string path = weight.path();
    std::ranges::replace(path, '/', '_');
    return add_variable(fmt::format("{}_{}", path, slot), std::move(type), std::move(value));
  };
  const auto each = [&](auto&& make) {
    for (std::size_t i = 0; i < states_.size(); ++i) make(states_[i], is_new[i]);
  };
  if (options_.use_ema)
    each([&](State& state, bool fresh) {
      // The first average of all is the weight itself; one that comes later begins with it.
      const Tensor start = state.joined > 0 ? state.weight->value() : Tensor(state.weight->type());
      if (state.weight->overwritten()) return;
      if (fresh) state.average = add(*state.weight, "average", state.weight->type(), start);
      else variables_.push_back(state.average);
    });
  if (options_.gradient_accumulation_steps)
    each([&](State& state, bool fresh) {
      if (fresh) state.accumulator = add(*state.weight, "gradient_accumulator", state.weight->type(), Tensor(state.weight->type()));
      else variables_.push_back(state.accumulator);
    });
  std::vector<std::size_t> taken(states_.size(), 0);  // slots of each that are in their places
  for (std::size_t group = 0, groups = 1; group < groups; ++group)
    for (std::size_t i = 0; i < states_.size(); ++i) {
      State& state = states_[i];
      const OptimizerSlots wanted = state.weight->overwritten() ? OptimizerSlots() : slots(*state.weight);
      groups = std::max(groups, wanted.size());
      if (group >= wanted.size()) continue;
      for (const OptimizerSlot& slot : wanted[group]) {
        const std::size_t index = taken[i]++;
        if (!is_new[i]) {
          variables_.push_back(state.slots.at(index));
          continue;
        }
        const Type type = slot.type.value_or(state.weight->type());
        state.slots.push_back(add(*state.weight, slot.name, type,
                                  slot.copies_weight ? state.weight->value() : filled(type, slot.initial)));
      }
    }
  if (const auto start = shared()) {
    const Type type{states_.empty() ? DType::float32 : states_.front().weight->type().dtype, {}};
    if (shared_) variables_.push_back(shared_);
    else shared_ = add_variable("shared", type, filled(type, *start));
  }
  built_ = true;
}

std::vector<std::int64_t> SlotOptimizer::joined() const {
  std::vector<std::int64_t> all;
  for (const State& state : states_) all.push_back(state.joined);
  return all;
}

void SlotOptimizer::set_joined(const std::vector<std::int64_t>& updates) {
  need(updates.size() == states_.size(), "the optimizer has {} variables, got {} numbers of updates", states_.size(), updates.size());
  for (std::size_t i = 0; i < states_.size(); ++i) states_[i].joined = updates[i];
}

std::int64_t SlotOptimizer::updates() const { return iterations() / options_.gradient_accumulation_steps.value_or(1); }

std::int64_t SlotOptimizer::iterations() const { return static_cast<std::int64_t>(iteration_->value().item()); }

double SlotOptimizer::learning_rate() const {
  return scheduled() ? learning_rate_.schedule->at(iterations()) : rate_->value().item();
}

void SlotOptimizer::set_learning_rate(double rate) {
  if (scheduled())
    throw Error("the learning rate of optimizer '{}' comes from a schedule and cannot be set", name())
        .hint("give the optimizer a number as its learning_rate")
        .usage();
  rate_->assign(Tensor::scalar(static_cast<float>(rate)));
}

Value SlotOptimizer::scale_loss(Value loss) const {
  return options_.loss_scale_factor ? loss * *options_.loss_scale_factor : loss;
}

Value SlotOptimizer::learning_rate_in(Graph& graph) const {
  if (!scheduled()) return graph.variable(rate_);
  return (*learning_rate_.schedule)(ops::cast(graph.variable(iteration_), DType::float32));
}

bool SlotOptimizer::decays(const Variable& variable) const {
  const std::string_view path = variable.path(), name = path.substr(path.rfind('/') + 1);
  return std::ranges::none_of(no_decay_, [&](const NamePattern& pattern) { return pattern.found_in(name); });
}

void SlotOptimizer::clip(std::vector<Value>& gradients) const {
  const auto squared_norm = [](Value gradient) { return ops::sum(ops::square(gradient)); };
  if (options_.clipnorm) {
    for (Value& gradient : gradients)
      gradient = clip_to_norm(gradient, ops::sqrt(squared_norm(gradient)), *options_.clipnorm);
  } else if (options_.global_clipnorm) {
    Value sum;
    for (Value gradient : gradients) {
      const Value square = ops::cast(squared_norm(gradient), gradients.front().dtype());
      sum = sum ? sum + square : square;
    }
    for (Value& gradient : gradients)
      gradient = clip_to_norm(gradient, ops::cast(ops::sqrt(sum), gradient.dtype()), *options_.global_clipnorm);
  } else if (options_.clipvalue) {
    for (Value& gradient : gradients) gradient = ops::clip(gradient, -*options_.clipvalue, *options_.clipvalue);
  }
}

void SlotOptimizer::apply(Graph& graph, std::span<const Gradient> gradients) {
  ensure(built_, "an optimizer was applied before it was built");
  const Graph::Label label(graph, fmt::format("optimizer '{}'", name()));
  const Value steps = graph.variable(iteration_);
  graph.update(iteration_, steps + graph.scalar(1, DType::int64));

  // With accumulation, only every n-th step is an update: the others leave everything as it was.
  const double accumulated = static_cast<double>(options_.gradient_accumulation_steps.value_or(1));
  const Value step = ops::cast(steps, DType::float32);
  const Value updates = accumulated > 1 ? ops::floor(step / accumulated) : step;  // before this one
  Value is_update;
  if (accumulated > 1) is_update = ops::equal(ops::modulo(step + 1.0, graph.scalar(accumulated)), graph.scalar(0));
  const auto write = [&](const VariableRef& variable, Value value) {
    graph.update(variable, is_update ? ops::select(is_update, value, graph.latest(variable)) : value);
  };

  std::vector<State*> states;
  std::vector<double> multipliers;
  std::vector<Value> values;
  for (const Gradient& gradient : gradients) {
    if (!gradient.value) continue;
    State& state = state_of(gradient.variable);
    Value value = ops::cast(gradient.value, gradient.variable->type().dtype);
    if (gradient.variable->overwritten()) {
      if (is_update) {  // the largest that there was
        value = ops::maximum(graph.variable(state.accumulator), value);
        graph.update(state.accumulator, ops::select(is_update, ops::scalar_like(value, 0), value));
      }
      write(gradient.variable, value);
      continue;
    }
    if (options_.loss_scale_factor) value = value / *options_.loss_scale_factor;
    if (is_update) {
      const Value sum = graph.variable(state.accumulator) + value;
      graph.update(state.accumulator, ops::select(is_update, ops::scalar_like(sum, 0), sum));
      value = sum / accumulated;
    }
    states.push_back(&state);
    multipliers.push_back(gradient.multiplier);
    values.push_back(value);
  }
  clip(values);

  const Value rate = learning_rate_in(graph);
  for (std::size_t i = 0; i < states.size(); ++i) {
    const State& state = *states[i];
    const DType dtype = state.weight->type().dtype;
    UpdateStep update_step(graph, *state.weight, state.slots, shared_);
    update_step.weight = graph.latest(state.weight);
    update_step.gradient = values[i];
    update_step.learning_rate = ops::cast(multipliers[i] == 1 ? rate : rate * multipliers[i], dtype);
    update_step.scheduled = scheduled();
    update_step.late = state.joined > 0;
    update_step.iteration = ops::cast(state.joined == 0 ? updates : updates - static_cast<double>(state.joined), dtype) + 1.0;
    if (const auto decay = weight_decay(*state.weight); decay && decays(*state.weight))
      update_step.weight = update_step.weight - update_step.weight * (update_step.learning_rate * *decay);
    write(state.weight, update(update_step));
    for (const auto& [variable, value] : update_step.writes()) write(variable, value);
  }
  if (options_.use_ema) average(graph, updates);
}

void SlotOptimizer::average(Graph& graph, Value updates) const {
  for (const State& state : states_) {
    if (!state.average) continue;
    const DType dtype = state.weight->type().dtype;
    const Value weight = graph.latest(state.weight);
    // The first average is the weight itself.
    const Value momentum = ops::select(ops::equal(updates, graph.scalar(0)), graph.scalar(0, dtype),
                                       graph.scalar(options_.ema_momentum, dtype));
    const Value average = momentum * graph.variable(state.average) + (1.0 - momentum) * weight;
    graph.update(state.average, average);
    if (options_.ema_overwrite_frequency) {
      const Value frequency = graph.scalar(static_cast<double>(*options_.ema_overwrite_frequency));
      graph.update(state.weight,
                   ops::select(ops::equal(ops::modulo(updates + 1.0, frequency), graph.scalar(0)), average, weight));
    }
  }
}

void SlotOptimizer::show_averages(bool shown) {
  if (!options_.use_ema || shown == averages_shown_ || iterations() == 0) return;
  averages_shown_ = shown;
  for (State& state : states_) {
    if (!state.average) continue;
    const Tensor weight = state.weight->value();
    state.weight->assign(state.average->value());
    state.average->assign(weight);
  }
}

void SlotOptimizer::finalize() {
  if (!options_.use_ema || iterations() == 0) return;
  for (State& state : states_) {
    if (!state.average) continue;
    if (averages_shown_) state.average->assign(state.weight->value());
    else state.weight->assign(state.average->value());
  }
  averages_shown_ = false;
}

SlotOptimizer::State& SlotOptimizer::state_of(const VariableRef& weight) {
  const auto found = std::ranges::find(states_, weight, &State::weight);
  ensure(found != states_.end(), "the optimizer was not built for variable '{}'", weight->path());
  return *found;
}

}  // namespace nacre
