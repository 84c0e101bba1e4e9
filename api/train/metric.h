// The metric: a number gathered over batches, inside the compiled step.
#pragma once

#include "api/train/direction.h"
#include "backend/graph/graph.h"
#include "formats/config.h"

namespace nacre {

// What every metric's config has besides its own fields.
struct MetricOptions {
  std::string name{};            // "" becomes the class's
  std::optional<DType> dtype{};  // of the state; default: the class's
  static void describe(auto&& field) {
    field("name", &MetricOptions::name, "shown in logs");
    field("dtype", &MetricOptions::dtype, "of the state");
  }
};

// The state lives in variables; a graph updates it, the host reads it. Shapes are known when an update is emitted, and
// all updates of one metric agree on all but the batch axis. Not synchronised.
class Metric : public Configurable<Metric> {
 public:
  explicit Metric(MetricOptions options) : options_(std::move(options)) {}

  const std::string& name() const { return options_.name; }
  void rename(std::string name);
  DType dtype() const { return *options_.dtype; }

  // Emits the update of the state into the operands' graph, y_pred in float32 unless it holds integers. sample_weight
  // and mask (of y_pred, bool) may be null; the mask multiplies the weights. Creates the state on the first call.
  void update(Value y_true, Value y_pred, Value sample_weight = {}, Value mask = {});
  // From the present state; a scalar, or a vector for metrics of several thresholds or classes.
  virtual Tensor result() const = 0;
  double value() const { return result().item(); }
  void reset();  // the state to what it was at the start
  const std::vector<VariableRef>& variables() const { return variables_; }
  virtual std::optional<Direction> direction() const { return Direction::up; }

 protected:
  virtual void build(const Type& y_true, const Type& y_pred) = 0;  // creates the state
  virtual void emit(Value y_true, Value y_pred, Value sample_weight) = 0;
  void ensure_built(const Type& y_true, const Type& y_pred);

  VariableRef add_variable(std::string name, Shape shape, std::optional<DType> dtype = {}, double initial = 0);
  // state += increment, in the increment's graph.
  static void add_to(const VariableRef& state, Value increment);

  MetricOptions options_;

 private:
  std::vector<VariableRef> variables_;
  std::vector<double> initial_;  // of each variable's elements
  bool built_ = false;
};
template <>
Registry<Metric>& registry<Metric>();  // also under Keras's function names: "mse", "binary_accuracy", …

// The metric that a compile argument means: "accuracy" and "acc" become the binary, categorical or sparse categorical
// accuracy, "crossentropy" and "ce" the cross-entropy, after the types of labels and predictions (as for resolve_loss);
// else read_object<Metric>. A metric given by a bare name is called by it, as in Keras.
std::shared_ptr<Metric> resolve_metric(const Tree& tree, const Type& y_true, const Type& y_pred);

// Derives a metric from a described config with `class_name`, `default_name` and `doc`; `default_dtype` is float32
// unless the config says otherwise.
template <Described Config_, class Base = Metric>
class ConfiguredMetric : public Base {
 public:
  using Config = Config_;
  explicit ConfiguredMetric(Config config = {}, MetricOptions options = {})
      : Base(complete(std::move(options))), config_(std::move(config)) {
    if constexpr (requires { config_.check(); }) config_.check();
  }
  const Config& config() const { return config_; }
  std::string_view class_name() const override { return Config::class_name; }
  Tree config_tree(Style style) const override {
    MetricOptions options = this->options_;
    if (style == Style::yaml) {
      if (options.name == Config::default_name) options.name.clear();
      if (options.dtype == default_dtype()) options.dtype.reset();
    }
    Tree tree = write_config(options, config_, style);
    return style == Style::yaml ? without_defaults<MetricOptions, Config>(std::move(tree)) : tree;
  }

 protected:
  Config config_;

 private:
  static constexpr DType default_dtype() {
    if constexpr (requires { Config::default_dtype; }) return Config::default_dtype;
    else return DType::float32;
  }
  static MetricOptions complete(MetricOptions options) {
    if (options.name.empty()) options.name = Config::default_name;
    if (!options.dtype) options.dtype = default_dtype();
    return options;
  }
};

}  // namespace nacre
