// Optimizers that pass the work on to others: dynamic loss scaling, and a different optimizer for each part of a model.
#pragma once

#include "api/train/optimizer.h"

namespace nacre {

namespace optimizers {

struct LossScaleOptimizerConfig {
  static constexpr std::string_view class_name = "LossScaleOptimizer";
  static constexpr std::string_view doc =
      "Keeps float16 gradients in range: the loss is multiplied by a scale that halves after a step whose gradients "
      "overflow, which is left out, and doubles after many that do not.";
  std::string name{};
  Ref<Optimizer> inner_optimizer{};
  double initial_scale = 32768;
  std::int64_t dynamic_growth_steps = 2000;
  static void describe(auto&& field) {
    using Self = LossScaleOptimizerConfig;
    field("name", &Self::name, "prefix of its variables");
    field("inner_optimizer", &Self::inner_optimizer, "changes the weights; a loss_scale_factor of its own is dropped",
          required());
    field("initial_scale", &Self::initial_scale, "scale of the first step", above(0));
    field("dynamic_growth_steps", &Self::dynamic_growth_steps, "steps without overflow until the scale doubles",
          at_least(1));
  }
};

// Source: Micikevicius et al., "Mixed Precision Training" (2018), section 3.2.
class LossScaleOptimizer final : public Configured<Optimizer, LossScaleOptimizerConfig> {
 public:
  explicit LossScaleOptimizer(Config config);

  Optimizer& inner() const { return *config_.inner_optimizer; }
  double scale() const;  // of the next step

  const std::string& name() const override { return config_.name; }
  Tree config_tree(Style style) const override;
  void build(const std::vector<VariableRef>& variables) override;
  bool built() const override { return inner().built(); }
  void rebuild(const std::vector<VariableRef>& variables) override { inner().rebuild(variables); }
  std::vector<std::int64_t> joined() const override { return inner().joined(); }
  void set_joined(const std::vector<std::int64_t>& updates) override { inner().set_joined(updates); }
  std::vector<VariableRef> variables() const override;
  std::int64_t iterations() const override { return inner().iterations(); }
  double learning_rate() const override { return inner().learning_rate(); }
  std::vector<std::pair<std::string, double>> learning_rates() const override { return inner().learning_rates(); }
  void set_learning_rate(double rate) override { inner().set_learning_rate(rate); }
  bool scheduled() const override { return inner().scheduled(); }
  bool plan(std::int64_t steps, std::int64_t first) override { return inner().plan(steps, first); }
  void set_loss_scale_factor(std::optional<double> factor) override;
  Value scale_loss(Value loss) const override;
  void apply(Graph& graph, std::span<const Gradient> gradients) override;
  bool has_averages() const override { return inner().has_averages(); }
  bool averages_shown() const override { return inner().averages_shown(); }
  void show_averages(bool shown) override { inner().show_averages(shown); }
  void finalize() override { inner().finalize(); }

 private:
  VariableRef iteration_, rate_;  // Keras has them, and leaves them at 0
  VariableRef counter_, scale_;   // steps without overflow since the last change of the scale
};

// Which optimizer takes which weight: by path, or by a regular expression that matches the whole path.
struct OptimizerMap {
  Ref<Optimizer> default_optimizer{};
  std::vector<std::pair<std::string, Ref<Optimizer>>> optimizer_map{};
  // Throws Error when several expressions match.
  const Ref<Optimizer>& operator[](const std::string& path) const;
};

struct MultiOptimizerConfig {
  static constexpr std::string_view class_name = "MultiOptimizer";
  static constexpr std::string_view doc = "A different optimizer for each part of a model.";
  OptimizerMap optimizer_map{};
  std::optional<double> loss_scale_factor{};
  std::string name{};
  static void describe(auto&& field) {
    using Self = MultiOptimizerConfig;
    field("optimizer_map", &Self::optimizer_map,
          "{default_optimizer: …, optimizer_map: {path of a weight, or regular expression for whole paths: optimizer}}",
          required());
    field("loss_scale_factor", &Self::loss_scale_factor,
          "the loss is multiplied and gradients are divided by it; it replaces that of the optimizers", above(0));
    field("name", &Self::name, "prefix of its variables");
  }
};

class MultiOptimizer final : public Configured<Optimizer, MultiOptimizerConfig> {
 public:
  explicit MultiOptimizer(Config config);

  const std::vector<Ref<Optimizer>>& optimizers() const { return optimizers_; }  // those of the map, then the default

  const std::string& name() const override { return config_.name; }
  Tree config_tree(Style style) const override;
  void build(const std::vector<VariableRef>& variables) override;
  bool built() const override { return built_; }
  void rebuild(const std::vector<VariableRef>& variables) override;
  std::vector<std::int64_t> joined() const override;  // those of the first optimizer first
  void set_joined(const std::vector<std::int64_t>& updates) override;
  std::vector<VariableRef> variables() const override;
  std::int64_t iterations() const override;
  [[noreturn]] double learning_rate() const override;
  std::vector<std::pair<std::string, double>> learning_rates() const override;  // "learning_rate_adam"
  [[noreturn]] void set_learning_rate(double rate) override;
  bool scheduled() const override { return false; }
  bool plan(std::int64_t steps, std::int64_t first) override;
  void set_loss_scale_factor(std::optional<double> factor) override;
  Value scale_loss(Value loss) const override;
  void apply(Graph& graph, std::span<const Gradient> gradients) override;
  bool has_averages() const override;
  bool averages_shown() const override;
  void show_averages(bool shown) override;
  void finalize() override;

 private:
  std::vector<Ref<Optimizer>> optimizers_;
  VariableRef iteration_, rate_;  // Keras has a rate, and leaves it at 0
  std::vector<std::pair<VariableRef, std::size_t>> owners_;  // of each weight: an index into optimizers_
  bool built_ = false;
};

}  // namespace optimizers

template <>
struct FieldKind<optimizers::OptimizerMap> {
  static void read(const Tree& tree, optimizers::OptimizerMap& value);
  static Tree write(const optimizers::OptimizerMap& value, Style style);
  static Tree schema();
};

}  // namespace nacre
