// The convolution family, over one to three spatial axes.
#pragma once

#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

// "causal": as many zeros are put before a sequence as the kernel reaches back (Conv1D alone).
enum class ConvPadding : std::uint8_t { valid, same, causal };
template <>
struct EnumNames<ConvPadding> {
  static constexpr std::string_view names[] = {"valid", "same", "causal"};
};

template <std::size_t rank>
struct ConvConfig {
  static constexpr std::string_view class_names[3] = {"Conv1D", "Conv2D", "Conv3D"};
  static constexpr std::string_view class_name = class_names[rank - 1];
  static constexpr std::string_view doc =
      "activation(x * kernel + bias), * the cross-correlation over the spatial axes.";
  std::int64_t filters = 0;
  Extent<rank> kernel_size, strides = 1;
  ConvPadding padding = ConvPadding::valid;
  DataFormat data_format = DataFormat::channels_last;
  Extent<rank> dilation_rate = 1;
  std::int64_t groups = 1;
  Ref<Activation> activation = "linear";
  bool use_bias = true;
  Ref<Initializer> kernel_initializer = "GlorotUniform", bias_initializer = "Zeros";
  Ref<Regularizer> kernel_regularizer, bias_regularizer, activity_regularizer;
  Ref<WeightConstraint> kernel_constraint, bias_constraint;
  static void describe(auto&& field) {
    field("filters", &ConvConfig::filters, "number of output channels", at_least(1), required());
    field("kernel_size", &ConvConfig::kernel_size, "size of the window", at_least(1), required());
    field("strides", &ConvConfig::strides, "step of the window", at_least(1));
    field("padding", &ConvConfig::padding,
          "valid: none; same: zeros that keep the size at strides 1; causal: zeros before (1D)");
    field("data_format", &ConvConfig::data_format, "where the channels are");
    field("dilation_rate", &ConvConfig::dilation_rate, "distance of the window's elements", at_least(1));
    field("groups", &ConvConfig::groups, "channels are split into so many independent convolutions", at_least(1));
    field("activation", &ConvConfig::activation, "applied last");
    field("use_bias", &ConvConfig::use_bias, "add a learned offset per channel");
    field("kernel_initializer", &ConvConfig::kernel_initializer, "initial kernel");
    field("bias_initializer", &ConvConfig::bias_initializer, "initial bias");
    field("kernel_regularizer", &ConvConfig::kernel_regularizer, "penalty on the kernel");
    field("bias_regularizer", &ConvConfig::bias_regularizer, "penalty on the bias");
    field("activity_regularizer", &ConvConfig::activity_regularizer, "penalty on the result");
    field("kernel_constraint", &ConvConfig::kernel_constraint, "applied to the kernel after each update");
    field("bias_constraint", &ConvConfig::bias_constraint, "applied to the bias after each update");
  }
};

