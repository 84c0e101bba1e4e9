#include "api/train/schedules.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "backend/graph/ops/ops.h"
#include "backend/interpret.h"

namespace nacre {

double LearningRateSchedule::at(std::int64_t step) const {
  Graph graph;
  graph.output("rate", (*this)(graph.scalar(static_cast<double>(step))));
  return interpret(graph, {}, reference_backend()).front().item();
}

Value steps_since(std::int64_t first, Value step) { return first == 0 ? step : step - static_cast<double>(first); }

void FieldKind<LearningRate>::read(const Tree& tree, LearningRate& value) {
  value = LearningRate();
  if (tree.is_number()) value.rate = tree.as_number();
  else value.schedule = Ref<LearningRateSchedule>(read_object<LearningRateSchedule>(tree));
}
Tree FieldKind<LearningRate>::write(const LearningRate& value, Style style) {
  return value.schedule ? write_object(*value.schedule, style) : Tree(value.rate);
}
Tree FieldKind<LearningRate>::schema() {
  Tree schema;
  schema.set("anyOf",
             Tree::Sequence{schema_type("number"), definition_reference(registry<LearningRateSchedule>().kind())});
  return schema;
}

std::int64_t StepCount::of(std::int64_t all, std::int64_t others) const {
  if (steps) return *steps;
  if (share) return std::llround(*share * static_cast<double>(all));
  return std::max<std::int64_t>(all - others, 1);
}

void FieldKind<StepCount>::read(const Tree& tree, StepCount& value) {
  if (tree.is_number()) {
    if (tree.as_integer() < 0) throw Error("wanted a number of steps, got {}", tree.text()).at(tree.mark()).usage();
    value = tree.as_integer();
    return;
  }
  if (tree.is_null() || tree == Tree("auto")) {
    value = {};
    return;
  }
  const std::string& text = tree.as_string();
  double percent = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), percent);
  if (failure != std::errc() || std::string_view(end) != "%" || !(percent >= 0 && percent <= 100))
    throw Error("wanted a number of steps, a share of the training (5%) or auto, got {}", tree.text()).at(tree.mark()).usage();
  value = StepCount::of_share(percent / 100);
}

Tree FieldKind<StepCount>::write(const StepCount& value, Style style) {
  if (value.steps) return *value.steps;
  if (style == Style::keras) return value.of(StepCount::usual_steps);
  return value.share ? Tree(fmt::format("{}%", *value.share * 100)) : Tree("auto");
}

Tree FieldKind<StepCount>::schema() {
  Tree schema;
  schema.set("anyOf", Tree::Sequence{schema_type("integer"), schema_type("string")});
  return schema;
}

