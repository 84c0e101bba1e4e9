// A table that is read in both directions.
#pragma once

#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

struct ReversibleEmbeddingConfig {
  static constexpr std::string_view class_name = "ReversibleEmbedding";
  static constexpr std::string_view doc =
      "Rows of a learned table, by index; called with reverse: true it gives the products with all rows.";
  std::int64_t input_dim = 0, output_dim = 0;
  Ref<Initializer> embeddings_initializer = "RandomUniform";
  Ref<Regularizer> embeddings_regularizer, activity_regularizer;
  Ref<WeightConstraint> embeddings_constraint;
  bool mask_zero = false;
  Only<nullptr> quantization_config;
  bool tie_weights = true;
  std::optional<DType> reverse_dtype;
  std::optional<double> logit_soft_cap;
  static void describe(auto&& field) {
    field("input_dim", &ReversibleEmbeddingConfig::input_dim, "number of rows: indices are below it", at_least(1),
          required());
    field("output_dim", &ReversibleEmbeddingConfig::output_dim, "size of a row", at_least(1), required());
    field("embeddings_initializer", &ReversibleEmbeddingConfig::embeddings_initializer, "initial table");
    field("embeddings_regularizer", &ReversibleEmbeddingConfig::embeddings_regularizer, "penalty on the table");
    field("activity_regularizer", &ReversibleEmbeddingConfig::activity_regularizer, "penalty on the result");
    field("embeddings_constraint", &ReversibleEmbeddingConfig::embeddings_constraint,
          "applied to the table after each update");
    field("mask_zero", &ReversibleEmbeddingConfig::mask_zero, "index 0 is padding and masked");
    field("quantization_config", &ReversibleEmbeddingConfig::quantization_config,
          "null: weights are floating numbers, also those of quantised files");
    field("tie_weights", &ReversibleEmbeddingConfig::tie_weights,
          "both directions use one table; false: the way back has a matrix of its own");
    field("reverse_dtype", &ReversibleEmbeddingConfig::reverse_dtype,
          "of the products on the way back; null: the wider of the input's and the table's");
    field("logit_soft_cap", &ReversibleEmbeddingConfig::logit_soft_cap,
          "the way back gives cap · tanh(product / cap); null: the products", above(0));
  }
};

LayerRef ReversibleEmbedding(ReversibleEmbeddingConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> reversible_embedding_layers();

}  // namespace nacre
