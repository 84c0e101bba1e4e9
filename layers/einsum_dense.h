// A dense layer over any axes.
#pragma once

#include "layers/activation.h"
#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

struct EinsumDenseConfig {
  static constexpr std::string_view class_name = "EinsumDense";
  static constexpr std::string_view doc =
      "activation(x · kernel + bias), where an equation of Einstein's summation convention says which axes meet.";
  std::string equation;
  Shape output_shape;
  Ref<Activation> activation = "linear";
  std::optional<std::string> bias_axes;
  Ref<Initializer> kernel_initializer = "GlorotUniform", bias_initializer = "Zeros";
  Ref<Regularizer> kernel_regularizer, bias_regularizer, activity_regularizer;
  Ref<WeightConstraint> kernel_constraint, bias_constraint;
  Only<nullptr> quantization_config;
  static void describe(auto&& field) {
    field("output_shape", &EinsumDenseConfig::output_shape,
          "of the result without the batch (and without axes behind '...'); null: as in the input", required());
    field("equation", &EinsumDenseConfig::equation, "as in 'abc,cd->abd' or '...x,xy->...y': input, kernel -> result",
          required());
    field("activation", &EinsumDenseConfig::activation, "applied last");
    field("bias_axes", &EinsumDenseConfig::bias_axes, "letters of the result that the bias has; null: no bias");
    field("kernel_initializer", &EinsumDenseConfig::kernel_initializer, "initial kernel");
    field("bias_initializer", &EinsumDenseConfig::bias_initializer, "initial bias");
    field("kernel_regularizer", &EinsumDenseConfig::kernel_regularizer, "penalty on the kernel");
    field("bias_regularizer", &EinsumDenseConfig::bias_regularizer, "penalty on the bias");
    field("activity_regularizer", &EinsumDenseConfig::activity_regularizer, "penalty on the result");
    field("kernel_constraint", &EinsumDenseConfig::kernel_constraint, "applied to the kernel after each update");
    field("bias_constraint", &EinsumDenseConfig::bias_constraint, "applied to the bias after each update");
    field("quantization_config", &EinsumDenseConfig::quantization_config,
          "null: weights are floating numbers, also those of quantised files");
  }
};

LayerRef EinsumDense(EinsumDenseConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> einsum_dense_layers();

}  // namespace nacre
