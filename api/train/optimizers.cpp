#include "api/train/optimizers.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "api/train/name_pattern.h"
#include "backend/graph/ops/ops.h"

namespace nacre {

namespace optimizers {

namespace {

// momentum · old + (1 - momentum) · present, in the form that Keras computes.
Value moving_mean(Value old, Value present, double momentum) { return old + (present - old) * (1 - momentum); }

// 1 - beta^t: what a moving mean that started at zero lacks after t updates.
Value bias_correction(double beta, Value t) { return 1.0 - ops::power(ops::scalar_like(t, beta), t); }

OptimizerSlots adam_slots(bool amsgrad) {
  OptimizerSlots slots{{{.name = "momentum"}, {.name = "velocity"}}};
  if (amsgrad) slots.push_back({{.name = "velocity_hat"}});
  return slots;
}

Value adam(UpdateStep& step, double beta_1, double beta_2, double epsilon, bool amsgrad) {
  const Value mean = step.set_slot(0, moving_mean(step.slot(0), step.gradient, beta_1));
  Value square = step.set_slot(1, moving_mean(step.slot(1), ops::square(step.gradient), beta_2));
  if (amsgrad) square = step.set_slot(2, ops::maximum(step.slot(2), square));
  const Value rate =
      step.learning_rate * ops::sqrt(bias_correction(beta_2, step.iteration)) / bias_correction(beta_1, step.iteration);
  return step.weight - mean * rate / (ops::sqrt(square) + epsilon);
}

// The product of beta · (1 - 0.96^i / 2) for i = 1, …, t, a float32 scalar. Of the factors in brackets those after the 512th
// are 1 in float32.
Value momentum_product(Graph& graph, double beta, Value t) {
  constexpr std::int64_t last = 512;
  Tensor products(DType::float32, {last + 1});
  double so_far = 1;
  std::int64_t i = 0;
  for (float& product : products.writable<float>()) {
    product = static_cast<float>(so_far);
    so_far *= 1 - 0.5 * std::pow(0.96, static_cast<double>(++i));
  }
  const Value place = ops::cast(ops::minimum(t, ops::scalar_like(t, static_cast<double>(last))), DType::int32);
  return ops::power(ops::scalar_like(t, beta), t) * ops::gather(graph.constant(std::move(products)), place);
}

}  // namespace

OptimizerSlots SGDConfig::slots(const Variable&) const {
  return momentum != 0 ? OptimizerSlots{{{.name = "momentum"}}} : OptimizerSlots{};
}
Value SGDConfig::operator()(UpdateStep& step) const {
  const Value descent = step.gradient * step.learning_rate;
  if (momentum == 0) return step.weight - descent;
  const Value velocity = step.set_slot(0, step.slot(0) * momentum - descent);
  return step.weight + (nesterov ? velocity * momentum - descent : velocity);
}

OptimizerSlots RMSpropConfig::slots(const Variable&) const {
  OptimizerSlots slots{{{.name = "velocity"}}};
  if (momentum > 0) slots.push_back({{.name = "momentum"}});
  if (centered) slots.push_back({{.name = "average_gradient"}});
  return slots;
}
Value RMSpropConfig::operator()(UpdateStep& step) const {
  const Value square = step.set_slot(0, rho * step.slot(0) + (1 - rho) * ops::square(step.gradient));
  Value variance = square;
  if (centered) {
    const std::size_t slot = momentum > 0 ? 2 : 1;
    variance = square - ops::square(step.set_slot(slot, rho * step.slot(slot) + (1 - rho) * step.gradient));
  }
  const Value descent = step.learning_rate * step.gradient / ops::sqrt(variance + epsilon);
  if (momentum <= 0) return step.weight - descent;
  return step.weight - step.set_slot(1, momentum * step.slot(1) + descent);
}

OptimizerSlots AdamConfig::slots(const Variable&) const { return adam_slots(amsgrad); }
Value AdamConfig::operator()(UpdateStep& step) const { return adam(step, beta_1, beta_2, epsilon, amsgrad); }

OptimizerSlots AdamWConfig::slots(const Variable&) const { return adam_slots(amsgrad); }
Value AdamWConfig::operator()(UpdateStep& step) const { return adam(step, beta_1, beta_2, epsilon, amsgrad); }
void AdamWConfig::check() const {
  if (!weight_decay) throw Error("AdamW wants a weight_decay").hint("Adam works without").usage();
}

OptimizerSlots AdagradConfig::slots(const Variable&) const {
  return {{{.name = "accumulator", .initial = initial_accumulator_value}}};
}
Value AdagradConfig::operator()(UpdateStep& step) const {
  const Value sum = step.set_slot(0, step.slot(0) + ops::square(step.gradient));
  return step.weight - step.learning_rate * step.gradient / ops::sqrt(sum + epsilon);
}

OptimizerSlots AdadeltaConfig::slots(const Variable&) const {
  return {{{.name = "accumulated_grad"}, {.name = "accumulated_delta_var"}}};
}
Value AdadeltaConfig::operator()(UpdateStep& step) const {
  const auto root = [&](Value square) { return ops::sqrt(square + epsilon); };
  const Value gradients = step.set_slot(0, rho * step.slot(0) + (1 - rho) * ops::square(step.gradient));
  const Value change = -(root(step.slot(1)) * step.gradient / root(gradients));
  step.set_slot(1, rho * step.slot(1) + (1 - rho) * ops::square(change));
  return step.weight + step.learning_rate * change;
}

OptimizerSlots AdamaxConfig::slots(const Variable&) const { return {{{.name = "momentum"}, {.name = "norm"}}}; }
Value AdamaxConfig::operator()(UpdateStep& step) const {
  const Value mean = step.set_slot(0, moving_mean(step.slot(0), step.gradient, beta_1));
  const Value norm = step.set_slot(1, ops::maximum(beta_2 * step.slot(1), ops::abs(step.gradient)));
  return step.weight - step.learning_rate * mean / (bias_correction(beta_1, step.iteration) * (norm + epsilon));
}

OptimizerSlots NadamConfig::slots(const Variable&) const { return adam_slots(false); }
Value NadamConfig::operator()(UpdateStep& step) const {
  const auto schedule = [&](Value t) { return beta_1 * (1.0 - 0.5 * ops::power(ops::scalar_like(t, 0.96), t)); };
  const Value now = schedule(step.iteration), next = schedule(step.iteration + 1.0);
  Value so_far;  // the product of the schedule
  if (step.late) {
    so_far = momentum_product(step.graph(), beta_1, ops::cast(step.iteration, DType::float32));
  } else {
    so_far = step.shared() * ops::cast(now, step.shared().dtype());
    step.set_shared(so_far);
  }
  so_far = ops::cast(so_far, step.weight.dtype());
  const Value mean = step.set_slot(0, moving_mean(step.slot(0), step.gradient, beta_1));
  const Value square = step.set_slot(1, moving_mean(step.slot(1), ops::square(step.gradient), beta_2));
  const Value ahead = next * mean / (1.0 - so_far * next) + (1.0 - now) * step.gradient / (1.0 - so_far);
  return step.weight -
         ahead * step.learning_rate / (ops::sqrt(square / bias_correction(beta_2, step.iteration)) + epsilon);
}

OptimizerSlots FtrlConfig::slots(const Variable&) const {
  return {{{.name = "accumulator", .initial = initial_accumulator_value}, {.name = "linear"}}};
}
Value FtrlConfig::operator()(UpdateStep& step) const {
  const auto raised = [&](Value sum) { return ops::power(sum, ops::scalar_like(sum, -learning_rate_power)); };
  const Value sum = step.slot(0), new_sum = step.set_slot(0, sum + ops::square(step.gradient));
  const Value gradient = step.gradient + 2 * l2_shrinkage_regularization_strength * step.weight;
  const Value linear =
      step.set_slot(1, step.slot(1) + gradient - (raised(new_sum) - raised(sum)) / step.learning_rate * step.weight);
  const Value l2 = l2_regularization_strength + beta / (2.0 * step.learning_rate);
  const Value quadratic = raised(new_sum) / step.learning_rate + 2.0 * l2;
  return (ops::clip(linear, -l1_regularization_strength, l1_regularization_strength) - linear) / quadratic;
}

OptimizerSlots LionConfig::slots(const Variable&) const { return {{{.name = "momentum"}}}; }
Value LionConfig::operator()(UpdateStep& step) const {
  const Value mean = step.slot(0);
  step.set_slot(0, mean * beta_2 + step.gradient * (1 - beta_2));
  return step.weight - step.learning_rate * ops::sign(mean * beta_1 + step.gradient * (1 - beta_1));
}

OptimizerSlots LambConfig::slots(const Variable&) const { return adam_slots(false); }
Value LambConfig::operator()(UpdateStep& step) const {
  const Value mean = step.set_slot(0, moving_mean(step.slot(0), step.gradient, beta_1));
  const Value square = step.set_slot(1, moving_mean(step.slot(1), ops::square(step.gradient), beta_2));
  const Value change = mean / bias_correction(beta_1, step.iteration) /
                       (ops::sqrt(square / bias_correction(beta_2, step.iteration)) + epsilon);
  const auto norm = [](Value x) { return ops::sqrt(ops::sum(ops::square(x))); };
  const Value weight_norm = norm(step.weight), change_norm = norm(change);
  const Value zero = ops::scalar_like(change_norm, 0), one = ops::scalar_like(change_norm, 1);
  const Value both = ops::logical_and(ops::greater(weight_norm, zero), ops::greater(change_norm, zero));
  const Value trust = ops::select(both, weight_norm / ops::select(both, change_norm, one), one);
  return step.weight - trust * step.learning_rate * change;
}

OptimizerSlots AdafactorConfig::slots(const Variable& variable) const {
  const Shape& shape = variable.shape();
  if (shape.rank() < 2) {
    const OptimizerSlot none{.name = "unused", .type = Type{DType::int32, {}}};  // Keras keeps places for them
    return {{none, none, {.name = "velocity"}}};
  }
  const DType dtype = variable.type().dtype;
  const Shape rows = shape.first(shape.rank() - 1), columns = shape.first(shape.rank() - 2) + Shape{shape[-1]};
  return {{{.name = "rows", .type = Type{dtype, rows}},
           {.name = "columns", .type = Type{dtype, columns}},
           {.name = "velocity"}}};
}
Value AdafactorConfig::operator()(UpdateStep& step) const {
  const auto root_mean_square = [](Value x) { return ops::sqrt(ops::mean(ops::square(x))); };
  const Value inverse_root = ops::rsqrt(step.iteration);
  const Value rate =
      relative_step && !step.scheduled ? ops::minimum(step.learning_rate, inverse_root) : step.learning_rate;
  const Value size = ops::maximum(root_mean_square(step.weight), ops::scalar_like(step.weight, epsilon_2));
  const Value momentum = 1.0 - ops::power(step.iteration, ops::scalar_like(step.iteration, beta_2_decay));
  const Value square = ops::square(step.gradient) + epsilon_1;
  const auto moved = [&](Value old, Value present) { return momentum * old + (1.0 - momentum) * present; };
  Value velocity;
  if (step.weight.shape().rank() >= 2) {
    const Value rows = step.set_slot(0, moved(step.slot(0), ops::mean(square, {-1})));
    const Value columns = step.set_slot(1, moved(step.slot(1), ops::mean(square, {-2})));
    velocity = ops::expand_dims(rows / ops::mean(rows, {-1}, true), -1) * ops::expand_dims(columns, -2);
  } else {
    velocity = moved(step.slot(2), square);
  }
  const Value change = step.gradient / ops::sqrt(step.set_slot(2, velocity));
  const Value clipped = change / ops::maximum(root_mean_square(change) / clip_threshold, ops::scalar_like(change, 1));
  return step.weight - size * ops::minimum(rate, inverse_root) * clipped;
}

OptimizerSlots ScheduleFreeAdamWConfig::slots(const Variable&) const {
  return {{{.name = "momentum", .copies_weight = true}, {.name = "velocity"}}};
}
Value ScheduleFreeAdamWConfig::operator()(UpdateStep& step) const {
  Value rate = step.learning_rate;
  if (warmup_steps > 0) {
    const Value warmth = step.iteration / static_cast<double>(warmup_steps);
    rate = rate * ops::minimum(warmth, ops::scalar_like(warmth, 1));
  }
  const Value square = step.set_slot(1, moving_mean(step.slot(1), ops::square(step.gradient), beta_2));
  const Value root = ops::sqrt(square / bias_correction(beta_2, step.iteration)) + epsilon;
  const Value z = step.set_slot(0, step.slot(0) - rate * step.gradient / root);
  // The weight is y, between z and the average x, which is got back from it: with the new z, as Keras has it on
  // TensorFlow, where the paper has the old one.
  const Value old_x = (step.weight - (1 - beta_1) * z) / beta_1, share = ops::reciprocal(step.iteration);
  const Value x = (1.0 - share) * old_x + share * z;
  return (1 - beta_1) * z + beta_1 * x;
}

bool MuonConfig::uses_adam(const Variable& variable) const {
  std::string path = variable.path();
  if (variable.shape().rank() != 2) return true;
  if (std::ranges::any_of(exclude_layers,
                          [&](const std::string& pattern) { return NamePattern(pattern).found_in(path); }))
    return true;
  std::ranges::transform(path, path.begin(), [](unsigned char c) { return std::tolower(c); });
  return exclude_embeddings && path.find("embedding") != std::string::npos;
}
OptimizerSlots MuonConfig::slots(const Variable& variable) const {
  OptimizerSlots slots{{{.name = "momentum"}}};
  if (uses_adam(variable)) slots.front().push_back({.name = "velocity"});
  return slots;
}
std::optional<double> MuonConfig::weight_decay_of(const Variable& variable) const {
  return uses_adam(variable) ? adam_weight_decay : weight_decay;
}
// Five rounds of Newton and Schulz's iteration bring the singular values of a matrix near 1.
Value MuonConfig::orthogonalize(Value x) const {
  const auto transposed = [](Value m) {
    std::vector<std::int64_t> axes;
    for (int i = 0; i < m.shape().rank(); ++i) axes.push_back(i);
    std::swap(axes[axes.size() - 1], axes[axes.size() - 2]);
    return ops::transpose(m, axes);
  };
  const bool tall = x.shape()[-2] > x.shape()[-1];
  if (tall) x = transposed(x);
  x = x / (ops::sqrt(ops::sum(ops::square(x), {-2, -1}, true)) + 1e-7);
  for (std::int64_t i = 0; i < ns_steps; ++i) {
    const Value a = ops::matmul(x, x, false, true);
    x = muon_a * x + ops::matmul(muon_b * a + ops::matmul(muon_c * a, a), x);
  }
  return tall ? transposed(x) : x;
}
Value MuonConfig::operator()(UpdateStep& step) const {
  if (uses_adam(step.variable())) {
    step.learning_rate = step.learning_rate * adam_lr_ratio;
    return adam(step, adam_beta_1, adam_beta_2, epsilon, false);
  }
  const Value mean = step.set_slot(0, step.slot(0) * momentum + step.gradient);
  Value change = step.learning_rate * orthogonalize(nesterov ? step.gradient + momentum * mean : mean);
  if (rms_rate) {
    const Shape& shape = step.weight.shape();
    change = change * (std::sqrt(static_cast<double>(std::max(shape[0], shape[1]))) * *rms_rate);
  }
  return step.weight - change;
}

}  // namespace optimizers

namespace {
constexpr std::string_view module = "keras.optimizers";

template <class Class>
ClassInfo<Optimizer> info(std::vector<std::string_view> aliases = {}) {
  return class_info_with<Optimizer, Class, OptimizerOptions>(module, std::move(aliases));
}
}  // namespace

template <>
Registry<Optimizer>& registry<Optimizer>() {
  using namespace optimizers;
  // clang-format off
  static Registry<Optimizer> optimizers("optimizer", {
      info<SGD>(),
      info<RMSprop>({"rmsprop"}),
      info<Adam>(),
      info<AdamW>({"adamw"}),
      info<Adagrad>(),
      info<Adadelta>(),
      info<Adamax>(),
      info<Nadam>(),
      info<Ftrl>(),
      info<Lion>(),
      info<Lamb>(),
      info<Adafactor>(),
      info<ScheduleFreeAdamW>({"schedulefreeadamw"}),
      info<Muon>(),
      class_info<Optimizer, LossScaleOptimizer>(module, {"lossscaleoptimizer"}),
      class_info<Optimizer, MultiOptimizer>(module, {"multioptimizer"}),
  });
  // clang-format on
  return optimizers;
}

}  // namespace nacre
