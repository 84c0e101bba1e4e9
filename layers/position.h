// Where in a sequence something stands: learned, as waves, or as rotations. KerasHub's layers.
// Calls may bring start_index, the position of the first step (a number or a tensor), or positions, those of all steps:
// (T,) or (batch, T).
#pragma once

#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

struct PositionEmbeddingConfig {
  static constexpr std::string_view class_name = "PositionEmbedding";
  static constexpr std::string_view doc = "A learned row for each position, in the shape of the input (batch…, T, d).";
  std::int64_t sequence_length = 0;
  Ref<Initializer> initializer = "GlorotUniform";
  static void describe(auto&& field) {
    field("sequence_length", &PositionEmbeddingConfig::sequence_length, "greatest number of steps", at_least(1),
          required());
    field("initializer", &PositionEmbeddingConfig::initializer, "initial table");
  }
};

struct SinePositionEncodingConfig {
  static constexpr std::string_view class_name = "SinePositionEncoding";
  static constexpr std::string_view doc =
      "Sines and cosines of the position, of growing wavelengths, in the shape of the input (batch…, T, d).";
  double max_wavelength = 10000;
  static void describe(auto&& field) {
    field("max_wavelength", &SinePositionEncodingConfig::max_wavelength, "greatest wavelength, in steps per 2π",
          above(0));
  }
};

enum class RopeType : std::uint8_t { linear, dynamic, yarn };
template <>
struct EnumNames<RopeType> {
  static constexpr std::string_view names[] = {"linear", "dynamic", "yarn"};
};

struct RotaryEmbeddingConfig {
  static constexpr std::string_view class_name = "RotaryEmbedding";
  static constexpr std::string_view doc =
      "Turns pairs of features by angles that grow with the position, each pair at its own speed.";
  double max_wavelength = 10000, scaling_factor = 1;
  RopeType rope_type = RopeType::linear;
  double beta_fast = 32, beta_slow = 1;
  std::int64_t original_max_position_embeddings = 4096;
  bool truncate = false;
  std::int64_t sequence_axis = 1, feature_axis = -1;
  static void describe(auto&& field) {
    field("max_wavelength", &RotaryEmbeddingConfig::max_wavelength, "greatest wavelength, in steps per 2π", above(0));
    field("scaling_factor", &RotaryEmbeddingConfig::scaling_factor,
          "how many times longer sequences are than those trained on", above(0));
    field("rope_type", &RotaryEmbeddingConfig::rope_type,
          "how longer sequences are fitted in: all speeds alike (linear), alike but slower (dynamic), or slow ones more "
          "than fast ones (yarn)");
    field("beta_fast", &RotaryEmbeddingConfig::beta_fast, "yarn: speeds of more turns than this stay", above(0));
    field("beta_slow", &RotaryEmbeddingConfig::beta_slow, "yarn: speeds of fewer turns than this are scaled wholly",
          above(0));
    field("original_max_position_embeddings", &RotaryEmbeddingConfig::original_max_position_embeddings,
          "yarn: length of the sequences trained on", at_least(1));
    field("truncate", &RotaryEmbeddingConfig::truncate,
          "yarn: whole pairs bound the range of speeds, and positions end at the length trained on");
    field("sequence_axis", &RotaryEmbeddingConfig::sequence_axis, "of the steps");
    field("feature_axis", &RotaryEmbeddingConfig::feature_axis, "of the features, an even number");
  }
};

LayerRef PositionEmbedding(PositionEmbeddingConfig config, LayerOptions options = {});
LayerRef SinePositionEncoding(SinePositionEncodingConfig config = {}, LayerOptions options = {});
LayerRef RotaryEmbedding(RotaryEmbeddingConfig config = {}, LayerOptions options = {});

std::vector<ClassInfo<Layer>> position_layers();

}  // namespace nacre
