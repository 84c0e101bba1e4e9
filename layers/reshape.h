// Layers that move elements: shapes, axes, borders, sizes.
#pragma once

#include "layers/fields.h"
#include "layers/image_resize.h"
#include "layers/symbol.h"

namespace nacre {

struct FlattenConfig {
  static constexpr std::string_view class_name = "Flatten";
  static constexpr std::string_view doc = "All axes but the batch become one.";
  DataFormat data_format = DataFormat::channels_last;
  static void describe(auto&& field) {
    field("data_format", &FlattenConfig::data_format, "channels_first: the channels are put last before");
  }
};
struct ReshapeConfig {
  static constexpr std::string_view class_name = "Reshape";
  static constexpr std::string_view doc = "The elements of each sample in another shape.";
  std::vector<std::int64_t> target_shape;
  static void describe(auto&& field) {
    field("target_shape", &ReshapeConfig::target_shape, "without the batch; one size may be -1 and takes what is left",
          required());
  }
};
struct PermuteConfig {
  static constexpr std::string_view class_name = "Permute";
  static constexpr std::string_view doc = "The axes of each sample in another order.";
  std::vector<std::int64_t> dims;
  static void describe(auto&& field) {
    field("dims", &PermuteConfig::dims, "a permutation of 1, 2, …; the batch is axis 0 and stays", at_least(1),
          required());
  }
};
struct RepeatVectorConfig {
  static constexpr std::string_view class_name = "RepeatVector";
  static constexpr std::string_view doc = "(batch, features) → (batch, n, features)";
  std::int64_t n = 1;
  static void describe(auto&& field) { field("n", &RepeatVectorConfig::n, "how often", at_least(1), required()); }
};

struct ZeroPadding1DConfig {
  static constexpr std::string_view class_name = "ZeroPadding1D";
  static constexpr std::string_view doc = "Zeros before and after each sequence.";
  Margins<1> padding = 1;
  DataFormat data_format = DataFormat::channels_last;
  static void describe(auto&& field) {
    field("padding", &ZeroPadding1DConfig::padding, "how many: n or [before, after]", at_least(0));
    field("data_format", &ZeroPadding1DConfig::data_format, "where the channels are");
  }
};
template <std::size_t rank>
struct ZeroPaddingConfig {
  static constexpr std::string_view class_name = rank == 2 ? "ZeroPadding2D" : "ZeroPadding3D";
  static constexpr std::string_view doc = "Zeros around the spatial axes.";
  Margins<rank> padding = 1;
  DataFormat data_format = DataFormat::channels_last;
  static void describe(auto&& field) {
    field("padding", &ZeroPaddingConfig::padding, "how many: n, one number per axis, or [before, after] per axis",
          at_least(0));
    field("data_format", &ZeroPaddingConfig::data_format, "where the channels are");
  }
};
struct Cropping1DConfig {
  static constexpr std::string_view class_name = "Cropping1D";
  static constexpr std::string_view doc = "Cuts steps off both ends of each sequence.";
  Margins<1> cropping = 1;
  static void describe(auto&& field) {
    field("cropping", &Cropping1DConfig::cropping, "how many: n or [before, after]", at_least(0));
  }
};
template <std::size_t rank>
struct CroppingConfig {
  static constexpr std::string_view class_name = rank == 2 ? "Cropping2D" : "Cropping3D";
  static constexpr std::string_view doc = "Cuts off the borders of the spatial axes.";
  Margins<rank> cropping = rank == 2 ? 0 : 1;
  DataFormat data_format = DataFormat::channels_last;
  static void describe(auto&& field) {
    field("cropping", &CroppingConfig::cropping, "how many: n, one number per axis, or [before, after] per axis",
          at_least(0));
    field("data_format", &CroppingConfig::data_format, "where the channels are");
  }
};

struct UpSampling1DConfig {
  static constexpr std::string_view class_name = "UpSampling1D";
  static constexpr std::string_view doc = "Repeats each step.";
  std::int64_t size = 2;
  static void describe(auto&& field) { field("size", &UpSampling1DConfig::size, "how often", at_least(1)); }
};
struct UpSampling2DConfig {
  static constexpr std::string_view class_name = "UpSampling2D";
  static constexpr std::string_view doc = "Enlarges pictures by whole factors.";
  Extent<2> size = 2;
  DataFormat data_format = DataFormat::channels_last;
  Resampling interpolation = Resampling::nearest;
  static void describe(auto&& field) {
    field("size", &UpSampling2DConfig::size, "factor per axis", at_least(1));
    field("data_format", &UpSampling2DConfig::data_format, "where the channels are");
    field("interpolation", &UpSampling2DConfig::interpolation, "what the new elements are");
  }
};
struct UpSampling3DConfig {
  static constexpr std::string_view class_name = "UpSampling3D";
  static constexpr std::string_view doc = "Repeats the elements of volumes.";
  Extent<3> size = 2;
  DataFormat data_format = DataFormat::channels_last;
  static void describe(auto&& field) {
    field("size", &UpSampling3DConfig::size, "how often per axis", at_least(1));
    field("data_format", &UpSampling3DConfig::data_format, "where the channels are");
  }
};

LayerRef Flatten(FlattenConfig config = {}, LayerOptions options = {});
LayerRef Reshape(ReshapeConfig config, LayerOptions options = {});
LayerRef Permute(PermuteConfig config, LayerOptions options = {});
LayerRef RepeatVector(RepeatVectorConfig config, LayerOptions options = {});
LayerRef ZeroPadding1D(ZeroPadding1DConfig config = {}, LayerOptions options = {});
LayerRef ZeroPadding2D(ZeroPaddingConfig<2> config = {}, LayerOptions options = {});
LayerRef ZeroPadding3D(ZeroPaddingConfig<3> config = {}, LayerOptions options = {});
LayerRef Cropping1D(Cropping1DConfig config = {}, LayerOptions options = {});
LayerRef Cropping2D(CroppingConfig<2> config = {}, LayerOptions options = {});
LayerRef Cropping3D(CroppingConfig<3> config = {}, LayerOptions options = {});
LayerRef UpSampling1D(UpSampling1DConfig config = {}, LayerOptions options = {});
LayerRef UpSampling2D(UpSampling2DConfig config = {}, LayerOptions options = {});
LayerRef UpSampling3D(UpSampling3DConfig config = {}, LayerOptions options = {});

std::vector<ClassInfo<Layer>> reshape_layers();

}  // namespace nacre
