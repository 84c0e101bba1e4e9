// Layers of Keras 1 that no later Keras has; files hold them still.
#pragma once

#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

struct HighwayConfig {
  static constexpr std::string_view class_name = "Highway";
  static constexpr std::string_view doc =
      "t·activation(x · W + b) + (1 - t)·x with t = sigmoid(x · W_carry + b_carry): Keras 1's dense highway network.";
  Ref<Activation> activation = "linear";
  bool use_bias = true;
  Ref<Initializer> kernel_initializer = "GlorotUniform";
  Ref<Regularizer> kernel_regularizer, bias_regularizer, activity_regularizer;
  Ref<WeightConstraint> kernel_constraint, bias_constraint;
  static void describe(auto&& field) {
    field("activation", &HighwayConfig::activation, "of the transformed part");
    field("use_bias", &HighwayConfig::use_bias, "add learned offsets");
    field("kernel_initializer", &HighwayConfig::kernel_initializer, "initial kernels");
    field("kernel_regularizer", &HighwayConfig::kernel_regularizer, "penalty on the kernel of the transformed part");
    field("bias_regularizer", &HighwayConfig::bias_regularizer, "penalty on its bias");
    field("activity_regularizer", &HighwayConfig::activity_regularizer, "penalty on the result");
    field("kernel_constraint", &HighwayConfig::kernel_constraint, "applied to the kernel of the transformed part after each update");
    field("bias_constraint", &HighwayConfig::bias_constraint, "applied to its bias after each update");
  }
};

struct MaxoutDenseConfig {
  static constexpr std::string_view class_name = "MaxoutDense";
  static constexpr std::string_view doc = "The largest of several dense layers, element by element, as in Keras 1.";
  std::int64_t units = 0, nb_feature = 4;
  bool use_bias = true;
  Ref<Initializer> kernel_initializer = "GlorotUniform";
  Ref<Regularizer> kernel_regularizer, bias_regularizer, activity_regularizer;
  Ref<WeightConstraint> kernel_constraint, bias_constraint;
  static void describe(auto&& field) {
    field("units", &MaxoutDenseConfig::units, "size of the last axis", at_least(1), required());
    field("nb_feature", &MaxoutDenseConfig::nb_feature, "number of dense layers", at_least(1));
    field("use_bias", &MaxoutDenseConfig::use_bias, "add learned offsets");
    field("kernel_initializer", &MaxoutDenseConfig::kernel_initializer, "initial kernels");
    field("kernel_regularizer", &MaxoutDenseConfig::kernel_regularizer, "penalty on the kernels");
    field("bias_regularizer", &MaxoutDenseConfig::bias_regularizer, "penalty on the biases");
    field("activity_regularizer", &MaxoutDenseConfig::activity_regularizer, "penalty on the result");
    field("kernel_constraint", &MaxoutDenseConfig::kernel_constraint, "applied to the kernels after each update");
    field("bias_constraint", &MaxoutDenseConfig::bias_constraint, "applied to the biases after each update");
  }
};

struct SReLUConfig {
  static constexpr std::string_view class_name = "SReLU";
  static constexpr std::string_view doc =
      "x between t_left and t_left + |t_right|, beyond them lines of the slopes a_left and a_right: Keras 1's S-shaped ReLU.";
  Ref<Initializer> t_left_initializer = "Zeros", a_left_initializer = "GlorotUniform", t_right_initializer = "GlorotUniform", a_right_initializer = "Ones";
  std::optional<std::vector<std::int64_t>> shared_axes;
  static void describe(auto&& field) {
    field("t_left_initializer", &SReLUConfig::t_left_initializer, "initial place of the left bend");
    field("a_left_initializer", &SReLUConfig::a_left_initializer, "initial slope left of it");
    field("t_right_initializer", &SReLUConfig::t_right_initializer, "initial distance of the right bend");
    field("a_right_initializer", &SReLUConfig::a_right_initializer, "initial slope right of it");
    field("shared_axes", &SReLUConfig::shared_axes, "axes along which the parameters are the same, counted with the batch");
  }
};

struct ParametricSoftplusConfig {
  static constexpr std::string_view class_name = "ParametricSoftplus";
  static constexpr std::string_view doc = "alpha·log(1 + exp(beta·x)) with learned alpha and beta, as in Keras 1.";
  double alpha = 0.2, beta = 5;
  std::optional<std::vector<std::int64_t>> shared_axes;
  static void describe(auto&& field) {
    field("alpha", &ParametricSoftplusConfig::alpha, "initial alpha");
    field("beta", &ParametricSoftplusConfig::beta, "initial beta");
    field("shared_axes", &ParametricSoftplusConfig::shared_axes, "axes along which the parameters are the same, counted with the batch");
  }
};

struct ThresholdedLinearConfig {
  static constexpr std::string_view class_name = "ThresholdedLinear";
  static constexpr std::string_view doc = "x, or 0 where |x| < theta, as before Keras 1.";
  double theta = 1;
  static void describe(auto&& field) { field("theta", &ThresholdedLinearConfig::theta, "below which there is 0", at_least(0)); }
};

// BatchNormalization without moving averages. The present layer of that name is Keras 1's mode 0.
struct BatchNormalizationKeras1Config {
  static constexpr std::string_view class_name = "BatchNormalizationKeras1";
  static constexpr std::string_view doc =
      "BatchNormalization of Keras 1 in mode 1, which normalizes each sample along its last axis, or mode 2, which normalizes "
      "with the statistics of the batch at hand, in prediction too.";
  std::int64_t mode = 1, axis = -1;
  double epsilon = 1e-3;
  Ref<Initializer> gamma_initializer = "Ones", beta_initializer = "Zeros";
  Ref<Regularizer> gamma_regularizer, beta_regularizer;
  static void describe(auto&& field) {
    field("mode", &BatchNormalizationKeras1Config::mode, "1: each sample, 2: the batch", between(1, 2));
    field("axis", &BatchNormalizationKeras1Config::axis, "the channels");
    field("epsilon", &BatchNormalizationKeras1Config::epsilon, "added to the variance, in mode 1 to its root as well", at_least(0));
    field("gamma_initializer", &BatchNormalizationKeras1Config::gamma_initializer, "initial gamma");
    field("beta_initializer", &BatchNormalizationKeras1Config::beta_initializer, "initial beta");
    field("gamma_regularizer", &BatchNormalizationKeras1Config::gamma_regularizer, "penalty on gamma");
    field("beta_regularizer", &BatchNormalizationKeras1Config::beta_regularizer, "penalty on beta");
  }
};

LayerRef Highway(HighwayConfig config = {}, LayerOptions options = {});
LayerRef MaxoutDense(MaxoutDenseConfig config, LayerOptions options = {});
LayerRef SReLU(SReLUConfig config = {}, LayerOptions options = {});
LayerRef ParametricSoftplus(ParametricSoftplusConfig config = {}, LayerOptions options = {});
LayerRef ThresholdedLinear(ThresholdedLinearConfig config = {}, LayerOptions options = {});
LayerRef BatchNormalizationKeras1(BatchNormalizationKeras1Config config = {}, LayerOptions options = {});

std::vector<ClassInfo<Layer>> keras1_layers();

}  // namespace nacre
