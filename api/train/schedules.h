// Learning rates that change with the step.
#pragma once

#include "backend/graph/graph.h"
#include "formats/config.h"

namespace nacre {

// A function of the number of updates so far; float32 inside graphs, as in Keras.
class LearningRateSchedule : public Configurable<LearningRateSchedule> {
 public:
  virtual Value operator()(Value step) const = 0;  // step: a float scalar; the rate has its dtype
  double at(std::int64_t step) const;              // the same formula, on the host
  // Fills in numbers of steps that were written as shares of a training, or as auto; the schedule then begins at the first
  // step of that training. fit calls it with its own steps. Whether rates have changed: graphs made before are stale then.
  virtual bool plan(std::int64_t /*steps*/, std::int64_t /*first*/) { return false; }
};
template <>
Registry<LearningRateSchedule>& registry<LearningRateSchedule>();

Value steps_since(std::int64_t first, Value step);

// A schedule made of a config whose operator() is its formula, and whose plan(steps), where it has one, fills in steps and
// says whether there were any to fill in.
template <Described Config_>
class ScheduleOf final : public Configured<LearningRateSchedule, Config_> {
 public:
  explicit ScheduleOf(Config_ config = {}) : Configured<LearningRateSchedule, Config_>(std::move(config)) {
    if constexpr (requires { this->config_.check(); }) this->config_.check();
  }
  Value operator()(Value step) const override {
    if (!planned_) return this->config_(step);
    return planned_->config(steps_since(planned_->first, step));
  }
  bool plan(std::int64_t steps, std::int64_t first) override {
    if constexpr (requires { this->config_.plan(steps); }) {
      Planned planned{this->config_, steps, first};
      if (!planned.config.plan(steps)) return false;
      const bool changes = !planned_ || planned_->steps != steps || planned_->first != first;
      planned_ = std::move(planned);
      return changes;
    } else {
      return false;
    }
  }
  // Keras is told numbers.
  Tree config_tree(Style style) const override {
    return planned_ && style == Style::keras ? write_config(planned_->config, style) : Configured<LearningRateSchedule, Config_>::config_tree(style);
  }

 private:
  struct Planned {
    Config_ config;
    std::int64_t steps, first;
  };
  std::optional<Planned> planned_;
};

// A number of steps; or a share of all steps of the training (5%), or what they leave (auto). Outside of fit, which knows
// them, a training has 10000 steps.
struct StepCount {
  std::optional<std::int64_t> steps{};
  std::optional<double> share{};  // neither: auto
  StepCount() = default;
  StepCount(std::int64_t count) : steps(count) {}
  static StepCount of_share(double share) { return StepCount({}, share); }

  std::int64_t of(std::int64_t all, std::int64_t others = 0) const;
  static constexpr std::int64_t usual_steps = 10'000;

