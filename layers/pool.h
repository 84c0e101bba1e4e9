// Pooling over one to three spatial axes.
#pragma once

#include "backend/graph/ops/conv.h"
#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

enum class Pooling : std::uint8_t { max, average };

template <Pooling kind, std::size_t rank>
struct PoolingConfig {
  static constexpr std::string_view class_names[2][3] = {{"MaxPooling1D", "MaxPooling2D", "MaxPooling3D"},
                                                         {"AveragePooling1D", "AveragePooling2D", "AveragePooling3D"}};
  static constexpr std::string_view class_name = class_names[static_cast<int>(kind)][rank - 1];
  static constexpr std::string_view doc =
      kind == Pooling::max ? "The largest element of each window." : "The mean of each window; padding does not count.";
  Extent<rank> pool_size = 2;
  std::optional<Extent<rank>> strides;
  Padding padding = Padding::valid;
  DataFormat data_format = DataFormat::channels_last;
  static void describe(auto&& field) {
    field("pool_size", &PoolingConfig::pool_size, "size of the window", at_least(1));
    field("strides", &PoolingConfig::strides, "step of the window; null: its size", at_least(1));
    field("padding", &PoolingConfig::padding, "valid: windows that fit; same: a window at each step");
    field("data_format", &PoolingConfig::data_format, "where the channels are");
  }
};

template <Pooling kind, std::size_t rank>
struct GlobalPoolingConfig {
  static constexpr std::string_view class_names[2][3] = {
      {"GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D"},
      {"GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D"}};
  static constexpr std::string_view class_name = class_names[static_cast<int>(kind)][rank - 1];
  static constexpr std::string_view doc = kind == Pooling::max ? "The largest element of each channel."
                                                               : "The mean of each channel; masked steps do not count.";
  DataFormat data_format = DataFormat::channels_last;
  bool keepdims = false;
  static void describe(auto&& field) {
    field("data_format", &GlobalPoolingConfig::data_format, "where the channels are");
    field("keepdims", &GlobalPoolingConfig::keepdims, "the pooled axes stay, with size 1");
  }
};

template <Pooling kind, std::size_t rank>
struct AdaptivePoolingConfig {
  static constexpr std::string_view class_names[2][3] = {
      {"AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D"},
      {"AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D"}};
  static constexpr std::string_view class_name = class_names[static_cast<int>(kind)][rank - 1];
  static constexpr std::string_view doc =
      kind == Pooling::max ? "The largest element of each of a given number of windows, which cover the input evenly."
                           : "The mean of each of a given number of windows, which cover the input evenly.";
  Extent<rank> output_size;
  DataFormat data_format = DataFormat::channels_last;
  static void describe(auto&& field) {
    field("output_size", &AdaptivePoolingConfig::output_size, "number of windows per axis", at_least(1), required());
    field("data_format", &AdaptivePoolingConfig::data_format, "where the channels are");
  }
};

LayerRef MaxPooling1D(PoolingConfig<Pooling::max, 1> config = {}, LayerOptions options = {});
LayerRef MaxPooling2D(PoolingConfig<Pooling::max, 2> config = {}, LayerOptions options = {});
LayerRef MaxPooling3D(PoolingConfig<Pooling::max, 3> config = {}, LayerOptions options = {});
LayerRef AveragePooling1D(PoolingConfig<Pooling::average, 1> config = {}, LayerOptions options = {});
LayerRef AveragePooling2D(PoolingConfig<Pooling::average, 2> config = {}, LayerOptions options = {});
LayerRef AveragePooling3D(PoolingConfig<Pooling::average, 3> config = {}, LayerOptions options = {});
LayerRef GlobalMaxPooling1D(GlobalPoolingConfig<Pooling::max, 1> config = {}, LayerOptions options = {});
LayerRef GlobalMaxPooling2D(GlobalPoolingConfig<Pooling::max, 2> config = {}, LayerOptions options = {});
LayerRef GlobalMaxPooling3D(GlobalPoolingConfig<Pooling::max, 3> config = {}, LayerOptions options = {});
LayerRef GlobalAveragePooling1D(GlobalPoolingConfig<Pooling::average, 1> config = {}, LayerOptions options = {});
LayerRef GlobalAveragePooling2D(GlobalPoolingConfig<Pooling::average, 2> config = {}, LayerOptions options = {});
LayerRef GlobalAveragePooling3D(GlobalPoolingConfig<Pooling::average, 3> config = {}, LayerOptions options = {});
LayerRef AdaptiveMaxPooling1D(AdaptivePoolingConfig<Pooling::max, 1> config, LayerOptions options = {});
LayerRef AdaptiveMaxPooling2D(AdaptivePoolingConfig<Pooling::max, 2> config, LayerOptions options = {});
LayerRef AdaptiveMaxPooling3D(AdaptivePoolingConfig<Pooling::max, 3> config, LayerOptions options = {});
LayerRef AdaptiveAveragePooling1D(AdaptivePoolingConfig<Pooling::average, 1> config, LayerOptions options = {});
LayerRef AdaptiveAveragePooling2D(AdaptivePoolingConfig<Pooling::average, 2> config, LayerOptions options = {});
LayerRef AdaptiveAveragePooling3D(AdaptivePoolingConfig<Pooling::average, 3> config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> pool_layers();

}  // namespace nacre