namespace schedules {

namespace {

Value passed(Value step, std::int64_t decay_steps, bool staircase) {
  const Value decays = step / static_cast<double>(decay_steps);
  return staircase ? ops::floor(decays) : decays;
}

Value power(double base, Value exponent) { return ops::power(ops::scalar_like(exponent, base), exponent); }

// From 1 at fraction 0 to 0 at fraction 1.
Value half_cosine(Value fraction) { return 0.5 * (1.0 + ops::cos(std::numbers::pi * fraction)); }

}  // namespace

Value ExponentialDecayConfig::operator()(Value step) const {
  return initial_learning_rate * power(decay_rate, passed(step, decay_steps, staircase));
}

Value InverseTimeDecayConfig::operator()(Value step) const {
  return initial_learning_rate / (1.0 + decay_rate * passed(step, decay_steps, staircase));
}

bool PolynomialDecayConfig::plan(std::int64_t all) {
  if (decay_steps.steps) return false;
  decay_steps = std::max<std::int64_t>(decay_steps.of(all), 1);
  return true;
}

Value PolynomialDecayConfig::operator()(Value step) const {
  Value steps = ops::scalar_like(step, static_cast<double>(decay_steps.of(StepCount::usual_steps)));
  if (cycle) steps = steps * ops::maximum(ops::ceil(step / steps), ops::scalar_like(step, 1));
  else step = ops::minimum(step, steps);
  const Value left = 1.0 - step / steps;
  return (initial_learning_rate - end_learning_rate) * ops::power(left, ops::scalar_like(left, power)) +
         end_learning_rate;
}

void PiecewiseConstantDecayConfig::check() const {
  if (values.size() != boundaries.size() + 1)
    throw Error("{} boundaries want {} values, got {}", boundaries.size(), boundaries.size() + 1, values.size())
        .usage();
  if (!std::is_sorted(boundaries.begin(), boundaries.end())) throw Error("the boundaries must grow").usage();
}

Value PiecewiseConstantDecayConfig::operator()(Value step) const {
  Value rate = ops::scalar_like(step, values.back());
  for (std::size_t i = boundaries.size(); i-- > 0;)
    rate = ops::select(ops::less_equal(step, ops::scalar_like(step, boundaries[i])), ops::scalar_like(step, values[i]),
                       rate);
  return rate;
}

bool CosineDecayConfig::plan(std::int64_t all) {
  if (warmup_steps.steps && decay_steps.steps) return false;
  warmup_steps = warmup_steps.of(all);
  decay_steps = std::max<std::int64_t>(decay_steps.of(all, warmup_target ? *warmup_steps.steps : 0), 1);
  return true;
}

Value CosineDecayConfig::operator()(Value step) const {
  CosineDecayConfig planned = *this;
  planned.plan(StepCount::usual_steps);
  const double warmup = warmup_target ? static_cast<double>(*planned.warmup_steps.steps) : 0,
               start = warmup_target.value_or(initial_learning_rate);
  const double steps = static_cast<double>(*planned.decay_steps.steps);
  step = ops::minimum(step, ops::scalar_like(step, steps + warmup));
  const Value decayed = start * ((1 - alpha) * half_cosine((step - warmup) / steps) + alpha);
  if (warmup == 0) return decayed;
  const Value warming = (start - initial_learning_rate) * (step / warmup) + initial_learning_rate;
  return ops::select(ops::less(step, ops::scalar_like(step, warmup)), warming, decayed);
}

Value CosineDecayRestartsConfig::operator()(Value step) const {
  const Value passed_decays = step / static_cast<double>(first_decay_steps);
  Value restarts, fraction;
  if (t_mul == 1) {
    restarts = ops::floor(passed_decays);
    fraction = passed_decays - restarts;
  } else {
    // The decays before restart i last (1 - t_mul^i) / (1 - t_mul) first ones together.
    restarts = ops::floor(ops::log(1.0 - passed_decays * (1 - t_mul)) / std::log(t_mul));
    const Value length = schedules::power(t_mul, restarts);
    fraction = (passed_decays - (1.0 - length) / (1 - t_mul)) / length;
  }
  return initial_learning_rate * ((1 - alpha) * (schedules::power(m_mul, restarts) * half_cosine(fraction)) + alpha);
}

}  // namespace schedules

template <>
Registry<LearningRateSchedule>& registry<LearningRateSchedule>() {
  using namespace schedules;
  // clang-format off
  static Registry<LearningRateSchedule> schedules("learning rate schedule", {
      class_info<LearningRateSchedule, ExponentialDecay>("keras.optimizers.schedules"),
      class_info<LearningRateSchedule, InverseTimeDecay>("keras.optimizers.schedules"),
      class_info<LearningRateSchedule, PolynomialDecay>("keras.optimizers.schedules"),
      class_info<LearningRateSchedule, PiecewiseConstantDecay>("keras.optimizers.schedules"),
      class_info<LearningRateSchedule, CosineDecay>("keras.optimizers.schedules"),
      class_info<LearningRateSchedule, CosineDecayRestarts>("keras.optimizers.schedules"),
  });
  // clang-format on
  return schedules;
}

}  // namespace nacre
