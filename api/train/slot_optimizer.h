// The optimizer that most are: a class gives the slots and the rule of one variable; everything around the rule (state,
// clipping, weight decay, averaging, accumulation) is here.
#pragma once

#include "api/train/name_pattern.h"
#include "api/train/optimizer.h"
#include "api/train/schedules.h"

namespace nacre {

// What every optimizer's config has besides its own fields, `learning_rate` and `weight_decay`.
struct OptimizerOptions {
  std::string name{};  // "" becomes the class's
  std::optional<double> clipnorm{}, global_clipnorm{}, clipvalue{};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency{};
  std::optional<double> loss_scale_factor{};
  std::optional<std::int64_t> gradient_accumulation_steps{};
  static void describe(auto&& field) {
    field("name", &OptimizerOptions::name, "prefix of its variables");
    field("clipnorm", &OptimizerOptions::clipnorm, "largest norm of one variable's gradient", above(0));
    field("global_clipnorm", &OptimizerOptions::global_clipnorm, "largest norm of all gradients together", above(0));
    field("clipvalue", &OptimizerOptions::clipvalue, "largest size of a gradient's element", above(0));
    field("use_ema", &OptimizerOptions::use_ema,
          "keep moving averages of the weights, which replace them when training ends");
    field("ema_momentum", &OptimizerOptions::ema_momentum, "of the averages", between(0, 1));
    field("ema_overwrite_frequency", &OptimizerOptions::ema_overwrite_frequency,
          "updates after which averages replace weights", at_least(1));
    field("loss_scale_factor", &OptimizerOptions::loss_scale_factor,
          "the loss is multiplied and gradients are divided by it", above(0));
    field("gradient_accumulation_steps", &OptimizerOptions::gradient_accumulation_steps,
          "batches whose gradients make one update", at_least(2));
  }
};

// A variable of the optimizer that goes with one of the model.
struct OptimizerSlot {
  std::string name;  // "momentum": the path becomes "adam/fc1_kernel_momentum"
  double initial = 0;
  bool copies_weight = false;  // starts as a copy of the weight instead
  std::optional<Type> type{};  // default: the weight's
};
// In Keras's order: all variables get their slots of the first group, then all theirs of the second, ….
using OptimizerSlots = std::vector<std::vector<OptimizerSlot>>;

// The update of one variable while it is being emitted. Values have the variable's dtype.
class UpdateStep {
 public:
  UpdateStep(Graph& graph, const Variable& variable, std::vector<VariableRef> slots, VariableRef shared)
      : graph_(graph), variable_(variable), slots_(std::move(slots)), shared_(std::move(shared)) {}

  Value weight, gradient;
  Value learning_rate;
  bool scheduled = false;  // the learning rate comes from a schedule
  Value iteration;         // of this update, counted from 1
  bool late = false;       // others learned before this variable did: what they share does not tell of its own updates

  const Variable& variable() const { return variable_; }
  Graph& graph() const { return graph_; }
  bool has_slot(std::size_t index) const { return index < slots_.size(); }
  const std::vector<VariableRef>& slots() const { return slots_; }
  Value slot(std::size_t index) const;             // before the update; counted through all groups
  Value set_slot(std::size_t index, Value value);  // returns the value
  Value shared() const;                            // the scalar that all updates share; see Optimizer::shared
  void set_shared(Value value);                    // every update that is not late sets it, to the same value

  // What was set: the optimizer writes it.
  const std::vector<std::pair<VariableRef, Value>>& writes() const { return writes_; }

 private:
  Graph& graph_;
  const Variable& variable_;
  std::vector<VariableRef> slots_;
  VariableRef shared_;
  std::vector<std::pair<VariableRef, Value>> writes_;
};

// The state lives in variables: the counter of steps, the learning rate (when no schedule gives it) and the slots.
// Not synchronised.
class SlotOptimizer : public Optimizer {
 public:
  SlotOptimizer(OptimizerOptions options, LearningRate learning_rate, std::optional<double> weight_decay);

  const std::string& name() const override { return options_.name; }
  const OptimizerOptions& options() const { return options_; }

  void build(const std::vector<VariableRef>& variables) override;
  bool built() const override { return built_; }
  void rebuild(const std::vector<VariableRef>& variables) override;
  std::vector<std::int64_t> joined() const override;
  void set_joined(const std::vector<std::int64_t>& updates) override;
  std::vector<VariableRef> variables() const override { return variables_; }