 private:
  StepCount(std::optional<std::int64_t> count, std::optional<double> part) : steps(count), share(part) {}
};
template <>
struct FieldKind<StepCount> {
  static void read(const Tree& tree, StepCount& value);
  static Tree write(const StepCount& value, Style style);
  static Tree schema();
};

// What an optimizer's `learning_rate` holds: a number or a schedule.
struct LearningRate {
  double rate = 0.001;
  Ref<LearningRateSchedule> schedule{};  // when set, instead of `rate`
  LearningRate() = default;
  LearningRate(double rate_) : rate(rate_) {}
  template <class Config>
  LearningRate(ScheduleOf<Config> schedule_) : schedule(std::make_shared<ScheduleOf<Config>>(std::move(schedule_))) {}
};
template <>
struct FieldKind<LearningRate> {
  static void read(const Tree& tree, LearningRate& value);
  static Tree write(const LearningRate& value, Style style);
  static Tree schema();
};

namespace schedules {

struct ExponentialDecayConfig {
  static constexpr std::string_view class_name = "ExponentialDecay";
  static constexpr std::string_view doc = "initial · decay_rate^(step / decay_steps)";
  double initial_learning_rate = 0;
  std::int64_t decay_steps = 1;
  double decay_rate = 1;
  bool staircase = false;
  std::string name = "ExponentialDecay";
  static void describe(auto&& field) {
    field("initial_learning_rate", &ExponentialDecayConfig::initial_learning_rate, "rate of the first step",
          required());
    field("decay_steps", &ExponentialDecayConfig::decay_steps, "steps of one decay", required(), at_least(1));
    field("decay_rate", &ExponentialDecayConfig::decay_rate, "factor of one decay", required());
    field("staircase", &ExponentialDecayConfig::staircase, "decay in whole steps");
    field("name", &ExponentialDecayConfig::name, "shown in messages");
  }
  Value operator()(Value step) const;
};

struct InverseTimeDecayConfig {
  static constexpr std::string_view class_name = "InverseTimeDecay";
  static constexpr std::string_view doc = "initial / (1 + decay_rate · step / decay_steps)";
  double initial_learning_rate = 0;
  std::int64_t decay_steps = 1;
  double decay_rate = 1;
  bool staircase = false;
  std::string name = "InverseTimeDecay";
  static void describe(auto&& field) {
    field("initial_learning_rate", &InverseTimeDecayConfig::initial_learning_rate, "rate of the first step",
          required());
    field("decay_steps", &InverseTimeDecayConfig::decay_steps, "steps of one decay", required(), at_least(1));
    field("decay_rate", &InverseTimeDecayConfig::decay_rate, "strength of one decay", required());
    field("staircase", &InverseTimeDecayConfig::staircase, "decay in whole steps");
    field("name", &InverseTimeDecayConfig::name, "shown in messages");
  }
  Value operator()(Value step) const;
};

struct PolynomialDecayConfig {
  static constexpr std::string_view class_name = "PolynomialDecay";
  static constexpr std::string_view doc = "(initial - end) · (1 - step / decay_steps)^power + end";
  double initial_learning_rate = 0;
  StepCount decay_steps{};
  double end_learning_rate = 0.0001, power = 1;
  bool cycle = false;
  std::string name = "PolynomialDecay";
  static void describe(auto&& field) {
    field("initial_learning_rate", &PolynomialDecayConfig::initial_learning_rate, "rate of the first step", required());
    field("decay_steps", &PolynomialDecayConfig::decay_steps,
          "steps until the end: a number, a share of the training (50%), or auto: all of it", at_least(1));
    field("end_learning_rate", &PolynomialDecayConfig::end_learning_rate, "rate at the end");
    field("power", &PolynomialDecayConfig::power, "1: linear");
    field("cycle", &PolynomialDecayConfig::cycle, "start again, with a longer decay, after the end");
    field("name", &PolynomialDecayConfig::name, "shown in messages");
  }
  bool plan(std::int64_t all);
  Value operator()(Value step) const;
};

struct PiecewiseConstantDecayConfig {
  static constexpr std::string_view class_name = "PiecewiseConstantDecay";
  static constexpr std::string_view doc = "values[i] up to and including step boundaries[i]";
  std::vector<double> boundaries{}, values{};
  std::string name = "PiecewiseConstant";
  static void describe(auto&& field) {
    field("boundaries", &PiecewiseConstantDecayConfig::boundaries, "steps, growing", required());
    field("values", &PiecewiseConstantDecayConfig::values, "rates, one more than boundaries", required());
    field("name", &PiecewiseConstantDecayConfig::name, "shown in messages");
  }
  void check() const;
  Value operator()(Value step) const;
};

// Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017).
struct CosineDecayConfig {
  static constexpr std::string_view class_name = "CosineDecay";
  static constexpr std::string_view doc =
      "Half a cosine from the initial rate, or from warmup_target after a linear warm-up, to alpha times it.";
  double initial_learning_rate = 0;
  StepCount decay_steps{};
  double alpha = 0;
  std::string name = "CosineDecay";
  std::optional<double> warmup_target{};
  StepCount warmup_steps = 0;
  static void describe(auto&& field) {
    field("initial_learning_rate", &CosineDecayConfig::initial_learning_rate, "rate of the first step", required());
    field("decay_steps", &CosineDecayConfig::decay_steps,
          "steps of the decay: a number, a share of the training (50%), or auto: all after the warm-up", at_least(1));
    field("alpha", &CosineDecayConfig::alpha, "rate at the end, as a fraction");
    field("name", &CosineDecayConfig::name, "shown in messages");
    field("warmup_target", &CosineDecayConfig::warmup_target, "rate at the end of the warm-up; null: no warm-up");
    field("warmup_steps", &CosineDecayConfig::warmup_steps,
          "steps of the warm-up: a number, or a share of the training (5%)", at_least(0));
  }
  bool plan(std::int64_t all);
  Value operator()(Value step) const;
};

// Source: as CosineDecay.
struct CosineDecayRestartsConfig {
  static constexpr std::string_view class_name = "CosineDecayRestarts";
  static constexpr std::string_view doc =
      "Cosine decays one after the other, each t_mul times as long and m_mul times as high.";
  double initial_learning_rate = 0;
  std::int64_t first_decay_steps = 1;
  double t_mul = 2, m_mul = 1, alpha = 0;
  std::string name = "SGDRDecay";
  static void describe(auto&& field) {
    field("initial_learning_rate", &CosineDecayRestartsConfig::initial_learning_rate, "rate of the first step",
          required());
    field("first_decay_steps", &CosineDecayRestartsConfig::first_decay_steps, "steps of the first decay", required(),
          at_least(1));
    field("t_mul", &CosineDecayRestartsConfig::t_mul, "factor of the length", at_least(1));
    field("m_mul", &CosineDecayRestartsConfig::m_mul, "factor of the height");
    field("alpha", &CosineDecayRestartsConfig::alpha, "lowest rate, as a fraction");
    field("name", &CosineDecayRestartsConfig::name, "shown in messages");
  }
  Value operator()(Value step) const;
};

using ExponentialDecay = ScheduleOf<ExponentialDecayConfig>;
using InverseTimeDecay = ScheduleOf<InverseTimeDecayConfig>;
using PolynomialDecay = ScheduleOf<PolynomialDecayConfig>;
using PiecewiseConstantDecay = ScheduleOf<PiecewiseConstantDecayConfig>;
using CosineDecay = ScheduleOf<CosineDecayConfig>;
using CosineDecayRestarts = ScheduleOf<CosineDecayRestartsConfig>;

}  // namespace schedules

}  // namespace nacre
