#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "layers/fields.h"
#include "layers/regularizer.h"

namespace nacre {

namespace {

Value norm(Value x, const std::vector<std::int64_t>& axes) { return ops::sqrt(ops::sum(ops::square(x), axes, true)); }

// --- penalties ----------------------------------------------------------------------------------------------------

Value l1_penalty(Value x, double factor) { return factor * ops::sum(ops::abs(x)); }
Value l2_penalty(Value x, double factor) { return factor * ops::sum(ops::square(x)); }

struct L1Config {
  static constexpr std::string_view class_name = "L1";
  static constexpr std::string_view doc = "l1·Σ|x|";
  double l1 = 0.01;
  static void describe(auto&& field) { field("l1", &L1Config::l1, "factor", at_least(0)); }
};
class L1 final : public Configured<Regularizer, L1Config> {
 public:
  using Configured::Configured;
  Value operator()(Value x) const override { return l1_penalty(x, config_.l1); }
};

struct L2Config {
  static constexpr std::string_view class_name = "L2";
  static constexpr std::string_view doc = "l2·Σx²";
  double l2 = 0.01;
  static void describe(auto&& field) { field("l2", &L2Config::l2, "factor", at_least(0)); }
};
class L2 final : public Configured<Regularizer, L2Config> {
 public:
  using Configured::Configured;
  Value operator()(Value x) const override { return l2_penalty(x, config_.l2); }
};

struct L1L2Config {
  static constexpr std::string_view class_name = "L1L2";
  static constexpr std::string_view doc = "l1·Σ|x| + l2·Σx²";
  double l1 = 0, l2 = 0;
  static void describe(auto&& field) {
    field("l1", &L1L2Config::l1, "factor of the absolute values", at_least(0));
    field("l2", &L1L2Config::l2, "factor of the squares", at_least(0));
  }
};
class L1L2 final : public Configured<Regularizer, L1L2Config> {
 public:
  using Configured::Configured;
  Value operator()(Value x) const override {
    if (config_.l1 == 0) return l2_penalty(x, config_.l2);
    if (config_.l2 == 0) return l1_penalty(x, config_.l1);
    return l1_penalty(x, config_.l1) + l2_penalty(x, config_.l2);
  }
};

enum class OrthogonalMode : std::uint8_t { rows, columns };

struct OrthogonalRegularizerConfig {
  static constexpr std::string_view class_name = "OrthogonalRegularizer";
  static constexpr std::string_view doc = "factor times the mean |cosine| between the rows, or columns, of a matrix.";
  double factor = 0.01;
  OrthogonalMode mode = OrthogonalMode::rows;
  static void describe(auto&& field) {
    field("factor", &OrthogonalRegularizerConfig::factor, "of the penalty", at_least(0));
    field("mode", &OrthogonalRegularizerConfig::mode, "what is to be orthogonal");
  }
};
class OrthogonalRegularizer final : public Configured<Regularizer, OrthogonalRegularizerConfig> {
 public:
  using Configured::Configured;
  Value operator()(Value x) const override {
    need(x.shape().rank() == 2, "OrthogonalRegularizer got {}, wanted a matrix", x.shape());
    const bool rows = config_.mode == OrthogonalMode::rows;
    const Value unit = x / ops::maximum(norm(x, {rows ? 1 : 0}), ops::scalar_like(x, 1e-12));
    const Value cosines = ops::matmul(unit, unit, !rows, rows);
    const std::int64_t size = x.shape()[rows ? 0 : 1];
    Tensor others(Type{x.dtype(), {size, size}});
    visit(x.dtype(), [&]<class T>(T*) {
      const std::span<T> values = others.writable<T>();
      for (std::int64_t i = 0; i < size * size; ++i)
        values[static_cast<std::size_t>(i)] = convert<T>(i / size == i % size ? 0.0 : 1.0);
    });
    const double pairs = static_cast<double>(size) * static_cast<double>(size - 1) / 2;
    return config_.factor * 0.5 / pairs * ops::sum(ops::abs(cosines * x.graph().constant(std::move(others))));
  }
};

// --- constraints --------------------------------------------------------------------------------------------------

constexpr double norm_epsilon = 1e-7;  // Keras's, against division by 0

struct MaxNormConfig {
  static constexpr std::string_view class_name = "MaxNorm";
  static constexpr std::string_view doc = "Vectors along the axis are shortened to at most max_value.";
  double max_value = 2;
  Axes axis = 0;
  static void describe(auto&& field) {
    field("max_value", &MaxNormConfig::max_value, "largest length", at_least(0));
    field("axis", &MaxNormConfig::axis, "along which lengths are measured");
  }
};
class MaxNorm final : public Configured<WeightConstraint, MaxNormConfig> {
 public:
  using Configured::Configured;
  Value operator()(Value weight) const override {
    const Value length = norm(weight, config_.axis.in(weight.shape()));
    return weight * (ops::clip(length, 0, config_.max_value) / (norm_epsilon + length));
  }
};

struct NonNegConfig {
  static constexpr std::string_view class_name = "NonNeg";
  static constexpr std::string_view doc = "Negative elements become 0.";
  static void describe(auto&&) {}
};
class NonNeg final : public Configured<WeightConstraint, NonNegConfig> {
 public:
  using Configured::Configured;
  Value operator()(Value weight) const override { return ops::relu(weight); }
};

struct UnitNormConfig {
  static constexpr std::string_view class_name = "UnitNorm";
  static constexpr std::string_view doc = "Vectors along the axis get length 1.";
  Axes axis = 0;
  static void describe(auto&& field) { field("axis", &UnitNormConfig::axis, "along which lengths are measured"); }
};
class UnitNorm final : public Configured<WeightConstraint, UnitNormConfig> {
 public:
  using Configured::Configured;
  Value operator()(Value weight) const override {
    return weight / (norm_epsilon + norm(weight, config_.axis.in(weight.shape())));
  }
};

struct MinMaxNormConfig {
  static constexpr std::string_view class_name = "MinMaxNorm";
  static constexpr std::string_view doc = "Lengths of vectors along the axis are drawn into [min_value, max_value].";
  double min_value = 0, max_value = 1, rate = 1;
  Axes axis = 0;
  static void describe(auto&& field) {
    field("min_value", &MinMaxNormConfig::min_value, "smallest length", at_least(0));
    field("max_value", &MinMaxNormConfig::max_value, "largest length", at_least(0));
    field("rate", &MinMaxNormConfig::rate, "share of the correction that is made at each step", between(0, 1));
    field("axis", &MinMaxNormConfig::axis, "along which lengths are measured");
  }
};
class MinMaxNorm final : public Configured<WeightConstraint, MinMaxNormConfig> {
 public:
  using Configured::Configured;
  Value operator()(Value weight) const override {
    const Value length = norm(weight, config_.axis.in(weight.shape()));
    const Value wanted =
        config_.rate * ops::clip(length, config_.min_value, config_.max_value) + (1 - config_.rate) * length;
    return weight * (wanted / (norm_epsilon + length));
  }
};

}  // namespace

template <>
struct EnumNames<OrthogonalMode> {
  static constexpr std::string_view names[] = {"rows", "columns"};
};

template <>
Registry<Regularizer>& registry<Regularizer>() {
  constexpr std::string_view module = "keras.regularizers";
  static Registry<Regularizer> all(
      "regularizer",
      {class_info<Regularizer, L1>(module), class_info<Regularizer, L2>(module),
       class_info<Regularizer, L1L2>(module, {"l1_l2"}), class_info<Regularizer, OrthogonalRegularizer>(module)});
  return all;
}

template <>
Registry<WeightConstraint>& registry<WeightConstraint>() {
  constexpr std::string_view module = "keras.constraints";
  static Registry<WeightConstraint> all(
      "constraint", {class_info<WeightConstraint, MaxNorm>(module), class_info<WeightConstraint, NonNeg>(module),
                     class_info<WeightConstraint, UnitNorm>(module), class_info<WeightConstraint, MinMaxNorm>(module)});
  return all;
}

}  // namespace nacre