  // Steps taken so far, each a call of a compiled apply(); with accumulation several make one update.
  std::int64_t iterations() const override;
  double learning_rate() const override;
  void set_learning_rate(double rate) override;
  bool scheduled() const override { return bool(learning_rate_.schedule); }
  bool plan(std::int64_t steps, std::int64_t first) override { return scheduled() && learning_rate_.schedule->plan(steps, first); }
  // Variables in whose name ("kernel") one of these regular expressions is found do not decay.
  void exclude_from_weight_decay(const std::vector<std::string>& patterns) {
    no_decay_ = {patterns.begin(), patterns.end()};
  }

  void set_loss_scale_factor(std::optional<double> factor) override { options_.loss_scale_factor = factor; }
  Value scale_loss(Value loss) const override;  // times loss_scale_factor
  // Clipping, decay and the rule's own numbers are Keras's.
  void apply(Graph& graph, std::span<const Gradient> gradients) override;

  bool has_averages() const override { return options_.use_ema; }
  bool averages_shown() const override { return averages_shown_; }
  void show_averages(bool shown) override;
  void finalize() override;

 protected:
  virtual OptimizerSlots slots(const Variable& variable) const = 0;
  // The new value of the weight.
  virtual Value update(UpdateStep& step) const = 0;
  virtual std::optional<double> weight_decay(const Variable&) const { return weight_decay_; }
  // The start of a scalar that the updates of all variables share; none: there is no such variable.
  virtual std::optional<double> shared() const { return {}; }

  OptimizerOptions options_;
  LearningRate learning_rate_;
  std::optional<double> weight_decay_;

 private:
  VariableRef add_variable(std::string path, Type type, Tensor value);
  Value learning_rate_in(Graph& graph) const;  // a float32 scalar

  struct State {
    VariableRef weight, average, accumulator;
    std::vector<VariableRef> slots;
    std::int64_t joined = 0;  // after so many updates
  };
  std::int64_t updates() const;  // so far
  State& state_of(const VariableRef& weight);
  void clip(std::vector<Value>& gradients) const;
  void average(Graph& graph, Value updates) const;
  bool decays(const Variable& variable) const;

  bool built_ = false, averages_shown_ = false;
  std::vector<NamePattern> no_decay_;
  std::vector<VariableRef> variables_;
  VariableRef iteration_, rate_, shared_;
  std::vector<State> states_;
};

// An optimizer made of a config with `learning_rate`, `weight_decay`, slots(variable) and operator()(UpdateStep&), and
// possibly weight_decay_of(variable), shared_start() and check().
template <Described Config_>
class OptimizerOf final : public SlotOptimizer {
 public:
  using Config = Config_;
  explicit OptimizerOf(Config config = {}, OptimizerOptions options = {})
      : SlotOptimizer(named(std::move(options)), config.learning_rate, config.weight_decay),
        config_(std::move(config)) {
    if constexpr (requires { config_.check(); }) config_.check();
  }
  const Config& config() const { return config_; }
  std::string_view class_name() const override { return Config::class_name; }
  Tree config_tree(Style style) const override {
    Tree tree = write_config(options_, config_, style);
    // Keras writes the present rate, which a callback may have changed.
    if (style == Style::keras && !scheduled()) tree.set("learning_rate", learning_rate());
    if (style != Style::yaml) return tree;
    if (options_.name == snake_case(Config::class_name)) tree.erase("name");
    return without_defaults<OptimizerOptions, Config>(std::move(tree));
  }

 protected:
  OptimizerSlots slots(const Variable& variable) const override { return config_.slots(variable); }
  Value update(UpdateStep& step) const override { return config_(step); }
  std::optional<double> weight_decay(const Variable& variable) const override {
    if constexpr (requires { config_.weight_decay_of(variable); }) return config_.weight_decay_of(variable);
    else return weight_decay_;
  }
  std::optional<double> shared() const override {
    if constexpr (requires { config_.shared_start(); }) return config_.shared_start();
    else return {};
  }

 private:
  static OptimizerOptions named(OptimizerOptions options) {
    if (options.name.empty()) options.name = snake_case(Config::class_name);
    return options;
  }
  Config config_;
};

}  // namespace nacre