template <std::size_t rank>
struct ConvTransposeConfig {
  static constexpr std::string_view class_names[3] = {"Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"};
  static constexpr std::string_view class_name = class_names[rank - 1];
  static constexpr std::string_view doc = "The transposed convolution: a strided one enlarges the spatial axes.";
  std::int64_t filters = 0;
  Extent<rank> kernel_size, strides = 1;
  ConvPadding padding = ConvPadding::valid;
  std::optional<Extent<rank>> output_padding;
  DataFormat data_format = DataFormat::channels_last;
  Extent<rank> dilation_rate = 1;
  Ref<Activation> activation = "linear";
  bool use_bias = true;
  Ref<Initializer> kernel_initializer = "GlorotUniform", bias_initializer = "Zeros";
  Ref<Regularizer> kernel_regularizer, bias_regularizer, activity_regularizer;
  Ref<WeightConstraint> kernel_constraint, bias_constraint;
  static void describe(auto&& field) {
    field("filters", &ConvTransposeConfig::filters, "number of output channels", at_least(1), required());
    field("kernel_size", &ConvTransposeConfig::kernel_size, "size of the window", at_least(1), required());
    field("strides", &ConvTransposeConfig::strides, "factor by which the spatial axes grow", at_least(1));
    field("padding", &ConvTransposeConfig::padding, "valid, or same: the result is strides times as large");
    field("output_padding", &ConvTransposeConfig::output_padding, "elements added after each axis; null: inferred",
          at_least(0));
    field("data_format", &ConvTransposeConfig::data_format, "where the channels are");
    field("dilation_rate", &ConvTransposeConfig::dilation_rate, "distance of the window's elements", at_least(1));
    field("activation", &ConvTransposeConfig::activation, "applied last");
    field("use_bias", &ConvTransposeConfig::use_bias, "add a learned offset per channel");
    field("kernel_initializer", &ConvTransposeConfig::kernel_initializer, "initial kernel");
    field("bias_initializer", &ConvTransposeConfig::bias_initializer, "initial bias");
    field("kernel_regularizer", &ConvTransposeConfig::kernel_regularizer, "penalty on the kernel");
    field("bias_regularizer", &ConvTransposeConfig::bias_regularizer, "penalty on the bias");
    field("activity_regularizer", &ConvTransposeConfig::activity_regularizer, "penalty on the result");
    field("kernel_constraint", &ConvTransposeConfig::kernel_constraint, "applied to the kernel after each update");
    field("bias_constraint", &ConvTransposeConfig::bias_constraint, "applied to the bias after each update");
  }
};

template <std::size_t rank>
struct DepthwiseConvConfig {
  static constexpr std::string_view class_names[2] = {"DepthwiseConv1D", "DepthwiseConv2D"};
  static constexpr std::string_view class_name = class_names[rank - 1];
  static constexpr std::string_view doc = "A convolution of each channel by itself.";
  Extent<rank> kernel_size, strides = 1;
  ConvPadding padding = ConvPadding::valid;
  std::int64_t depth_multiplier = 1;
  DataFormat data_format = DataFormat::channels_last;
  Extent<rank> dilation_rate = 1;
  Ref<Activation> activation = "linear";
  bool use_bias = true;
  Ref<Initializer> depthwise_initializer = "GlorotUniform", bias_initializer = "Zeros";
  Ref<Regularizer> depthwise_regularizer, bias_regularizer, activity_regularizer;
  Ref<WeightConstraint> depthwise_constraint, bias_constraint;
  static void describe(auto&& field) {
    field("kernel_size", &DepthwiseConvConfig::kernel_size, "size of the window", at_least(1), required());
    field("strides", &DepthwiseConvConfig::strides, "step of the window", at_least(1));
    field("padding", &DepthwiseConvConfig::padding, "valid: none; same: zeros that keep the size at strides 1");
    field("depth_multiplier", &DepthwiseConvConfig::depth_multiplier, "output channels per input channel", at_least(1));
    field("data_format", &DepthwiseConvConfig::data_format, "where the channels are");
    field("dilation_rate", &DepthwiseConvConfig::dilation_rate, "distance of the window's elements", at_least(1));
    field("activation", &DepthwiseConvConfig::activation, "applied last");
    field("use_bias", &DepthwiseConvConfig::use_bias, "add a learned offset per channel");
    field("depthwise_initializer", &DepthwiseConvConfig::depthwise_initializer, "initial kernel");
    field("bias_initializer", &DepthwiseConvConfig::bias_initializer, "initial bias");
    field("depthwise_regularizer", &DepthwiseConvConfig::depthwise_regularizer, "penalty on the kernel");
    field("bias_regularizer", &DepthwiseConvConfig::bias_regularizer, "penalty on the bias");
    field("activity_regularizer", &DepthwiseConvConfig::activity_regularizer, "penalty on the result");
    field("depthwise_constraint", &DepthwiseConvConfig::depthwise_constraint,
          "applied to the kernel after each update");
    field("bias_constraint", &DepthwiseConvConfig::bias_constraint, "applied to the bias after each update");
  }
};

