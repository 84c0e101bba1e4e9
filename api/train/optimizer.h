// The optimizer: how gradients change weights.
#pragma once

#include <span>

#include "backend/graph/graph.h"
#include "formats/config.h"

namespace nacre {

// Not synchronised. Weight constraints are applied by the caller, after apply().
class Optimizer : public Configurable<Optimizer> {
 public:
  virtual const std::string& name() const = 0;

  // Creates the state for the trainable variables of a model, in its order. Once; throws when called for others.
  virtual void build(const std::vector<VariableRef>& variables) = 0;
  virtual bool built() const = 0;
  // For these variables from now on, others than it was built for: those that were among them keep their state.
  virtual void rebuild(const std::vector<VariableRef>& variables) = 0;
  // For each variable, in the order of build(), how many updates there had been when it joined: its first one comes next.
  virtual std::vector<std::int64_t> joined() const = 0;
  virtual void set_joined(const std::vector<std::int64_t>& updates) = 0;
  // All state in Keras's order; what is there before build() comes first.
  virtual std::vector<VariableRef> variables() const = 0;

  virtual std::int64_t iterations() const = 0;  // steps taken so far
  // Of the next update. An optimizer that has several has none: it throws Error, and only learning_rates() tells.
  virtual double learning_rate() const = 0;
  virtual std::vector<std::pair<std::string, double>> learning_rates() const {  // by the names that logs give them
    return {{"learning_rate", learning_rate()}};
  }
  virtual void set_learning_rate(double rate) = 0;  // throws Error when there is a schedule
  virtual bool scheduled() const = 0;
  virtual bool plan(std::int64_t steps, std::int64_t first) = 0;  // see LearningRateSchedule::plan

  // --- inside a graph ---
  struct Gradient {
    VariableRef variable;
    Value value;  // null: nothing depends on the variable, it is left alone; of overwritten ones the new value
    double multiplier = 1;  // of the learning rate
  };
  virtual void set_loss_scale_factor(std::optional<double> factor) = 0;
  virtual Value scale_loss(Value loss) const = 0;  // what gradients are taken of; apply() scales them back
  // Emits the update of every variable and of the state.
  virtual void apply(Graph& graph, std::span<const Gradient> gradients) = 0;

  // --- moving averages of the weights (use_ema) ---
  virtual bool has_averages() const = 0;
  // While they are shown the weights hold the averages, and the averages the weights.
  virtual bool averages_shown() const = 0;
  virtual void show_averages(bool shown) = 0;
  virtual void finalize() = 0;  // at the end of training: the averages become the weights
};
template <>
Registry<Optimizer>& registry<Optimizer>();

}  // namespace nacre
