#include "scripting/functions/traced_function.h"

#include <algorithm>

#include "backend/graph/ops/bitwise.h"

namespace nacre::scripting {

namespace {

const Type whole{DType::int64, {}};
constexpr const char *seed_name = "seed", *step_name = "step";

Value constant(Graph& graph, std::uint64_t bits) {
  return graph.constant(Tensor::scalar(static_cast<std::int64_t>(bits)));
}

// Another seed for each step of a loop, also of one within another: Marsaglia's xorshift, "Xorshift RNGs" (2003).
Value seed_of_step(Value seed, Value iteration) {
  Graph& graph = seed.graph();
  const auto mixed = [&](Value x, Value (*shift)(Value, Value), std::uint64_t places) {
    return ops::bitwise_xor(x, shift(x, constant(graph, places)));
  };
  const Value number = ops::shift_left(iteration, constant(graph, 32));
  Value bits = ops::bitwise_xor(ops::bitwise_xor(seed, constant(graph, 0x2545F4914F6CDD1DU)), number);
  bits = mixed(bits, ops::shift_left, 13);
  bits = mixed(bits, ops::shift_right, 7);
  return mixed(bits, ops::shift_left, 17);
}

}  // namespace

// --- one function -------------------------------------------------------------------------------------------------

TracedFunction::TracedFunction(ComputingState& state)
    : state_(state),
      outer_(*state_.trace()),
      context_(outer_.context().part(graph_, outer_.context().seed() ? graph_.input(seed_name, whole) : Value(),
                                     outer_.context().step() ? graph_.input(step_name, whole) : Value())),
      scope_(context_, &outer_) {}

Object TracedFunction::open(const Type& type, Value mask) {
  opened_.push_back(fmt::format("opened {}", opened_.size()));
  return make_object(Traced{graph_.input(opened_.back(), type), mask, running_});
}

bool TracedFunction::random() const { return context_.seed() && context_.seed().uses() > 0; }

std::vector<Structure> TracedFunction::run(const Call& call, const Out& function, const std::vector<Out>& arguments,
                                           bool numbers) {
  const ComputingState::Tracing tracing(state_, scope_, running_);
  const int top = lua_gettop(call.lua()), first = call.invoke(function, arguments);
  std::vector<Structure> results;
  for (int i = first; i <= lua_gettop(call.lua()); ++i) {
    results.push_back(Structure::read(call, i));
    if (numbers) results.back() = results.back().with_tensors();
  }
  lua_settop(call.lua(), top);
  const auto known = std::make_shared<const bool>(true);  // to the caller, also when the trace has ended
  for (Structure& result : results) {
    std::vector<Object> values;
    result.each([&](const Object& tensor) {
      const Value value = traced_value(call, tensor);
      graph_.output(fmt::format("y{}", graph_.outputs().size()), value);
      masks_.push_back(traced_mask(call, tensor));
      values.push_back(make_object(Traced{value, {}, known}));
    });
    result = result.with(values);
  }
  if (random()) {
    taken_.emplace_back(seed_name, outer_.context().seed());
    taken_.emplace_back(step_name, outer_.context().step());
  }
  for (const auto& [input, outside] : scope_.imported())
    taken_.emplace_back(input.node().attrs<InputAttrs>().name, outside);
  for (const auto& [variable, value] : graph_.variables())
    variables_.emplace_back(variable, outer_.graph().latest(variable));
  return results;
}

void TracedFunction::output_masks() {
  for (std::size_t i = 0; i < masks_.size(); ++i)
    if (masks_[i]) graph_.output(fmt::format("mask {}", i), masks_[i]);
}

void TracedFunction::check_held() const {
  for (const Node* node : graph_.nodes())
    if (node->is(op::host))
      throw Error(
          "texts and tables are worked on outside of compiled graphs, so not where a function decides or repeats")
          .hint("call such layers before")
          .usage();
}

// --- several ------------------------------------------------------------------------------------------------------

namespace {

template <class T>
void add_once(std::vector<T>& all, const T& one) {
  if (std::ranges::find(all, one) == all.end()) all.push_back(one);
}

template <class T>
std::size_t place_of_one(const std::vector<T>& all, const T& one) {
  return static_cast<std::size_t>(std::ranges::find(all, one) - all.begin());
}

}  // namespace

void HeldFunctions::add(const TracedFunction& function) {
  function.check_held();
  function.outer().note_optimizers_of(function.scope());
  around_ = &function.outer().graph();
  random_ = random_ || function.random();
  for (const auto& [name, value] : function.taken()) add_once(values_, value);
  for (const auto& [variable, value] : function.variables()) add_once(read_, variable);
  for (const auto& [variable, value] : function.graph().updates()) add_once(changed_, variable);
}

bool HeldFunctions::is_changed(const VariableRef& variable) const {
  return std::ranges::find(changed_, variable) != changed_.end();
}

Values HeldFunctions::fixed() const {
  Values values = values_;
  for (const VariableRef& variable : read_)
    if (!is_changed(variable)) values.push_back(around_->latest(variable));
  return values;
}

Values HeldFunctions::changed() const {
  Values values;
  for (const VariableRef& variable : changed_) values.push_back(around_->latest(variable));
  return values;
}

HeldFunctions::Emitted HeldFunctions::emit(const TracedFunction& function, Graph& graph, const Values& opened,
                                           const Operands& operands) const {
  const Graph& traced = function.graph();
  Rewriter rewriter(traced, graph);
  for (const auto& [name, input] : traced.inputs()) {
    const std::size_t place = place_of_one(function.opened(), name);
    if (place < opened.size()) {
      rewriter.set(input, opened[place]);
      continue;
    }
    const auto taken = std::ranges::find(function.taken(), name, [](const auto& one) { return one.first; });
    if (taken == function.taken().end()) continue;  // nothing reads it
    const Value value = operands.fixed.at(place_of_one(values_, taken->second));
    rewriter.set(input, operands.iteration && name == seed_name ? seed_of_step(value, operands.iteration) : value);
  }
  std::size_t fixed = values_.size();
  for (const VariableRef& variable : read_) {
    const bool changes = is_changed(variable);
    const Value value = changes ? operands.changed.at(place_of_one(changed_, variable)) : operands.fixed.at(fixed++);
    const auto present = std::ranges::find(traced.variables(), variable, [](const auto& one) { return one.first; });
    if (present != traced.variables().end()) rewriter.set(present->second, value);
  }
  for (const Node* node : traced.nodes())
    if (!node->is(op::input)) rewriter.copy(*node);
  Emitted emitted;
  for (const auto& [name, value] : traced.outputs()) emitted.results.push_back(rewriter(value));
  emitted.masks = rewriter(function.masks());
  for (std::size_t i = 0; i < changed_.size(); ++i) {
    const auto update = std::ranges::find(traced.updates(), changed_[i], &Graph::Update::variable);
    emitted.changed.push_back(update == traced.updates().end() ? operands.changed[i] : rewriter(update->value));
  }
  return emitted;
}

}  // namespace nacre::scripting
