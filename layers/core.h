// The core family: what nearly every model has.
#pragma once

#include "layers/activation_layers.h"

namespace nacre {

struct DenseConfig {
  static constexpr std::string_view class_name = "Dense";
  static constexpr std::string_view doc = "activation(x · kernel + bias) over the last axis.";
  std::int64_t units = 0;
  Ref<Activation> activation = "linear";
  bool use_bias = true;
  Ref<Initializer> kernel_initializer = "GlorotUniform", bias_initializer = "Zeros";
  Ref<Regularizer> kernel_regularizer, bias_regularizer, activity_regularizer;
  Ref<WeightConstraint> kernel_constraint, bias_constraint;
  Only<nullptr> quantization_config;
  static void describe(auto&& field) {
    field("units", &DenseConfig::units, "size of the last axis", at_least(1), required());
    field("activation", &DenseConfig::activation, "applied last");
    field("use_bias", &DenseConfig::use_bias, "add a learned offset");
    field("kernel_initializer", &DenseConfig::kernel_initializer, "initial kernel");
    field("bias_initializer", &DenseConfig::bias_initializer, "initial bias");
    field("kernel_regularizer", &DenseConfig::kernel_regularizer, "penalty on the kernel");
    field("bias_regularizer", &DenseConfig::bias_regularizer, "penalty on the bias");
    field("activity_regularizer", &DenseConfig::activity_regularizer, "penalty on the result");
    field("kernel_constraint", &DenseConfig::kernel_constraint, "applied to the kernel after each update");
    field("bias_constraint", &DenseConfig::bias_constraint, "applied to the bias after each update");
    field("quantization_config", &DenseConfig::quantization_config,
          "null: weights are floating numbers, also those of quantised files");
  }
};

struct EmbeddingConfig {
  static constexpr std::string_view class_name = "Embedding";
  static constexpr std::string_view doc = "Rows of a learned table, by index.";
  std::int64_t input_dim = 0, output_dim = 0;
  Ref<Initializer> embeddings_initializer = "RandomUniform";
  Ref<Regularizer> embeddings_regularizer, activity_regularizer;
  Ref<WeightConstraint> embeddings_constraint;
  bool mask_zero = false;
  Only<nullptr> quantization_config;
  static void describe(auto&& field) {
    field("input_dim", &EmbeddingConfig::input_dim, "number of rows: indices are below it", at_least(1), required());
    field("output_dim", &EmbeddingConfig::output_dim, "size of a row", at_least(1), required());
    field("embeddings_initializer", &EmbeddingConfig::embeddings_initializer, "initial table");
    field("embeddings_regularizer", &EmbeddingConfig::embeddings_regularizer, "penalty on the table");
    field("activity_regularizer", &EmbeddingConfig::activity_regularizer, "penalty on the result");
    field("embeddings_constraint", &EmbeddingConfig::embeddings_constraint, "applied to the table after each update");
    field("mask_zero", &EmbeddingConfig::mask_zero, "index 0 is padding and masked");
    field("quantization_config", &EmbeddingConfig::quantization_config,
          "null: weights are floating numbers, also those of quantised files");
  }
};

struct MaskingConfig {
  static constexpr std::string_view class_name = "Masking";
  static constexpr std::string_view doc = "Masks the steps whose features all have one value, and sets them to 0.";
  double mask_value = 0;
  static void describe(auto&& field) { field("mask_value", &MaskingConfig::mask_value, "marks a step as padding"); }
};

struct IdentityLayerConfig {
  static constexpr std::string_view class_name = "Identity";
  static constexpr std::string_view doc = "x";
  static void describe(auto&&) {}
};

// The rows of a table that indices, integers of any dtype or whole numbers, name.
Value embedded(Value table, Value indices, DType dtype);

LayerRef Dense(DenseConfig config, LayerOptions options = {});
LayerRef Embedding(EmbeddingConfig config, LayerOptions options = {});
LayerRef Masking(MaskingConfig config = {}, LayerOptions options = {});
LayerRef Identity(LayerOptions options = {});

std::vector<ClassInfo<Layer>> core_layers();

}  // namespace nacre
