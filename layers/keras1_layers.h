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

LayerRef Highway(HighwayConfig config = {}, LayerOptions options = {});
LayerRef MaxoutDense(MaxoutDenseConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> keras1_layers();

}  // namespace nacre
