// Activations that are layers: with parameters or weights.
#pragma once

#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

namespace activation {
Value leaky_relu(Value x, double negative_slope);
Value elu(Value x, double alpha);
Value gelu(Value x);  // exact, by erf
Value squareplus(Value x, double b);
Value soft_shrink(Value x, double threshold);
Value hard_shrink(Value x, double threshold);
Value threshold(Value x, double threshold, double default_value);  // x above the threshold, else the other value
Value glu(Value x, int axis);  // the first half of the axis, gated by the other; x where its size is unknown
Value softmax(Value x, const std::vector<std::int64_t>& axes);  // over all of them together
Value log_softmax(Value x, const std::vector<std::int64_t>& axes);
// Of the parameters of an activation that learns: one for each element of a sample, or for several along the shared axes.
Shape parameter_shape(const Shape& input, const std::optional<std::vector<std::int64_t>>& shared_axes);
}  // namespace activation

struct ActivationConfig {
  static constexpr std::string_view class_name = "Activation";
  static constexpr std::string_view doc = "Applies an activation function.";
  Ref<nacre::Activation> activation;
  static void describe(auto&& field) { field("activation", &ActivationConfig::activation, "the function", required()); }
};
struct ReLUConfig {
  static constexpr std::string_view class_name = "ReLU";
  static constexpr std::string_view doc =
      "x from the threshold up to max_value, negative_slope·(x - threshold) below it.";
  std::optional<double> max_value;
  double negative_slope = 0, threshold = 0;
  static void describe(auto&& field) {
    field("max_value", &ReLUConfig::max_value, "results are cut there; null: never", at_least(0));
    field("negative_slope", &ReLUConfig::negative_slope, "slope below the threshold", at_least(0));
    field("threshold", &ReLUConfig::threshold, "below it the slope is another", at_least(0));
  }
};
struct LeakyReLUConfig {
  static constexpr std::string_view class_name = "LeakyReLU";
  static constexpr std::string_view doc = "x, or negative_slope·x below 0.";
  double negative_slope = 0.3;
  static void describe(auto&& field) {
    field("negative_slope", &LeakyReLUConfig::negative_slope, "slope below 0", at_least(0));
  }
};
struct PReLUConfig {
  static constexpr std::string_view class_name = "PReLU";
  static constexpr std::string_view doc = "x, or alpha·x below 0, with a learned alpha.";
  Ref<Initializer> alpha_initializer = "Zeros";
  Ref<Regularizer> alpha_regularizer;
  Ref<WeightConstraint> alpha_constraint;
  std::optional<std::vector<std::int64_t>> shared_axes;
  static void describe(auto&& field) {
    field("alpha_initializer", &PReLUConfig::alpha_initializer, "initial slopes");
    field("alpha_regularizer", &PReLUConfig::alpha_regularizer, "penalty on the slopes");
    field("alpha_constraint", &PReLUConfig::alpha_constraint, "applied to the slopes after each update");
    field("shared_axes", &PReLUConfig::shared_axes, "axes along which the slope is the same; the batch is axis 0");
  }
};
struct ELUConfig {
  static constexpr std::string_view class_name = "ELU";
  static constexpr std::string_view doc = "x, or alpha·(exp(x) - 1) below 0.";
  double alpha = 1;
  static void describe(auto&& field) { field("alpha", &ELUConfig::alpha, "-alpha is the limit for small x"); }
};
struct ThresholdedReLUConfig {
  static constexpr std::string_view class_name = "ThresholdedReLU";
  static constexpr std::string_view doc = "x above theta, 0 elsewhere.";
  double theta = 1;
  static void describe(auto&& field) {
    field("theta", &ThresholdedReLUConfig::theta, "up to it the result is 0", at_least(0));
  }
};
struct SoftmaxConfig {
  static constexpr std::string_view class_name = "Softmax";
  static constexpr std::string_view doc = "exp(x) / Σ exp(x) over one axis or several; masked places give 0.";
  Axes axis = -1;
  static void describe(auto&& field) { field("axis", &SoftmaxConfig::axis, "summed over"); }
};

LayerRef ActivationLayer(ActivationConfig config, LayerOptions options = {});
LayerRef ReLU(ReLUConfig config = {}, LayerOptions options = {});
LayerRef LeakyReLU(LeakyReLUConfig config = {}, LayerOptions options = {});
LayerRef PReLU(PReLUConfig config = {}, LayerOptions options = {});
LayerRef ELU(ELUConfig config = {}, LayerOptions options = {});
LayerRef ThresholdedReLU(ThresholdedReLUConfig config = {}, LayerOptions options = {});
LayerRef Softmax(SoftmaxConfig config = {}, LayerOptions options = {});

std::vector<ClassInfo<Layer>> activation_layers();

}  // namespace nacre