template <std::size_t rank>
struct SeparableConvConfig {
  static constexpr std::string_view class_names[2] = {"SeparableConv1D", "SeparableConv2D"};
  static constexpr std::string_view class_name = class_names[rank - 1];
  static constexpr std::string_view doc = "A convolution of each channel by itself, then one over the channels alone.";
  std::int64_t filters = 0;
  Extent<rank> kernel_size, strides = 1;
  ConvPadding padding = ConvPadding::valid;
  DataFormat data_format = DataFormat::channels_last;
  Extent<rank> dilation_rate = 1;
  std::int64_t depth_multiplier = 1;
  Ref<Activation> activation = "linear";
  bool use_bias = true;
  Ref<Initializer> depthwise_initializer = "GlorotUniform", pointwise_initializer = "GlorotUniform",
                   bias_initializer = "Zeros";
  Ref<Regularizer> depthwise_regularizer, pointwise_regularizer, bias_regularizer, activity_regularizer;
  Ref<WeightConstraint> depthwise_constraint, pointwise_constraint, bias_constraint;
  static void describe(auto&& field) {
    field("filters", &SeparableConvConfig::filters, "number of output channels", at_least(1), required());
    field("kernel_size", &SeparableConvConfig::kernel_size, "size of the window", at_least(1), required());
    field("strides", &SeparableConvConfig::strides, "step of the window", at_least(1));
    field("padding", &SeparableConvConfig::padding, "valid: none; same: zeros that keep the size at strides 1");
    field("data_format", &SeparableConvConfig::data_format, "where the channels are");
    field("dilation_rate", &SeparableConvConfig::dilation_rate, "distance of the window's elements", at_least(1));
    field("depth_multiplier", &SeparableConvConfig::depth_multiplier, "channels in between per input channel",
          at_least(1));
    field("activation", &SeparableConvConfig::activation, "applied last");
    field("use_bias", &SeparableConvConfig::use_bias, "add a learned offset per channel");
    field("depthwise_initializer", &SeparableConvConfig::depthwise_initializer, "initial kernel of the first");
    field("pointwise_initializer", &SeparableConvConfig::pointwise_initializer, "initial kernel of the second");
    field("bias_initializer", &SeparableConvConfig::bias_initializer, "initial bias");
    field("depthwise_regularizer", &SeparableConvConfig::depthwise_regularizer, "penalty on the first kernel");
    field("pointwise_regularizer", &SeparableConvConfig::pointwise_regularizer, "penalty on the second kernel");
    field("bias_regularizer", &SeparableConvConfig::bias_regularizer, "penalty on the bias");
    field("activity_regularizer", &SeparableConvConfig::activity_regularizer, "penalty on the result");
    field("depthwise_constraint", &SeparableConvConfig::depthwise_constraint,
          "applied to the first kernel after each update");
    field("pointwise_constraint", &SeparableConvConfig::pointwise_constraint,
          "applied to the second kernel after each update");
    field("bias_constraint", &SeparableConvConfig::bias_constraint, "applied to the bias after each update");
  }
};

// The size of an axis of a transposed convolution's result, as Keras has it; unknown when `size` is. `extra` is the
// output_padding, null where it is to be inferred.
std::int64_t transposed_size(std::int64_t size, std::int64_t window, std::int64_t stride, std::int64_t dilation, bool same,
                             std::optional<std::int64_t> extra);

LayerRef Conv1D(ConvConfig<1> config, LayerOptions options = {});
LayerRef Conv2D(ConvConfig<2> config, LayerOptions options = {});
LayerRef Conv3D(ConvConfig<3> config, LayerOptions options = {});
LayerRef Conv1DTranspose(ConvTransposeConfig<1> config, LayerOptions options = {});
LayerRef Conv2DTranspose(ConvTransposeConfig<2> config, LayerOptions options = {});
LayerRef Conv3DTranspose(ConvTransposeConfig<3> config, LayerOptions options = {});
LayerRef DepthwiseConv1D(DepthwiseConvConfig<1> config, LayerOptions options = {});
LayerRef DepthwiseConv2D(DepthwiseConvConfig<2> config, LayerOptions options = {});
LayerRef SeparableConv1D(SeparableConvConfig<1> config, LayerOptions options = {});
LayerRef SeparableConv2D(SeparableConvConfig<2> config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> conv_layers();

}  // namespace nacre
